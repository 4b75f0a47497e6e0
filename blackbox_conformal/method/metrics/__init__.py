"""Metrics, one a file: maps of how far the delivered picture is from the truth at each pixel."""
