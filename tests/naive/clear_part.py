"""Distances from the truth in the clear part of masks, by loops over pixels."""

import math
from fractions import Fraction

import numpy as np
from naive import detail
from PIL import Image


def squares(truth: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> Fraction:
    """Mean over channels of squared differences, summed over the mask and divided by the number of all pixels."""
    height, width, channels = truth.shape
    total = 0
    for row in range(height):
        for column in range(width):
            if mask[row, column]:
                for channel in range(channels):
                    total += (int(truth[row, column, channel]) - int(picture[row, column, channel])) ** 2
    return Fraction(total, channels * height * width)


def clear_part(
    photographs: list[list[tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]]],
) -> tuple[int, dict[str, float], dict[str, int]]:
    """How many have a clear part, PSNR by picture, and on how many each is nearer than "vendor".

    A photograph is a list of tiles: truth, pictures by name, and mask.
    """
    names = list(photographs[0][0][1])
    sums, shares = {name: Fraction(0) for name in names}, Fraction(0)
    nearer, count = {name: 0 for name in names if name != "vendor"}, 0
    for tiles in photographs:
        share = sum((Fraction(int(mask.sum()), mask.size) for *_, mask in tiles), Fraction(0)) / len(tiles)
        if share == 0:
            continue
        count, shares = count + 1, shares + share
        own = {
            name: sum((squares(truth, pictures[name], mask) for truth, pictures, mask in tiles), Fraction(0))
            / len(tiles)
            for name in names
        }
        for name in names:
            sums[name] += own[name]
        for name in nearer:
            nearer[name] += own[name] < own["vendor"]
    psnr = {name: -10 * math.log10(sums[name] / shares / 255**2) for name in names}
    return count, psnr, nearer


def area_under_curve(scores: np.ndarray, right: np.ndarray, invented: np.ndarray) -> float:
    """How often the score is larger at a unit of invented than at a unit of right detail; ties count half."""
    below, total = 0.0, 0.0
    for score in np.unique(scores):
        here = scores == score
        total += invented[here].sum(dtype=float) * (below + right[here].sum(dtype=float) / 2)
        below += right[here].sum(dtype=float)
    return total / right.sum(dtype=float) / invented.sum(dtype=float)


def beyond(
    photographs: list[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]], scale: int
) -> tuple[float, float]:
    """How much more right and invented detail "vendor" holds in masks than "free reference", by what is missing there.

    A photograph is truth, input, pictures by name, and mask.
    """
    sums, missing = dict.fromkeys(("vendor", "free reference"), np.zeros(2)), 0.0
    for truth, low, pictures, mask in photographs:
        plain = np.asarray(Image.fromarray(low).resize(truth.shape[1::-1], Image.Resampling.BICUBIC))
        missing += detail.unexplained(truth, truth, plain, scale)[1][mask].sum() / mask.size
        for name in sums:
            part, whole = detail.unexplained(pictures[name], truth, plain, scale)
            sums[name] = sums[name] + np.array([(whole - part)[mask].sum(), part[mask].sum()]) / mask.size
    right, invented = (sums["vendor"] - sums["free reference"]) / missing
    return right, invented
