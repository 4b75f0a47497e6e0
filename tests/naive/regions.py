"""Area opening and closing by their definition: at each threshold, patches that are too small go."""

import numpy as np
from scipy.ndimage import label


def opened(values, least):
    """The largest threshold at which a value lies in a patch of at least `least`; the smallest value where none is."""
    out = np.full(values.shape, values.min())
    for threshold in np.unique(values):
        patches, _ = label(values >= threshold)
        sizes = np.bincount(patches.ravel())
        out[(patches > 0) & (sizes[patches] >= least)] = threshold
    return out


def in_regions(values, region, cell):
    """(H, W): means over cells, opened and closed."""
    height, width = values.shape
    means = np.array(
        [[values[y : y + cell, x : x + cell].mean() for x in range(0, width, cell)] for y in range(0, height, cell)]
    )
    least = (region // cell) ** 2
    means = -opened(-opened(means, least), least)
    return np.array([[means[y // cell, x // cell] for x in range(width)] for y in range(height)])
