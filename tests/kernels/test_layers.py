"""Convolution against its definition."""

import numpy as np
import pytest
from naive import layers as naive

from blackbox_conformal.method.kernels.layers import LANES, ROWS, STRETCH, convolved, with_detail


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


@pytest.mark.parametrize("height", [1, 4, 6])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_residual_layer_adds_the_convolution_of_what_is_above_0(height, dilation):
    generator = np.random.default_rng(2)
    planes = generator.standard_normal((5, height, LANES + 1)).astype(np.float32)
    weights = generator.standard_normal((5, 5, 3, 3)).astype(np.float32)
    biases = generator.standard_normal(5).astype(np.float32)
    found = convolved(planes, weights, biases, dilation, rectified=True, residual=True)
    expected = planes + naive.convolved(np.maximum(planes, 0), weights, biases, dilation)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_parts_that_begin_at_whole_rows_equal_the_whole_to_the_bit():
    generator = np.random.default_rng(3)
    planes = generator.standard_normal((3, 6 * ROWS, 50)).astype(np.float32)
    weights, biases = generator.standard_normal((4, 3, 3, 3)).astype(np.float32), np.zeros(4, np.float32)
    whole = convolved(planes, weights, biases, 1)
    part = convolved(planes[:, 2 * ROWS :, 7:41], weights, biases, 1)
    np.testing.assert_array_equal(part[:, 1:, 1:-1], whole[:, 2 * ROWS + 1 :, 8:40])


@pytest.mark.parametrize("factor", [1, 4])
def test_detail_equals_its_definition(factor):
    generator = np.random.default_rng(4)
    plain = generator.integers(0, 256, (3 * factor, 5 * factor, 3), np.uint8)
    # Multiples of 1/1024, of which single precision adds up exactly; some lead beyond black and white.
    detail = (generator.integers(-400, 400, (3 * factor**2, 3, 5)) / 1024).astype(np.float32)
    expected = naive.with_detail(plain, detail)
    np.testing.assert_array_equal(with_detail(plain, detail), expected)
