"""Add normal noise to 8-bit values, with the standard deviation of each level.

Single-precision operations, rounded as IEEE 754 says, give the same result on every machine.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._jit import kernel


def add_noise(
    values: NDArray[np.uint8],
    places: NDArray[np.uint16],
    normals: NDArray[np.float32],
    deviations: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> None:
    """Write each value plus its noise into `out`, rounded half to even and held to 0-255.

    Parameters
    ----------
    values, out
        (N, C) uint8, C-contiguous.
    places
        (N,) uint16: which of `normals` the C values of a row get.
    normals
        (65536,) float32, standard normal numbers.
    deviations
        (256,) float32, the standard deviation at each level.
    """
    _add_noise(values, places, normals, deviations, out)


@kernel
def _add_noise(
    values: NDArray[np.uint8],
    places: NDArray[np.uint16],
    normals: NDArray[np.float32],
    deviations: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> None:
    low, high = np.float32(0), np.float32(255)
    for row in range(values.shape[0]):
        # One number for all channels of a row, as luminance noise has it; callers give one value a row for colour
        # noise.
        normal = normals[places[row]]
        for column in range(values.shape[1]):
            value = values[row, column]
            # Without fast mathematics the compiler makes no fused multiply-add of this, which would round once instead
            # of twice.
            noisy = np.rint(np.float32(value) + deviations[value] * normal)
            out[row, column] = np.uint8(min(max(noisy, low), high))


def warm_up() -> None:
    values = np.zeros((1, 1), np.uint8)
    add_noise(values, np.zeros(1, np.uint16), np.zeros(1 << 16, np.float32), np.zeros(256, np.float32), values)
