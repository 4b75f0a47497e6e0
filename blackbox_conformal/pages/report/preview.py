"""Pictures at preview scale: small enough for a page, and still exact about trust.

A preview pixel stands for a block of pixels and is trusted if all of them are. So it keeps the block's largest score,
to which every threshold can be applied.
"""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.documents.stored import Stored
from blackbox_conformal.method.images.overlay import dot_squares
from blackbox_conformal.method.kernels.below import count_below
from blackbox_conformal.method.metrics._detail import ADDED, CONTRADICTED, NOT_ADDED
from blackbox_conformal.method.risk.trust import trusted, window, worst_place
from blackbox_conformal.pages.report.encoded import (
    Bytes,
    Doubles,
    Singles,
    base64_text,
    kept_picture,
    page_picture,
    webp,
)
from blackbox_conformal.pages.report.error_pairs import (
    CROP,
    ERRORS,
    SIDE,
    ErrorPair,
    block_maximum,
    block_side,
    error_pairs,
)
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import Content
from blackbox_conformal.support.types import Image, Map, Mask

# Names of pictures: if several of a kind have one name, each says where it is from.


@dataclass(frozen=True, slots=True)
class Named:
    """A picture's stem, which is its own, its name and kind, and where it is from, by `end_of`."""

    stem: str
    name: str
    kind: str
    source: str


def end_of(path: Path | None) -> str:
    """Return the end of a path that tells pictures of one name apart; empty: no path."""
    return "" if path is None else "/".join(path.parts[-2:])


def picture_stem(kind: str, identity: str) -> str:
    """Return the beginning of the names of a picture's files."""
    return f"{kind}-{digest_bytes(identity.encode()).removeprefix('sha256:')[:24]}"


def by_name(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names as people do: IMG_9 before IMG_10."""
    parts = enumerate(re.split("0*([0-9]+)", name))
    # The longer of two numbers is the larger; `int` would refuse very long ones.
    return [(len(part) if place % 2 else 0, part) for place, part in parts]


def names_apart(pictures: Sequence[Named]) -> list[str]:
    """Return each picture's name, with its difference from others of its kind and name, if there are any."""
    named = Counter((one.kind, one.name) for one in pictures)
    from_there = Counter((one.kind, one.name, one.source) for one in pictures)
    names = []
    for one in pictures:
        more = [one.source] if one.source else []
        if from_there[one.kind, one.name, one.source] > 1:
            more.append(one.stem.rpartition("-")[2][:6])
        names.append(f"{one.name} ({', '.join(more)})" if named[one.kind, one.name] > 1 else one.name)
    return names


PictureKind = Literal["result", "audit"]

Box = tuple[int, int, int, int]  # Top, left, height and width of a place in pixels of the full resolution.
NEVER = 255  # The index of a pixel that no stop trusts.
CODES = 99  # The code of the largest possible error.
VEIL = (12, 12, 18, 90)
HEAVY = (12, 12, 18, 165)
STRIPE = (250, 250, 250, 170)
"""Red, green, blue and opacity, 0 to 255, of the veil over untrusted pixels, of that over contradicted ones, and of
stripes: readers tell them apart by the pattern, not by the colour.
"""


@dataclass(frozen=True, slots=True)
class Worst:
    """The trusted pixel with the largest error at one level, cut out of delivered picture and photograph."""

    alpha: float
    # The pixel, at full resolution.
    row: int
    column: int
    error: float  # The metric's value there.
    # WebP bytes of the surroundings; in `mask` white is trusted.
    delivered: Bytes
    truth: Bytes
    mask: Bytes
    at: tuple[int, int]  # (row, column) of the pixel inside the cut.


@dataclass(frozen=True, slots=True)
class Preview:
    """One picture as the report shows it."""

    # ``result``: a masked picture of unknown truth. ``audit``: a photograph that calibration has not seen.
    kind: PictureKind
    name: str
    identity: str
    size: tuple[int, int]  # (H, W) at full resolution.
    block: int  # Side of the square of pixels that one preview pixel stands for.
    ceiling: Singles  # (h, w) float32: the largest score of each block; NaN where a pixel has none.
    # For each known threshold (ascending): the trusted share of all pixels, exact, and the loss (NaN: unknown).
    thresholds: Doubles
    shares: Doubles
    losses: Doubles
    # Bytes of a JPEG, or of the WebP that `within` makes of the last two, or None; `low` is the vendor's input, reduced
    # like the delivered picture.
    delivered: Bytes
    low: Bytes | None = None
    truth: Bytes | None = None
    worst: tuple[Worst, ...] = ()
    notes: tuple[str, ...] = ()  # Sentences for the reader; a masked picture's first note is its certificate's.
    errors: Singles | None = None  # (h, w) float32: the largest error of each block; None if the truth is unknown.
    pairs: tuple[ErrorPair, ...] = ()  # Squares that show how an error looks.
    no_guarantee: str = ""  # The certificate's words if its statement does not cover this mask; else empty.
    source: str = ""  # The end of a path that tells pictures of one name apart; empty: no path.
    # Bits of all blocks, set if the vendor added detail to any of its pixels, then bits set if any is contradicted.
    # None: the guarantee is about something else.
    added: Bytes | None = None
    differing: tuple[Box, ...] = ()  # Places where the answer differs from its input by more than is usual.

    @property
    def detail(self) -> NDArray[np.uint8] | None:
        """Return the largest of `kinds_of_detail` in each block, (h, w) uint8."""
        return None if self.added is None else _of_bits(self.added, self.ceiling.shape)

    @property
    def stem(self) -> str:
        """Return the beginning of its files' names."""
        return picture_stem(self.kind, self.identity)

    def share(self, threshold: float) -> float:
        """Return the trusted share of all pixels: exact at a known threshold, else from the next lower one."""
        index = int(np.searchsorted(self.thresholds, threshold, side="right")) - 1
        return float(self.shares[index]) if index >= 0 else 0.0

    def loss(self, threshold: float) -> float:
        """Return the loss: exact at a known threshold, else from the next higher one; NaN: unknown."""
        index = int(np.searchsorted(self.thresholds, threshold, side="left"))
        return float(self.losses[index]) if index < len(self.losses) else math.nan

    def within(self, side: int) -> "Preview":
        """Return the same preview with at most `side` pixels a side, and its pictures as a page holds them."""
        size = (self.ceiling.shape[0], self.ceiling.shape[1])
        factor = block_side(size, side)
        return replace(
            self,
            block=self.block * factor,
            ceiling=block_maximum(self.ceiling, factor),
            errors=None if self.errors is None else block_maximum(self.errors, factor),
            added=None if (detail := self.detail) is None else _bits(detail, factor),
            delivered=page_picture(self.delivered, factor, max(size), "JPEG"),
            low=None if self.low is None else page_picture(self.low, factor, max(size)),
            truth=None if self.truth is None else page_picture(self.truth, factor, max(size)),
        )


def _bits(detail: NDArray[np.uint8], block: int) -> bytes:
    largest = block_maximum(detail.astype(np.float32), block)
    return b"".join(np.packbits(largest >= kind).tobytes() for kind in (ADDED, CONTRADICTED))


def _of_bits(bits: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    # Earlier files end after the first bits: nothing is contradicted there.
    size, each = math.prod(shape), -(-math.prod(shape) // 8)
    planes = [np.frombuffer(bits[each * k :].ljust(each, b"\0"), np.uint8) for k in range(2)]
    return np.sum([np.unpackbits(plane, count=size) for plane in planes], axis=0, dtype=np.uint8).reshape(shape)


def first_stops(ceiling: Map, thresholds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return (h, w) uint8: the index of the first of the ascending `thresholds` that trusts a pixel; 255: none."""
    # One search instead of a comparison for each stop: the first threshold above a score is the first that trusts it.
    # A threshold of +inf trusts every pixel that has a score, so +inf becomes the largest number below it.
    scores = np.minimum(ceiling.astype(np.float64), np.finfo(np.float64).max)
    stops = np.searchsorted(thresholds, scores, side="right")
    return np.where(stops < len(thresholds), stops, NEVER).astype(np.uint8)


def error_codes(errors: Map, bound: float) -> NDArray[np.uint8]:
    """Return (h, w) uint8: `CODES` times the root of each error's share of `bound`, which tells small errors apart."""
    codes: NDArray[np.uint8] = np.rint(CODES * np.sqrt(np.clip(errors / bound, 0, 1))).astype(np.uint8)
    return codes


def pack(codes: NDArray[np.uint8]) -> str:
    """Deflate each row's differences, modulo 256, from the row above, as base64."""
    differences = np.diff(codes, axis=0, prepend=np.zeros((1, codes.shape[1]), np.uint8))
    return base64_text(isal_zlib.compress(differences.astype(np.uint8).tobytes(), 3))


def stripes(height: int, width: int) -> tuple[int, int]:
    """Return the distance in pixels along a row between stripes of the veil, and the thickness of a stripe."""
    period = max(4, round(max(width, height) / 48))
    return period, max(1, round(period / 5))


def veil_png(first: NDArray[np.uint8], stop: int, detail: NDArray[np.uint8] | None = None) -> str:
    """Draw a veil over pixels that `stop` does not trust: base64 of a PNG as large as `first`.

    `first`: (h, w) uint8: for each pixel the first stop that trusts it, from `first_stops`.
    `detail`: (h, w) uint8, `kinds_of_detail`: where it is 0, trusted pixels are dotted; where 2, others crossed.
    """
    height, width = first.shape
    period, thick = stripes(height, width)
    places = np.arange(height), np.arange(width)
    striped, crossing = (join.outer(*places) % period < thick for join in (np.add, np.subtract))
    codes = np.where(first <= stop, 0, np.where(striped, 2, 1)).astype(np.uint8)
    if detail is not None:
        for code, dots in enumerate(dot_squares(height, width, period, thick), 3):
            codes[dots & (detail == NOT_ADDED) & (first <= stop)] = code
        against = (detail == CONTRADICTED) & (first > stop)
        codes[against] = np.where(striped | crossing, 2, 5)[against]
    picture = PillowImage.fromarray(codes, "P")
    picture.putpalette([0, 0, 0, *VEIL[:3], *STRIPE[:3], 255, 255, 255, 0, 0, 0, *HEAVY[:3]])
    out = io.BytesIO()
    picture.save(
        out, "PNG", bits=2 if detail is None else 4, transparency=bytes([0, VEIL[3], STRIPE[3], 255, 255, HEAVY[3]])
    )
    return base64_text(out.getvalue())


def make_preview(
    kind: PictureKind,
    name: str,
    identity: str,
    delivered: Image,
    score_map: Map,
    thresholds: NDArray[np.float64],
    *,
    low: Image | None = None,
    truth: Image | None = None,
    errors: Map | None = None,
    losses: NDArray[np.float64] | None = None,
    worst_at: Sequence[tuple[float, float]] = (),
    notes: Sequence[str] = (),
    no_guarantee: str = "",
    source: str = "",
    detail: NDArray[np.uint8] | None = None,
    showing: int | None = None,
    differing: Sequence[Box] = (),
) -> Preview:
    """Make a preview of one picture.

    `delivered`, `low`, `truth`: (H, W, 3) uint8; `low`, the vendor's input, is smaller; `truth` may be unknown.
    `score_map`, `errors`: (H, W) float32.
    `thresholds`: Ascending, float64; shares are counted at each threshold.
    `worst_at`: (alpha, threshold) pairs at which to cut out the worst trusted pixel; needs `truth` and `errors`.
    `detail`, `showing`: (H, W) uint8: `kinds_of_detail`, if the page is to show them; the number of pixels that shares
      count, if not all.
    """
    size = (score_map.shape[0], score_map.shape[1])
    block, worst, pairs = block_side(size), list[Worst](), tuple[ErrorPair, ...]()
    if truth is not None and errors is not None:
        for alpha, threshold in worst_at:
            worst += _worst(alpha, trusted(score_map, threshold), errors, delivered, truth)
        pairs = error_pairs(errors, delivered, truth, sorted({*ERRORS, *(alpha for alpha, _ in worst_at)}))
    return Preview(
        kind=kind,
        name=name,
        identity=identity,
        size=size,
        block=block,
        ceiling=block_maximum(score_map, block),
        thresholds=np.asarray(thresholds, np.float64),
        shares=count_below(score_map, thresholds) / (showing or score_map.size),
        losses=np.full(len(thresholds), np.nan) if losses is None else np.asarray(losses, np.float64),
        delivered=kept_picture(delivered, block),
        low=None if low is None else kept_picture(low, block),
        truth=None if truth is None else kept_picture(truth, block),
        worst=tuple(worst),
        notes=tuple(notes),
        errors=None if errors is None else block_maximum(errors, block),
        pairs=pairs,
        no_guarantee=no_guarantee,
        source=source,
        added=None if detail is None else _bits(detail, block),
        differing=tuple(differing),
    )


def _worst(alpha: float, mask: Mask, errors: Map, delivered: Image, truth: Image) -> list[Worst]:
    place = worst_place(errors, mask)
    if place is None:
        return []
    rows, columns = window(place, (mask.shape[0], mask.shape[1]), CROP)
    white = np.repeat(mask[rows, columns, None], 3, axis=2).astype(np.uint8) * np.uint8(255)
    crops = [
        webp(PillowImage.fromarray(np.ascontiguousarray(pixels)), 90)
        for pixels in (delivered[rows, columns], truth[rows, columns], white)
    ]
    at = (place.row - rows.start, place.column - columns.start)
    return [Worst(alpha, place.row, place.column, place.error, crops[0], crops[1], crops[2], at)]


# Previews as files: a line of JSON, then the bytes that it names by number and checksum, as they are.

ENDING = "preview"

EARLIER_ENDING = "json"
"""Files of earlier versions are refused, so that a report never leaves their pictures out in silence."""


class _StoredPreviews(Stored[Preview]):
    def _fields(self, document: Preview) -> dict[str, Any]:
        (fields,) = self._form.dump_python((document,))
        return cast(dict[str, Any], fields)

    def _encoded(self, content: dict[str, Any]) -> Content:
        return parts_of(content)

    def _decoded(self, data: bytes) -> Any:
        return content_of(data)


_PREVIEWS = _StoredPreviews(
    Preview,
    "preview",
    5,
    anew="Remove it and audit or mask again in the same run folder: the draws are stored, so no call is made",
)


def write_preview(preview: Preview, path: Path) -> Path:
    """Write a preview to `path`, which ends in `ENDING`; replace an earlier one."""
    _PREVIEWS.write(preview, path)
    path.with_suffix(f".{EARLIER_ENDING}").unlink(missing_ok=True)
    return path


def read_preview(path: Path) -> Preview:
    """Read a stored preview."""
    preview = _PREVIEWS.read(path)
    with _PREVIEWS.refusing(str(path)):
        rows, columns = (-(-side // max(preview.block, 1)) for side in preview.size)
        if preview.block < 1 or not (1 <= rows <= SIDE and 1 <= columns <= SIDE):
            raise ValueError("sizes out of range")
        if not len(preview.thresholds) == len(preview.shares) == len(preview.losses) <= NEVER:
            raise ValueError("as many shares and losses as thresholds are expected")
        bits = -(-rows * columns // 8)
        if preview.added is not None and len(preview.added) not in (bits, 2 * bits):
            raise ValueError("two bits for each block are expected")
        errors: Map | None = None if preview.errors is None else preview.errors.reshape(rows, columns)
        return replace(preview, ceiling=preview.ceiling.reshape(rows, columns), errors=errors)


def parts_of(content: Any) -> list[bytes | memoryview]:
    """Return the pieces of a file with `content`: JSON values, with bytes and contiguous memory at any place."""
    parts: list[bytes | memoryview] = []

    def named(part: Any) -> dict[str, int]:
        if not isinstance(part, (bytes, memoryview)):
            raise TypeError(f"expected bytes beside what JSON holds; got {type(part).__name__}")
        parts.append(part)
        return {"bytes": memoryview(part).nbytes, "crc32": isal_zlib.crc32(part)}

    head = json.dumps(content, default=named).encode()
    return [head, b"\n", *parts]


def content_of(data: bytes) -> Any:
    """Return the content of a file whose pieces `parts_of` made."""
    end = data.find(b"\n")
    if end < 0:
        raise ValueError("no line of JSON")
    place = end + 1

    def taken(value: dict[str, Any]) -> Any:
        nonlocal place
        if value.keys() != {"bytes", "crc32"}:
            return value
        length = value["bytes"]
        if type(length) is not int or not 0 <= length <= len(data) - place:
            raise ValueError("fewer bytes than the JSON names")
        part = data[place : place + length]
        if isal_zlib.crc32(part) != value["crc32"]:
            raise ValueError("a wrong checksum")
        place += length
        return part

    content = json.loads(data[:end], object_hook=taken)
    if place != len(data):
        raise ValueError("more bytes than the JSON names")
    return content
