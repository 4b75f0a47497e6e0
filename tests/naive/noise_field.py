"""Normal noise added to 8-bit values, one value after the other, each operation rounded to single precision."""

import math
import struct

import numpy as np


def single(value):
    """The nearest number of single precision."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def noisy(values, places, normals, deviations):
    """(N, C) uint8 plus deviation times normal number, rounded half to even and held to 0-255."""
    out = np.zeros(values.shape, np.uint8)
    for row, column in np.ndindex(values.shape):
        level = int(values[row, column])
        noise = single(float(deviations[level]) * float(normals[places[row]]))
        total = single(level + noise)
        whole = math.floor(total)
        if total - whole > 0.5 or (total - whole == 0.5 and whole % 2):
            whole += 1
        out[row, column] = min(max(whole, 0), 255)
    return out
