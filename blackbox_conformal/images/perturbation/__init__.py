"""Known changes of the input that are undone on the output, one a file: draws of a vendor that never varies."""
