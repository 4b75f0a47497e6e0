"""Test whether a calibration holds on photographs that it has not seen."""
