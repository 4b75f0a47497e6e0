"""The bounds of `risk.truth_bounds` at one pixel, as defined: plain loops over slopes, signs and pixels."""

import itertools

SIGNS = list(itertools.product((1, -1), repeat=3))


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def most_of_mean(slope, low, high):
    """The largest ``slope·m`` over means m between `low` and `high`."""
    return sum(a * (high[c] if a > 0 else low[c]) for c, a in enumerate(slope))


def average_of_distances(weights, colours, low, high, slopes, supports):
    """`weights` of the window's pixels, their normalised Lab `colours`, the interval of the mean, and the table."""
    bounds = []
    for slope, row in zip(slopes, supports, strict=True):
        farthest = [max(h - dot(s, lab) for s, h in zip(SIGNS, row, strict=True)) for lab in colours]
        bounds.append(dot(weights, farthest) + most_of_mean(slope, low, high))
    return max(min(bounds), 0)


def distance_of_averages(weights, colours, low, high, slopes, supports):
    mean = [dot(weights, [lab[c] for lab in colours]) for c in range(3)]
    largest = []
    for index, signs in enumerate(SIGNS):
        least = min(row[index] + most_of_mean(slope, low, high) for slope, row in zip(slopes, supports, strict=True))
        largest.append(least - dot(signs, mean))
    return max(max(largest), 0)
