"""The use cases: photographs and settings in, calibrations, masks and verdicts out."""
