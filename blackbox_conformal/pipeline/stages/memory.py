"""How much memory a picture takes while it is read or evaluated, what a limit on it allows, and giving it back.

The figures are measured (`docs/benchmarks.md`); nothing is computed from pixels here.
"""

import ctypes
from collections.abc import Callable
from functools import cache

from blackbox_conformal.errors import UsageError
from blackbox_conformal.images.names import printable
from blackbox_conformal.images.read import DEFAULT_LIMITS, ImageLimits

BASE_BYTES = 300 * 2**20
"""Python, its libraries and the compiler, before any picture."""

PIXEL_BYTES = 40
"""At the peak of one picture's evaluation, a pixel, with an averaged variance and an averaged colour metric."""


MASK_PIXEL_BYTES = 50
"""At the peak of one picture's masking, a pixel of the answer, with the files that are written of it."""

AUDIT_PIXEL_BYTES = 62
"""At the peak of one photograph's audit, a pixel, beside its masks: errors, PSNR and SSIM inside and outside."""


def audit_bytes_a_pixel(levels: int) -> int:
    """Memory that auditing a photograph at so many levels takes for each of its pixels."""
    return AUDIT_PIXEL_BYTES + 2 * levels


def picture_bytes(size: tuple[int, int]) -> int:
    """Peak memory of one picture of (height, width), however many draws it has."""
    return PIXEL_BYTES * size[0] * size[1]


def limits_within(memory_bytes: int | None) -> ImageLimits:
    """Which photographs may be read: with a limit on memory only those that can be evaluated within it."""
    if memory_bytes is None:
        return DEFAULT_LIMITS
    most = max(0, memory_bytes - BASE_BYTES) // PIXEL_BYTES
    return ImageLimits(
        max_pixels=min(DEFAULT_LIMITS.max_pixels, most), reason=f" (memory is limited to {memory_bytes >> 20} MiB)"
    )


def refuse_beyond(size: tuple[int, int], name: str, memory_bytes: int | None) -> None:
    """Refuse a picture that alone would take more than the limit, before memory is taken for it.

    Raises
    ------
    UsageError
        It would; the message says how much it needs.
    """
    needed = BASE_BYTES + picture_bytes(size)
    if memory_bytes is not None and needed > memory_bytes:
        raise UsageError(
            f"expected pictures that fit into {memory_bytes >> 20} MiB of memory; {printable(name)} of "
            f"{size[1]}×{size[0]} pixels needs about {-(-needed >> 20)} MiB. Raise the limit or crop the picture"
        )


def give_back() -> None:
    """Return freed memory to the system, where its C library can be asked to (glibc).

    It keeps pieces of up to 32 MiB, so whole pictures, for later, and finds no use for many of them: with two
    photographs of 3840 x 2160 at a time, some 60 MB. Takes a fraction of a millisecond.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim
