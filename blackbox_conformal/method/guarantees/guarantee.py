"""The base class of guarantees: a rule from risk curves and a level to a threshold, with its needs and its wording."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import InstanceOf, model_validator

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees import NOT_MEMBERS
from blackbox_conformal.method.risk.curve import DEFAULT_TOLERANCE, DETAIL, PARAMETERS, SHARES, Kind, Losses, RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet, mean_of_clusters, pool
from blackbox_conformal.method.risk.exact import as_typed, exact_bound
from blackbox_conformal.method.risk.samples import ROUNDING, Samples
from blackbox_conformal.support import catalog
from blackbox_conformal.support.catalog import Plugin
from blackbox_conformal.support.wording import exactly


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim that the mean of `losses`, each in [0, `bound`], is at most `level`."""

    losses: NDArray[np.float64]  # (units,) one value a photograph, or a photograph's mean over its tiles.
    level: float
    bound: float
    # Whether the mean is also over calibration sets, so that a single calibration may lie above `level`. False: the
    # claim is about the one calibration, at a stated confidence.
    averages: bool = True
    binary: bool = False  # Whether each loss is 0 or `bound`.


@dataclass(frozen=True, eq=False)
class Units:
    """One curve per unit, with the guarantee for them."""

    rule: Guarantee  # The guarantee without groups and clusters, for `curves`.
    curves: CurveSet  # One curve a photograph: its own, or the mean over its tiles.
    parts: CurveSet  # The curves of tiles or photographs from which the units are made.
    clusters: tuple[str, ...] | None  # The photograph that each of `parts` belongs to; None: each is one.

    def trusted_shares_at(self, threshold: float) -> NDArray[np.float64]:
        """Return the trusted share of each photograph, a mean over its tiles: (units,) float64."""
        shares = self.parts.trusted_shares_at(threshold)
        return shares if self.clusters is None else mean_of_clusters(shares, self.clusters)

    def pooled(self, unseen: CurveSet, clusters: Sequence[str] | None) -> CurveSet | None:
        """Put these units and an audit's into one set; None where one side has photographs and the other tiles."""
        if (self.clusters is None) != (clusters is None):
            return None
        new = unseen if clusters is None else pool(unseen, tuple(clusters))
        return CurveSet.from_curves([*self.curves, *new])


BoundOfNew = float | InstanceOf[RiskCurve] | Callable[[float], float]
"""An upper bound on one picture's loss: a number, a staircase, or a nondecreasing function of the threshold."""

BoundSource = Literal["metric", "delivered", "input"]

TREATED_ALIKE = (
    "The vendor treats the new picture as it treated the calibration photographs. One that tells them apart, or learns "
    "how it is scored and changes, can have any share of invention clear."
)
"""An assumption that no mathematics can replace; certificates of earlier versions do not state it."""

NOT_SIGNED = (
    "The calibration file is what its maker computed. It is not signed, so no key vouches for it: everybody who can "
    "write the file can change its curves."
)
"""The assumption that a calibration without a signature needs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold and, when it trusts nothing, why."""

    threshold: float  # Trust where score < threshold; -inf nothing, +inf everything.
    missing_images: int = 0  # How many more photographs the level needs at least; 0 when something can be trusted.
    reason: str | None = None  # One sentence when nothing can be trusted, else None.


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of a guarantee besides an unchanged procedure."""

    # Calibration and new photographs must be ``exchangeable``, or ``iid``, which is more.
    sampling: Literal["exchangeable", "iid"]
    curve_kind: Kind  # The kind of its curves.
    parameter: float | None = None  # The required parameter of these curves, see `PARAMETERS`; None: anything.


class Guarantee(Plugin):
    """A guarantee with its parameters; a file `guarantees/NAME.py` defines one subclass and calls it PLUGIN.

    `sampling`, `curve_kind`: See `Needs`; ask `needs`, which also knows about a guarantee within.
    `curve_parameter`: The field that holds the parameter of its curves; empty where they have none.
    `theorem`: The source of its proof.
    `zero_allowed`: Whether a level of 0 means something.
    `bounds_tile_means`: Whether it still holds where each loss is a mean over a photograph's tiles, so that
      `by-cluster` can use it.
    `holds_at_every_size`: Whether a picture loses as much as its parts do on average, so that larger pictures need not
      lose more.
    `refused`: Parameters of other guarantees that this one must not have, with the reason.
    """

    sampling: ClassVar[Literal["exchangeable", "iid"]] = "exchangeable"
    curve_kind: ClassVar[Kind] = "supremum"
    curve_parameter: ClassVar[str] = ""
    theorem: ClassVar[str] = ""
    zero_allowed: ClassVar[bool] = False
    bounds_tile_means: ClassVar[bool] = False
    holds_at_every_size: ClassVar[bool] = False
    refused: ClassVar[dict[str, str]] = {}
    unsaid: ClassVar[tuple[str, ...]] = ()
    """Later parameters that `specification` leaves out where not given, so that older specifications stay the same."""

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, parameters: Any) -> Any:
        if isinstance(parameters, dict):
            for name, reason in cls.refused.items():
                if name in parameters:
                    raise ValueError(f"{name} cannot be combined with this guarantee: {reason}")
        return parameters

    def specification(self) -> dict[str, Any]:
        content = super().specification()
        return {key: value for key, value in content.items() if value or key not in self.unsaid}

    def threshold(self, curves: CurveSet, alpha: float) -> float:
        """Return the largest threshold that keeps the guarantee at `alpha`; pixels that score < t are trusted.

        -inf trusts nothing, +inf everything.

        Raises
        ------
        UsageError
            The level is not a positive finite number, or parameters do not fit the curves.
        CalibrationError
            The curves are of another kind than this guarantee is for.
        """
        return self.choose(curves, alpha).threshold

    def choose(self, curves: CurveSet, alpha: float) -> Choice:
        """Return the `threshold`, with the reason and the number of missing photographs when nothing can be trusted."""
        self.check(curves, alpha)
        threshold = self._threshold(curves, as_typed(alpha, "alpha"))
        if threshold > -math.inf:
            return Choice(threshold)
        # At least one: a threshold of -inf means that the photographs at hand do not suffice.
        missing = max(1, self._needed(curves, as_typed(alpha)) - len(curves))
        return Choice(
            threshold,
            missing,
            f"nothing can be trusted at {alpha:g}: {len(curves)} {self.unit}, and at least "
            f"{number_in_words(len(curves) + missing)} are needed. Add {number_in_words(missing)} or choose a larger "
            "level",
        )

    def check(self, curves: CurveSet, alpha: float | None = None) -> None:
        """Refuse levels and curves that `threshold` refuses."""
        if alpha is not None:
            # Against the bound of the losses: a share of the picture cannot exceed 1, whatever the metric's bound.
            self.check_level(alpha, curves.bound)
        if curves.kind != self.needs.curve_kind:
            raise CalibrationError(
                f"expected {self.needs.curve_kind} curves for this guarantee; got {curves.kind} curves. "
                "A tolerance at calibration makes share curves (false-trust), left_out makes all-but curves (all-but), "
                "side makes local curves (local), the metric invention makes marked and clear-share curves, every "
                "metric supremum curves (all others)"
            )
        asked = getattr(self, self.curve_parameter) if self.curve_parameter else None
        if asked is None or asked == (made := getattr(curves, PARAMETERS[curves.kind])):
            return
        # The parameter decides which pixels count when a curve is made, so another one would need other curves.
        raise CalibrationError(
            f"expected curves with {self.curve_parameter} {asked:g}; these were made with {made:g}. Calibrate with "
            f"--guarantee {self.plugin_name()}:{self.curve_parameter}=…, which takes no further call"
        )

    def check_level(self, alpha: float, bound: float | None = None) -> None:
        """Refuse a level that is not finite and above 0, and a level that no loss up to `bound` can exceed."""
        try:
            finite = math.isfinite(alpha)
        except TypeError:
            finite = False
        if finite and (alpha > 0 or (alpha == 0 and self.zero_allowed)):
            # As typed: 1.9576 given as alpha for a bound of 1.9576 promises nothing, whatever the floats say.
            if bound is not None and as_typed(alpha) >= exact_bound(bound):
                raise UsageError(_vacuous(alpha, bound))
            return
        more = f"; 0 means nothing for {self.plugin_name()}" if alpha == 0 else ""
        raise UsageError(f"expected alpha to be a finite number above 0, such as 0.1; got {alpha!r}{more}")

    @property
    def needs(self) -> Needs:
        """Return the conditions on photographs and curves."""
        parameter = getattr(self, self.curve_parameter) if self.curve_parameter else None
        return Needs(self.sampling, self.curve_kind, parameter)

    def loss_bound(self, bound: float) -> float:
        """Return the largest loss of a curve: the metric's `bound`, or 1 for a share."""
        return 1.0 if self.needs.curve_kind in SHARES else bound

    def fewest_images(self, alpha: float, bound: float) -> int:
        """Return how many photographs `alpha` and any promise beside it need; `bound` is the metric's."""
        beside = 0 if self.beside is None else self.beside[0].minimum_images(self.beside[1], bound)
        return max(beside, self.minimum_images(alpha, self.loss_bound(bound)))

    @property
    def unit(self) -> str:
        """Name the thing that one curve stands for, plural."""
        return "calibration photographs"

    def _threshold(self, curves: CurveSet, alpha: Fraction) -> float:
        raise NotImplementedError(f"{type(self).__name__} must define _threshold(curves, alpha)")

    def _needed(self, curves: CurveSet, alpha: Fraction) -> int:
        """Return the least number of photographs, including the ones at hand, with which `alpha` can be reached."""
        return self.minimum_images(float(alpha), curves.bound)

    def risk(self, curves: CurveSet, threshold: float) -> float:
        """Return the least level at which `threshold` is allowed; 0 at -inf."""
        raise NotImplementedError(f"{type(self).__name__} must define risk(curves, threshold)")

    def levels(self, curves: CurveSet) -> NDArray[np.float64]:
        """Return the levels at which the threshold changes, ascending, float64."""
        raise NotImplementedError(f"{type(self).__name__} must define levels(curves)")

    def minimum_images(self, alpha: float, bound: float) -> int:
        """Return the least number of photographs with which anything can be trusted at `alpha`."""
        raise NotImplementedError(f"{type(self).__name__} must define minimum_images(alpha, bound)")

    def reachable_alpha(self, n: int, bound: float) -> float:
        """Return the least level that n photographs can reach, when none of them shows any error."""
        raise NotImplementedError(f"{type(self).__name__} must define reachable_alpha(n, bound)")

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        """Say the guarantee in one plain sentence with its numbers; `error` names the metric's error."""
        raise NotImplementedError(f"{type(self).__name__} must define statement(alpha, n)")

    def in_short(self, alpha: float, like: str, error: str = "error") -> str:
        """Say the guarantee in at most 25 words, without its conditions and definitions.

        `like` names what it speaks of, such as "pictures like the 40 calibrated".
        """
        return f"On average over {like}, {self.briefly(alpha, error)}."

    def briefly(self, alpha: float, error: str = "error") -> str:
        """Say what is at most `alpha` in at most 15 words, as a clause."""
        return f"what {self.plugin_name()} bounds is at most {exactly(alpha)}"

    @property
    def left_open(self) -> str:
        """Say what the promise does not cover; empty where its statement makes it plain."""
        return ""

    @property
    def definitions(self) -> tuple[str, ...]:
        """Say how the guarantee counts, one sentence each, beyond its statement."""
        return ()

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Say which assumptions it needs, one sentence each."""
        drawn = {
            "exchangeable": "The new photograph is exchangeable with the calibration photographs: "
            "any order of all of them was equally likely.",
            "iid": "Calibration photographs and the new one are independent draws from one population.",
        }
        return (
            drawn[self.needs.sampling],
            "Vendor, model, parameters, draws, delivery, degradation, score and metric are those of the calibration.",
            TREATED_ALIKE,
            "Nothing was chosen by looking at the calibration photographs: no score, metric, setting, seed or level.",
            "Each picture was drawn once: no other draws of it were made and thrown away.",
            NOT_SIGNED,
        )

    def counted(self, curves: int) -> int:
        """Return how many photographs so many curves are: fewer where some are tiles, and within a group."""
        return curves

    @property
    def bound_source(self) -> BoundSource:
        """Say where the bound of a new picture's own loss comes from when its mask is made."""
        return "metric"

    @property
    def own_bound(self) -> BoundOfNew | None:
        """Return the bound of the new picture's own loss, where one was given."""
        return None

    def with_bound(self, bound: RiskCurve) -> Self:
        """Return the same guarantee for one new picture, whose own loss is at most `bound`."""
        raise UsageError(f"{type(self).__name__} takes no bound of one picture. Leave bound_from out")

    def alternatives(self) -> tuple[Guarantee, ...]:
        """Return the same promise by every bound that is left open, to choose on tuning photographs; empty: none is
        open."""
        return ()

    def restrict(self, indices: NDArray[np.int64]) -> Self:
        """Return the same guarantee for the photographs at `indices`, with per-photograph parameters cut to them."""
        return self

    # Questions of audits, reports and certificates.

    @property
    def innermost(self) -> Guarantee:
        """Return the guarantee within groups and tiles: itself, unless it is made around another one."""
        return self

    def claim(self, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
        """Return the claim about the mean of the (units,) `losses` of unseen photographs, each in [0, `bound`].

        Raises `UsageError`: The guarantee does not say, so that no audit can test it.
        """
        raise self._unclaimed()

    def claimed_level(self, alpha: float, bound: float) -> float:
        """Return the level of its `claim` at `alpha`, for losses in [0, `bound`]."""
        # The level of a claim does not depend on the losses, so losses of 0 will do.
        return self.claim(np.zeros(1), alpha, bound).level

    def quantity(self, unit: str, error: str = "error") -> str:
        """Name the mean in its `claim`, which an audit measures, over `unit`, such as ``photographs``.

        `error` names the measurement at a pixel, see `Metric.error_in_words`.

        Raises `UsageError`: The guarantee does not say which mean it bounds.
        """
        raise self._unclaimed()

    def refuse_unclaimed(self, in_tiles: bool) -> None:
        """Refuse an audit where unseen losses cannot contradict the claim; `in_tiles`: pictures are tiles.

        Raises `UsageError`: Says what to audit instead.
        """
        self.quantity("photographs")

    def _unclaimed(self) -> UsageError:
        return UsageError(
            f"expected a guarantee that defines claim and quantity; {type(self).__name__} does not say which "
            "mean it bounds, so no test of it could be fixed before looking. Audit it by hand"
        )

    def unit_curves(self, curves: CurveSet) -> Units:
        """Return the plain guarantee within, with one curve a photograph, its tiles put together.

        Raises `CalibrationError`: No photograph belongs to the guarantee's group.
        """
        return Units(self, curves, curves, None)

    def extended(self, tiles: Sequence[str] | None, new: int) -> tuple[Guarantee, int | None]:
        """Return the same guarantee for calibration pictures and `new` audit pictures in one pool.

        Beside it, return how many units calibrate if these are not all calibration pictures, else None. `tiles` names
        the photograph that each audit picture is a tile of; None: each is a photograph.

        Raises `UsageError`: The two kinds of pictures cannot change sides.
        """
        if tiles is not None:
            raise UsageError(
                "expected photographs on both sides, or tiles on both; the audit pictures are tiles and the "
                "calibration's are not, so they cannot change sides. Name the photographs of the calibration pictures, "
                "too"
            )
        return self, None

    @property
    def own_group(self) -> str | None:
        """Return the group of photographs that it holds within; None: it holds for all."""
        return None

    @property
    def compared_group(self) -> str | None:
        """Return the group of photographs whose answers a new answer is compared with; None: all."""
        return self.own_group

    @property
    def tiles(self) -> tuple[str, ...] | None:
        """Return the photograph that each calibration picture is a tile of; None where each is a photograph."""
        return None

    @property
    def by_photograph(self) -> dict[str, tuple[Any, ...]]:
        """Return its parameters with one value per calibration picture, by name, and the same of a guarantee within."""
        return {}

    @property
    def miss_rate(self) -> float | None:
        """Return the share of photographs that may have a trusted error above alpha; None where alpha bounds a mean."""
        return None

    @property
    def stated_tolerance(self) -> float | None:
        """Return the error above which a trusted pixel is wrong, where the guarantee states one."""
        return self._parameter_of("share")

    def naming(self, tolerance: float | None) -> Self:
        """Return the same guarantee, with `tolerance` where it leaves open which errors are wrong."""
        leaves_open = self.needs.curve_kind == "share" and self.stated_tolerance is None
        takes_one = "tolerance" in type(self).model_fields
        return self.model_copy(update={"tolerance": tolerance}) if leaves_open and takes_one else self

    @property
    def left_out(self) -> float | None:
        """Return the share of the picture that its worst trusted pixels may make up; None: no pixel is left out."""
        return self._parameter_of("all-but")

    @property
    def square_side(self) -> float | None:
        """Return the side of squares whose largest errors are averaged; None where none are."""
        return self._parameter_of("local")

    @property
    def threshold_ceiling(self) -> float | None:
        """Return the largest threshold that it ever allows; None where any may be."""
        return self._parameter_of(*DETAIL)

    @property
    def loss_name(self) -> str:
        """Name the loss of one picture."""
        return _LOSS_NAMES[self.needs.curve_kind]

    def _parameter_of(self, *kinds: Kind) -> float | None:
        needs = self.needs
        return needs.parameter if needs.curve_kind in kinds else None

    @property
    def losses(self) -> Losses:
        tolerance = DEFAULT_TOLERANCE if self.needs.curve_kind == "share" else None
        if self.stated_tolerance is not None:
            tolerance = self.stated_tolerance
        parameters = tolerance, self.left_out, self.square_side
        tolerances, left_out, sides = (() if parameter is None else (parameter,) for parameter in parameters)
        return Losses(tolerances, left_out, sides, self.threshold_ceiling)

    @property
    def beside(self) -> tuple[Guarantee, float] | None:
        """Return another guarantee, on the largest error, that the same mask keeps at its own level; None: none."""
        return None

    @property
    def holds_on_average(self) -> bool:
        """Tell whether the mean in its `claim` stays below its level on average over calibration sets."""
        return False

    @property
    def treats_photographs_alike(self) -> bool:
        """Tell whether every calibration photograph plays the same part, so that random splits test it."""
        # A rule with values for each photograph returns a copy cut to the chosen ones; any other returns itself.
        return self.restrict(np.arange(0)) is self

    @property
    def bounds_plain_sum(self) -> bool:
        """Tell whether its threshold is the largest at which the losses' sum is at most ``alpha (n + 1) - B``.

        The thresholds of many random splits are then computed at once.
        """
        return False

    @property
    def is_foretold(self) -> bool:
        """Tell whether `thresholds_allowed` foretells the trusted share."""
        alike = self.treats_photographs_alike and self.holds_on_average and self.own_bound is None
        return alike and self.needs.sampling == "exchangeable" and self.bound_source != "delivered"

    def thresholds_allowed(self, samples: Samples, alpha: float, bound: float) -> NDArray[np.int64]:
        """Return how many thresholds, from the first on, each sample as calibration allows at `alpha`: (samples,)."""
        claim = self.claim(samples.losses.ravel(), alpha, bound)
        # Conformal risk control, Angelopoulos et al. (2024): the new photograph counts with the largest loss.
        allowed = claim.level * (samples.size + 1) - claim.bound
        return np.asarray(np.count_nonzero(samples.sums(claim.losses) <= allowed + ROUNDING, axis=1))

    def allowing_leaked(self, count: int) -> Self | None:
        """Return the same guarantee if `count` photographs were in the training set; None where none is stated."""
        return None

    def facts(self) -> dict[str, str]:
        return {
            "theorem": self.theorem or "none is named",
            "photographs": "independent draws" if self.needs.sampling == "iid" else "exchangeable",
            "an audit measures": self.quantity("photographs"),
        }

    @property
    def audit_notes(self) -> tuple[str, ...]:
        """Say the remarks that a reader of an audit must know beside the verdict, one text each."""
        return ()


def _vacuous(alpha: float, bound: float) -> str:
    percent = float(as_typed(alpha) / 100)
    # A user who types 5 for five per cent gets the intended number.
    typo = f". For {alpha:g} % give --alpha {percent:g}" if alpha >= 1 and percent < bound else ""
    return (
        f"expected alpha below {bound:g}, the largest loss that there can be; got {alpha:g}, which no picture can "
        f"exceed, so nothing would be promised{typo}"
    )


_LOSS_NAMES: dict[Kind, str] = {
    "supremum": "largest trusted error",
    "all-but": "largest trusted error but for a share",
    "local": "mean over squares of the largest trusted error",
    "share": "share of trusted pixels that are wrong",
    "marked-by-area": "share of the invention that is clear",
    "marked": "share of the invention that is clear",
    "marked-in-squares": "share of the invention of a square that is clear",
    "clear-share": "share of the clear detail that is invented",
}


def number_in_words(count: int) -> str:
    """Write a whole number: all its digits below a million, three of them above."""
    return str(count) if count < 10**6 else f"about {Decimal(count):.2e}"


def require_length(name: str, values: tuple[Any, ...], curves: CurveSet) -> None:
    """Refuse `values` unless there is one for each curve."""
    if len(values) != len(curves):
        raise UsageError(f"expected one of {name} for each of {len(curves)} photographs; got {len(values)}")


def guarantee(name: str, /, **parameters: Any) -> Guarantee:
    """Return the guarantee called `name`, with its parameters checked."""
    if name.replace("-", "_") in NOT_MEMBERS:
        raise UsageError(f"expected a guarantee; {name!r} is none. `blackbox-conformal list guarantees` shows them")
    rule: Guarantee = catalog.load("guarantees", name, **parameters)
    return rule


def threshold(
    curves: CurveSet | Sequence[RiskCurve], alpha: float, guarantee: str | Guarantee = "expected", **parameters: Any
) -> float:
    """Return the largest threshold that keeps the guarantee at `alpha`.

    Parameters
    ----------
    curves
        One risk curve a calibration photograph.
    alpha
        The level, in the metric's unit (a share of the picture for ``false-trust``); a decimal is taken as typed.
    guarantee
        ``expected``, ``per-image``, ``high-probability``, ``false-trust``, ``by-group``, ``by-cluster``, or one built.
    parameters
        The guarantee's own.

    Returns
    -------
    float
        Trust where score < threshold; ``-inf`` nothing, ``+inf`` everything.

    Raises
    ------
    UsageError
        Level, name or parameters that cannot be used.
    CalibrationError
        No curve, or curves that do not belong together or not to this guarantee.
    """
    return choose(curves, alpha, guarantee, **parameters).threshold


def choose(
    curves: CurveSet | Sequence[RiskCurve], alpha: float, guarantee: str | Guarantee = "expected", **parameters: Any
) -> Choice:
    """Return the `threshold`, with the reason and the number of missing photographs when nothing can be trusted."""
    return _built(guarantee, parameters).choose(CurveSet.of(curves), alpha)


def _built(rule: str | Guarantee, parameters: dict[str, Any]) -> Guarantee:
    if isinstance(rule, str):
        return guarantee(rule, **parameters)
    if parameters:
        raise UsageError("expected parameters inside the guarantee that was built; got some beside it")
    return rule


# Choose levels for when the user names none.

USUAL = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # For losses up to about 1.
OF_CLEAR_SHARE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # For the invented share of clear detail, which few vendors keep low.
NEAR_ONE = (0.5, 5.0)  # Range of the largest loss within which `USUAL` is not scaled.


def usual_levels(bound: float, rule: Guarantee | None = None) -> tuple[float, ...]:
    """Return usual levels for a loss of `bound` at most.

    They are `USUAL` times the largest 1, 2 or 5 times a power of ten that is at most half of `bound`; for a share of
    clear detail, `OF_CLEAR_SHARE`.
    """
    if rule is not None and rule.needs.curve_kind == "clear-share":
        return OF_CLEAR_SHARE
    low, high = NEAR_ONE
    if low <= bound <= high:
        return USUAL
    decade = 10.0 ** math.floor(math.log10(bound / 2))
    factor = max(step * decade for step in (1, 2, 5) if step * decade <= bound / 2)
    return tuple(float(f"{level * factor:.6g}") for level in USUAL)


def usual_level(bound: float, rule: Guarantee | None = None) -> float:
    """Return the usual level: 0.1 for losses up to about 1, scaled as in `usual_levels`; 0.2 or 0.5 for detail."""
    of_detail = rule is not None and rule.threshold_ceiling is not None
    levels = usual_levels(bound, rule)
    return levels[4 if levels is OF_CLEAR_SHARE else USUAL.index(0.2 if of_detail else 0.1)]


def audited_levels(bound: float, rule: Guarantee) -> tuple[float, ...]:
    """Return `usual_levels` without the lowest, which would take too many photographs."""
    return usual_levels(bound, rule)[1:]
