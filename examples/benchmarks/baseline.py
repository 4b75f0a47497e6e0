"""The same results by readable NumPy, SciPy, scikit-image and Pillow: what `kernels.py` is measured against.

Written as one would without compiled code; the tests in `tests/` have their own, slower, oracles.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab


def lab_l1(truth: NDArray[np.uint8], delivered: NDArray[np.uint8]) -> NDArray[np.float64]:
    """L1 distance of normalised Lab at each pixel."""
    scale = np.array([100.0, 254.0, 254.0])
    return np.abs(rgb2lab(truth) / scale - rgb2lab(delivered) / scale).sum(axis=2)


def gaussian(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian mean with reflected borders that ends at four sigma."""
    return ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=4)


def box(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Plain mean over squares with reflected borders."""
    return ndimage.uniform_filter(values, size, mode="reflect")


def staircase(
    scores: NDArray[np.float32], losses: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Records of the running maximum of the losses in order of score, equal scores together."""
    order = np.argsort(scores, axis=None)
    scores, running = scores.ravel()[order], np.maximum.accumulate(losses.ravel()[order])
    last = np.append(scores[1:] != scores[:-1], True)
    scores, running = scores[last], running[last]
    grows = np.diff(running, prepend=np.float32(0)) > 0
    return scores[grows], running[grows]


class Moments:
    """Running sums of draws and of their squares."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.draws = 0
        self.sums = np.zeros((*shape, 3), np.uint32)
        self.squares = np.zeros(shape, np.uint32)

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Take one draw."""
        self.draws += 1
        self.sums += pixels
        self.squares += (pixels.astype(np.uint32) ** 2).sum(axis=2, dtype=np.uint32)

    def variance(self) -> NDArray[np.float64]:
        """Variance with divisor M, summed over channels, white = 1."""
        mean = self.sums / self.draws
        return (self.squares / self.draws - (mean**2).sum(axis=2)) / 255**2


def decode(png: bytes) -> NDArray[np.uint8]:
    """Pixels of a PNG file."""
    return np.asarray(Image.open(io.BytesIO(png)))
