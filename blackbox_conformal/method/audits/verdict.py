"""Test whether photographs contradict a claim, by tests fixed before looking.

Nothing here recalibrates or reads a picture. Three questions are kept apart:

*Is the mean risk of new pictures below the level?* ``confirmed`` needs an upper confidence bound for the mean loss at
the calibrated threshold to be at most the level.

*Do calibration and audit pictures belong together?* Under exchangeability every split of the pooled n + m pictures is
equally likely. The share of splits whose recalibrated audit risk is at least the observed one is a valid p-value
(Fisher's permutation test; Phipson & Smyth 2010 for the +1). Where it is at most `LEVEL` and the observed mean is above
the level, the pictures are at least ``shifted``. That breaks no promise: the mean risk may still be below the level.

*Is the promise broken?* ``contradicted`` also needs a lower confidence bound above the level. A guarantee that averages
over calibration sets allows some of them to lie above the level, so the excess must also be larger than luck explains.
The same splits show this luck: their risks, moved so that their mean is the level, stand for a promise that is kept
with nothing to spare.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import LEVEL, Betting, Exact, interval_for
from blackbox_conformal.method.audits.control_variates import BettingBeside, FreeLosses
from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee
from blackbox_conformal.method.risk.curve_set import mean_of_clusters
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.wording import at_least, at_most, exactly


def claim(
    rule: Guarantee, losses: NDArray[np.float64], alpha: float, bound: float, clusters: Sequence[str] | None = None
) -> Claim:
    """Return the claim of `rule` at `alpha` about the (m,) `losses` of audited pictures.

    `clusters` name the photograph that each picture is a tile of, whose mean is one value; None: each is a photograph.
    """
    # Before the claim is made: some guarantees say nothing about the mean over tiles.
    rule.refuse_unclaimed(clusters is not None)
    return rule.claim(losses if clusters is None else mean_of_clusters(losses, clusters), alpha, bound)


def quantity(rule: Guarantee, clusters: Sequence[str] | None = None, error: str = "error") -> str:
    """Say what an audit of `rule` measures; `error` names the metric's error."""
    rule.refuse_unclaimed(clusters is not None)
    return rule.quantity("photographs" if clusters is None else "photographs, each the mean over its tiles", error)


BEFOREHAND = (
    "You may add photographs to confirm, since the upper end of the interval holds however often you look. To test for "
    "a failure (shifted, contradicted), fix their number beforehand."
)

BEFOREHAND_EXACT = (
    "The interval is exact for the number of photographs that was given, which must have been fixed before looking. Do "
    "not add photographs to these until the audit confirms: fix a larger number and audit so many new ones."
)

Verdict = Literal["confirmed", "inconclusive", "shifted", "contradicted"]

FIXED = (
    "Verdicts come from one-sided tests at the 5 % level that are fixed before looking. The interval is for the mean "
    "risk of all such photographs; each end of it is a 95 % bound. With few photographs the upper end is high: unseen "
    "ones may be much worse."
)

EXPLAINED: dict[Verdict, str] = {
    "confirmed": "Confirmed: the upper end of the interval for the mean risk is not above what is claimed.",
    "inconclusive": (
        "Not yet confirmed: chance explains all that the audit found against the guarantee, and it takes more "
        "photographs to confirm it."
    ),
    "shifted": (
        "Shifted: at most 5 % of random splits of calibration and audit photographs show as large a risk, so they are "
        "not of one source, and the guarantee does not speak of photographs like the audited ones. That the promise is "
        "broken all the same, this audit does not show."
    ),
    "contradicted": (
        "Contradicted: the lower end of the interval for the mean risk is above what is claimed, by more than the luck "
        "of the calibration explains at the 5 % level."
    ),
}
"""The meaning of each verdict at one level."""

SHORT: dict[Verdict, str] = {verdict: verdict for verdict in EXPLAINED} | {"inconclusive": "not yet confirmed"}
"""Each verdict in a table for people: `inconclusive`, the word for scripts, sounds like a failure and is none."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The audit's judgement at one level of `n` units."""

    risk: float  # Mean loss of the audit pictures at the calibrated threshold.
    interval: tuple[float, float]  # Two-sided confidence interval for the mean loss; each end holds at 1 - `LEVEL`.
    p_value: float  # Of the permutation test; 1 where the risk is not above the level or splits say nothing.
    p_promise: float  # Of "the promise is kept": the largest p-value of the tests that ``contradicted`` needs.
    verdict: Verdict
    # About how many more units like these would settle an inconclusive audit; None where it is settled or no number
    # would.
    further: int | None = None
    # Whether the interval is the exact one of losses of 0 or 1, for a number of units that was fixed.
    exact: bool = False
    # Units that would confirm the level without any loss, where fewer are at hand; else None.
    fewest: int | None = None
    n: int = 0


def judge(
    losses: NDArray[np.float64],
    level: float,
    bound: float,
    resplit: NDArray[np.float64] | None = None,
    observed: float | None = None,
    known: NDArray[np.float64] | None = None,
    *,
    averages: bool = True,
    exact: bool = False,
    free: FreeLosses | None = None,
) -> Judgement:
    """Judge the losses of m audit pictures.

    `losses`: (m,) losses in [0, bound] at the calibrated threshold, independent given the threshold.
    `level`: The claimed upper limit of the mean loss.
    `resplit`: (splits,) the mean audited loss after recalibrating on random splits, from `permutation`; None: no such
      test.
    `observed`: The mean audited loss to compare with `resplit`, where that is not the mean of `losses`.
    `known`: (n,) losses of the calibration pictures at the same threshold, in [0, bound], for the `stakes`.
    `averages`: Whether the claim averages over calibration sets, see `Claim`.
    `exact`: Whether losses are 0 or `bound`, and m was fixed before looking: then both ends are exact.
    `free`: Losses of free pictures of these photographs and of others, divided by `bound`; exact ends do without.
    """
    risk, shares = float(np.mean(losses)), losses / bound
    bounds: Betting | Exact | BettingBeside = interval_for(known, level, bound, exact=exact)
    if free is not None and isinstance(bounds, Betting):
        bounds = BettingBeside(bounds, free, level / bound)
    interval = (bounds.lower(shares) * bound, bounds.upper(shares) * bound)
    p_value = p_promise = 1.0
    if risk > level and resplit is not None:
        p_value = _share_reaching(resplit, risk if observed is None else observed, bound)
        # Contradicting needs all of these tests, so their largest p-value is the joint p-value.
        p_promise = max(p_value, bounds.p_above(shares, level / bound))
        if averages:
            p_promise = max(p_promise, _share_reaching(resplit - resplit.mean() + level, risk, bound))
    verdict: Verdict = "inconclusive"
    if p_promise <= LEVEL:
        verdict = "contradicted"
    elif p_value <= LEVEL:
        verdict = "shifted"
    elif interval[1] <= level:
        verdict = "confirmed"
    more = fewest = None
    if verdict == "inconclusive":
        more = bounds.further(shares, level / bound)
        # No photograph can help more than one without a loss.
        least = bounds.fewest(np.zeros(1), level / bound) if 0 < level < bound else None
        fewest = least if least is not None and least > losses.size else None
    return Judgement(risk, interval, p_value, p_promise, verdict, more, exact, fewest, losses.size)


def _share_reaching(resplit: NDArray[np.float64], observed: float, bound: float) -> float:
    # A hair below the observed risk counts as reaching it: the same split summed in another order must.
    return float(np.count_nonzero(resplit >= observed - 1e-9 * bound) + 1) / (resplit.size + 1)


def too_few(judgement: Judgement, units: str = "photographs") -> str:
    """Say, after a space, that so few units cannot confirm the level and how many could; else say nothing."""
    if judgement.fewest is None:
        return ""
    those = "One photograph" if judgement.n == 1 else f"{judgement.n} {units}"
    return f" {those} cannot confirm it, whatever they show; at least {judgement.fewest} are needed."


def meaning(judgement: Judgement, level: float, units: str = "photographs") -> str:
    """Say the judgement against the claimed `level`, and what would settle it; `units` is plural."""
    if judgement.verdict == "confirmed":
        high = at_most(judgement.interval[1], level=level)
        return f"with 95 % confidence the mean risk of such {units} is at most {high}, so not above {exactly(level)}."
    if judgement.verdict == "contradicted":
        return _contradiction(judgement, level, units)
    return _shift(judgement, level, units) if judgement.verdict == "shifted" else _doubt(judgement, level, units)


def _risk(judgement: Judgement, level: float) -> str:
    """Say the risk in few digits, or in all where few would lie on the other side of the level."""
    short = f"{judgement.risk:.3g}"
    return short if (float(short) > level) == (judgement.risk > level) else exactly(judgement.risk)


def _contradiction(judgement: Judgement, level: float, units: str) -> str:
    low = at_least(judgement.interval[0], level=level)
    found = f"with 95 % confidence the mean risk of such {units} is at least {low}, so above {exactly(level)}"
    if judgement.p_value > LEVEL:
        return (
            f"{found}; were the guarantee to hold, so large a risk would ever be seen with a probability of at most "
            f"{at_most(100 * judgement.p_promise, 2)} %."
        )
    return (
        f"{found}; had they come from the same source as the calibration's, only "
        f"{at_most(100 * judgement.p_value, 2)} % of random splits would show a risk of {_risk(judgement, level)} or "
        "more."
    )


def _shift(judgement: Judgement, level: float, units: str) -> str:
    low, limit = at_least(judgement.interval[0], level=level), exactly(level)
    mean = (
        f"the mean risk of all such {units} may be as low as {low}, which is not above {limit}"
        if judgement.interval[0] <= level
        else f"the mean risk of all such {units} is above {limit}, but by no more than the luck of a calibration "
        "explains"
    )
    return (
        f"the risk of these {units} is {_risk(judgement, level)}; had they come from the same source as the "
        f"calibration's, only {at_most(100 * judgement.p_value, 2)} % of random splits would show as much, so they "
        f"differ. Still, {mean}. Calibrate on {units} like these before you rely on masks of such."
    )


def _doubt(judgement: Judgement, level: float, units: str) -> str:
    risk, limit = _risk(judgement, level), exactly(level)
    if judgement.risk <= level:
        known = (
            f"the risk is {risk}, not above {limit}, but that of all such {units} may be as high as "
            f"{at_most(judgement.interval[1], level=level)}.{too_few(judgement, units)}"
        )
        settle = "confirm it"
    else:
        known = (
            f"the risk is {risk}, above {limit}, but by no more than chance explains: that of all such {units} may be "
            f"as low as {at_least(judgement.interval[0], level=level)}, and the guarantee averages over calibrations."
        )
        settle = "tell whether this calibration's mean risk is above the level"
    if judgement.further is None and judgement.interval[0] > level:
        return (
            f"{known} This calibration's own mean risk is above the level, as some calibration sets' is by "
            "chance; more photographs here do not change that. Calibrate on more photographs."
        )
    if judgement.further is None:
        return f"{known} No practical number of further {units} like these would {settle}."
    if judgement.exact:
        number = f"{about(judgement.further)} {units} more than these, all of them new"
        return f"{known} About {number}, would {settle} if they err as these do."
    return f"{known} About {about(judgement.further)} further {units} would {settle} if they err as these do."


_HARDLY = 20  # More photographs hardly settle a level that needs more than so many times the number at hand.


def in_short(verdict: Verdict, levels: Sequence[tuple[Judgement, float]]) -> str:
    """Say the verdict of a whole audit, and how far it is from confirmed.

    `levels` are the judgements and claims where anything is trusted.
    """
    if verdict != "inconclusive":
        return verdict
    if not levels:
        return "nothing is trusted, so nothing was tested"
    still = [(judgement, level) for judgement, level in levels if judgement.verdict != "confirmed"]
    n = still[0][0].n
    above = [(judgement, level) for judgement, level in still if judgement.risk > level]
    least = max(judgement.fewest or 0 for judgement, _ in still)
    if least and not above:
        return f"{SHORT[verdict]}: {n} of at least {least} photographs, no sign against it"
    # Of the levels with a risk above them, the one with the largest excess; else the one that is hardest to confirm.
    judgement, level = max(
        above or still, key=lambda one: one[0].risk - one[1] if above else one[0].further or math.inf
    )
    hopeless = judgement.further is None or judgement.further > _HARDLY * n
    total = about(n + (judgement.further or 0))
    if not (above or hopeless):
        return f"{SHORT[verdict]}: {n} of about {total} photographs, no sign against it"
    if judgement.verdict != "inconclusive":
        more = "new ones would tell"
    elif above and judgement.interval[0] > level:
        more = "calibrate on more"
    else:
        more = "more will hardly tell" if hopeless else f"about {total} would tell"
    risk = f"a risk of {_risk(judgement, level)} against {exactly(level)}"
    return f"{SHORT[verdict]}: {counted(n, 'photograph')}, {risk}; {more}"


def beforehand(judgements: Sequence[Judgement]) -> str | None:
    """Say which rule to keep when photographs are added after these judgements; None where that is no question."""
    if any(judgement.exact for judgement in judgements):
        return BEFOREHAND_EXACT
    return BEFOREHAND if any(judgement.further is not None for judgement in judgements) else None


def about(number: int) -> str:
    """Round an estimated whole number to two digits, with spaces from 10 000 on."""
    # Two digits, since the number was estimated from few losses.
    rounded = int(float(f"{number:.2g}"))
    return f"{rounded:,}".replace(",", " ") if rounded >= 10_000 else str(rounded)


def overall(judgements: Sequence[Judgement], levels: int | None = None) -> Verdict:
    """Return contradicted or shifted if any level is at its Bonferroni share of `LEVEL`; confirmed if every level is.

    `judgements` are of the levels at which anything is trusted; `levels` say among how many the error level is shared.
    """
    # Bonferroni, so that auditing more levels does not make a contradiction likelier.
    shared = LEVEL / max(levels or len(judgements), 1)
    if any(judgement.p_promise <= shared for judgement in judgements):
        return "contradicted"
    if any(judgement.p_value <= shared for judgement in judgements):
        return "shifted"
    verdicts = {judgement.verdict for judgement in judgements}
    return "confirmed" if verdicts == {"confirmed"} else "inconclusive"
