"""A calibration of a made-up vendor, whose draws lie in a folder."""

from pathlib import Path

import blackbox_conformal as bc
from support.synthetic import write_draws, write_photographs


def calibrated_in(folder: Path) -> tuple[bc.Adapter, bc.Calibration]:
    """The vendor, with draws of a ninth picture too, and its calibration, saved as ``c.json``; all below `folder`."""
    vendor = bc.load_adapter("folder", path=str(write_draws(folder / "draws", range(9))), label="made up")
    paths = write_photographs(folder / "photographs", range(8))
    choices = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf", "run": folder / "run"}
    calibration = bc.calibrate(vendor, [str(path) for path in paths], **choices)
    calibration.save(folder / "c.json")
    return vendor, calibration
