"""Parts of a visit to a watched vendor."""
