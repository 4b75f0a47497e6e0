"""Many risk curves as flat arrays, for arithmetic over thousands of photographs at once."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.risk import curve_codec
from blackbox_conformal.method.risk.curve import Kind, RiskCurve
from blackbox_conformal.method.risk.exact import grain_bits, grains
from blackbox_conformal.method.risk.merged_curves import Merged, merge


@dataclass(frozen=True, eq=False)
class CurveSet:
    """n risk curves of one kind and bound, with one tolerance or share left out.

    Attributes
    ----------
    offsets
        (n + 1,) int64: curve i owns records ``offsets[i]`` to ``offsets[i + 1]``.
    scores, losses
        Records of all curves, float32.
    area_offsets, area_scores, area_shares
        The same for the trusted share; a curve without it owns none.
    bound, kind, tolerance, left_out
        As in `RiskCurve`.
    """

    offsets: NDArray[np.int64]
    scores: NDArray[np.float32]
    losses: NDArray[np.float32]
    area_offsets: NDArray[np.int64]
    area_scores: NDArray[np.float32]
    area_shares: NDArray[np.float32]
    bound: float
    kind: Kind = "supremum"
    tolerance: float | None = None
    left_out: float | None = None

    @classmethod
    def from_curves(cls, curves: Sequence[RiskCurve]) -> Self:
        """The set of `curves`, in their order.

        Raises
        ------
        CalibrationError
            There is none, or they differ in kind, bound or tolerance.
        """
        if not curves:
            raise CalibrationError("expected at least one risk curve; got none. Calibrate on at least one photograph")
        first = curves[0]
        for index, curve in enumerate(curves):
            if _loss_of(curve) != _loss_of(first):
                raise CalibrationError(
                    "expected curves of one kind, bound, tolerance and share left out; got "
                    f"{_loss_of(first)} and, in curve {index}, {_loss_of(curve)}. Compute all with one metric"
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
            first.bound,
            first.kind,
            first.tolerance,
            first.left_out,
        )

    @classmethod
    def of(cls, curves: "CurveSet | Sequence[RiskCurve]") -> "CurveSet":
        """`curves` themselves when they are a set already."""
        return curves if isinstance(curves, CurveSet) else cls.from_curves(curves)

    def to_bytes(self) -> bytes:
        """Lossless packed form; see `codec`."""
        return curve_codec.pack(
            curve_codec.Content(
                np.diff(self.offsets),
                self.scores,
                self.losses,
                np.diff(self.area_offsets),
                self.area_scores,
                self.area_shares,
                self.bound,
                self.kind,
                self.tolerance if self.kind == "share" else self.left_out,
            )
        )

    def to_text(self) -> str:
        """The packed form in base64, as JSON carries it."""
        return base64.b64encode(self.to_bytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the packed form in base64; errors as for `from_bytes`, or ValueError where it is no base64."""
        return cls.from_bytes(base64.b64decode(text, validate=True))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the packed form.

        Raises
        ------
        FileFormatError
            The bytes are damaged, foreign, newer, or built to harm; refused before memory is taken for them.
        """
        content = curve_codec.unpack(data)
        return cls(
            _offsets(content.counts),
            content.scores,
            content.losses,
            _offsets(content.area_counts),
            content.area_scores,
            content.area_shares,
            content.bound,
            content.kind,
            content.parameter if content.kind == "share" else None,
            content.parameter if content.kind == "all-but" else None,
        )

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, index: int) -> RiskCurve:
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index below {len(self)}; got {index}")
        index %= len(self)
        records = slice(self.offsets[index], self.offsets[index + 1])
        area = slice(self.area_offsets[index], self.area_offsets[index + 1])
        has_area = area.stop > area.start
        return RiskCurve(
            self.scores[records],
            self.losses[records],
            self.bound,
            self.kind,
            self.tolerance,
            self.area_scores[area] if has_area else None,
            self.area_shares[area] if has_area else None,
            self.left_out,
        )

    def __iter__(self) -> Iterator[RiskCurve]:
        return (self[index] for index in range(len(self)))

    def subset(self, indices: NDArray[np.int64]) -> "CurveSet":
        """The curves at `indices`, in that order."""
        key = ("subset", indices.tobytes())
        if key not in self._derived:
            self._derived[key] = self._subset(indices)
        curves: CurveSet = self._derived[key]
        return curves

    def _subset(self, indices: NDArray[np.int64]) -> "CurveSet":
        if indices.size == len(self) and (indices == np.arange(len(self))).all():
            return self
        records, area = _ranges(self.offsets, indices), _ranges(self.area_offsets, indices)
        return CurveSet(
            _offsets(np.diff(self.offsets)[indices]),
            self.scores[records],
            self.losses[records],
            _offsets(np.diff(self.area_offsets)[indices]),
            self.area_scores[area],
            self.area_shares[area],
            self.bound,
            self.kind,
            self.tolerance,
            self.left_out,
        )

    def losses_at(self, threshold: float) -> NDArray[np.float64]:
        """(n,) float64: the loss of each curve when scores < `threshold` are trusted."""
        return self._steps(self.offsets, self.scores, self.losses, threshold)

    def trusted_shares_at(self, threshold: float) -> NDArray[np.float64]:
        """(n,) float64: share of pixels that each photograph trusts; 0 for a refused one, which trusts none."""
        return self._steps(self.area_offsets, self.area_scores, self.area_shares, threshold)

    @staticmethod
    def _steps(
        offsets: NDArray[np.int64], scores: NDArray[np.float32], values: NDArray[np.float32], threshold: float
    ) -> NDArray[np.float64]:
        below = np.r_[0, np.cumsum(scores < np.float64(threshold))]
        counts = below[offsets[1:]] - below[offsets[:-1]]
        reached = np.zeros(counts.size, np.float64)
        rises = counts > 0
        reached[rises] = values[(offsets[:-1] + counts - 1)[rises]]
        return reached

    @cached_property
    def bits(self) -> int:
        """Bits after the point in `grains` and `merged`."""
        return grain_bits(self.bound, len(self))

    @cached_property
    def jumps(self) -> NDArray[np.int64]:
        """By how much each record's loss exceeds its predecessor's in the same curve, in units of ``2^-bits``."""
        whole = grains(self.losses, self.bits)
        jumps = np.diff(whole, prepend=0)
        starts = self.offsets[:-1][np.diff(self.offsets) > 0]
        jumps[starts] = whole[starts]
        return jumps

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The permutation that sorts all records by score; equal scores stay in their order."""
        # Whole numbers of score and position together sort several times faster than floats with an index. The bits of
        # a float are in its order once those of a negative one are inverted and those of others get the highest bit.
        bits = (self.scores + np.float32(0)).view(np.uint32)
        keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
        keys = (keys << np.uint64(32)) | np.arange(bits.size, dtype=np.uint64)
        keys.sort()
        return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """The index of the curve that each record belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def merged(self) -> Merged:
        """``sum_i L_i``."""
        return merge(self.scores, self.order, self.jumps, self.bits)

    def weighted(self, weights: NDArray[np.int64]) -> Merged:
        """``sum_i w_i L_i`` for whole weights of at most 2^24, one a curve."""
        key = ("weighted", weights.tobytes())
        if key not in self._derived:
            self._derived[key] = merge(self.scores, self.order, self.jumps, self.bits, weights[self.owner])
        merged: Merged = self._derived[key]
        return merged

    @cached_property
    def _derived(self) -> "Recent":
        """The last few subsets and weighted sums, so that many levels are asked of one merge."""
        return Recent()


class Recent(dict[tuple[str, Any], Any]):
    """A dictionary that forgets its oldest entry beyond sixteen."""

    def __setitem__(self, key: tuple[str, Any], value: Any) -> None:
        super().__setitem__(key, value)
        if len(self) > 16:
            del self[next(iter(self))]


def _loss_of(curve: RiskCurve) -> tuple[Any, ...]:
    return curve.kind, curve.bound, curve.tolerance, curve.left_out


def _offsets(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(counts, dtype=np.int64))])


def _ranges(offsets: NDArray[np.int64], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of all records of the curves at `indices`."""
    counts = np.diff(offsets)[indices]
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
