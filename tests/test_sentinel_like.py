"""The example on scenes like Sentinel-2's splits pixels as opensr-test does."""

import numpy as np
import pytest
import sentinel_like

OF_OPENSR_TEST = {100: (5832, [0.145346, 0.422788, 0.431866]), 101: (5291, [0.111704, 0.623752, 0.264544])}
"""Seed → judged pixels and shares, as opensr-test 1.3.3 gave them for these arrays: `_create_mask("auto")`,
`get_distances("nd")` and `get_correctness_stats` with its defaults, after its own enlargement."""


@pytest.mark.parametrize("seed", OF_OPENSR_TEST)
def test_the_split_is_that_of_opensr_test(seed: int) -> None:
    ((truth, coarse, answers),) = sentinel_like.material(range(seed, seed + 1))
    amounts, judged = sentinel_like.split(*(one.astype(float) for one in (coarse, answers[0], truth)))
    expected = OF_OPENSR_TEST[seed]
    assert judged.sum() == pytest.approx(expected[0], abs=3)
    assert amounts[:, judged].mean(axis=1) == pytest.approx(expected[1], abs=1e-4)
    assert np.allclose(amounts[:, judged].sum(axis=0), 1)
