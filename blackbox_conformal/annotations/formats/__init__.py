"""The files that annotations are imported from, one kind a module."""
