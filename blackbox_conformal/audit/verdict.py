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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.audit.confidence import LEVEL, further, lower_bound, stakes, upper_bound

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
    known: NDArray[np.float64] | None = None,
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
    known
        (n,) losses of the calibration pictures at the same threshold, in [0, bound]; they tell which bet is likely to
        need the fewest pictures, see `stakes`.
    """
    risk = float(np.mean(losses))
    above, below = stakes(known, level, bound), stakes(known, level, bound, mirrored=True)
    interval = (lower_bound(losses / bound, stake=below) * bound, upper_bound(losses / bound, stake=above) * bound)
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
    more = None
    if verdict == "inconclusive":
        more = further(losses / bound, level / bound, stake=above if risk <= level else below)
    return Judgement(risk, interval, p_value, verdict, more)


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
