"""A PNG written quickly: every row less the one above it, compressed by isal.

It takes a twentieth of the time of Pillow's encoder, for files about a tenth larger.
"""

import struct

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from blackbox_conformal.method.images.headers import PNG_SIGNATURE

GREY, RGB = 0, 2
"""Colour types."""

_UP = 2
"""The filter that takes from each byte the one above it."""


def write_png(rows: NDArray[np.uint8], width: int, depth: int, colour: int) -> bytes:
    """A PNG with nothing but its pixels in it.

    Parameters
    ----------
    rows
        (H, bytes of a row) uint8, as PNG packs them: the most significant bit or byte first.
    width
        In pixels.
    depth
        Bits a channel.
    colour
        `GREY` or `RGB`.

    Notes
    -----
    W3C, Portable Network Graphics (third edition), clauses 5 and 9.
    """
    height, line = rows.shape
    filtered = np.empty((height, line + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", isal_zlib.compress(filtered, 1)), (b"IEND", b"")
    # Joined once: a file is as large as a picture.
    return b"".join([PNG_SIGNATURE, *(piece for name, content in parts for piece in _chunk(name, content))])


def _chunk(name: bytes, content: bytes) -> tuple[bytes, ...]:
    checksum = isal_zlib.crc32(content, isal_zlib.crc32(name))
    return struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)
