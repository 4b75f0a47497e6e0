"""Where drawing and calculating meet: photographs in, calibrations, masks and audits out."""
