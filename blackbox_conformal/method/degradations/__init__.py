"""From a photograph to an input: one step a file, and chains of them."""

NOT_MEMBERS = ("chain", "parameter_range", "random_numbers", "reduction")
