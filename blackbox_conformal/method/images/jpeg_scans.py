"""The segments and scans of a JPEG: its size, where its coded pixels lie, and whether they can be complete.

Decoders fill missing pixels with grey and say nothing, so they have to be found in the file itself.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.picture import too_deep, truncated

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
class JpegSegments:
    """What the segments say.

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


def read_jpeg(content: bytes) -> JpegSegments:
    """The segments of `content`, up to the end marker."""
    jpeg = JpegSegments()
    for marker, position, length in _segments(content):
        if jpeg.scans and jpeg.scans[-1][1] == 0:
            _end_scan(jpeg, content, position)
        body = content[position + 2 : position + length]
        if marker == _END:
            jpeg.end = position
            _refuse_incomplete(jpeg)
            return jpeg
        if marker in _FRAMES:
            _frame(jpeg, marker, body)
        elif marker == _START_OF_SCAN:
            _scan(jpeg, body)
            jpeg.scans.append((position + length, 0))
        elif marker == _INTERVAL and len(body) == 2:
            jpeg.interval = int.from_bytes(body, "big")
        jpeg.profile = jpeg.profile or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
    raise truncated("JPEG", "its end marker (EOI) is missing")


def with_tails(content: bytes, scans: tuple[tuple[int, int], ...]) -> bytes:
    """`content` with further bytes after the coded data of each scan and restart interval.

    A decoder that has all it needs skips them; one that runs short takes them for coded pixels. So a whole JPEG has the
    same pixels with them and without them, and a JPEG whose middle is missing has other ones.
    """
    parts, last = [], 0
    for start, end in scans:
        coded = _RESTART.sub(lambda restart: _TAIL + restart[0], content[start:end])
        parts += [content[last:start], coded, _TAIL]
        last = end
    return b"".join([*parts, content[last:]])


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, position after the marker, length field) of each segment; entropy-coded data are skipped."""
    position = 2
    while match := _MARKER.search(content, position):
        marker = content[match.start() + 1]
        position = match.end()
        if marker in (_END, 0x01, 0xD8):
            yield marker, position, 0
            if marker == _END:
                return
            continue
        if position + 2 > len(content):
            return
        (length,) = struct.unpack_from(">H", content, position)
        if length < 2 or position + length > len(content):
            return
        yield marker, position, length
        position += length


def _before(content: bytes, position: int) -> int:
    """Where the marker that ends at `position` begins, with the bytes 0xFF that may fill the space before it."""
    start = position - 2
    while content[start - 1] == 0xFF:
        start -= 1
    return start


def _end_scan(jpeg: JpegSegments, content: bytes, position: int) -> None:
    """Note where a scan ends; refuse one with fewer parts, between restart markers, than its size needs."""
    start, end = jpeg.scans[-1][0], _before(content, position)
    if jpeg.interval and len(_RESTART.findall(content, start, end)) < -(-jpeg.units // jpeg.interval) - 1:
        raise truncated("JPEG", "parts of its coded pixels are missing")
    jpeg.scans[-1] = (start, end)


def _blocks(jpeg: JpegSegments) -> dict[int, int]:
    """How many blocks of 8 x 8 each component has, and, as `_WHOLE`, how many units the components make together."""
    widest, highest = (max(factors[axis] for factors in jpeg.sampling.values()) for axis in (0, 1))

    def count(across: int, down: int) -> int:
        return -(-jpeg.width * across // (8 * widest)) * -(-jpeg.height * down // (8 * highest))

    return {_WHOLE: count(1, 1), **{number: count(*factors) for number, factors in jpeg.sampling.items()}}


def _frame(jpeg: JpegSegments, marker: int, body: bytes) -> None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise ImageError("expected a JPEG frame header; it is damaged")
    precision, jpeg.height, jpeg.width, count = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise too_deep(f"a JPEG with {precision}")
    if marker not in _DECODED or jpeg.sampling:
        raise ImageError(
            "expected a baseline or progressive JPEG with Huffman codes and one frame; got another kind. Convert it to "
            "PNG"
        )
    jpeg.progressive = marker == _PROGRESSIVE
    for number, factors, _ in zip(*[iter(body[6 : 6 + 3 * count])] * 3, strict=True):
        if not (1 <= factors >> 4 <= 4 and 1 <= factors & 15 <= 4):
            raise ImageError("expected a JPEG frame header; it is damaged")
        jpeg.sampling[number] = (factors >> 4, factors & 15)
    # Bits of each coefficient that are still to come: all of them.
    jpeg.missing = {(number, coefficient): -1 for number in jpeg.sampling for coefficient in range(64)}


def _scan(jpeg: JpegSegments, body: bytes) -> None:
    """Note which bits of which coefficients a scan brings."""
    count = body[0] if body else 0
    if not count or len(body) < 4 + 2 * count or not set(body[1 : 1 + 2 * count : 2]) <= set(jpeg.sampling):
        raise ImageError("expected a JPEG scan header; it is damaged")
    numbers = body[1 : 1 + 2 * count : 2]
    blocks = _blocks(jpeg)
    jpeg.units = blocks[numbers[0]] if count == 1 else blocks[_WHOLE]
    first, last, approximation = body[1 + 2 * count : 4 + 2 * count]
    if not jpeg.progressive:
        first, last, approximation = 0, 63, 0
    for number in numbers:
        for coefficient in range(first, min(last, 63) + 1):
            jpeg.missing[number, coefficient] = approximation & 15


def _refuse_incomplete(jpeg: JpegSegments) -> None:
    if not jpeg.width or not jpeg.scans:
        raise truncated("JPEG", "it ends before its picture")
    if any(jpeg.missing.values()):
        raise truncated("JPEG", "some of its scans are missing")
    blocks = sum(_blocks(jpeg)[number] for number in jpeg.sampling)
    # Two codes of at least a bit each for a block; of a progressive JPEG, whose other codes may be for many, one.
    needed = -(-blocks * (1 if jpeg.progressive else 2) // 8)
    coded = sum(end - start for start, end in jpeg.scans)
    if coded < needed:
        raise truncated("JPEG", f"its header asks for at least {needed} bytes of coded pixels; it has {coded}")
