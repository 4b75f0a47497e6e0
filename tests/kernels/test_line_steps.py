"""Steps across lines against the plain loops, and where they are known."""

import numpy as np
import pytest
from naive import line_steps as naive
from support.synthetic import photograph

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels.line_steps import line_steps


@pytest.mark.parametrize(("scale", "segment"), [(1, 4), (2, 4), (4, 8), (3, 5)])
def test_steps_equal_the_loops(scale, segment):
    pixels = photograph(5, (24, 36))
    across, down = np.random.default_rng(0).uniform(0, 1, (2, 24 // scale, 36 // scale)).astype(np.float32)
    found, expected = (
        line_steps(pixels, across, down, scale, segment),
        naive.line_steps(pixels, across, down, scale, segment),
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_a_slope_has_no_steps_and_a_seam_has_one():
    pixels = np.repeat(np.arange(32, dtype=np.uint8)[None, :, None] * 2, 16, 0).repeat(3, 2)
    pixels[:, 20:] += 6
    weights = np.ones((16, 32), np.float32)
    vertical, horizontal = line_steps(pixels, weights, weights, 1, 16)
    assert vertical[0, 20] == 16 * 6
    assert np.abs(np.delete(vertical[0], [19, 20, 21])).max() == 0
    assert np.abs(horizontal).max() == 0


def test_weights_of_another_size_are_refused():
    weights = np.ones((4, 4), np.float32)
    with pytest.raises(ImageError, match="weights 2 times smaller than 16×16; got"):
        line_steps(np.zeros((16, 16, 3), np.uint8), weights, weights, 2, 4)
