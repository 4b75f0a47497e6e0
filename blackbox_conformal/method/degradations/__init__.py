"""From a photograph to an input: one step a file, and chains of them."""

NOT_MEMBERS = ("back_projection", "chain", "codec", "parameter_range", "preset", "random_numbers", "reduction")
