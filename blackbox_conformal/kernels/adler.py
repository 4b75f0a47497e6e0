"""The checksum of zlib streams (RFC 1950, 9), a few thousand bytes at a time so that it is vectorised."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels._jit import kernel

CHUNK = 4096
"""Bytes whose weighted sum, 255 * (1 + 2 + … + 4096), fits 32 bits."""

MODULUS = 65521


def adler32(data: NDArray[np.uint8], value: int = 1) -> int:
    """Adler-32 of contiguous uint8 bytes, going on from the `value` of those before them."""
    return int(_adler32(data, value))


@kernel
def _adler32(data: NDArray[np.uint8], value: int) -> int:
    plain, weighted = value & 0xFFFF, value >> 16
    for start in range(0, data.size, CHUNK):
        chunk = data[start : start + CHUNK]
        total, falling = np.uint32(0), np.uint32(0)
        for i in range(chunk.size):
            total = np.uint32(total + np.uint32(chunk[i]))
            falling = np.uint32(falling + np.uint32(chunk.size - i) * np.uint32(chunk[i]))
        weighted = (weighted + chunk.size * plain + int(falling)) % MODULUS
        plain = (plain + int(total)) % MODULUS
    return (weighted << 16) | plain


def warm_up() -> None:
    """Run every kernel of this module once."""
    adler32(np.zeros(1, np.uint8))
