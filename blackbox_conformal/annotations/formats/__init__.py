"""Formats that annotations are imported from, one a module."""
