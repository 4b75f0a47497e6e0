"""Layers of a small convolutional network, the same to the bit with any number of threads."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._jit import kernel

Planes = NDArray[np.float32]

STRETCH = 2048


def convolved(planes: Planes, weights: Planes, biases: Planes, dilation: int) -> Planes:
    """Convolve with 3 × 3 weights, whose taps lie `dilation` apart; beyond the border everything is 0.

    Parameters
    ----------
    planes
        (inputs, h, w) float32.
    weights, biases
        (outputs, inputs, 3, 3) and (outputs,) float32; 1 × 1 weights are (outputs, inputs, 1, 1).
    dilation
        In pixels, >= 1.

    Returns
    -------
    (outputs, h, w) float32.
    """
    inputs, height, width = planes.shape
    reach = dilation * (weights.shape[2] // 2)
    if not reach:
        mixed = np.empty((len(weights), height * width), np.float32)
        pixels = np.ascontiguousarray(planes).reshape(inputs, -1)
        _mix(pixels, np.ascontiguousarray(weights[:, :, 0, 0]), biases, mixed)
        return mixed.reshape(-1, height, width)
    padded = np.zeros((inputs, height + 2 * reach, width + 2 * reach), np.float32)
    padded[:, reach:-reach, reach:-reach] = planes
    # Outputs are made in pairs; the one that is missing is all zeros and dropped.
    odd = len(weights) % 2
    taps = np.pad(weights.reshape(len(weights), inputs, 9), ((0, odd), (0, 0), (0, 0)))
    out = np.empty((len(taps), height, width), np.float32)
    _convolve(padded, taps, np.pad(biases, (0, odd)), dilation, out)
    return out[: len(weights)]


@kernel
def _convolve(padded: Planes, taps: Planes, biases: Planes, dilation: int, out: Planes) -> None:
    """One row of two outputs at a time: all nine taps of an input at once, so that rows are seldom loaded."""
    width = out.shape[2]
    for y in range(out.shape[1]):
        for k in range(0, out.shape[0], 2):
            first, second = out[k, y], out[k + 1, y]
            for x in range(width):
                first[x], second[x] = biases[k], biases[k + 1]
            for c in range(padded.shape[0]):
                above, here, below = padded[c, y], padded[c, y + dilation], padded[c, y + 2 * dilation]
                u0, u1, u2, u3, u4, u5, u6, u7, u8 = taps[k, c]
                v0, v1, v2, v3, v4, v5, v6, v7, v8 = taps[k + 1, c]
                for x in range(width):
                    middle, right = x + dilation, x + 2 * dilation
                    a0, a1, a2 = above[x], above[middle], above[right]
                    b0, b1, b2 = here[x], here[middle], here[right]
                    c0, c1, c2 = below[x], below[middle], below[right]
                    top, bottom = u0 * a0 + u1 * a1 + u2 * a2, u6 * c0 + u7 * c1 + u8 * c2
                    first[x] += top + (u3 * b0 + u4 * b1 + u5 * b2) + bottom
                    top, bottom = v0 * a0 + v1 * a1 + v2 * a2, v6 * c0 + v7 * c1 + v8 * c2
                    second[x] += top + (v3 * b0 + v4 * b1 + v5 * b2) + bottom


@kernel
def _mix(values: Planes, weights: Planes, biases: Planes, out: Planes) -> None:
    """The 1 × 1 layer over (inputs, pixels), a stretch at a time that stays in the first-level cache."""
    for first in range(0, values.shape[1], STRETCH):
        last = min(first + STRETCH, values.shape[1])
        for k in range(out.shape[0]):
            target = out[k, first:last]
            for x in range(target.size):
                target[x] = biases[k]
            for c in range(values.shape[0]):
                weight, source = weights[k, c], values[c, first:last]
                for x in range(target.size):
                    target[x] += weight * source[x]


def warm_up() -> None:
    """Run every kernel of this module once."""
    planes, biases = np.zeros((1, 1, 1), np.float32), np.zeros(1, np.float32)
    for side in (1, 3):
        convolved(planes, np.zeros((1, 1, side, side), np.float32), biases, 1)
