"""Turn photographs and settings into calibrations, masks and verdicts."""
