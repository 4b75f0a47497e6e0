"""When a difference between calibration and audit is a broken promise and when it is not: simulated, with ties.

The populations are those of examples/verdict_rates.py, which prints the table of docs/audits.md.
"""

import math

import numpy as np
import pytest
from verdict_rates import ALPHA, binary, dire, heavy, rates, ties, varied

from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.verdict import Judgement, judge

AUDITS = 100
AT_MOST = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / AUDITS)


@pytest.mark.parametrize(
    ("population", "n", "m", "hard", "harder", "before"),
    [(ties, 40, 200, 0.1, 0.36, 0.4), (varied, 20, 60, 0.1, 0.3, 0.15)],
    ids=["40 and 200", "20 and 60"],
)
def test_a_shift_that_keeps_the_promise_does_not_contradict_it(population, n, m, hard, harder, before):
    found = rates(population, n, m, hard, harder, audits=AUDITS)
    assert 0.08 < found.true_risk < ALPHA, "the promise is kept, with little to spare"
    assert found.different > before, "a difference alone is no broken promise: so often it was called one"
    assert found.contradicted <= AT_MOST
    assert found.shifted == pytest.approx(found.different - found.contradicted)


def test_a_shift_that_breaks_the_promise_contradicts_it():
    found = rates(ties, 40, 60, 0.0, 1.0, audited=dire, audits=40)
    assert found.true_risk == pytest.approx(0.37, abs=0.01)
    assert found.contradicted == 1.0


@pytest.mark.parametrize("population", [ties, varied, binary, heavy])
@pytest.mark.parametrize(("n", "m"), [(20, 15), (40, 60)])
def test_good_populations_are_rarely_shifted_or_contradicted(population, n, m):
    found = rates(population, n, m, 0.2, audits=AUDITS)
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
