"""A comparison of inputs as one self-contained HTML file: the distribution of each statistic on both sides."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from blackbox_conformal.audits.input_shift import InputShift, Movement
from blackbox_conformal.display.plots import Chart, Point, Series
from blackbox_conformal.images.input_statistics.rows import SIZE
from blackbox_conformal.reports.html import render
from blackbox_conformal.reports.seal import write_page


def write_inputs_page(
    shift: InputShift, degradation: str, path: Path, *, calibration: str, force: bool = False
) -> Path:
    """Write the page.

    Parameters
    ----------
    degradation
        How the calibration's inputs were made.
    calibration
        The calibration's digest.

    Raises
    ------
    UsageError
        `path` exists, is no unchanged page of this kind for this calibration, and `force` is not set.
    """
    charts = [distributions(movement) for movement in shift.movements]
    page = render("inputs", shift=shift, degradation=degradation, charts=charts)
    return write_page(page, f"inputs beside those of {calibration}", path, force=force)


def distributions(movement: Movement) -> Chart:
    """How large a share of the inputs on each side has at most a value."""
    name = movement.statistic.name
    low, high = min(movement.known[0], movement.new[0]), max(movement.known[-1], movement.new[-1])
    margin = 0.05 * (high - low) or movement.statistic.least
    ends = (low - margin, high + margin)
    series = [
        Series("the calibration's inputs", "bound", _steps(movement.known, ends), "step"),
        Series("your inputs", "realised", _steps(movement.new, ends), "step"),
    ]
    label = f"{name}, base-2 logarithm of pixels" if name == SIZE else name
    return Chart(
        name.capitalize(), label, "inputs", series, x_range=ends, y_range=(0.0, 1.0), percent=True, slider=False
    )


def _steps(values: Sequence[float], ends: Point) -> tuple[Point, ...]:
    """The staircase of the share of values that are at most x, from one end of the axis to the other."""
    inner = [(value, place / len(values)) for place, value in enumerate(values, 1)]
    last = [point for point, after in pairwise([*inner, (ends[1], 1.0)]) if point[0] != after[0]]
    return ((ends[0], 0.0), *last, (ends[1], 1.0))
