"""The noise of a picture: its finest diagonal detail where there is nothing else.

Donoho & Johnstone 1994: the median of the absolute finest diagonal wavelet coefficients, over 0.6745, is the standard
deviation of white noise. Haar's wavelets are taken, and only those in the flattest quarter of 8 × 8 blocks, as detail
of the scene is diagonal, too. Blocks with a clipped pixel are left out: clipping removes noise.
"""

import numpy as np

from blackbox_conformal.method.images.input_statistics.planes import FRACTION, Plane, Planes, halved

BLOCK = 8
_FLATTEST = 4
_NORMAL_MEDIAN = 0.6745


def noise(planes: Planes) -> float:
    """Standard deviation of brightness noise in grey levels; 0 where all blocks are clipped or there is none."""
    height, width = (side // BLOCK * BLOCK for side in planes.brightness.shape[1:])
    if not height or not width:
        return 0.0
    brightness = planes.brightness[:, :height, :width]
    clipped = _blocks(planes.clipped[:, :height, :width], BLOCK).any(axis=1)
    coarse = _blocks(halved(brightness), BLOCK // 2)[~clipped]
    if not len(coarse):
        return 0.0
    ranges = coarse.max(axis=1) - coarse.min(axis=1)
    limit = np.sort(ranges)[(len(ranges) - 1) // _FLATTEST]
    diagonal = _blocks(_diagonal(brightness), BLOCK // 2)[~clipped][ranges <= limit]
    return float(np.median(np.abs(diagonal))) / (2 * FRACTION * _NORMAL_MEDIAN)


def _diagonal(plane: Plane) -> Plane:
    """Twice the diagonal Haar coefficient of each 2 × 2 pixels."""
    rows = plane[:, ::2] - plane[:, 1::2]
    return np.asarray(rows[:, :, ::2] - rows[:, :, 1::2], np.int32)


def _blocks(plane: np.ndarray, side: int) -> np.ndarray:
    """(blocks, side²): the plane cut into blocks."""
    parts, height, width = plane.shape
    cut = plane.reshape(parts, height // side, side, width // side, side)
    return cut.transpose(0, 1, 3, 2, 4).reshape(-1, side * side)
