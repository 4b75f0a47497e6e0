"""Judge a calibration by unseen photographs; nothing here recalibrates."""
