"""Blur of 8-bit pictures: the plain loops' result to the byte, close to the real Gaussian, the same for ever."""

import decimal
import hashlib

import numpy as np
import pytest
from naive import gaussian_blur as naive
from scipy.ndimage import gaussian_filter

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels.gaussian_blur import blurred, fixed_taps

PICTURE = np.random.default_rng(3).integers(0, 256, (23, 31, 3), np.uint8)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 1.7, 6.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (23, 31)])
def test_equals_the_plain_loops(sigma, shape):
    picture = PICTURE[: shape[0], : shape[1]]
    np.testing.assert_array_equal(blurred(picture, sigma), naive.blurred(picture, sigma))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.5, 4.0, 20.0, 50.0])
def test_is_the_gaussian_of_scipy_up_to_rounding(sigma):
    expected = [gaussian_filter(PICTURE[..., c].astype(np.float64), sigma, mode="reflect") for c in range(3)]
    assert np.abs(blurred(PICTURE, sigma) - np.stack(expected, 2)).max() < 0.52


@pytest.mark.parametrize("sigma", [0.01, 0.4, 2.5, 50.0])
def test_taps_sum_to_one_so_constants_are_kept(sigma):
    taps = fixed_taps(sigma)
    assert 2 * sum(taps) - taps[0] == 2**16
    assert min(taps) >= 0
    for value in (0, 1, 127, 255):
        flat = np.full((7, 5, 3), value, np.uint8)
        np.testing.assert_array_equal(blurred(flat, sigma), flat)


def test_the_bytes_never_change():
    digest = hashlib.sha256(b"".join(blurred(PICTURE, sigma).tobytes() for sigma in (0.4, 1.5, 12.0))).hexdigest()
    assert digest[:16] == "65e61cbdde1234a2"


def test_the_taps_do_not_depend_on_the_programs_decimal_context():
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP)):
        rough = fixed_taps(2.5)
    assert rough == fixed_taps(2.5)


@pytest.mark.parametrize("sigma", [0, -1.0, 50.1, float("nan")])
def test_a_sigma_out_of_range_is_refused(sigma):
    with pytest.raises(UsageError, match="expected sigma in"):
        blurred(PICTURE, sigma)
