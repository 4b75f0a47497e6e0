"""Round to float32 towards one side, so that stored values are never too small, or never too large."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float32).max)


def float32_down(value: Fraction | float) -> np.float32:
    """Return the largest finite float32 that is not above `value`, for value >= 0."""
    # Fractions compare exactly: the cast rounds to the nearest, so it lies above in half the cases.
    nearest = np.float32(float(min(value, Fraction(LARGEST))))
    return nearest if Fraction(float(nearest)) <= value else np.nextafter(nearest, np.float32(-np.inf))


def all_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above each of `values`."""
    nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def all_up(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the least float32 not below each of `values`."""
    # Negation is exact in floating point and reverses the order, so down becomes up.
    return -all_down(-values)
