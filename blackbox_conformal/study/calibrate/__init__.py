"""From photographs to thresholds."""
