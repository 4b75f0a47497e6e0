"""From a new picture to picture, mask and certificate."""
