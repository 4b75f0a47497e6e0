"""A comparison of inputs as one self-contained HTML file: the distribution of each statistic on both sides."""

from pathlib import Path

from blackbox_conformal.method.audits.input_shift import InputShift
from blackbox_conformal.pages.report.html import render_blocks
from blackbox_conformal.pages.report.seal import write_page


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
    page = render_blocks("Are these inputs like the calibration’s?", shift.blocks(degradation))
    return write_page(page, f"inputs beside those of {calibration}", path, force=force)
