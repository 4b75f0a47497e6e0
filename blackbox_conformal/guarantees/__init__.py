"""How a threshold is chosen from risk curves, one guarantee a file."""

NOT_MEMBERS = ("at_hand", "certain", "choose", "claims", "corollaries", "sample_size")
"""Modules of this package that are no guarantee themselves."""
