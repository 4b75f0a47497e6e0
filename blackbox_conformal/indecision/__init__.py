"""Score maps, one a file: how undecided the vendor is at each pixel."""
