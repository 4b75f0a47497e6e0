"""Metric maps, one a file: how far the delivered picture is from the truth at each pixel."""
