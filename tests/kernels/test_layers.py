"""Convolution against its definition."""

import numpy as np
import pytest
from naive import layers as naive

from blackbox_conformal.method.kernels.layers import STRETCH, convolved


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (7, 5)])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_a_layer_equals_its_definition(outputs, shape, dilation):
    generator = np.random.default_rng(1)
    planes = generator.standard_normal((3, *shape)).astype(np.float32)
    for side in (1, 3):
        weights = generator.standard_normal((outputs, 3, side, side)).astype(np.float32)
        biases = generator.standard_normal(outputs).astype(np.float32)
        found = convolved(planes, weights, biases, dilation)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, naive.convolved(planes, weights, biases, dilation), atol=1e-4)


def test_no_pixel_is_lost_between_stretches():
    planes = np.arange(STRETCH + 3, dtype=np.float32)[None, None]
    weights, biases = np.full((1, 1, 1, 1), 2, np.float32), np.ones(1, np.float32)
    np.testing.assert_array_equal(convolved(planes, weights, biases, 1), 2 * planes + 1)
