"""Say how much memory a picture takes and which pictures fit, and give memory back.

Figures are measured (`docs/benchmarks.md`). The file's header tells the size.
"""

import ctypes
import struct
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from math import inf
from os import cpu_count
from pathlib import Path

from blackbox_conformal.errors import BlackboxConformalError, ImageError, UsageError
from blackbox_conformal.method.images.headers import PNG_SIGNATURE, inspect
from blackbox_conformal.method.images.read import DEFAULT_LIMITS, ImageLimits
from blackbox_conformal.study.stages.grouped_errors import refuse_together
from blackbox_conformal.support.occupancy import Occupancy
from blackbox_conformal.support.text import printable

BASE_BYTES = 300 * 2**20  # Bytes of Python, its libraries and the compiler, before any picture.

PIXEL_BYTES = 40
"""Bytes a pixel at the peak of one picture's evaluation, with an averaged variance and an averaged colour metric."""


BAND_PIXEL_BYTES = 20
"""Further bytes a pixel for each declared band: 16 bits, sums of draws, differences in single precision."""

MASK_PIXEL_BYTES = 50
"""Bytes a pixel of the answer at the peak of one picture's masking, with the files that are written."""

AUDIT_PIXEL_BYTES = 66
"""Bytes a pixel at the peak of one photograph's audit, beside its masks: errors, PSNR, SSIM and free pictures."""


READING_BYTES = BASE_BYTES + 2**30
"""Memory in which pictures are read at the same time, where no less is allowed; a larger one is read alone."""

LARGE_BYTES = 2**27  # Peak memory of a picture before which freed memory is returned.


def audit_bytes_a_pixel(levels: int) -> int:
    """Return bytes a pixel that auditing at so many levels takes."""
    return AUDIT_PIXEL_BYTES + 2 * levels


def picture_bytes(size: tuple[int, int]) -> int:
    """Return peak bytes of one picture of (height, width), however many draws it has."""
    return PIXEL_BYTES * size[0] * size[1]


def limits_within(memory_bytes: int | None) -> ImageLimits:
    """Return the limits on photographs that keep reading within a memory limit."""
    if memory_bytes is None:
        return DEFAULT_LIMITS
    most = max(0, memory_bytes - BASE_BYTES) // PIXEL_BYTES
    return ImageLimits(
        max_pixels=min(DEFAULT_LIMITS.max_pixels, most), reason=f" (memory is limited to {memory_bytes >> 20} MiB)"
    )


def refuse_beyond(size: tuple[int, int], name: str, memory_bytes: int | None) -> None:
    """Refuse a picture that alone would exceed the limit, before memory is taken."""
    needed = BASE_BYTES + picture_bytes(size)
    if memory_bytes is not None and needed > memory_bytes:
        raise UsageError(
            f"expected pictures that fit into {memory_bytes >> 20} MiB of memory; {printable(name)} of "
            f"{size[1]}×{size[0]} pixels needs about {-(-needed >> 20)} MiB. Raise the limit or crop the picture"
        )


def evaluated_at_once() -> int:
    """Return how many pictures are evaluated at once, at most: each takes a processor and its memory."""
    return min(cpu_count() or 1, 4)


class Room:
    """Memory shared by threads that evaluate pictures without knowing of each other.

    `memory_bytes`: bytes for all, as `narrowed` gives it; None: no limit.
    """

    def __init__(self, memory_bytes: int | None) -> None:
        self._places = evaluated_at_once()
        self._bytes = inf if memory_bytes is None else max(0, memory_bytes - BASE_BYTES)
        self._inside: Occupancy[int] = Occupancy()

    def taken(self, size: tuple[int, int]) -> AbstractContextManager[None]:
        """Hold room for a picture of (height, width) in the ``with`` block; a picture alone always has room."""
        needed = picture_bytes(size)

        def fits(inside: Sequence[int]) -> bool:
            return not inside or (len(inside) < self._places and sum(inside) + needed <= self._bytes)

        return self._inside.taken(needed, fits)


def give_back(size: tuple[int, int]) -> None:
    """Return freed memory to the system before a large picture of (height, width) is evaluated (glibc).

    The C library keeps pieces of up to 32 MiB and finds no use for whole pictures. Small pictures are left out:
    clearing memory anew takes longer than the work on them.
    """
    if picture_bytes(size) >= LARGE_BYTES:
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)


_PNG_HEAD = 24  # Bytes of a PNG up to and with its size.


def refuse_large(
    pictures: Iterable[Path | bytes], memory_bytes: int | None, *, scale: int = 1, pixel_bytes: int = PIXEL_BYTES
) -> None:
    """Refuse pictures that cannot be evaluated within `memory_bytes`, before memory is taken.

    `scale`: Magnification from file to evaluated picture: 1 for photographs.
    """
    if memory_bytes is None:
        return
    failures: list[tuple[str, BlackboxConformalError]] = []
    listed = list(pictures)
    for picture in listed:
        width, height = size_by_header(picture)
        needed = BASE_BYTES + pixel_bytes * width * height * scale**2
        if needed > memory_bytes:
            name = printable(picture.name) if isinstance(picture, Path) else "the picture"
            error = UsageError(
                f"{name}: expected a picture that fits into {memory_bytes >> 20} MiB of memory; its "
                f"{width * scale}×{height * scale} pixels need about {-(-needed >> 20)} MiB. Raise --memory "
                "(memory_bytes), or crop the picture"
            )
            failures.append((name, error))
    refuse_together(failures, len(listed))


def narrowed(memory_bytes: int | None, pixel_bytes: int) -> int | None:
    """Narrow the limit for a calculation that takes `pixel_bytes` a pixel but is counted as taking less."""
    if memory_bytes is None:
        return None
    return BASE_BYTES + max(0, memory_bytes - BASE_BYTES) * PIXEL_BYTES // max(pixel_bytes, PIXEL_BYTES)


def size_by_header(picture: Path | bytes) -> tuple[int, int]:
    """Return (width, height) by the header; zeros where only a decoder can tell, or the file is no picture."""
    try:
        if isinstance(picture, Path):
            with picture.open("rb") as file:
                head = file.read(_PNG_HEAD)
        else:
            head = picture[:_PNG_HEAD]
        if head.startswith(PNG_SIGNATURE) and len(head) == _PNG_HEAD:
            width, height = struct.unpack(">II", head[16:])
            return width, height
        header = inspect(picture if isinstance(picture, bytes) else picture.read_bytes())
    except (OSError, ImageError):
        return 0, 0
    return header.width, header.height
