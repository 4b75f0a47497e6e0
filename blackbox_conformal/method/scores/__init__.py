"""Scores, one a file: maps of how undecided the vendor is at each pixel."""
