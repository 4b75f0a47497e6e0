"""Steps across lines, pixel by pixel."""

import numpy as np


def line_steps(pixels, across, down, scale, segment):
    """Vertical and horizontal sums: see the kernel's page."""
    bright = (pixels @ np.array([2, 5, 1])) / 8
    height, width = bright.shape
    return (
        _vertical(bright, across.repeat(scale, 0).repeat(scale, 1), segment, height, width),
        _vertical(bright.T, down.repeat(scale, 0).repeat(scale, 1).T, segment, width, height),
    )


def _vertical(bright, weights, segment, height, width):
    out = np.zeros((height // segment, width))
    for part, x in np.ndindex(*out.shape):
        if 2 <= x < width - 1:
            for y in range(part * segment, (part + 1) * segment):
                row = bright[y]
                step = row[x] - row[x - 1] - (row[x + 1] - row[x] + row[x - 1] - row[x - 2]) / 2
                out[part, x] += weights[y, x] * min(max(step, -8), 8)
    return out
