"""When a difference between calibration and audit is a broken promise and when it is not: simulated, with ties.

All photographs share 24 scores, so that thresholds lie on ties. The mean risk over calibrations is computed from
100 000 photographs, so that what is promised is known to be kept or broken.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from blackbox_conformal.audit.confidence import LEVEL
from blackbox_conformal.audit.permutation import resplit_risks
from blackbox_conformal.audit.verdict import Judgement, judge
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet

AUDITS, ALPHA = 400, 0.1
AT_MOST = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / AUDITS)
LEVELS = 24
SCORES = (np.arange(1, LEVELS + 1) / 32).astype(np.float32)
GRID = np.arange(1, LEVELS + 1) / LEVELS
BELOW_THE_BOUND = 1 - 1e-3 * (LEVELS - np.arange(LEVELS))


def _on_8_bits(losses):
    return np.minimum(np.round(losses * 255) / 255, BELOW_THE_BOUND).astype(np.float32)


def ties(rng, count, hard):
    """Losses that grow evenly with the score; a share `hard` of the photographs is about twice as hard."""
    top = np.where(rng.random(count) < hard, rng.uniform(0.4, 0.6, count), rng.uniform(0.1, 0.3, count))
    return _on_8_bits(top[:, None] * GRID)


def dire(rng, count, hard):
    """As `ties`, all losses doubled."""
    return _on_8_bits(2.0 * ties(rng, count, hard))


def varied(rng, count, hard):
    """Hard photographs lose early and much, easy ones late; losses jump at every second score."""
    harder = rng.random(count) < hard
    top = np.where(harder, rng.uniform(0.5, 0.9, count), rng.uniform(0.05, 0.35, count))
    paired = np.ceil(np.arange(1, LEVELS + 1) / 2) * 2 / LEVELS
    return _on_8_bits(top[:, None] * paired ** np.where(harder, 1.0, 1.5)[:, None])


def binary(rng, count, hard):
    """All or nothing: a photograph is lost from one of the scores on, many never are."""
    lost = np.where(rng.random(count) < hard, rng.integers(0, LEVELS, count), rng.integers(6, 4 * LEVELS, count))
    return (np.arange(LEVELS) >= lost[:, None]).astype(np.float32)


def heavy(rng, count, hard):
    """Most photographs are easy, a few lose nearly everything (Pareto 1.1)."""
    top = 0.02 * (rng.pareto(1.1, count) + 1) * np.where(rng.random(count) < hard, 3, 1)
    return (np.minimum(top, 1)[:, None] * GRID).astype(np.float32)


@dataclass(frozen=True)
class Audited:
    """Rates of verdicts over the audits; `old`: a mean above the level and a permutation test at 5 %, no more."""

    true_risk: float
    old: float
    shifted: float
    contradicted: float
    confirmed: float


def _curve(losses):
    steps = np.diff(losses, prepend=np.float32(0)) > 0
    return RiskCurve(SCORES[steps], losses[steps], 1.0)


def _audit(rng, population, n, m, hard, harder, audited):
    known = CurveSet.from_curves([_curve(one) for one in population(rng, n, hard)])
    unseen = CurveSet.from_curves([_curve(one) for one in audited(rng, m, harder)])
    threshold = Expected().threshold(known, ALPHA)
    losses = unseen.losses_at(threshold)
    resplit = None
    if losses.mean() > ALPHA:
        resplit = resplit_risks(Expected(), CurveSet.from_curves([*known, *unseen]), n, [ALPHA])[:, 0]
    return threshold, judge(losses, ALPHA, 1.0, resplit, known=known.losses_at(threshold))


def audits(population, n, m, hard, harder, *, audited=None, count=AUDITS):
    audited = audited or population
    mean = np.r_[0.0, audited(np.random.default_rng(1), 100_000, harder).mean(axis=0)]
    thresholds, found = zip(
        *(_audit(np.random.default_rng(seed), population, n, m, hard, harder, audited) for seed in range(count)),
        strict=True,
    )
    verdicts = [one.verdict for one in found]
    rates = Audited(
        float(np.mean(mean[np.searchsorted(SCORES, thresholds)])),
        np.mean([one.risk > ALPHA and one.p_value <= LEVEL for one in found]),
        *(verdicts.count(name) / count for name in ("shifted", "contradicted", "confirmed")),
    )
    print(f"{population.__name__} {n} {m} {hard:g} {harder:g}: {rates}")
    return rates


@pytest.mark.parametrize(
    ("population", "n", "m", "hard", "harder", "before"),
    [(ties, 40, 200, 0.1, 0.36, 0.4), (varied, 20, 60, 0.1, 0.3, 0.15)],
    ids=["40 and 200", "20 and 60"],
)
def test_a_shift_that_keeps_the_promise_does_not_contradict_it(population, n, m, hard, harder, before):
    found = audits(population, n, m, hard, harder)
    assert 0.08 < found.true_risk < ALPHA, "the promise is kept, with little to spare"
    assert found.old > before, "a difference alone is no broken promise: so often it was called one"
    assert found.contradicted <= AT_MOST
    assert found.shifted == pytest.approx(found.old - found.contradicted)


def test_a_shift_that_breaks_the_promise_contradicts_it():
    found = audits(ties, 40, 60, 0.0, 1.0, audited=dire, count=100)
    assert found.true_risk == pytest.approx(0.37, abs=0.01)
    assert found.contradicted == 1.0


@pytest.mark.parametrize("population", [ties, varied, binary, heavy])
@pytest.mark.parametrize(("n", "m"), [(20, 15), (40, 60)])
def test_good_populations_are_rarely_shifted_or_contradicted(population, n, m):
    found = audits(population, n, m, 0.2, 0.2)
    assert found.true_risk <= ALPHA
    assert found.contradicted <= AT_MOST
    assert found.contradicted + found.shifted <= AT_MOST


def test_a_claim_about_the_calibration_at_hand_allows_no_luck_of_the_calibration():
    """Splits that vary widely around a low mean excuse an excess only where the claim averages over calibrations."""
    rng = np.random.default_rng(0)
    losses = rng.uniform(0.1, 0.3, 200)
    resplit = np.r_[rng.uniform(0.0, 0.02, 900), np.full(99, 0.19)][rng.permutation(999)]
    resplit = np.where(np.arange(999) < 960, np.minimum(resplit, 0.19), resplit)
    over_calibrations = judge(losses, 0.15, 1.0, resplit)
    of_this_one = judge(losses, 0.15, 1.0, resplit, averages=False)
    assert over_calibrations.p_value == of_this_one.p_value <= LEVEL
    assert over_calibrations.interval[0] > 0.15
    assert (over_calibrations.verdict, of_this_one.verdict) == ("shifted", "contradicted")


def test_contradicted_follows_from_the_lower_end():
    """The p-value of the bet and the lower end of the interval are one and the same test."""
    never = np.full(999, 0.01)
    for count in range(5, 60, 3):
        found: Judgement = judge(np.full(count, 0.2), 0.1, 1.0, never)
        assert (found.verdict == "contradicted") == (found.interval[0] > 0.1)
        assert found.verdict in ("shifted", "contradicted")
