"""Pictures at preview scale: small enough for a page, and still exact about what is trusted.

A preview pixel stands for a block of pixels and is trusted when all of them are. It therefore keeps the block's largest
score, to which every threshold can be applied.
"""

import base64
import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.audits.worst_pixels import window, worst_place
from blackbox_conformal.kernels.below import count_below
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.types import Image, Map, Mask

SIDE = 512
"""A preview's longer side has at most so many pixels."""

CROP = 96
"""Sides of the square cut around a worst pixel, at full resolution."""

NEVER = 255
"""The index of a pixel that no stop trusts."""

VEIL = (12, 12, 18, 150)
STRIPE = (250, 250, 250, 170)
"""Red, green, blue and opacity, 0 to 255, of the veil over untrusted pixels and of its stripes: readers tell trusted
from untrusted by the pattern, not by the colour."""

_QUALITY = 72


@dataclass(frozen=True, slots=True)
class Worst:
    """The trusted pixel with the largest error at one level, cut out of delivered picture and photograph.

    Attributes
    ----------
    row, column
        The pixel, at full resolution.
    error
        The metric's value there.
    delivered, truth, mask
        WebP bytes of the surroundings; in `mask` white is trusted.
    at
        (row, column) of the pixel inside the cut.
    """

    alpha: float
    row: int
    column: int
    error: float
    delivered: bytes
    truth: bytes
    mask: bytes
    at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Preview:
    """One picture as the report shows it.

    Attributes
    ----------
    kind
        ``result``: a masked picture whose truth nobody knows. ``audit``: a photograph that calibration has not seen.
    size
        (H, W) at full resolution.
    block
        Side of the square of pixels that one preview pixel stands for.
    ceiling
        (h, w) float32: the largest score of each block; NaN where a pixel has none.
    thresholds, shares, losses
        For each known threshold (ascending): the trusted share of all pixels, exact, and the loss (NaN when unknown).
    delivered, low, truth
        WebP bytes, or None; `low` is the vendor's input reduced as much as the delivered picture is.
    notes
        Sentences for the reader.
    """

    kind: str
    name: str
    identity: str
    size: tuple[int, int]
    block: int
    ceiling: Map
    thresholds: NDArray[np.float64]
    shares: NDArray[np.float64]
    losses: NDArray[np.float64]
    delivered: bytes
    low: bytes | None = None
    truth: bytes | None = None
    worst: tuple[Worst, ...] = ()
    notes: tuple[str, ...] = ()

    def share(self, threshold: float) -> float:
        """Trusted share of all pixels: exact at a known threshold, else that of the next lower one."""
        index = int(np.searchsorted(self.thresholds, threshold, side="right")) - 1
        return float(self.shares[index]) if index >= 0 else 0.0

    def loss(self, threshold: float) -> float:
        """Loss: exact at a known threshold, else that of the next higher one; NaN when unknown."""
        index = int(np.searchsorted(self.thresholds, threshold, side="left"))
        return float(self.losses[index]) if index < len(self.losses) else math.nan

    def coarser(self, side: int) -> tuple[Map, int]:
        """The largest score of each square of pixels, at most `side` squares a side, and a square's side in pixels."""
        factor = block_side((self.ceiling.shape[0], self.ceiling.shape[1]), side)
        return block_maximum(self.ceiling, factor), self.block * factor


def block_side(size: tuple[int, int], side: int = SIDE) -> int:
    """The least whole reduction after which (H, W) `size` fits into `side`."""
    return max(1, -(-max(size) // side))


def block_maximum(scores: Map, block: int) -> Map:
    """(H, W) float32 → (ceil(H/block), ceil(W/block)): the largest score of each block, NaN if it holds one."""
    height, width = scores.shape
    rows, columns = -(-height // block), -(-width // block)
    padded = np.full((rows * block, columns * block), -np.inf, dtype=np.float32)
    padded[:height, :width] = scores
    # Whole rows are compared at once, then every block-th value of them.
    highest: Map = reduce(np.maximum, (padded[place::block] for place in range(block)))
    return reduce(np.maximum, (highest[:, place::block] for place in range(block)))


def first_stops(ceiling: Map, thresholds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(h, w) uint8: the index of the first of the ascending `thresholds` at which a pixel is trusted, 255 for none."""
    # A search instead of one comparison a stop: the first threshold above a score is the first that trusts it.
    stops = np.searchsorted(thresholds, _finite(ceiling), side="right")
    return np.where(stops < len(thresholds), stops, NEVER).astype(np.uint8)


def pack_stops(first: NDArray[np.uint8]) -> str:
    """Base64 of the deflated differences, modulo 256, of each row to the one above it."""
    differences = np.diff(first, axis=0, prepend=np.zeros((1, first.shape[1]), np.uint8))
    return base64_text(zlib.compress(differences.astype(np.uint8).tobytes(), 6))


def stripes(height: int, width: int) -> tuple[int, int]:
    """The distance in pixels along a row from stripe to stripe of the veil, and the thickness of a stripe."""
    period = max(4, round(max(width, height) / 48))
    return period, max(1, round(period / 5))


def veil_png(first: NDArray[np.uint8], stop: int) -> str:
    """Base64 of a PNG, as large as `first`, that veils what is not trusted at `stop`.

    Parameters
    ----------
    first
        (h, w) uint8: for each pixel the first stop that trusts it, from `first_stops`.
    """
    height, width = first.shape
    period, thick = stripes(height, width)
    striped = np.add.outer(np.arange(height), np.arange(width)) % period < thick
    picture = PillowImage.fromarray(np.where(first <= stop, 0, np.where(striped, 2, 1)).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, *VEIL[:3], *STRIPE[:3]])
    out = io.BytesIO()
    picture.save(out, "PNG", bits=2, transparency=bytes([0, VEIL[3], STRIPE[3]]), optimize=True)
    return base64_text(out.getvalue())


def base64_text(data: bytes) -> str:
    """`data` in base64."""
    return base64.b64encode(data).decode()


def reduced(pixels: Image, block: int) -> bytes:
    """`pixels` averaged over whole blocks, as WebP."""
    picture = PillowImage.fromarray(pixels)
    return webp(picture.reduce(block) if block > 1 else picture)


def webp(picture: PillowImage.Image, quality: int = _QUALITY) -> bytes:
    """`picture` as WebP bytes without metadata."""
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=quality, method=0)
    return out.getvalue()


def make_preview(
    kind: str,
    name: str,
    identity: str,
    delivered: Image,
    indecision: Map,
    thresholds: NDArray[np.float64],
    *,
    low: Image | None = None,
    truth: Image | None = None,
    errors: Map | None = None,
    losses: NDArray[np.float64] | None = None,
    worst_at: Sequence[tuple[float, float]] = (),
    notes: Sequence[str] = (),
) -> Preview:
    """A preview of one picture.

    Parameters
    ----------
    delivered, truth
        (H, W, 3) uint8; `truth` may be unknown.
    low
        What the vendor was sent, (h, w, 3) uint8.
    indecision, errors
        (H, W) float32.
    thresholds
        Ascending, float64; shares are counted at each of them.
    worst_at
        (alpha, threshold) pairs at which to cut out the worst trusted pixel; needs `truth` and `errors`.
    """
    height, width = indecision.shape
    block = block_side((height, width))
    counts = count_below(indecision, thresholds)
    worst: list[Worst] = []
    if truth is not None and errors is not None:
        for alpha, threshold in worst_at:
            worst.extend(_worst(alpha, trusted(indecision, threshold), errors, delivered, truth))
    return Preview(
        kind=kind,
        name=name,
        identity=identity,
        size=(height, width),
        block=block,
        ceiling=block_maximum(indecision, block),
        thresholds=np.asarray(thresholds, np.float64),
        shares=counts / indecision.size,
        losses=np.full(len(thresholds), np.nan) if losses is None else np.asarray(losses, np.float64),
        delivered=reduced(delivered, block),
        low=None if low is None else reduced(low, block),
        truth=None if truth is None else reduced(truth, block),
        worst=tuple(worst),
        notes=tuple(notes),
    )


def _finite(scores: Map) -> NDArray[np.float64]:
    """`scores` as float64, +inf just below itself: a threshold of +inf trusts every pixel that has a score."""
    return np.minimum(scores.astype(np.float64), np.finfo(np.float64).max)


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
