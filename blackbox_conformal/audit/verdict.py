"""Is the claim contradicted? The interval and the tests that an audit reports, fixed before looking.

Nothing here recalibrates and no picture is read. Two questions are kept apart:

*Is the mean risk of new pictures below the level?* An upper confidence bound for the mean loss at the calibrated
threshold answers it; ``confirmed`` needs the bound to be at most the level.

*Do calibration and audit pictures belong together?* The guarantee averages over calibration sets, so a mean risk
slightly above the level contradicts nothing. Under exchangeability every split of the pooled n + m pictures is equally
likely; the share of splits whose recalibrated audit risk is at least the observed one is a valid p-value (Fisher's
permutation test; Phipson & Smyth 2010 for the +1). ``contradicted`` needs that p-value to be at most `LEVEL` and the
observed mean above the level.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""Error level of each of the two tests."""

BEFOREHAND = "Fix the number of further photographs before looking: adding some until the verdict pleases voids it."

Verdict = Literal["confirmed", "inconclusive", "contradicted"]

FIXED = (
    "Verdicts come from two one-sided tests at the 5 % level that are fixed before looking; both ends of the interval "
    "hold with 95 % confidence each."
)

EXPLAINED: dict[Verdict, str] = {
    "confirmed": "Confirmed: the upper end of the interval for the mean risk is not above what is claimed.",
    "inconclusive": (
        "Inconclusive: no sign against the guarantee that chance does not explain, and not enough photographs to "
        "confirm it."
    ),
    "contradicted": (
        "Contradicted: the risk is above what is claimed, and at most 5 % of random splits of calibration and audit "
        "photographs show as much, so they are not of one source."
    ),
}
"""What each verdict at one level means."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an audit says at one level.

    Attributes
    ----------
    risk
        Mean loss of the audit pictures at the calibrated threshold.
    interval
        Two-sided confidence interval for the mean loss, level 1 - 2 `LEVEL` (each end holds at 1 - `LEVEL`).
    p_value
        Of the permutation test; 1 where the risk is not above the level or splits say nothing.
    further
        About how many more units would settle an inconclusive audit if they were like those at hand: confirm a risk
        below the level, or show one above it. None where it is settled or no number would do.
    """

    risk: float
    interval: tuple[float, float]
    p_value: float
    verdict: Verdict
    further: int | None = None


def judge(
    losses: NDArray[np.float64],
    level: float,
    bound: float,
    resplit: NDArray[np.float64] | None = None,
    observed: float | None = None,
) -> Judgement:
    """Judge the losses of m audit pictures.

    Parameters
    ----------
    losses
        (m,) losses in [0, bound] at the calibrated threshold, independent given it.
    level
        What the mean loss is claimed not to exceed.
    resplit
        (splits,) the mean audited loss after recalibrating on random splits, from `permutation`; None: no such test.
    observed
        The mean audited loss that compares with them, where that is not the mean of `losses`: masks with a bound of
        the picture at hand cannot be made anew for a split.
    """
    risk = float(np.mean(losses))
    interval = (lower_bound(losses / bound) * bound, upper_bound(losses / bound) * bound)
    p_value = 1.0
    if risk > level and resplit is not None:
        # A hair below the observed risk counts as reaching it: the same split summed in another order must.
        reached = (risk if observed is None else observed) - 1e-9 * bound
        p_value = float(np.count_nonzero(resplit >= reached) + 1) / (resplit.size + 1)
    verdict: Verdict = "inconclusive"
    if risk > level and p_value <= LEVEL:
        verdict = "contradicted"
    elif interval[1] <= level:
        verdict = "confirmed"
    more = further(losses / bound, level / bound) if verdict == "inconclusive" else None
    return Judgement(risk, interval, p_value, verdict, more)


def further(losses: NDArray[np.float64], level: float, bets: int = 20) -> int | None:
    """How many more losses like these, (m,) in [0, 1], would put a confidence bound on the right side of `level`.

    Below the level the upper bound is asked for, above it the lower one. The wealth of a bet grows by the same factor
    with every m losses, so the number follows from the losses at hand: an estimate, no promise. None when the mean
    is the level, the bound lies there already, or more than a million would be needed.
    """
    mean = float(np.mean(losses))
    if not 0 < level < 1 or mean == level:
        return None
    if mean > level:
        losses, level = 1.0 - losses, 1.0 - level
    rho = np.arange(1, bets + 1) / (bets + 1)
    growth = np.log(np.maximum(1.0 - rho[:, None] * (losses[None, :] - level) / (1.0 - level), 1e-300)).mean(axis=1)

    def settled(units: int) -> bool:
        logs = units * growth
        top = float(logs.max())
        return top + math.log(float(np.mean(np.exp(logs - top)))) >= math.log(1 / LEVEL)

    low, high = len(losses), len(losses)
    if settled(high):
        return None
    while not settled(high):
        low, high = high, 2 * high
        if high > 10**6:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return max(high - len(losses), 1)


def meaning(found: Judgement, level: float, units: str = "photographs") -> str:
    """What was found, in a sentence or two, and what would settle it where it is not; `EXPLAINED` says the rest.

    Parameters
    ----------
    level
        What the mean loss is claimed not to exceed.
    units
        What is counted, plural.
    """
    low, high = found.interval
    if found.verdict == "confirmed":
        return f"with 95 % confidence the mean risk of such {units} is at most {high:.3g}, so not above {level:g}."
    if found.verdict == "contradicted":
        return (
            f"the risk is {found.risk:.3g}, above {level:g}; had these {units} come from the same source as the "
            f"calibration's, only {100 * found.p_value:.2g} % of random splits would show as much."
        )
    if found.risk <= level:
        told = (
            f"the risk is {found.risk:.3g}, not above {level:g}, but that of all such {units} may be as high as "
            f"{high:.3g}."
        )
        settle = "confirm it"
    else:
        told = (
            f"the risk is {found.risk:.3g}, above {level:g}, but by no more than chance explains: that of all such "
            f"{units} may be as low as {low:.3g}, and the guarantee averages over calibrations."
        )
        settle = "tell whether this calibration's mean risk is above the level"
    if found.further is None and low > level:
        return (
            f"{told} This calibration's own mean risk is above the level, as some calibration sets' is by chance; more "
            "photographs here do not change that. Calibrate on more photographs."
        )
    if found.further is None:
        return f"{told} No practical number of further {units} like these would {settle}."
    return f"{told} About {found.further} further {units} like these would {settle}."


def overall(judgements: Sequence[Judgement], levels: int | None = None) -> Verdict:
    """Contradicted if any level is at its Bonferroni share of `LEVEL`; confirmed if every level is.

    Parameters
    ----------
    judgements
        Those of the levels at which anything is trusted; without one there is nothing to confirm.
    levels
        Among how many levels the error level is shared; None: those of `judgements`.
    """
    shared = LEVEL / max(levels or len(judgements), 1)
    if any(one.verdict == "contradicted" and one.p_value <= shared for one in judgements):
        return "contradicted"
    return "confirmed" if judgements and all(one.verdict == "confirmed" for one in judgements) else "inconclusive"


def upper_bound(losses: NDArray[np.float64], level: float = LEVEL, bets: int = 20) -> float:
    """Upper confidence bound for the mean of independent losses in [0, 1] (Waudby-Smith & Ramdas 2024, constant bets).

    For each bet rho the product of ``1 - rho (L_i - m) / (1 - m)`` has mean at most 1 when the true mean is at least
    m; so has the average over bets. The bound is the largest m whose average stays below 1 / level.
    """
    rho = np.arange(1, bets + 1) / (bets + 1)

    def wealth(mean: float) -> float:
        growth = 1.0 - rho[:, None] * (losses[None, :] - mean) / (1.0 - mean)
        logs = np.log(np.maximum(growth, 1e-300)).sum(axis=1)
        top = logs.max()
        return float(top + np.log(np.mean(np.exp(logs - top))))

    low, high = float(np.mean(losses)), 1.0 - 1e-12
    if low >= high or wealth(high) < math.log(1 / level):
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if wealth(middle) < math.log(1 / level) else (low, middle)
    return high


def lower_bound(losses: NDArray[np.float64], level: float = LEVEL) -> float:
    """Lower confidence bound, by symmetry: 1 - the upper bound of 1 - losses."""
    return max(0.0, 1.0 - upper_bound(1.0 - losses, level))
