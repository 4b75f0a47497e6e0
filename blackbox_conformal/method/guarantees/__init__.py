"""Rules that choose a threshold from risk curves, one guarantee a file."""

NOT_MEMBERS = ("corollaries", "instance_bound")  # Modules of this package that hold no guarantee.
