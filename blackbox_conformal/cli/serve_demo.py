"""`serve --demo`: the embedded vendor, calibrated on the photographs that come with the package, ready to be served."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import listening

if TYPE_CHECKING:
    from blackbox_conformal.cli.serve import ServeOptions

FOLDER = Path("blackbox-conformal-serve-demo")
SIDE = 256
"""Pixels of a side of the photographs, so that it takes seconds."""

SLACK = 1.25
"""How much the level is above the smallest that the number of photographs could ever reach."""


def prepared(screen: Screen, options: "ServeOptions") -> "tuple[ServeOptions, str]":
    """The options with a calibration and a level, and a picture to try; everything is made once and found again."""
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.embedded.demonstration import level_for, reduced_photographs, write_input
    from blackbox_conformal.method.images.photographs import demo_photographs
    from blackbox_conformal.study.calibrate.calibrating import calibrate_job
    from blackbox_conformal.study.job import Job, Terms
    from blackbox_conformal.study.plugins import load_adapter
    from blackbox_conformal.study.stages.settings import set_up

    run = Path(options.run) if options.run else FOLDER
    file, vendor = run / "calibration.json", load_adapter("embedded")
    with listening(screen) as listeners:
        first, *others = reduced_photographs(demo_photographs(), run / "photographs", SIDE, listeners.progress)
        setup = set_up(vendor)
        if not file.exists():
            screen.note(f"calibrating the embedded vendor on {len(others)} photographs, once; it takes about a minute")
            job = Job.of_photographs(setup, [photograph.path for photograph in others], Terms(run, listeners=listeners))
            calibrate_job(job).calibration.save(file)
    calibration = Calibration.load(file)
    level = level_for(calibration.n, setup.metric.capped_bound, SLACK) if options.alpha is None else options.alpha
    example = write_input(first, run / "input", setup.procedure, force=True)
    return replace(options, calibration=str(file), alpha=level, run=str(run)), str(example)
