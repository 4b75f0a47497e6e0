"""Energies of added and of unexplained detail, pixel by pixel in float64; nothing here imports the package."""

import numpy as np
from naive import windows


def unexplained(changed, explained, plain, sigma, high_pass=True):
    """(H, W) energies in squares of grey levels: what no blend of `plain` and `explained` gives, and all of it."""
    added, missing = (picture.astype(float) - plain.astype(float) for picture in (changed, explained))
    if high_pass:
        for difference in (added, missing):
            for channel in range(3):
                difference[..., channel] -= windows.gaussian(difference[..., channel].copy(), sigma)
    whole, common, other = (
        windows.gaussian((first * second).mean(axis=2), sigma)
        for first, second in ((added, added), (added, missing), (missing, missing))
    )
    # The best of many blends, so that no formula is taken over from what is tested.
    part = np.min([whole - 2 * b * common + b * b * other for b in np.linspace(0, 1, 4001)], axis=0)
    return np.maximum(part, 0), whole


def share(changed, explained, plain, sigma, high_pass=True):
    """The unexplained share of the added detail, where three grey levels count as none."""
    part, whole = unexplained(changed, explained, plain, sigma, high_pass)
    return part / (whole + 9)


def losses(scores, part, whole, threshold, side, invented, pixel, added_share):
    """The three losses below a threshold, by sums over all pixels."""
    below = scores < threshold
    height, width = scores.shape
    of_squares, areas = [], []
    for top in range(0, height, side):
        for left in range(0, width, side):
            square = (slice(top, top + side), slice(left, left + side))
            energy = part[square].sum() + pixel * part[square].size
            of_squares.append(part[square][below[square]].sum() / energy)
            areas.append(part[square].size)

    def of_added(t):
        counted = max(whole[scores < t].sum(), added_share * whole.sum())
        return part[scores < t].sum() / counted if counted > 0 else 0.0

    smaller = [of_added(t) for t in (threshold, *np.unique(scores[below]))]
    return part[below].sum() / (part.sum() + invented), max(smaller), np.average(of_squares, weights=areas)
