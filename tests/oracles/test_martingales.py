"""The place in a growing bag equals that of an independent implementation."""

import numpy as np
import pytest
from mapie.exchangeability_testing import OnlineMartingaleTest

from blackbox_conformal.watching.level import rank_p_value, visit_p_values


def test_the_place_in_a_growing_bag_is_that_of_mapie() -> None:
    judge, random = OnlineMartingaleTest(warn=False, random_state=3), np.random.default_rng(3)
    scores = np.random.default_rng(4).integers(0, 6, 60).astype(float)
    for count in range(1, len(scores)):
        theirs = judge.compute_p_value(scores[count], scores[:count])
        tie = float(random.uniform())
        ours = rank_p_value(list(scores[:count]), scores[count], tie)
        assert ours == pytest.approx(theirs, rel=1e-12)
        one_canary = scores[: count + 1, None, None]
        assert visit_p_values(one_canary, np.full((count + 1, 1), tie))[-1, 0] == pytest.approx(theirs, rel=1e-12)
