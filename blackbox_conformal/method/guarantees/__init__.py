"""How a threshold is chosen from risk curves, one guarantee a file."""

NOT_MEMBERS = ("corollaries", "instance_bound")
"""Modules of this package that are no guarantee themselves."""
