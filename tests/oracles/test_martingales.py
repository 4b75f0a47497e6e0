"""The simple jumper equals those of two independent implementations, on the same p-values."""

import numpy as np
import pytest
from mapie.exchangeability_testing import OnlineMartingaleTest
from online_cp.martingale import SimpleJumper

from blackbox_conformal.watching.jumper import BETS, JUMP, log_wealth
from blackbox_conformal.watching.ranks import rank_p_value

P_VALUES = {
    "uniform": np.random.default_rng(0).random(500),
    "small": np.random.default_rng(1).random(200) ** 2,
    "large": 1 - np.random.default_rng(2).random(200) ** 2,
    "ends": np.array([0.0, 1.0, 0.5, 0.0, 1.0]),
}


@pytest.mark.parametrize("name", P_VALUES)
def test_the_martingale_is_that_of_mapie(name: str) -> None:
    judge = OnlineMartingaleTest(test_method="jumper_martingale", jump_size=JUMP, warn=False)
    theirs = [judge.update_simple_jumper_martingale(float(p_value)) for p_value in P_VALUES[name]]
    assert np.exp(log_wealth(P_VALUES[name], (-1.0, 0.0, 1.0))) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("name", ["uniform", "small", "large"])
@pytest.mark.parametrize("bets", [(-1.0, 0.0, 1.0), (-1.0, -0.5, 0.0, 0.5, 1.0), BETS])
def test_the_martingale_is_that_of_online_cp(name: str, bets: tuple[float, ...]) -> None:
    judge = SimpleJumper(J=JUMP, E=list(bets))
    theirs = []
    for p_value in P_VALUES[name]:
        judge.update(float(p_value))
        theirs.append(float(judge.logM))
    assert log_wealth(P_VALUES[name], bets) == pytest.approx(theirs, rel=1e-12, abs=1e-12)


def test_the_place_in_a_growing_bag_is_that_of_mapie() -> None:
    judge, random = OnlineMartingaleTest(warn=False, random_state=3), np.random.default_rng(3)
    scores = np.random.default_rng(4).integers(0, 6, 60).astype(float)
    for count in range(1, len(scores)):
        theirs = judge.compute_p_value(scores[count], scores[:count])
        ours = rank_p_value(list(scores[:count]), scores[count], float(random.uniform()))
        assert ours == pytest.approx(theirs, rel=1e-12)
