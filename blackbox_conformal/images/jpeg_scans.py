"""The segments and scans of a JPEG: its size, where its coded pixels lie, and whether all of them can be there.

Decoders fill what is missing with grey and say nothing, so what is missing has to be found out here. Pixels are not
decoded.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from blackbox_conformal.errors import ImageError
from blackbox_conformal.images.image_errors import too_deep, truncated

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.S)
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2
_DECODED = {0xC0, 0xC1, _PROGRESSIVE}
_START_OF_SCAN, _END, _INTERVAL = 0xDA, 0xD9, 0xDD

_WHOLE = -1

_TAIL = np.random.default_rng(0).integers(0, 255, 64, dtype=np.uint8).tobytes()
"""Bytes that mean different pixels wherever a decoder takes them for coded ones; 0xFF is not among them."""


@dataclass
class Jpeg:
    """What the segments tell.

    Attributes
    ----------
    end
        Where the file ends: after its end marker.
    scans
        (start, end) of the coded data of each scan.
    sampling
        How many samples each component has across and down, relative to the others.
    missing
        Of each component's coefficients, how many low bits are still to come; -1: all.
    interval, units
        Units between restart markers, 0 where there are none; units of the last scan.
    """

    width: int = 0
    height: int = 0
    end: int = 0
    profile: bool = False
    scans: list[tuple[int, int]] = field(default_factory=list)
    progressive: bool = False
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    missing: dict[tuple[int, int], int] = field(default_factory=dict)
    interval: int = 0
    units: int = 0


def read_jpeg(data: bytes) -> Jpeg:
    """The segments of `data`, up to the end marker.

    Raises
    ------
    ImageError
        It is damaged, has no end, has fewer coded bits than its header asks for or lacks scans, is of a kind that
        nobody uses, or has more than 8 bits a channel.
    """
    found = Jpeg()
    for marker, position, length in _segments(data):
        if found.scans and found.scans[-1][1] == 0:
            _end_scan(found, data, position)
        body = data[position + 2 : position + length]
        if marker == _END:
            found.end = position
            _refuse_incomplete(found)
            return found
        if marker in _FRAMES:
            _frame(found, marker, body)
        elif marker == _START_OF_SCAN:
            _scan(found, body)
            found.scans.append((position + length, 0))
        elif marker == _INTERVAL and len(body) == 2:
            found.interval = int.from_bytes(body, "big")
        found.profile = found.profile or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
    raise truncated("JPEG", "its end marker (EOI) is missing")


def with_tails(data: bytes, scans: tuple[tuple[int, int], ...]) -> bytes:
    """`data` with further bytes after the coded data of each scan and restart interval.

    A decoder that has all it needs skips them; one that runs short takes them for coded pixels. So a whole JPEG has the
    same pixels with them and without, and one whose middle is missing has not.
    """
    parts, last = [], 0
    for start, end in scans:
        coded = _RESTART.sub(lambda restart: _TAIL + restart[0], data[start:end])
        parts += [data[last:start], coded, _TAIL]
        last = end
    return b"".join([*parts, data[last:]])


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, position after the marker, length field) of each segment; entropy-coded data are skipped."""
    position = 2
    while found := _MARKER.search(data, position):
        marker = data[found.start() + 1]
        position = found.end()
        if marker in (_END, 0x01, 0xD8):
            yield marker, position, 0
            if marker == _END:
                return
            continue
        if position + 2 > len(data):
            return
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2 or position + length > len(data):
            return
        yield marker, position, length
        position += length


def _before(data: bytes, position: int) -> int:
    """Where the marker that ends at `position` begins, with the bytes 0xFF that may fill the space before it."""
    start = position - 2
    while data[start - 1] == 0xFF:
        start -= 1
    return start


def _end_scan(found: Jpeg, data: bytes, position: int) -> None:
    """Note where a scan ends, and whether all parts are there that it is divided into by restart markers."""
    start, end = found.scans[-1][0], _before(data, position)
    if found.interval and len(_RESTART.findall(data, start, end)) < -(-found.units // found.interval) - 1:
        raise truncated("JPEG", "parts of its coded pixels are missing")
    found.scans[-1] = (start, end)


def _blocks(found: Jpeg) -> dict[int, int]:
    """How many blocks of 8 x 8 each component has, and, as `_WHOLE`, how many units the components make together."""
    widest, highest = (max(factors[axis] for factors in found.sampling.values()) for axis in (0, 1))

    def count(across: int, down: int) -> int:
        return -(-found.width * across // (8 * widest)) * -(-found.height * down // (8 * highest))

    return {_WHOLE: count(1, 1), **{number: count(*factors) for number, factors in found.sampling.items()}}


def _frame(found: Jpeg, marker: int, body: bytes) -> None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise ImageError("expected a JPEG frame header; it is damaged")
    precision, found.height, found.width, count = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise too_deep(f"a JPEG with {precision}")
    if marker not in _DECODED or found.sampling:
        raise ImageError(
            "expected a baseline or progressive JPEG with Huffman codes and one frame; got another kind. Convert it to "
            "PNG"
        )
    found.progressive = marker == _PROGRESSIVE
    for number, factors, _ in zip(*[iter(body[6 : 6 + 3 * count])] * 3, strict=True):
        if not (1 <= factors >> 4 <= 4 and 1 <= factors & 15 <= 4):
            raise ImageError("expected a JPEG frame header; it is damaged")
        found.sampling[number] = (factors >> 4, factors & 15)
    # Bits of each coefficient that are still to come: all of them.
    found.missing = {(number, coefficient): -1 for number in found.sampling for coefficient in range(64)}


def _scan(found: Jpeg, body: bytes) -> None:
    """Note which bits of which coefficients a scan brings."""
    count = body[0] if body else 0
    if not count or len(body) < 4 + 2 * count or not set(body[1 : 1 + 2 * count : 2]) <= set(found.sampling):
        raise ImageError("expected a JPEG scan header; it is damaged")
    numbers = body[1 : 1 + 2 * count : 2]
    blocks = _blocks(found)
    found.units = blocks[numbers[0]] if count == 1 else blocks[_WHOLE]
    first, last, approximation = body[1 + 2 * count : 4 + 2 * count]
    if not found.progressive:
        first, last, approximation = 0, 63, 0
    for number in numbers:
        for coefficient in range(first, min(last, 63) + 1):
            found.missing[number, coefficient] = approximation & 15


def _refuse_incomplete(found: Jpeg) -> None:
    if not found.width or not found.scans:
        raise truncated("JPEG", "it ends before its picture")
    if any(found.missing.values()):
        raise truncated("JPEG", "some of its scans are missing")
    blocks = sum(_blocks(found)[number] for number in found.sampling)
    # Two codes of at least a bit each for a block; of a progressive JPEG, whose other codes may be for many, one.
    needed = -(-blocks * (1 if found.progressive else 2) // 8)
    coded = sum(end - start for start, end in found.scans)
    if coded < needed:
        raise truncated("JPEG", f"its header asks for at least {needed} bytes of coded pixels; it has {coded}")
