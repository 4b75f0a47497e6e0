"""Where drawing and calculating meet: photographs in, calibrations, masks and audits out.

No formula and no network code lives here.
"""
