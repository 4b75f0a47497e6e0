"""Compute logarithms, exponentials and products of matrices that are the same to the bit on every processor.

Libraries choose their code by the processor: other vector widths add in another order, and fused instructions round
less often. Here each number takes the same additions, multiplications and divisions in the same order everywhere. IEEE
754 fixes their rounding, and the compiler neither reorders nor fuses them without fast mathematics.
"""

import math
from decimal import Context, Decimal
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._jit import kernel

Numbers = NDArray[np.float64]
Matrix = TypeVar("Matrix", NDArray[np.float32], NDArray[np.float64])

LARGEST = 700.0  # Exponents beyond it, either way, count as it: further ones leave double precision.
_LN2 = Context(40).ln(Decimal(2))
# The higher part ends in 21 zero bits, so that its multiples up to 2^11 times are exact.
HIGHER = math.ldexp(math.floor(math.ldexp(float(_LN2), 32)), -32)
LOWER = float(_LN2 - Decimal(HIGHER))

ROUNDING = 1.5 * 2.0**52  # Adding and then subtracting this number rounds to a whole number.
# The bits of the root of one half: mantissas are split off from there to the root of two.
ROOT = np.int64(0x3FE6A09E667F3BCD)
# Terms of `atanh(s) / s` in s squared; from s = 0.1716 on the next one is below 2^-65.
ATANH = 1 / np.arange(1.0, 24.0, 2.0)
# Terms of e^r; the next one is below 2^-57 up to half the logarithm of two.
POWERS = np.array([1 / math.factorial(term) for term in range(14)])


def logarithm(values: NDArray[Any]) -> Numbers:
    """Return natural logarithms of numbers from 2.3e-308 on, within 2 units in the last place: float64, same shape."""
    given = np.ascontiguousarray(values, np.float64)
    out = np.empty(given.shape)
    _logarithm(given.ravel(), ATANH, out.reshape(-1))
    return out


def exponential(values: NDArray[Any]) -> Numbers:
    """Return e to the power of `values`, held to ±700, within 2 units in the last place: float64, same shape."""
    given = np.ascontiguousarray(values, np.float64)
    out = np.empty(given.shape)
    _exponential(given.ravel(), POWERS, out.reshape(-1))
    return out


def product(first: Matrix, second: Matrix) -> Matrix:
    """Multiply (n, k) by (k, m), both float32 or both float64, into (n, m), summed from the first to the last.

    Long rows of `second` are fastest.
    """
    out = np.zeros((first.shape[0], second.shape[1]), first.dtype)
    _product(np.ascontiguousarray(first), np.ascontiguousarray(second), out)
    return out


@kernel
def _logarithm(values: Numbers, terms: Numbers, out: Numbers) -> None:
    """Split a power of two off as e; with s = (m - 1) / (m + 1) the result is e ln 2 + 2 atanh s."""
    for n in range(values.size):
        bits = np.float64(values[n]).view(np.int64)
        exponent = (bits - ROOT) >> np.int64(52)
        rest = np.int64(bits - (exponent << np.int64(52))).view(np.float64)
        s = (rest - 1.0) / (rest + 1.0)
        square, series = s * s, 0.0
        for k in range(11, -1, -1):
            series = series * square + terms[k]
        power = np.float64(exponent)
        out[n] = power * HIGHER + (2.0 * s * series + power * LOWER)


@kernel
def _exponential(values: Numbers, terms: Numbers, out: Numbers) -> None:
    """Take the nearest multiple of ln 2 away, a power of two, and sum the series of the rest."""
    for n in range(values.size):
        value = min(max(values[n], -LARGEST), LARGEST)
        power = (value * (1.0 / (HIGHER + LOWER)) + ROUNDING) - ROUNDING
        rest = (value - power * HIGHER) - power * LOWER
        series = 0.0
        for k in range(13, -1, -1):
            series = series * rest + terms[k]
        out[n] = series * np.int64((np.int64(power) + np.int64(1023)) << np.int64(52)).view(np.float64)


@kernel
def _product(first: NDArray[Any], second: NDArray[Any], out: NDArray[Any]) -> None:
    for i in range(out.shape[0]):
        target = out[i]
        for k in range(second.shape[0]):
            factor, row = first[i, k], second[k]
            for j in range(target.size):
                target[j] += factor * row[j]


def warm_up() -> None:
    ones = np.ones((1, 1))
    product(logarithm(exponential(ones)), ones)
    product(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
