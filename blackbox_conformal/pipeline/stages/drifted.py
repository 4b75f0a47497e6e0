"""Whether a batch's answers are like those to the photographs that calibrated it; the rule is `audits.drift`'s."""

from collections.abc import Sequence

from blackbox_conformal.audits.drift import drift
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.risk.answers import Answers


def drifted(
    calibration: Calibration, answers: Sequence[Answers], thresholds: Sequence[float], group: str | None = None
) -> str | None:
    """In which way answers to new pictures are not like those of `calibration`, or of its `group`; None: like them.

    Tiles of one photograph are more alike than photographs, so where tiles calibrated nothing can be said.
    """
    if any(image.cluster is not None for image in calibration.images):
        return None
    rows = [row for row, image in enumerate(calibration.images) if group in (None, image.group)]
    return drift(calibration.answers[rows], Answers.together(answers), thresholds)
