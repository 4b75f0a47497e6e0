"""Test whether inputs are like a calibration's. Nothing is sent or paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.audits.input_shift import SEED, InputShift, compare
from blackbox_conformal.method.images.bands import Bands, rendered
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.from_keywords import named_keywords
from blackbox_conformal.study.listeners import Progress, shown_progress
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.settings_table import InputsSettings
from blackbox_conformal.study.stages.certify import format_reason
from blackbox_conformal.study.stages.grouped_errors import read_each
from blackbox_conformal.study.stages.prepare import format_of
from blackbox_conformal.support.text import counted


@named_keywords
@photographs_as_files("inputs")
def compare_inputs(
    inputs: Photographs, calibration: Calibration | str | Path, **settings: Unpack[InputsSettings]
) -> InputShift:
    """Compare pictures that are to be sent with the inputs that a calibration was made with.

    Parameters
    ----------
    inputs
        Files and folders of pictures as the vendor would be sent them, or such pictures in memory, alone or by name;
        each counts as one independent picture.
    calibration
        A calibration, or the path of its file.

    Raises
    ------
    BlackboxConformalError
        A picture cannot be read, or the calibration holds no statistics of inputs.

    Examples
    --------
    >>> bc.compare_inputs("real-inputs", calibration)
    <InputShift of … inputs against 10: p=…>
    """
    loaded = calibration if isinstance(calibration, Calibration) else Calibration.load(calibration)
    group = settings.get("group")
    known = loaded.comparable_inputs(group)
    if not len(known):
        which = "photographs" if group is None else f"photographs of the group {group}"
        raise CalibrationError(
            f"expected a calibration that says what the inputs of its {which} are like; this one does not. Calibrate "
            "again: the draws are stored, so no call is made"
        )
    formats: list[str] = []
    with shown_progress(settings.get("progress")) as step:
        new = read_statistics(photograph_paths(inputs), step, loaded.procedure.bands, formats)
    shift = compare(known, new, level=settings["level"], seed=settings.get("seed", SEED))
    return replace(shift, files=reason_of_files(formats, loaded.procedure))


def reason_of_files(formats: Sequence[str], procedure: Procedure) -> str | None:
    """Say why inputs would get no guarantee because of their files' formats; None: no reason."""
    reasons = [reason for each in formats if (reason := format_reason(procedure, each)) is not None]
    which = f"{len(reasons)} of {counted(len(formats), 'input')}"
    return f"{which} would get no guarantee: {reasons[0]}" if reasons else None


def read_statistics(
    paths: Sequence[Path],
    progress: Progress = lambda *_: None,
    bands: Bands | None = None,
    formats: list[str] | None = None,
) -> InputStatistics:
    """Measure every picture, in order.

    `bands`: The declared meaning of the pictures' numbers.
    `formats`: Gets the format of each file.
    """

    def statistics(path: Path) -> InputStatistics:
        picture = read_image(path, transparent=True, bands=bands)
        found = InputStatistics.of(rendered(picture.pixels))
        if formats is not None:
            formats.append(format_of(picture))
        return found

    return InputStatistics.together(read_each(paths, statistics, "reading inputs", progress))
