"""Turn photographs into thresholds."""
