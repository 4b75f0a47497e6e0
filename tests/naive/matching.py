"""Costs of displacements, cell by cell."""

import numpy as np


def displacement_costs(sent, answered, tops, lefts, side, reach):
    """(R, C, 2 reach + 1, 2 reach + 1): see the kernel's page."""
    rows, columns = sent.shape
    span = 2 * reach + 1
    out = np.empty((len(tops), len(lefts), span, span))
    for r, c, y, x in np.ndindex(*out.shape):
        apart = []
        for top in range(tops[r], tops[r] + side):
            for left in range(lefts[c], lefts[c] + side):
                down, right = top + y - reach, left + x - reach
                there = answered[min(max(down, 0), rows - 1), min(max(right, 0), columns - 1)]
                apart.append(float(there) - float(sent[top, left]))
        out[r, c, y, x] = np.var(apart)
    return out
