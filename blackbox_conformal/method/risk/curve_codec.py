"""The byte form of many risk curves: lossless, compact, quick to read, safe to read from strangers.

Layout, little-endian: a 56-byte header, then one zlib stream of six blocks: record counts, area counts (uint32 a
curve), scores, losses, area scores, area shares (float32 as order-preserving uint32). Each block holds differences
of neighbours, its bytes regrouped by significance.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.risk.curve import Kind

MAGIC = b"BXCURVES"
VERSION = 1
_HEADER = struct.Struct("<8sHHIQQddQ")
_DEFLATE_CEILING = 1032
"""No deflate stream expands to more than this many times its size."""
_KINDS = get_args(Kind)
MAXIMUM_VALUES = 2**29
_DAMAGED = "Fetch the calibration file again or calibrate again"


@dataclass(frozen=True, eq=False)
class Content:
    """What the bytes hold: counts a curve (int64), records and areas (float32), and the numbers all curves share."""

    counts: NDArray[np.int64]
    scores: NDArray[np.float32]
    losses: NDArray[np.float32]
    area_counts: NDArray[np.int64]
    area_scores: NDArray[np.float32]
    area_shares: NDArray[np.float32]
    bound: float
    kind: Kind
    parameter: float | None
    """The tolerance of shares or the share left out; None for a supremum."""


def pack(content: Content) -> bytes:
    """`content` as bytes; equal content gives equal bytes with one zlib."""
    blocks = [
        _shuffle(np.asarray(content.counts, "<u4")),
        _shuffle(np.asarray(content.area_counts, "<u4")),
        *(
            _shuffle(_to_integers(values))
            for values in (content.scores, content.losses, content.area_scores, content.area_shares)
        ),
    ]
    stream = zlib.compress(b"".join(blocks), 6)
    parameter = math.nan if content.parameter is None else content.parameter
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        _KINDS.index(content.kind),
        content.counts.size,
        content.scores.size,
        content.area_scores.size,
        content.bound,
        parameter,
        len(stream),
    )
    return header + stream


def unpack(data: bytes) -> Content:
    """Read what `pack` wrote.

    Raises
    ------
    FileFormatError
        Foreign, newer, damaged or hostile bytes; sizes are checked before memory is taken.
    """
    if len(data) < _HEADER.size or data[:8] != MAGIC:
        raise FileFormatError(f"expected packed risk curves; got {len(data)} foreign bytes. {_DAMAGED}")
    _, version, kind, curves, records, areas, bound, parameter, stored = _HEADER.unpack_from(data)
    if version != VERSION:
        raise FileFormatError(
            f"expected packed risk curves of format {VERSION}; got {version}. Upgrade blackbox-conformal"
        )
    if kind >= len(_KINDS) or not (math.isfinite(bound) and bound > 0) or (kind > 0) != math.isfinite(parameter):
        raise FileFormatError(f"packed risk curves declare an impossible kind, bound or tolerance. {_DAMAGED}")
    size = 4 * (2 * curves + 2 * records + 2 * areas)
    if (
        curves < 1
        or size > 4 * MAXIMUM_VALUES
        or stored != len(data) - _HEADER.size
        or size > stored * _DEFLATE_CEILING
    ):
        raise FileFormatError(
            f"packed risk curves declare {curves} curves, {records} records and {areas} area records in "
            f"{stored} bytes, which cannot be. {_DAMAGED}"
        )
    raw = _inflate(memoryview(data)[_HEADER.size :], size)
    parts, at = [], 0
    for count in (curves, curves, records, records, areas, areas):
        parts.append(_unshuffle(raw, at, count))
        at += 4 * count
    counts, area_counts = parts[0].astype(np.int64), parts[1].astype(np.int64)
    if counts.sum() != records or area_counts.sum() != areas:
        raise FileFormatError(f"record counts of packed risk curves do not add up. {_DAMAGED}")
    scores, losses, area_scores, area_shares = (_to_floats(part) for part in parts[2:])
    _check(scores, losses, counts, bound)
    _check(area_scores, area_shares, area_counts, 1.0)
    return Content(
        counts,
        scores,
        losses,
        area_counts,
        area_scores,
        area_shares,
        bound,
        _KINDS[kind],
        parameter if kind else None,
    )


def _inflate(stream: memoryview, size: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(stream, size + 1)
    except zlib.error as error:
        raise FileFormatError(f"packed risk curves do not decompress: {error}. {_DAMAGED}") from None
    if len(raw) != size or not inflater.eof or inflater.unused_data:
        raise FileFormatError(f"expected {size} bytes in packed risk curves; got others. {_DAMAGED}")
    return raw


def _check(scores: NDArray[np.float32], values: NDArray[np.float32], counts: NDArray[np.int64], highest: float) -> None:
    """Every curve: scores below +inf and values in (0, highest], both strictly increasing."""
    inner = np.ones(scores.size, bool)
    starts = (np.cumsum(counts) - counts)[counts > 0]
    inner[starts] = False
    previous_scores, previous_values = np.roll(scores, 1), np.roll(values, 1)
    rising = (scores > previous_scores) & (values > previous_values)
    # Comparisons with NaN are False, so a NaN anywhere is refused too.
    fine = (scores < np.inf) & (values > 0) & (values <= np.float64(highest)) & (rising | ~inner)
    if not fine.all():
        raise FileFormatError(f"packed risk curves hold a curve that does not increase or leaves its range. {_DAMAGED}")


def _to_integers(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """uint32 in the same order as the floats."""
    bits = np.asarray(values, "<f4").view("<u4")
    return np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000)).astype("<u4")


def _to_floats(integers: NDArray[np.uint32]) -> NDArray[np.float32]:
    bits = np.where(integers >> 31, integers & np.uint32(0x7FFFFFFF), ~integers).astype("<u4")
    return bits.view("<f4").astype(np.float32)


def _shuffle(integers: NDArray[np.uint32]) -> bytes:
    """Differences of neighbours, modulo 2^32, bytes regrouped by significance."""
    differences = np.diff(integers, prepend=np.zeros(1, "<u4")).astype("<u4")
    return np.ascontiguousarray(differences.view(np.uint8).reshape(-1, 4).T).tobytes()


def _unshuffle(raw: bytes, at: int, count: int) -> NDArray[np.uint32]:
    grouped = np.frombuffer(raw, np.uint8, 4 * count, at).reshape(4, count)
    differences = np.ascontiguousarray(grouped.T).view("<u4").ravel()
    return np.cumsum(differences, dtype=np.uint32)
