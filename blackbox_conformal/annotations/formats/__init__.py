"""Formats that annotations are imported from and exported to, one a module."""
