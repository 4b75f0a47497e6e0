"""Squared differences, one channel of one pixel at a time."""


def summed_squares(picture, truth, kinds, count):
    """A kind from `count` on is the last one."""
    sums = [0] * count
    for row, true_row, kinds_row in zip(picture.tolist(), truth.tolist(), kinds.tolist(), strict=True):
        for pixel, true, kind in zip(row, true_row, kinds_row, strict=True):
            sums[min(kind, count - 1)] += sum((a - b) ** 2 for a, b in zip(pixel, true, strict=True))
    return sums
