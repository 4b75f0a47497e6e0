"""How one input, and a batch of them, compare with the calibration's inputs, as certificates say it."""

from dataclasses import replace

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import DOUBT, LEAST_TESTED, LEVEL, BatchCheck, InputCheck
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.audits.input_shift import compare
from blackbox_conformal.method.audits.outlying import place
from blackbox_conformal.method.images.input_statistics.statistics import InputStatistics


def check_input(
    calibration: Calibration, statistics: InputStatistics, level: float, group: str | None = None
) -> InputCheck | None:
    """The check of an input with these `statistics`, one row; None where the calibration knows nothing of inputs.

    Parameters
    ----------
    level
        At this p-value and below the guarantee does not speak of the input.
    group
        The group of photographs that the input belongs to; it is compared with that group alone.
    """
    placement = place(calibration.comparable_inputs(group), statistics)
    if placement is None:
        return None
    return InputCheck(
        p_value=placement.p_value,
        level=level,
        n=placement.n,
        group=group,
        statistics=statistics.named[0],
        differs=placement.sentence,
        beyond=placement.beyond,
    )


def check_batch(
    calibration: Calibration, inputs: InputStatistics, earlier: InputStatistics, group: str | None = None
) -> BatchCheck:
    """The check of `inputs` that are masked together; where they are too few to tell, with the `earlier` ones."""
    alone = _compared(calibration, inputs, 0, group)
    if alone.moved or not len(earlier):
        return alone
    return _compared(calibration, InputStatistics.together([inputs, earlier]), len(earlier), group)


def not_compared(calibration: Calibration, pictures: int, earlier: int, group: str | None) -> BatchCheck:
    """The check of so many inputs that were not compared."""
    known = len(calibration.comparable_inputs(group))
    return BatchCheck(pictures=pictures, earlier=earlier, n=known, p_value=None, level=LEVEL)


def _compared(calibration: Calibration, inputs: InputStatistics, earlier: int, group: str | None) -> BatchCheck:
    known, m = calibration.comparable_inputs(group), len(inputs)
    check = not_compared(calibration, m, earlier, group)
    shift = compare(known, inputs, level=LEVEL) if len(known) and m >= LEAST_TESTED else None
    if shift is None or shift.too_few:
        return check
    at = shift if shift.differ else replace(shift, level=DOUBT)
    moved = tuple(movement.sentence for movement in at.moved)
    return check.model_copy(update={"p_value": shift.p_value, "level": at.level, "moved": moved})


def checked_again(calibration: Calibration, check: InputCheck) -> InputCheck | None:
    """The check that follows from the calibration and the statistics that `check` names.

    Raises
    ------
    FileFormatError
        They are no statistics of this version.
    """
    try:
        statistics = InputStatistics.of_named(check.statistics)
    except ValueError as error:
        raise FileFormatError(f"expected the statistics of an input in the certificate; {error}") from None
    return check_input(calibration, statistics, check.level, check.group)
