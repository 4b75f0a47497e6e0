"""Chroma of pixels from that of cells, and colours from luma and chroma (ITU-R BT.601, full range, as in JPEG)."""

import numpy as np

from blackbox_conformal.embedded.model import Features, Picture

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Red, green and blue minus luma, for Cb and for Cr; either row leaves luma as it is.
COLOURS = np.array(
    [[0, -0.114 * 1.772 / 0.587, 1.772], [1.402, -0.299 * 1.402 / 0.587, 0]],
    np.float32,
)
NEAR = 0.7  # standard deviation in cells of the weight of distance
ALIKE = 0.08  # standard deviation of the weight of a difference in luma
LEAST = (
    1e-3  # weight of a difference in luma that is larger than all: a pixel unlike every cell near it has colour, too
)


def spread(chroma: Features, brightness: Features, luma: Features, top: int, cell: int) -> Features:
    """Give pixels the chroma of the nine cells around them, weighted by nearness and likeness.

    Joint bilateral upsampling (Kopf, Cohen, Lischinski & Uyttendaele 2007): colours end where the picture has edges.

    Parameters
    ----------
    chroma
        (rows, columns, 2) of all cells.
    brightness
        (rows, columns) mean luma of all cells.
    luma
        (height, width) of the pixels from row ``top``, a multiple of ``cell``.
    cell
        Side of a cell in pixels.

    Returns
    -------
    (height, width, 2)
    """
    height, width = luma.shape
    rows, columns = -(-height // cell), -(-width // cell)
    first = top // cell
    padded = np.pad(luma, ((0, rows * cell - height), (0, columns * cell - width)), mode="edge")
    pixels = padded.reshape(rows, cell, columns, cell)
    centre = (np.arange(cell, dtype=np.float32) + np.float32(0.5)) / cell - np.float32(0.5)
    total = np.zeros((*pixels.shape, 2), np.float32)
    weights = np.zeros(pixels.shape, np.float32)
    for down in (-1, 0, 1):
        y = np.clip(np.arange(first + down, first + down + rows), 0, len(chroma) - 1)
        for right in (-1, 0, 1):
            x = np.clip(np.arange(right, right + columns), 0, chroma.shape[1] - 1)
            unlike = (pixels - brightness[np.ix_(y, x)][:, None, :, None]) / np.float32(ALIKE)
            weight = np.exp(unlike * unlike * np.float32(-0.5)) + np.float32(LEAST)
            weight *= np.exp(((centre - down) / NEAR) ** 2 / -2).astype(np.float32)[:, None, None]
            weight *= np.exp(((centre - right) / NEAR) ** 2 / -2).astype(np.float32)
            weights += weight
            total += weight[..., None] * chroma[np.ix_(y, x)][:, None, :, None]
    total /= weights[..., None]
    return total.reshape(rows * cell, columns * cell, 2)[:height, :width]


def coloured(luma: Features, chroma: Features) -> Picture:
    """Give 8-bit colours of this luma; chroma that no colour of this luma has is brought nearer to grey.

    Parameters
    ----------
    luma
        (height, width) in [0, 1].
    chroma
        (height, width, 2): Cb and Cr in [-0.5, 0.5].

    Returns
    -------
    (height, width, 3) uint8.
    """
    offsets = chroma @ COLOURS
    room = np.where(offsets > 0, 1 - luma[..., None], luma[..., None])
    share = np.min(room / np.maximum(np.abs(offsets), np.float32(1e-6)), axis=-1, keepdims=True)
    offsets *= np.minimum(share, 1)
    offsets += luma[..., None]
    offsets *= 255
    np.rint(offsets, out=offsets)
    return np.asarray(np.clip(offsets, 0, 255), np.uint8)
