"""Changes of the input that are undone on the output, one a file; they vary the draws of a deterministic vendor."""
