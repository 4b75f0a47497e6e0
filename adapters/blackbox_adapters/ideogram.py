"""The vendor that `recipes/ideogram.toml` tells, under its own name.

What the recipe says is carried out by `recipe`; nothing is written twice.
"""

from blackbox_adapters._shipped import shipped

ADAPTER, EXAMPLE = shipped("ideogram")
