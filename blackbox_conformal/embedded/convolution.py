"""Convolution of channels-last features by matrix products, and the weights of bicubic enlargement."""

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]

CHUNK_BYTES = 400_000  # of neighbours gathered at once: stays in a second-level cache


def stack_rows(weights: Features) -> Features:
    """Reshape weights (k, k, inputs, outputs) to (k, k x inputs, outputs): one matrix for each row of the kernel."""
    size, _, inputs, outputs = weights.shape
    return np.ascontiguousarray(weights.reshape(size, size * inputs, outputs), np.float32)


def convolve(features: Features, weights: Features) -> Features:
    """Convolve (rows, width, inputs) with weights from `stack_rows` to (rows - k + 1, width, outputs).

    The k // 2 outer columns on either side of the result mean nothing: a neighbour beyond the side is taken from the
    row before or after, which lets every matrix product run over contiguous memory without a copy for each row shift.
    """
    rows, width, inputs = features.shape
    size, _, outputs = weights.shape
    reach = size // 2
    flat = features.reshape(rows * width, inputs)
    out = np.empty((rows - size + 1, width, outputs), np.float32)
    chunk = max(1, CHUNK_BYTES // (width * inputs * size * 4))
    for first in range(0, len(out), chunk):
        last = min(first + chunk, len(out))
        neighbours = _neighbours(flat, first * width, (last + size - 1) * width, reach)
        target = out[first:last].reshape(-1, outputs)
        np.matmul(neighbours[: len(target)], weights[0], out=target)
        for row in range(1, size):
            target += neighbours[row * width : row * width + len(target)] @ weights[row]
    return out


def _neighbours(flat: Features, first: int, last: int, reach: int) -> Features:
    """Gather for pixels ``first`` to ``last`` the features of ``reach`` pixels on either side: (pixels, k, inputs)."""
    pixels, inputs = flat.shape
    gathered = np.zeros((last - first, 2 * reach + 1, inputs), np.float32)
    for shift in range(-reach, reach + 1):
        low, high = max(first + shift, 0), min(last + shift, pixels)
        gathered[low - first - shift : high - first - shift, shift + reach] = flat[low:high]
    return gathered.reshape(last - first, -1)


def bicubic_weights(scale: int) -> Features:
    """Weights (5, 5, 3, 3 x scale x scale) that enlarge RGB by Keys' cubic convolution (1981, a = -0.5).

    Output channel ``(c * scale + p) * scale + q`` is colour c of the output pixel in row p, column q of the block
    that replaces an input pixel; pixel centres are aligned, as in Pillow.
    """
    taps = np.zeros((scale, 5))
    for phase in range(scale):
        distance = np.abs(np.arange(-2, 3) - ((phase + 0.5) / scale - 0.5))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        taps[phase] = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    weights = np.einsum("pi,qj,cd->ijcdpq", taps, taps, np.eye(3))
    return np.asarray(weights.reshape(5, 5, 3, 3 * scale * scale), np.float32)
