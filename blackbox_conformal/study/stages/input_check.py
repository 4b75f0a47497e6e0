"""How one input compares with the calibration's, as certificates say it."""

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import InputCheck
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.audits.input_shift import place
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


def checked_again(calibration: Calibration, check: InputCheck) -> InputCheck | None:
    """The check that follows from the calibration and the statistics that `check` names."""
    try:
        statistics = InputStatistics.of_named(check.statistics)
    except ValueError as error:
        raise FileFormatError(f"expected the statistics of an input in the certificate; {error}") from None
    return check_input(calibration, statistics, check.level, check.group)
