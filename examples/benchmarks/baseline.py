"""The baseline of `run.py` and `kernels.py`: the same results by readable NumPy, SciPy, scikit-image and Pillow."""

import io
from collections.abc import Callable, Sequence
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


def paper_curve(
    truth: NDArray[np.uint8], draws: list[NDArray[np.uint8]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same in the paper's setting: patch variance over 31 pixels, clipped at 0.95, sigma 64 for score and error."""
    sums, squares = np.zeros(truth.shape), np.zeros(truth.shape[:2])
    for pixels in draws:
        values = pixels.astype(np.float64)
        sums += values
        squares += (values**2).sum(axis=2)
    mean = sums / len(draws)
    spread = box(squares / len(draws), 31) - sum(box(mean[..., channel], 31) ** 2 for channel in range(3))
    spread = np.maximum(spread, 0) / 255**2
    clipped = np.minimum(spread, np.quantile(spread, 0.95)).astype(np.float32)
    return staircase(gaussian(clipped, 64), gaussian(lab_l1(truth, draws[0]).astype(np.float32), 64))


Curve = Callable[[NDArray[np.uint8], list[NDArray[np.uint8]]], tuple[NDArray[np.float32], NDArray[np.float32]]]


def calibrate(
    photographs: list[tuple[Path, list[Path]]], scale: int, one: Curve
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The curves of photographs from files: each truth with its draws; the inputs are made as well."""
    curves = []
    for path, files in photographs:
        truth = decode(path.read_bytes())
        size = (truth.shape[1] // scale, truth.shape[0] // scale)
        Image.fromarray(truth).resize(size, Image.Resampling.BICUBIC)
        curves.append(one(truth, [decode(file.read_bytes()) for file in files]))
    return curves


def sweep(
    maps: list[tuple[NDArray[np.float32], NDArray[np.float32]]], alphas: Sequence[float], bound: float
) -> list[float]:
    """For each level the largest score at which the mean largest error among pixels below it stays within budget.

    The pixels of all photographs are sorted by score once; the threshold sweeps over them, each photograph's largest
    error so far is kept, and every level is looked up in the mean of these.
    """
    scores = np.concatenate([own.ravel() for own, _ in maps])
    growth = np.empty(scores.size)
    first = 0
    for own, losses in maps:
        order = np.argsort(own, axis=None, kind="stable")
        running = np.maximum.accumulate(losses.ravel()[order].astype(np.float64))
        growth[first + order] = np.diff(running, prepend=0)
        first += own.size
    order = np.argsort(scores, kind="stable")
    scores, risk = scores[order], np.cumsum(growth[order]) / len(maps)
    last = np.append(scores[1:] != scores[:-1], True)
    scores, risk = scores[last], risk[last]
    found = []
    for alpha in alphas:
        budget = (alpha * (len(maps) + 1) - bound) / len(maps)
        above = int(np.searchsorted(risk, budget, side="right"))
        found.append(-np.inf if budget < 0 else np.inf if above == risk.size else float(scores[above]))
    return found


def bisect(
    maps: list[tuple[NDArray[np.float32], NDArray[np.float32]]], alphas: Sequence[float], bound: float
) -> list[float]:
    """The same by bisection over the scores themselves for each level, each step over whole maps."""
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
