"""Elementary functions: near the exact values, and the bits that they have on every processor."""

from hashlib import sha256

import numpy as np
import pytest
from naive import elementary as naive

from blackbox_conformal.method.kernels.elementary import exponential, logarithm, product

RANDOM = np.random.default_rng(7)
SPREAD = np.concatenate([RANDOM.uniform(-5, 5, 1000), RANDOM.uniform(-699, 699, 1000), [0.0, -0.0, 701, -701, 1e-300]])


def test_powers_are_within_two_units_in_the_last_place():
    expected = naive.exponential(SPREAD)
    assert (np.abs(exponential(SPREAD) - expected) <= 2 * np.spacing(expected)).all()


def test_logarithms_are_within_two_units_in_the_last_place():
    values = np.concatenate([exponential(SPREAD), 1 + RANDOM.uniform(-0.3, 0.3, 1000), [1.0, 2.0, 2.0**-1022]])
    expected = naive.logarithm(values)
    assert (np.abs(logarithm(values) - expected) <= 2 * np.spacing(np.abs(expected))).all()
    assert logarithm(np.array([1.0]))[0] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_equal_the_plain_loops_to_the_bit(dtype):
    for n, k, m in ((1, 1, 1), (3, 5, 17), (8, 8, 64), (2, 0, 3)):
        first, second = RANDOM.normal(size=(n, k)).astype(dtype), RANDOM.normal(size=(k, m)).astype(dtype)
        np.testing.assert_array_equal(product(first, second), naive.product(first, second))
        np.testing.assert_array_equal(product(first, second.T.copy().T), naive.product(first, second))


def test_bits_are_those_of_every_processor():
    values = np.arange(-20_000, 20_000) / 1024
    found = (
        exponential(values),
        logarithm(np.abs(values) + 1e-3),
        product(values.reshape(200, 200), values[:200, None]),
    )
    assert sha256(b"".join(each.tobytes() for each in found)).hexdigest()[:16] == "146cd435198d854c"
