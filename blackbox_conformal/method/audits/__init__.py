"""What unseen photographs say about a calibration; nothing here recalibrates."""
