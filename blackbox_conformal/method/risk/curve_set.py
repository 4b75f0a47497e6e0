"""Many risk curves as flat arrays, for arithmetic over thousands of photographs at once."""

import base64
import math
import struct
import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Annotated, Any, Self, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

from blackbox_conformal.errors import CalibrationError, FileFormatError, UsageError
from blackbox_conformal.method.risk.curve import MOST_PIXELS, PARAMETERS, Kind, RiskCurve, by_score, in_order
from blackbox_conformal.method.risk.exact import grain_bits, grains, largest_loss
from blackbox_conformal.support.rounding import all_up

# A loss sum of 60 bits times a weight of 24 does not fit 64 bits. Split at 22 bits, each limb's sum fits.
LIMB_BITS = 22
WEIGHT_BITS = 24


@dataclass(frozen=True, eq=False)
class Merged:
    """``sum_i w_i L_i(t)`` as a staircase over the distinct scores of all curves."""

    scores: NDArray[np.float64]  # Distinct scores, float64 (each the value of a float32), ascending.
    # The sum once pixels of that score are trusted too, in units of ``2^-bits``: ``high * 2^22 + low``, int64, ``low <
    # 2^22``. `high` never falls.
    high: NDArray[np.int64]
    low: NDArray[np.int64]
    bits: int  # Bits after the point.

    def threshold(self, budget: Fraction) -> float:
        """Return the largest t at which the sum is <= `budget`: -inf, a score, or +inf. O(log records)."""
        if budget < 0:
            return -np.inf
        # Rounded down: a whole sum is at most the budget exactly if it is at most this.
        units = budget.numerator * 2**self.bits // budget.denominator
        high, low = divmod(units, 2**LIMB_BITS)
        if high > np.iinfo(np.int64).max:
            return np.inf
        # Searched in two steps, as the pair (high, low) does not fit one number.
        start = int(np.searchsorted(self.high, high, side="left"))
        stop = int(np.searchsorted(self.high, high, side="right"))
        first_above = start + int(np.searchsorted(self.low[start:stop], low, side="right"))
        # Trusting is strict, so the first score whose sum is too large is itself the largest threshold.
        return float(self.scores[first_above]) if first_above < self.scores.size else np.inf

    def total(self, threshold: float) -> Fraction:
        """Return the sum when scores < `threshold` are trusted."""
        count = int(np.searchsorted(self.scores, threshold, side="left"))
        if count == 0:
            return Fraction(0)
        return Fraction(int(self.high[count - 1]) * 2**LIMB_BITS + int(self.low[count - 1]), 2**self.bits)

    def totals(self) -> NDArray[np.float64]:
        """Return the sum at every step as float64, correctly rounded to within one unit in the last place."""
        return np.add(*self._limbs())

    def means_up(self, count: int) -> NDArray[np.float32]:
        """Return the sum over `count` < 2^29 at every step, rounded up to float32 and never down."""
        high, low = self._limbs()
        means = all_up((high + low) / count)
        # Sum and quotient were rounded. Mean times count, a product of 24 and 29 bits, is exact, and so is its distance
        # from the nearby high limb: the sign of the shortfall is right.
        short = (high - means * np.float64(count)) + low > 0
        return np.where(short, np.nextafter(means, np.float32(np.inf)), means)

    def _limbs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        high, low = self.high.astype(np.float64), self.low.astype(np.float64)
        return np.ldexp(high, LIMB_BITS - self.bits), np.ldexp(low, -self.bits)


def merge(
    scores: NDArray[np.float32],
    order: NDArray[np.int64],
    jumps: NDArray[np.int64],
    bits: int,
    weights: NDArray[np.int64] | None = None,
) -> Merged:
    """Add staircases up.

    `order` sorts the float32 `scores` of all records. `jumps` say how much each record's loss exceeds the one before in
    its curve, in units of ``2^-bits``. `weights` are whole numbers of at most 2^24, one a record; None: 1.
    """
    # Two limbs, since a sum of weighted jumps does not fit 64 bits but each limb's sum does. The carry comes last.
    high, low = jumps >> LIMB_BITS, jumps & (2**LIMB_BITS - 1)
    if weights is not None:
        low = low * weights
        high, low = high * weights + (low >> LIMB_BITS), low & (2**LIMB_BITS - 1)
    sorted_scores = scores[order]
    # Records of one score take effect together, so only the sum after the last of them is a step.
    last = np.flatnonzero(np.r_[sorted_scores[1:] != sorted_scores[:-1], np.ones(min(1, scores.size), bool)])
    low_sum = np.cumsum(low[order])[last]
    high_sum = np.cumsum(high[order])[last] + (low_sum >> LIMB_BITS)
    return Merged(sorted_scores[last].astype(np.float64), high_sum, low_sum & (2**LIMB_BITS - 1), bits)


# The byte form is lossless, compact, quick to read, and safe to read from strangers. Little-endian: a 56-byte header,
# then one zlib stream of six blocks: record counts, area counts (uint32 a curve), scores, losses, area scores, area
# shares (float32 as order-preserving uint32). Each block holds differences of neighbours, its bytes regrouped by
# significance.

MAGIC = b"BXCURVES"
VERSION = 1
_HEADER = struct.Struct("<8sHHIQQddQ")
_DEFLATE_CEILING = 1032  # No deflate stream expands by more than this factor.
_KINDS = get_args(Kind)
# A damaged or hostile file must not fill the memory: at most 2 GiB are unpacked.
MAXIMUM_VALUES = 2**29
_DAMAGED = "Fetch the calibration file again or calibrate again"


@dataclass(frozen=True, eq=False)
class CurveSet:
    """n risk curves of one kind, bound and parameter."""

    offsets: NDArray[np.int64]  # (n + 1,) int64: curve i owns records ``offsets[i]`` to ``offsets[i + 1]``.
    # Records of all curves, float32.
    scores: NDArray[np.float32]
    losses: NDArray[np.float32]
    # The same for the trusted share; a curve without it owns none.
    area_offsets: NDArray[np.int64]
    area_scores: NDArray[np.float32]
    area_shares: NDArray[np.float32]
    # As in `RiskCurve`.
    bound: float
    kind: Kind = "supremum"
    tolerance: float | None = None
    left_out: float | None = None
    ceiling: float | None = None
    side: float | None = None

    @classmethod
    def from_curves(cls, curves: Sequence[RiskCurve]) -> Self:
        if not curves:
            raise CalibrationError("expected at least one risk curve; got none. Calibrate on at least one photograph")
        first = curves[0]
        for index, curve in enumerate(curves):
            if _loss_of(curve) != _loss_of(first):
                raise CalibrationError(
                    "expected curves of one kind, bound, tolerance and share left out; got "
                    f"{tuple(_loss_of(first).values())} and, in curve {index}, {tuple(_loss_of(curve).values())}. "
                    "Compute all with one metric"
                )
        nothing = np.empty(0, np.float32)
        areas = [
            (nothing, nothing) if c.area_scores is None or c.area_shares is None else (c.area_scores, c.area_shares)
            for c in curves
        ]
        return cls(
            _offsets([curve.scores.size for curve in curves]),
            np.concatenate([curve.scores for curve in curves]),
            np.concatenate([curve.losses for curve in curves]),
            _offsets([scores.size for scores, _ in areas]),
            np.concatenate([scores for scores, _ in areas]),
            np.concatenate([shares for _, shares in areas]),
            **_loss_of(first),
        )

    @classmethod
    def of(cls, curves: "CurveSet | Sequence[RiskCurve]") -> "CurveSet":
        """Return `curves` themselves when they are a set already."""
        return curves if isinstance(curves, CurveSet) else cls.from_curves(curves)

    def to_bytes(self) -> bytes:
        """Pack losslessly; equal curves give equal bytes with one zlib."""
        counts = [np.asarray(np.diff(offsets), "<u4") for offsets in (self.offsets, self.area_offsets)]
        # Neighbouring scores become neighbouring numbers, so their differences are small and compress well.
        values = [in_order(part) for part in (self.scores, self.losses, self.area_scores, self.area_shares)]
        # The level is fixed, so that equal curves give equal bytes, and files that hold them equal digests.
        stream = zlib.compress(b"".join(map(_shuffle, [*counts, *values])), 6)
        parameter = getattr(self, PARAMETERS[self.kind]) if self.kind in PARAMETERS else None
        sizes = (len(self), self.scores.size, self.area_scores.size)
        # The header has no other way to say that there is no parameter.
        shared = (self.bound, math.nan if parameter is None else parameter)
        return _HEADER.pack(MAGIC, VERSION, _KINDS.index(self.kind), *sizes, *shared, len(stream)) + stream

    def to_text(self) -> str:
        """Return the packed form in base64, as JSON carries it."""
        return base64.b64encode(self.to_bytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the packed form in base64; errors as for `from_bytes`, or ValueError where it is no base64."""
        return cls.from_bytes(base64.b64decode(text, validate=True))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the packed form."""
        if len(data) < _HEADER.size or data[:8] != MAGIC:
            raise FileFormatError(f"expected packed risk curves; got {len(data)} foreign bytes. {_DAMAGED}")
        _, version, kind, curves, records, areas, bound, parameter, stored = _HEADER.unpack_from(data)
        if version != VERSION:
            raise FileFormatError(
                f"expected packed risk curves of format {VERSION}; got {version}. Upgrade blackbox-conformal"
            )
        if kind >= len(_KINDS) or not (math.isfinite(bound) and bound > 0) or (kind > 0) != math.isfinite(parameter):
            raise FileFormatError(f"packed risk curves declare an impossible kind, bound or tolerance. {_DAMAGED}")
        # Numbers of four bytes: two counts a curve, and score and value a record. All is checked before it is unpacked.
        size, held = 4 * (2 * curves + 2 * records + 2 * areas), len(data) - _HEADER.size
        if curves < 1 or size > 4 * MAXIMUM_VALUES or stored != held or size > stored * _DEFLATE_CEILING:
            raise FileFormatError(
                f"packed risk curves declare {curves} curves, {records} records and {areas} area records in "
                f"{stored} bytes, which cannot be. {_DAMAGED}"
            )
        inflater = zlib.decompressobj()
        try:
            # One byte more than declared shows a stream that is too long, without unpacking it.
            raw = inflater.decompress(memoryview(data)[_HEADER.size :], size + 1)
        except zlib.error as error:
            raise FileFormatError(f"packed risk curves do not decompress: {error}. {_DAMAGED}") from None
        if len(raw) != size or not inflater.eof or inflater.unused_data:
            raise FileFormatError(f"expected {size} bytes in packed risk curves; got others. {_DAMAGED}")
        ends = 4 * np.cumsum([0, curves, curves, records, records, areas, areas])
        parts = []
        for start, end in pairwise(ends.tolist()):
            grouped = np.frombuffer(raw, np.uint8, end - start, start).reshape(4, -1)
            differences = np.ascontiguousarray(grouped.T).view("<u4").ravel()
            # Differences were taken modulo 2^32, so sums wrap back to the numbers.
            parts.append(np.cumsum(differences, dtype=np.uint32))
        offsets, area_offsets = map(_offsets, parts[:2])
        if offsets[-1] != records or area_offsets[-1] != areas:
            raise FileFormatError(f"record counts of packed risk curves do not add up. {_DAMAGED}")
        scores, losses, area_scores, area_shares = map(_to_floats, parts[2:])
        _check(scores, losses, offsets, bound)
        _check(area_scores, area_shares, area_offsets, 1.0)
        given = {PARAMETERS[_KINDS[kind]]: parameter} if kind else {}
        return cls(offsets, scores, losses, area_offsets, area_scores, area_shares, bound, _KINDS[kind], **given)

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, index: int) -> RiskCurve:
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index below {len(self)}; got {index}")
        index %= len(self)
        records = slice(self.offsets[index], self.offsets[index + 1])
        area = slice(self.area_offsets[index], self.area_offsets[index + 1])
        areas = (self.area_scores[area], self.area_shares[area]) if area.stop > area.start else (None, None)
        return RiskCurve(
            self.scores[records], self.losses[records], area_scores=areas[0], area_shares=areas[1], **_loss_of(self)
        )

    def __iter__(self) -> Iterator[RiskCurve]:
        return (self[index] for index in range(len(self)))

    def subset(self, indices: NDArray[np.int64]) -> "CurveSet":
        # Random splits and groups ask for the same subsets again, whose own merged sums can be reused.
        if indices.size == len(self) and (indices == np.arange(len(self))).all():
            return self
        return self._derived.get_or_make(("subset", indices.tobytes()), lambda: self._subset(indices))

    def _subset(self, indices: NDArray[np.int64]) -> "CurveSet":
        records, area = _ranges(self.offsets, indices), _ranges(self.area_offsets, indices)
        return replace(
            self,
            offsets=_offsets(np.diff(self.offsets)[indices]),
            scores=self.scores[records],
            losses=self.losses[records],
            area_offsets=_offsets(np.diff(self.area_offsets)[indices]),
            area_scores=self.area_scores[area],
            area_shares=self.area_shares[area],
        )

    def up_to(self, threshold: float) -> "CurveSet":
        """Return the same shares up to `threshold`, and 1 above it, so that no level below 1 allows more."""
        return self._derived.get_or_make(
            ("up to", threshold), lambda: CurveSet.from_curves([curve.up_to(threshold) for curve in self])
        )

    def marked(self, largest: int) -> "CurveSet":
        """Return curves of an earlier version as ``marked``; `largest`: pixels of the largest photograph."""
        if largest > MOST_PIXELS:
            raise CalibrationError(
                f"an earlier version counted a grey level at every pixel of photographs of more than {MOST_PIXELS} "
                "pixels, which lets small wrong objects pass. Calibrate again in the same run folder: the draws are "
                "stored, so no call is made"
            )
        return self._derived.get_or_make(("marked", largest), lambda: replace(self, kind="marked"))

    def losses_at(self, threshold: float) -> NDArray[np.float64]:
        """Return the loss of each curve when scores < `threshold` are trusted: (n,) float64."""
        return self._steps(self.offsets, self.scores, self.losses, threshold)

    def trusted_shares_at(self, threshold: float) -> NDArray[np.float64]:
        """Return the share of pixels that each photograph trusts, (n,) float64; 0 for a refused one."""
        return self._steps(self.area_offsets, self.area_scores, self.area_shares, threshold)

    @staticmethod
    def _steps(
        offsets: NDArray[np.int64], scores: NDArray[np.float32], values: NDArray[np.float32], threshold: float
    ) -> NDArray[np.float64]:
        # Scores rise within a curve, so the count of scores below the threshold tells the last record reached.
        below = np.cumsum(np.concatenate(([False], scores < np.float64(threshold))))
        counts = below[offsets[1:]] - below[offsets[:-1]]
        reached = np.zeros(counts.size, np.float64)
        rises = counts > 0
        reached[rises] = values[(offsets[:-1] + counts - 1)[rises]]
        return reached

    @cached_property
    def bits(self) -> int:
        """Return the bits after the point in `grains` and `merged`."""
        return grain_bits(self.bound, len(self))

    @cached_property
    def jumps(self) -> NDArray[np.int64]:
        """Return how much each record's loss exceeds the one before in the same curve, in units of ``2^-bits``."""
        whole = grains(self.losses, self.bits)
        jumps = np.diff(whole, prepend=0)
        # The first record of a curve jumps from 0, not from the last loss of the curve before.
        starts = self.offsets[:-1][np.diff(self.offsets) > 0]
        jumps[starts] = whole[starts]
        return jumps

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Return the permutation that sorts all records by score; equal scores stay in their order."""
        return by_score(self.scores)

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """Return the index of the curve that each record belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def merged(self) -> Merged:
        """Return ``sum_i L_i``."""
        return merge(self.scores, self.order, self.jumps, self.bits)

    def weighted(self, weights: NDArray[np.int64]) -> Merged:
        """Return ``sum_i w_i L_i`` for whole weights of at most 2^24, one a curve."""
        return self._derived.get_or_make(
            ("weighted", weights.tobytes()),
            lambda: merge(self.scores, self.order, self.jumps, self.bits, weights[self.owner]),
        )

    @cached_property
    def _derived(self) -> "Recent":
        """Keep the last few subsets and weighted sums, so that many levels reuse one merge."""
        return Recent()


def _check(
    scores: NDArray[np.float32], values: NDArray[np.float32], offsets: NDArray[np.int64], highest: float
) -> None:
    inner = np.ones(scores.size, bool)
    # Curves without records have no first record.
    inner[offsets[:-1][np.diff(offsets) > 0]] = False
    previous_scores, previous_values = np.roll(scores, 1), np.roll(values, 1)
    rising = (scores > previous_scores) & (values > previous_values)
    # Comparisons with NaN are False, so a NaN anywhere is refused too.
    fine = (scores < np.inf) & (values > 0) & (values <= np.float64(highest)) & (rising | ~inner)
    if not fine.all():
        raise FileFormatError(f"packed risk curves hold a curve that does not increase or leaves its range. {_DAMAGED}")


def _to_floats(integers: NDArray[np.uint32]) -> NDArray[np.float32]:
    bits = np.where(integers >> 31, integers & np.uint32(0x7FFFFFFF), ~integers).astype("<u4")
    return bits.view("<f4").astype(np.float32)


def _shuffle(integers: NDArray[np.uint32]) -> bytes:
    """Return differences of neighbours, modulo 2^32, bytes regrouped by significance."""
    differences = np.diff(integers, prepend=np.zeros(1, "<u4")).astype("<u4")
    # The highest bytes of differences are nearly all 0; put together they compress to almost nothing.
    return np.ascontiguousarray(differences.view(np.uint8).reshape(-1, 4).T).tobytes()


Made = TypeVar("Made", CurveSet, Merged)


class Recent(dict[tuple[str, Any], Any]):
    """A dictionary that forgets its oldest entry beyond sixteen."""

    def get_or_make(self, key: tuple[str, Any], make: Callable[[], Made]) -> Made:
        if key not in self:
            self[key] = make()
        made: Made = self[key]
        if len(self) > 16:
            del self[next(iter(self))]
        return made


def _loss_of(curves: RiskCurve | CurveSet) -> dict[str, Any]:
    return {name: getattr(curves, name) for name in ("kind", "bound", "tolerance", "left_out", "ceiling", "side")}


def _offsets(counts: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(counts, dtype=np.int64))])


def _ranges(offsets: NDArray[np.int64], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = np.diff(offsets)[indices]
    # For each record its place in the result is known; the added difference turns it into the place in the source.
    starts = np.repeat(offsets[indices] - (np.cumsum(counts) - counts), counts)
    return starts + np.arange(starts.size)


def _one_of_text(text: str) -> RiskCurve:
    curves = CurveSet.from_text(text)
    if len(curves) != 1:
        raise CalibrationError(f"expected one risk curve; got {len(curves)}")
    return curves[0]


StoredCurve = Annotated[
    RiskCurve, PlainValidator(_one_of_text), PlainSerializer(lambda curve: CurveSet.from_curves([curve]).to_text())
]
"""A curve as a field of a stored document: the packed form in base64."""

StoredCurves = Annotated[CurveSet, PlainValidator(CurveSet.from_text), PlainSerializer(CurveSet.to_text)]
"""Many curves as a field of a stored document."""


@lru_cache(maxsize=4)
def pool(curves: CurveSet, labels: tuple[Hashable, ...]) -> CurveSet:
    """Return one curve per label, in order of first appearance: the mean of its curves at every threshold.

    The mean is exact in whole numbers and then rounded up to float32, never down. Trusted shares are left out.
    """
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return CurveSet.from_curves([_mean(curves.subset(np.array(indices))) for indices in members.values()])


def mean_of_clusters(values: NDArray[np.float64], clusters: Sequence[str]) -> NDArray[np.float64]:
    """Return the mean of `values`, (m,) float64, in each cluster, in order of first appearance."""
    if len(clusters) != len(values):
        raise UsageError(f"expected one cluster for each of {len(values)} pictures; got {len(clusters)}")
    index = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    owner = np.array([index[name] for name in clusters], dtype=np.int64)
    return np.bincount(owner, values) / np.bincount(owner)


def _mean(curves: CurveSet) -> RiskCurve:
    if len(curves) == 1:
        only = curves[0]
        # A photograph in one tile keeps its curve to the bit; only the trusted shares go, as for the others.
        return replace(only, area_scores=None, area_shares=None)
    # Rounded up, but never above the bound, which rounding may pass and the mean cannot.
    losses = np.minimum(curves.merged.means_up(len(curves)), largest_loss(curves.bound))
    grows = losses > np.r_[np.float32(0), losses[:-1]]
    scores = curves.merged.scores.astype(np.float32)
    return replace(curves[0], scores=scores[grows], losses=losses[grows], area_scores=None, area_shares=None)
