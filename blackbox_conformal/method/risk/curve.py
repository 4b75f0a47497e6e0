"""The risk curve of one photograph: its loss as a function of the threshold, as an exact staircase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blackbox_conformal.errors import CalibrationError, MapError, UsageError
from blackbox_conformal.method.kernels._buckets import sort_places
from blackbox_conformal.method.kernels.detail import Energies, Leasts, detail_losses
from blackbox_conformal.method.kernels.sorted_staircases import all_but_staircase, squares_staircase
from blackbox_conformal.method.kernels.staircase import Counts, share_staircase, staircase_and_area, survey_maps
from blackbox_conformal.method.risk.exact import as_typed, largest_loss
from blackbox_conformal.support.rounding import all_down
from blackbox_conformal.support.types import Map


def check_shapes(score_map: NDArray[np.float32], errors: NDArray[np.float32]) -> None:
    """Refuse maps that are empty, or whose shapes differ or are not (H, W)."""
    if score_map.ndim != 2 or score_map.shape != errors.shape:
        raise MapError(
            f"expected two maps of one shape (H, W); got shapes {score_map.shape} and {errors.shape}. "
            "Compute both on the delivered picture's grid"
        )
    if score_map.size == 0:
        raise MapError("expected maps with at least one pixel; got none")


def refuse_values(score_map: NDArray[np.float32], errors: NDArray[np.float32], bound: float) -> None:
    """Refuse values that no staircase may be made of, and name the first."""
    _refuse("score", score_map, ~np.isfinite(score_map), "a finite number")
    _refuse("error", errors, ~np.isfinite(errors), "a finite number")
    # Nearest float32: a map clipped at a bound that float32 cannot hold passes; `curve` clips the rounding.
    outside = (errors < 0) | (errors > np.float32(bound))
    _refuse("error", errors, outside, f"a value in [0, {bound}]")


def _refuse(name: str, values: NDArray[np.float32], wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        row, column = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise MapError(
            f"expected {expected} at every pixel of the {name} map; got {float(values[row, column])!r} at row {row}, "
            f"column {column} ({int(wrong.sum())} such pixels). Correct the map or declare a larger bound"
        )


# Loss kinds in the order of their numbers in files; an earlier version made ``marked-by-area``.
Kind = Literal["supremum", "share", "all-but", "marked-by-area", "clear-share", "local", "marked", "marked-in-squares"]
# Kinds whose every loss is a share, whatever the metric's bound.
SHARES: tuple[Kind, ...] = ("share", "marked-by-area", "marked", "clear-share", "marked-in-squares")
DETAIL: tuple[Kind, ...] = ("marked", "clear-share", "marked-in-squares")  # Kinds that add up energies of detail.

PARAMETERS: dict[Kind, str] = {
    "share": "tolerance",
    "all-but": "left_out",
    "local": "side",
    "marked-by-area": "ceiling",
    "marked": "ceiling",
    "clear-share": "ceiling",
    "marked-in-squares": "ceiling",
}
"""The parameters that all curves of a kind share beside their bound."""

LEAST_INVENTED = 1.0  # Squared grey levels a pixel that ``marked`` adds to a picture's invented energy.

MOST_PIXELS = 256 * 256
"""Pixels that count for `LEAST_INVENTED`, at most. With all pixels the sum would outgrow any one object: 32 x 32 pixels
wrong by 40 levels have a loss of 0.98 in an else quiet picture of 192 x 192, and would have one of 0.09 in 4096 x
4096."""

# Side of the squares of ``marked-in-squares``, in pixels of the delivered picture, from its upper left corner on.
SQUARE = 128
# ``clear-share`` divides by at least this share of all added detail, also where the clear part holds less.
LEAST_CLEAR = 0.05
STEPS = 4096  # Losses of these kinds are rounded up to multiples of 1 / 4096, which are exact in single precision.


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """``L(t)``: nondecreasing, left-continuous, between 0 and `bound`; 0 at ``t = -inf``.

    Attributes
    ----------
    scores, losses
        Records, float32, both strictly increasing: ``L(t)`` is the loss of the last record whose score is < t.
        A score of ``-inf`` means that the loss is met as soon as anything is trusted.
    bound
        The largest loss possible.
    kind
        ``supremum``: the largest error among trusted pixels. ``share``: the share of all pixels that are trusted
        and wrong by more than `tolerance`. ``all-but``: the largest error among trusted pixels when the largest of
        them are left out, as many as `left_out` of all pixels. ``local``: the largest error among trusted pixels of a
        square of `side` pixels, averaged over the picture. ``marked``: the share of invented detail that is trusted;
        ``marked-by-area`` the same with `LEAST_INVENTED` at every pixel. ``clear-share``: the share of trusted added
        detail that is invented, the largest so far. ``marked-in-squares``: the loss ``marked`` of each square of
        `SQUARE` pixels, averaged over the picture. The last four are 1 for every threshold above `ceiling`.
    tolerance, left_out, ceiling, side
        See `kind`; None for other kinds.
    area_scores, area_shares
        For reporting only: the share of pixels that score no more than each score, in about 256 steps; or None.
    """

    scores: NDArray[np.float32]
    losses: NDArray[np.float32]
    bound: float
    kind: Kind = "supremum"
    tolerance: float | None = None
    area_scores: NDArray[np.float32] | None = None
    area_shares: NDArray[np.float32] | None = None
    left_out: float | None = None
    ceiling: float | None = None
    side: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bound) and self.bound > 0):
            raise CalibrationError(f"expected a finite bound above 0; got {self.bound!r}")
        for name in dict.fromkeys(PARAMETERS.values()):
            if (PARAMETERS.get(self.kind) == name) != ((value := getattr(self, name)) is not None):
                raise CalibrationError(f"expected {name} of curves that have one; got {value!r} of a {self.kind} curve")
        for name in ("scores", "losses", "area_scores", "area_shares"):
            values = getattr(self, name)
            # Copied and made read-only: many sets share a curve and compare and hash it by its content.
            if values is not None:
                values = np.array(values, dtype=np.float32)
                values.setflags(write=False)
                object.__setattr__(self, name, values)
        _check_records(self.scores, self.losses, self.bound)
        if (self.area_scores is None) != (self.area_shares is None):
            raise CalibrationError("expected both area_scores and area_shares or neither; got one of them")
        if self.area_scores is not None and self.area_shares is not None:
            _check_records(self.area_scores, self.area_shares, 1.0)

    def __repr__(self) -> str:
        largest = f"{self.losses[-1]:.4g}" if self.losses.size else "0"
        return f"<RiskCurve, {self.kind}: {self.scores.size} steps, largest loss {largest}, bound {self.bound:g}>"

    @classmethod
    def from_maps(
        cls,
        score_map: ArrayLike,
        errors: ArrayLike,
        *,
        bound: float,
        tolerance: float | None = None,
        left_out: float | None = None,
        side: float | None = None,
    ) -> Self:
        """Return the exact curve of one photograph: Adame, Csillag and Goedert (2025), Section 3, with ``<`` for `<=`.

        Parameters
        ----------
        score_map
            Score map, (H, W) float32, finite; larger = less sure.
        errors
            Error map, (H, W) float32 in [0, bound].
        bound
            The largest value the metric can take.
        tolerance
            None: loss = largest error among trusted pixels. A number: loss = share of all pixels that are trusted and
            wrong by more than it, rounded up to a grid of 1024 steps.
        left_out
            A share of all pixels: loss = largest trusted error but for the largest ones, this share rounded down;
            rounded up to a 4096th of `bound`. Not together with `tolerance`.
        side
            Of squares in pixels: loss = largest error among trusted pixels of a square, averaged over the picture;
            rounded up as for `left_out`, and alone.

        Raises
        ------
        MapError
            Shapes differ, a value is not finite, or a metric value lies outside [0, bound].
        CalibrationError
            Bound or tolerance is not usable.
        """
        # At most one other loss is requested; without one the curve of the largest error is the only one.
        tolerances = () if tolerance is None else (tolerance,)
        shares = () if left_out is None else (left_out,)
        sides = () if side is None else (side,)
        return cls.family(score_map, errors, bound=bound, tolerances=tolerances, left_out=shares, sides=sides)[-1]

    @classmethod
    def family(
        cls,
        score_map: ArrayLike,
        errors: ArrayLike,
        *,
        bound: float,
        tolerances: Sequence[float] = (),
        left_out: Sequence[float] = (),
        sides: Sequence[float] = (),
    ) -> list[Self]:
        """Return the curves of one photograph, the largest error's first, in one go over the maps.

        Then come the share wrong by each of `tolerances`, the largest error but for each share in `left_out`, and the
        mean of the largest errors in squares of each of `sides`. Parameters and errors are as for `from_maps`.
        """
        scores_map = np.ascontiguousarray(score_map, dtype=np.float32)
        error_map = np.ascontiguousarray(errors, dtype=np.float32)
        if not (math.isfinite(bound) and bound > 0):
            raise CalibrationError(f"expected a finite bound above 0; got {bound!r}")
        for tolerance in tolerances:
            if not (math.isfinite(tolerance) and tolerance >= 0):
                raise CalibrationError(f"expected a finite tolerance >= 0; got {tolerance!r}")
        for share in left_out:
            if not 0 < share < 1:
                raise CalibrationError(f"expected a share to leave out between 0 and 1; got {share!r}")
        check_shapes(scores_map, error_map)
        survey = survey_maps(scores_map, error_map)
        # One pass tells whether anything is wrong; only then the message looks at each value.
        if not survey.in_order or survey.scored < scores_map.size or survey.largest_loss > np.float32(bound):
            refuse_values(scores_map, error_map, bound)
        # A bound that float32 cannot hold may round up; no loss may exceed the bound, so the excess is cut.
        if survey.largest_loss > largest_loss(bound):
            error_map = np.minimum(error_map, largest_loss(bound))
            survey = survey_maps(scores_map, error_map)
        records, counts = staircase_and_area(scores_map, error_map, survey=survey)
        area = _area(counts, scores_map.size)
        shares = [
            cls(*share_staircase(scores_map, error_map, tolerance), 1.0, "share", float(tolerance), *area)
            for tolerance in tolerances
        ]
        rest = [
            cls(
                # The share as typed, rounded down: no more pixels are left out than the guarantee says.
                *all_but_staircase(scores_map, error_map, math.floor(as_typed(share) * scores_map.size), bound),
                bound,
                "all-but",
                None,
                *area,
                float(share),
            )
            for share in left_out
        ]
        local = [
            cls(*squares_staircase(scores_map, error_map, int(side), bound), bound, "local", None, *area, side=side)
            for side in sides
        ]
        return [cls(*records, bound, "supremum", None, *area), *shares, *rest, *local]

    def of_detail(self, score_map: ArrayLike, energies: Energies, ceiling: float) -> list[Self]:
        """Return the curves in `DETAIL` of the photograph that this curve belongs to.

        `score_map` is (H, W) float32, finite. `energies` are the invented and all the added detail, (H, W) float32
        each, in squares of grey levels. `ceiling` is the largest threshold that is ever allowed, in the score's unit.
        """
        scores, top = np.ascontiguousarray(score_map, np.float32), np.float32(ceiling)
        check_shapes(scores, energies.part)
        order = by_score(scores.ravel())
        leasts = Leasts(least_invented(order.size), LEAST_INVENTED, LEAST_CLEAR)
        area = self.area_scores, self.area_shares
        return [
            type(self)(at, losses, 1.0, kind, None, *area, ceiling=ceiling)
            for kind, (at, losses) in zip(
                DETAIL, detail_losses(order, scores, energies, top, SQUARE, STEPS, leasts), strict=True
            )
        ]

    @classmethod
    def worst(cls, bound: float, kind: Kind = "supremum", **parameter: Any) -> Self:
        """Return the curve of a photograph that the vendor refused: the worst loss as soon as anything is trusted."""
        highest = 1.0 if kind in SHARES else bound
        # The record at -inf lies below every threshold that trusts anything.
        losses = np.array([largest_loss(highest)], np.float32)
        return cls(np.array([-np.inf], np.float32), losses, highest, kind, **parameter)

    def up_to(self, threshold: float) -> Self:
        """Return the curve of a share with the loss 1 for every threshold above `threshold`."""
        # A threshold that single precision cannot hold is rounded down, which trusts less.
        top = all_down(np.array([threshold]))[0]
        kept = self.scores < top
        if threshold == math.inf or (self.losses[kept] == 1).any():
            return self
        return replace(self, scores=np.append(self.scores[kept], top), losses=np.append(self.losses[kept], 1.0))

    @overload
    def loss(self, threshold: float) -> float: ...
    @overload
    def loss(self, threshold: NDArray[Any]) -> NDArray[np.float64]: ...
    def loss(self, threshold: float | NDArray[Any]) -> float | NDArray[np.float64]:
        """Return the loss when pixels that score < `threshold` are trusted; an array in, an array out.

        Raises
        ------
        UsageError
            A threshold is NaN.
        """
        return self._step(self.scores, self.losses, threshold)

    @overload
    def trusted_share(self, threshold: float) -> float: ...
    @overload
    def trusted_share(self, threshold: NDArray[Any]) -> NDArray[np.float64]: ...
    def trusted_share(self, threshold: float | NDArray[Any]) -> float | NDArray[np.float64]:
        """Return the share of pixels that score < `threshold`, at most a step too low, never too high, or NaN."""
        if self.area_scores is None or self.area_shares is None:
            unknown = np.full(np.shape(threshold), np.nan)
            return unknown if isinstance(threshold, np.ndarray) else float(unknown)
        return self._step(self.area_scores, self.area_shares, threshold)

    @staticmethod
    def _step(
        scores: NDArray[np.float32], values: NDArray[np.float32], threshold: float | NDArray[Any]
    ) -> float | NDArray[np.float64]:
        # In float64: a threshold rounded to float32 could pass a score that it lies below.
        thresholds = np.asarray(threshold, dtype=np.float64)
        if np.isnan(thresholds).any():
            raise UsageError("expected thresholds, -inf for nothing or +inf for everything; got NaN")
        # "left" makes it strict: a score equal to the threshold is not trusted.
        below = np.searchsorted(scores.astype(np.float64), thresholds, side="left")
        reached = np.concatenate(([0.0], values))[below]
        return reached if isinstance(threshold, np.ndarray) else float(reached)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RiskCurve):
            # The arrays are read-only, so content may serve as identity.
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[Any, ...]:
        arrays = (self.scores, self.losses, self.area_scores, self.area_shares)
        packed = tuple(None if values is None else values.tobytes() for values in arrays)
        return (*packed, self.bound, self.kind, self.tolerance, self.left_out, self.ceiling, self.side)


def least_invented(pixels: float) -> float:
    """Return the energy that ``marked`` adds to the invented energy of a picture with so many pixels."""
    return LEAST_INVENTED * min(pixels, MOST_PIXELS)


def in_order(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return whole numbers in the same order as (n,) floats, little-endian; neighbouring floats give neighbours."""
    bits = np.asarray(values, "<f4").view("<u4")
    # A negative float's bits fall as it rises, and have the highest bit, which the bits of other floats lack.
    return np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000)).astype("<u4")


def by_score(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the permutation that sorts (n,) scores; equal ones stay in their order."""
    # Adding 0 turns -0 into 0, which is the same score.
    keys = in_order(scores + np.float32(0))
    places, spare = np.empty((2, keys.size), np.int64)
    sort_places(keys, places, spare)
    return places


def _area(area: Counts, pixels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    scores, counts = area
    # Rounded down: a report must not show more trusted area than there is.
    shares = all_down(counts / pixels)
    # Counts of many millions may differ by less than float32 shows.
    grows = np.diff(shares, prepend=np.float32(0)) > 0
    return scores[grows], shares[grows]


def _check_records(scores: NDArray[np.float32], losses: NDArray[np.float32], bound: float) -> None:
    if scores.ndim != 1 or scores.shape != losses.shape:
        raise CalibrationError(f"expected as many scores as values; got shapes {scores.shape} and {losses.shape}")
    if not (scores < np.inf).all() or not np.isfinite(losses).all():
        raise CalibrationError("expected scores below +inf and finite values in a curve; got NaN or an infinity")
    if (scores[1:] <= scores[:-1]).any() or (losses[1:] <= losses[:-1]).any():
        raise CalibrationError("expected scores and values that both strictly increase in a curve; got others")
    # A loss of 0 needs no record, and would break that losses strictly increase.
    if losses.size and not (losses[0] > 0 and losses[-1] <= np.float64(bound)):
        raise CalibrationError(
            f"expected values in (0, {bound}] in a curve; got {float(losses[0])!r} to {float(losses[-1])!r}"
        )


DEFAULT_TOLERANCE = 0.1
"""The share of pixels wrong by more than this is always stored, so that `false-trust` needs no second calibration."""


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses that get a curve, beside the largest trusted error.

    `tolerances`, `left_out` and `sides` are as in `RiskCurve.family`; `ceiling` is the largest threshold of curves of
    detail, None: none are made.
    """

    tolerances: tuple[float, ...] = ()
    left_out: tuple[float, ...] = ()
    sides: tuple[float, ...] = ()
    ceiling: float | None = None

    def curves(self, scores: Map, errors: Map, energies: Energies | None, bound: float) -> list[RiskCurve]:
        """Return the curves of one photograph, the largest error's first; a ceiling needs `energies`."""
        family = RiskCurve.family(
            scores, errors, bound=bound, tolerances=self.tolerances, left_out=self.left_out, sides=self.sides
        )
        if self.ceiling is None:
            return family
        assert energies is not None
        return [*family, *family[0].of_detail(scores, energies, self.ceiling)]

    def worst(self, bound: float) -> list[RiskCurve]:
        """Return the curves of a photograph that the vendor refused."""
        return [
            RiskCurve.worst(bound),
            *(RiskCurve.worst(bound, "share", tolerance=tolerance) for tolerance in self.tolerances),
            *(RiskCurve.worst(bound, "all-but", left_out=share) for share in self.left_out),
            *(RiskCurve.worst(bound, "local", side=side) for side in self.sides),
            *(RiskCurve.worst(bound, kind, ceiling=self.ceiling) for kind in DETAIL if self.ceiling is not None),
        ]
