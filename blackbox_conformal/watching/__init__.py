"""Tells whether a vendor is still the calibrated one: statistics of visits, and the file that keeps them."""
