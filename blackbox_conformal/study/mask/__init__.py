"""Turn a new picture into picture, mask and certificate."""
