"""Whether pictures fit into the memory that a user allows, told from the files' headers before any pixel is read.

What a picture takes lives in `memory`; how many are in memory at a time is decided in `draws`.
"""

import struct
from collections.abc import Iterable
from pathlib import Path

from blackbox_conformal.errors import BlackboxConformalError, ImageError, UsageError
from blackbox_conformal.images.headers import PNG_SIGNATURE, inspect
from blackbox_conformal.images.names import printable
from blackbox_conformal.pipeline.stages.grouped_errors import refuse_together
from blackbox_conformal.pipeline.stages.memory import BASE_BYTES, PIXEL_BYTES

_PNG_HEAD = 24
"""Bytes of a PNG up to and with its size."""


def refuse_large(
    pictures: Iterable[Path | bytes], memory_bytes: int | None, *, scale: int = 1, pixel_bytes: int = PIXEL_BYTES
) -> None:
    """Refuse pictures that cannot be evaluated within `memory_bytes`, before memory is taken for one of them.

    Parameters
    ----------
    pictures
        Files, or their content.
    memory_bytes
        Most memory that the calculation may take; None: no limit.
    scale
        Magnification between the file and what is evaluated: 1 for photographs.
    pixel_bytes
        What the calculation takes for a pixel.

    Raises
    ------
    UsageError
        A picture is too large; the message says how much it needs, how much there is, and what to do.
    PicturesError
        Several are.
    """
    if memory_bytes is None:
        return
    failures: list[tuple[str, BlackboxConformalError]] = []
    looked_at = list(pictures)
    for picture in looked_at:
        width, height = _size(picture)
        needed = BASE_BYTES + pixel_bytes * width * height * scale**2
        if needed > memory_bytes:
            name = printable(picture.name) if isinstance(picture, Path) else "the picture"
            error = UsageError(
                f"{name}: expected a picture that fits into {memory_bytes >> 20} MiB of memory; its "
                f"{width * scale}×{height * scale} pixels need about {-(-needed >> 20)} MiB. Raise --memory "
                "(memory_bytes), or crop the picture"
            )
            failures.append((name, error))
    refuse_together(failures, len(looked_at))


def narrowed(memory_bytes: int | None, pixel_bytes: int) -> int | None:
    """The limit to give to a calculation that takes `pixel_bytes` a pixel and is counted as one that takes less."""
    if memory_bytes is None:
        return None
    return BASE_BYTES + max(0, memory_bytes - BASE_BYTES) * PIXEL_BYTES // max(pixel_bytes, PIXEL_BYTES)


def _size(picture: Path | bytes) -> tuple[int, int]:
    """(width, height) by the header; zeros where only a decoder can tell, and where the file is no picture."""
    try:
        if isinstance(picture, Path):
            with picture.open("rb") as file:
                head = file.read(_PNG_HEAD)
        else:
            head = picture[:_PNG_HEAD]
        if head.startswith(PNG_SIGNATURE) and len(head) == _PNG_HEAD:
            width, height = struct.unpack(">II", head[16:])
            return width, height
        found = inspect(picture if isinstance(picture, bytes) else picture.read_bytes())
    except (OSError, ImageError):
        return 0, 0
    return found.width, found.height
