"""Chroma of pixels by plain loops: the mean over the nine cells around each, weighted by nearness and likeness."""

import math

import numpy as np


def spread(chroma, brightness, luma, cell, near=0.7, alike=0.08, least=1e-3):
    """Joint bilateral upsampling of cells (rows, columns, 2) to the pixels of ``luma`` (height, width)."""
    rows, columns, _ = chroma.shape
    out = np.zeros((*luma.shape, 2))
    for (y, x), value in np.ndenumerate(luma):
        total, weights = np.zeros(2), 0.0
        for row in range(y // cell - 1, y // cell + 2):
            for column in range(x // cell - 1, x // cell + 2):
                nearest = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
                down = (y + 0.5) / cell - (row + 0.5)
                right = (x + 0.5) / cell - (column + 0.5)
                unlike = (float(value) - float(brightness[nearest])) / alike
                weight = (math.exp(-(unlike**2) / 2) + least) * math.exp(-(down**2 + right**2) / (2 * near**2))
                total += weight * chroma[nearest]
                weights += weight
        out[y, x] = total / weights
    return out
