"""The same results by readable NumPy, SciPy, scikit-image and Pillow: what `kernels.py` is measured against.

Written as one would without compiled code; the tests in `tests/` have their own, slower, oracles.
"""

import io
from collections.abc import Sequence
from pathlib import Path

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


def curve(
    truth: NDArray[np.uint8], draws: list[NDArray[np.uint8]], sigma: float = 4.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One photograph: smoothed variance of its draws, smoothed Lab error of the first, records of both."""
    moments = Moments(truth.shape[:2])
    for pixels in draws:
        moments.add(pixels)
    scores = gaussian(moments.variance().astype(np.float32), sigma)
    losses = gaussian(lab_l1(truth, draws[0]).astype(np.float32), sigma)
    return staircase(scores, losses)


def calibrate(
    photographs: list[tuple[Path, list[Path]]], scale: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The curves of photographs from files: each truth with its draws; the inputs are made as well."""
    curves = []
    for path, files in photographs:
        truth = decode(path.read_bytes())
        size = (truth.shape[1] // scale, truth.shape[0] // scale)
        Image.fromarray(truth).resize(size, Image.Resampling.BICUBIC)
        curves.append(curve(truth, [decode(file.read_bytes()) for file in files]))
    return curves


def search(
    maps: list[tuple[NDArray[np.float32], NDArray[np.float32]]], alphas: Sequence[float], bound: float
) -> list[float]:
    """For each level the largest score at which the mean largest error among pixels below it stays within budget.

    Bisection over the scores themselves, each step over whole maps, as the definition reads.
    """
    candidates = np.unique(np.concatenate([scores.ravel() for scores, _ in maps]))
    found = []
    for alpha in alphas:
        budget = (alpha * (len(maps) + 1) - bound) / len(maps)
        low, high = -1, candidates.size
        if budget < 0:
            found.append(-np.inf)
            continue
        while low + 1 < high:
            middle = (low + high) // 2
            risk = np.mean(
                [losses[scores < candidates[middle]].max(initial=0).astype(np.float64) for scores, losses in maps]
            )
            low, high = (middle, high) if risk <= budget else (low, middle)
        whole = np.mean([losses.max().astype(np.float64) for _, losses in maps]) <= budget
        found.append(np.inf if whole else float(candidates[low]) if low >= 0 else -np.inf)
    return found
