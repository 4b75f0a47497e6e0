"""Whether a vendor is still the one that was calibrated: the statistics of visits, and the file that keeps them."""
