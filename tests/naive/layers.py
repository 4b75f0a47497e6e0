"""Convolution by its definition, in float64."""

import numpy as np


def convolved(planes, weights, biases, dilation):
    """Each output pixel from the input pixels that its taps reach; those beyond the border are 0."""
    outputs, inputs, side, _ = weights.shape
    _, height, width = planes.shape
    out = np.empty((outputs, height, width))
    for k, y, x in np.ndindex(*out.shape):
        total = float(biases[k])
        for c, i, j in np.ndindex(inputs, side, side):
            row, column = y + (i - side // 2) * dilation, x + (j - side // 2) * dilation
            if 0 <= row < height and 0 <= column < width:
                total += float(weights[k, c, i, j]) * float(planes[c, row, column])
        out[k, y, x] = total
    return out


def with_detail(plain, detail):
    """Each pixel's block, colour by colour and row by row, added to the enlarged picture and rounded."""
    side = plain.shape[0] // detail.shape[1]
    out = np.empty(plain.shape, np.uint8)
    for y, x, colour in np.ndindex(*plain.shape):
        channel = (colour * side + y % side) * side + x % side
        level = int(plain[y, x, colour]) + 255 * float(detail[channel, y // side, x // side])
        out[y, x, colour] = min(max(int(np.floor(level + 0.5)), 0), 255)
    return out
