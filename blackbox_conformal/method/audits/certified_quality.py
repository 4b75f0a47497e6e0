"""How often whole pictures are worse than they are certified to be, on photographs that did not calibrate."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.verdict import judge
from blackbox_conformal.method.risk.exact import as_typed
from blackbox_conformal.method.risk.whole_errors import WholeErrors
from blackbox_conformal.support.blocks import Block, How, Note, Table
from blackbox_conformal.support.wording import at_most

TITLE = "Photographs whose whole picture is worse than certified: on average at most the share that is named"

MEASURES = "PSNR", "SSIM", "mean error"


@dataclass(frozen=True, slots=True)
class QualityMisses:
    """Photographs that are worse than certified, by one measure.

    Attributes
    ----------
    claimed
        The share that may be, on average over calibrations.
    interval
        For the share of all such photographs with this calibration, each end a 95 % bound.
    p_value
        With which probability as many would miss if they were like the calibration's; None: their number was not fixed
        before looking.
    """

    measure: str
    n: int
    misses: int
    claimed: float
    interval: tuple[float, float]
    p_value: float | None


def quality_misses(
    calibrated: WholeErrors, ratios: Sequence[Sequence[float]], claimed: float, *, fixed: bool
) -> tuple[QualityMisses, ...]:
    """What the ratios of audited photographs, one row each, say; nothing of measures that are certified of no picture.

    Parameters
    ----------
    fixed
        Whether the number of photographs was fixed before looking.
    """
    found = []
    limits, measured = calibrated.largest_ratios(claimed), np.array(ratios, np.float64).reshape(-1, 3)
    for measure, limit, column in zip(MEASURES, limits, measured.T, strict=True):
        if not math.isfinite(limit) or not column.size:
            continue
        missed = column > limit
        misses, n = int(missed.sum()), column.size
        interval = judge(missed.astype(np.float64), claimed, 1.0, exact=fixed).interval
        p_value = chance_of_misses(len(calibrated), n, misses, claimed) if fixed else None
        found.append(QualityMisses(measure, n, misses, claimed, interval, p_value))
    return tuple(found)


def chance_of_misses(n: int, m: int, misses: int, claimed: float) -> float:
    """The probability that at least so many of m new ratios exceed the k-th largest of n, all being exchangeable.

    ``k = floor(claimed (n + 1))``. Counted among the orders of n + m different numbers; ties only make misses rarer.
    """
    k = math.floor(as_typed(claimed) * (n + 1))
    orders = sum(math.comb(j + k - 1, j) * math.comb(m - j + n - k, m - j) for j in range(misses, m + 1))
    return float(orders / math.comb(n + m, m))


def quality_blocks(found: Sequence[QualityMisses]) -> Iterator[Block]:
    """A table, and before it a sentence for each measure that misses too often."""
    if not found:
        # The document has the key always, so that scripts need not ask for it.
        yield Note("", {"quality": []})
        return
    for one in found:
        if one.p_value is not None and one.p_value <= LEVEL / len(found):
            yield Note(
                f"Of {one.n} photographs {one.misses} have a {one.measure} worse than certified; of photographs like "
                f"the calibration's as many have with a probability of at most {at_most(100 * one.p_value, 2)} %, so "
                "certified qualities do not hold for photographs like these."
            )
    columns: dict[str, How] = {
        "certified": "{measure}",
        "at most": "{claimed:share}",
        "worse": "{misses} of {n}",
        "90 % interval": "{interval:between}",
    }
    rows = [asdict(one) for one in found]
    yield Table("quality", columns, rows, title=TITLE, detail=True)
