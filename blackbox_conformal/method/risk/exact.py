"""Exact numbers: decimals as typed, bounds, and losses as whole multiples of a power of two.

Sums of such losses do not depend on their order, and equality with a level is decided exactly.
"""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.rounding import float32_down

GRAIN_BITS = 44  # Losses count in units of 2^-44: exact for every float32 >= 2^-20, rounded up (conservative) below.


@lru_cache(1024)
def as_typed(number: float, name: str = "number") -> Fraction:
    """Return the decimal that a float was typed as: 0.1 is one tenth."""
    if not math.isfinite(number):
        raise UsageError(f"expected {name} to be a finite number; got {number!r}")
    # The shortest decimal that reads back as this float is the one that a person typed.
    return Fraction(str(float(number)))


@lru_cache(1024)
def exact_bound(bound: float) -> Fraction:
    """Return the bound as typed, or the largest float32 loss that passes for it where rounding made the loss larger."""
    # A bound such as 1.9576 may round up as float32; a loss of that size must still count as within the bound.
    return max(as_typed(bound, "bound"), Fraction(float(np.float32(largest_loss(bound)))))


def largest_loss(bound: float) -> np.float32:
    """Return the largest float32 that is not above `bound` in float64: no loss in a curve is larger."""
    return float32_down(Fraction(bound))


def float_up(value: Fraction) -> float:
    """Return a float that, read as its printed decimal, is not below `value`; the least one or its neighbour."""
    number = float(value)
    while Fraction(str(number)) < value:
        # Division rounds to nearest, which may be below.
        number = math.nextafter(number, math.inf)
    return number


def grain_bits(bound: float, count: int) -> int:
    """Return the bits after the point with which `count` losses of at most `bound` sum below 2^60.

    44 while count * bound < 2^16. The three bits left free in int64 let `merged` multiply by weights of 24 bits in two
    limbs.
    """
    # No loss exceeds the bound, so the sum is at most count times the bound rounded up.
    whole = math.ceil(bound) * max(count, 1)
    return min(GRAIN_BITS, 60 - whole.bit_length())


def grains(losses: NDArray[np.float32], bits: int) -> NDArray[np.int64]:
    """Return losses as int64 multiples of ``2^-bits``, rounded up."""
    # Rounded up: losses may only grow, so that thresholds only fall.
    return np.ceil(np.ldexp(losses.astype(np.float64), bits)).astype(np.int64)
