"""Maps in regions against their definition, and what a user sees of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import regions as naive
from scipy.ndimage import label

from blackbox_conformal.method.kernels.regions import CELL, in_regions


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(1, 50), st.sampled_from([4, 8, 12, 16]))
def test_regions_equal_their_definition(seed: int, height: int, width: int, region: int) -> None:
    # Few values, so that many cells tie.
    values = np.random.default_rng(seed).integers(0, 5, (height, width)).astype(np.float32)
    found, again = in_regions(values, region), values.copy()
    np.testing.assert_allclose(found, naive.in_regions(values.astype(float), region, CELL), rtol=1e-6)
    assert np.array_equal(values, again)
    assert np.array_equal(in_regions(found, region), found)


@pytest.mark.parametrize("level", [0.3, 0.5, 0.7])
def test_no_patch_is_smaller_than_a_square_at_any_threshold_though_many_were(level: int) -> None:
    values = np.random.default_rng(0).random((96, 128)).astype(np.float32)

    def smallest(scores: np.ndarray) -> int:
        threshold = np.quantile(scores, level)
        sizes = [np.bincount(label(mask)[0].ravel())[1:] for mask in (scores < threshold, scores >= threshold)]
        return int(np.concatenate(sizes).min())

    assert smallest(values) < 16
    assert smallest(in_regions(values, 16)) >= 16 * 16
