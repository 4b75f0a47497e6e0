"""What masks are worth on the photographs that calibrate them: what the score tells, what is clear, and what for.

Energies are those of the metric `invention`, whatever metric calibrates. All photographs are pooled; each counts by its
mean over pixels, whatever its size, and of large ones the middle is looked at.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.clear_part import SAID, ClearPart
from blackbox_conformal.method.audits.detail_shares import REFERENCE, TRUTH, VENDOR
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.risk.whole_errors import PLACES, ByScore, SquaredErrors, Twentieths
from blackbox_conformal.support.text import counted

LEAST_AUC = 0.65
"""With a smaller area under the curve the score is said to hardly tell invented from right detail."""

_LEAST_KIND = 0.01  # Of all added detail: the least share of right and of invented detail that are told apart.


class DetailByScore(ByScore):
    """Right and invented detail of the vendor's picture and of the free reference, in squares of grey levels.

    Last comes the truth's, all that plain enlargement lacks.
    """

    names: ClassVar[tuple[str, ...]] = (
        *(f"{kind}, {of}" for of in (VENDOR, REFERENCE) for kind in ("right", "invented")),
        f"right, {TRUTH}",
    )
    row: ClassVar[tuple[int, ...]] = (6, PLACES + 1)
    largest: ClassVar[int] = 510**2

    @classmethod
    def of(cls, by: Twentieths, energies: Iterable[tuple[str, Energies]]) -> Self:
        """Return one photograph from its scores and the energies of `VENDOR`, `REFERENCE` and `TRUTH`, if known."""

        def sums() -> Iterator[tuple[str, NDArray[np.float64]]]:
            for name, (part, whole) in energies:
                for kind, energy in (("right", whole - part), ("invented", part))[: 1 if name == TRUTH else 2]:
                    summed = np.bincount(by.places.ravel(), energy.ravel(), PLACES)
                    yield f"{kind}, {name}", np.asarray(summed, np.float64)

        found = cls.of_sums(by, sums())
        return cls.unknown(1) if np.isnan(found.values[:, 1:]).all() else found

    def below(self, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums below each threshold, (n, 5, thresholds), interpolated between every twentieth score."""
        scores = self.values[:, 0].astype(np.float64)
        # The last sums are over all pixels, those with the last score too.
        scores[:, -1] = np.nextafter(scores[:, -1], np.inf)
        found = [
            [np.interp(thresholds, at, sums) for sums in rest]
            for at, rest in zip(scores, self.values[:, 1:], strict=True)
        ]
        return np.array(found, np.float64).reshape(len(self), len(self.names), len(thresholds))

    @property
    def area_under_curve(self) -> float:
        """Return how often the score is larger at a unit of invented detail than at a unit of right detail.

        It is the area under the receiver operating characteristic of the vendor's detail; 0.5: the score tells nothing.
        NaN where hardly anything is right, or invented: there is nothing to tell.
        """
        known = self.known
        levels = np.append(np.unique(known.values[:, 0]).astype(np.float64), np.inf)
        right, invented = np.pad(np.nansum(known.below(levels)[:, :2], axis=0), ((0, 0), (1, 0)))
        ends = np.array([right[-1], invented[-1]])
        if not ends.min() > _LEAST_KIND * ends.sum():
            return math.nan
        return float((np.diff(invented) * (right[1:] + right[:-1])).sum() / 2 / ends.prod())


@dataclass(frozen=True, slots=True)
class MaskWorth:
    """What masks at `alpha` are worth on the `photographs` that calibrated them; new ones may be worth less.

    `auc` is `DetailByScore.area_under_curve`; `right` and `invented` are the shares of right and of invented detail
    that are clear. NaN: not known. `part` compares the clear part with pictures that cost nothing; None: nothing is
    known of it. `instead`: settings of the same vendor that may be worth more.
    """

    alpha: float
    photographs: int
    auc: float
    right: float
    invented: float
    part: ClearPart | None
    instead: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        alpha: float,
        threshold: float,
        errors: SquaredErrors,
        detail: DetailByScore,
        tiles: Sequence[str],
        instead: tuple[str, ...] = (),
        *,
        enlarged: bool = True,
    ) -> Self:
        """Measure masks below `threshold` on pictures; `tiles` names the photograph that each belongs to."""
        sums = detail.below(np.array([threshold, np.inf]))
        clear, whole = np.nansum(sums[:, :2], axis=0).T
        right, invented = np.divide(clear, whole, out=np.full(2, math.nan), where=whole > 0).tolist()
        known, part = np.flatnonzero(~np.isnan(errors.values[:, 0, 0])), None
        if known.size:
            owners, inside = [tiles[place] for place in known.tolist()], sums[known, :, 0]
            details = {VENDOR: inside[:, :2], REFERENCE: inside[:, 2:4], TRUTH: inside[:, [4, 4]]}
            part = ClearPart.of_errors(errors, threshold, enlarged=enlarged, clusters=owners, details=details)
        return cls(alpha, len(set(tiles)), detail.area_under_curve, right, invented, part, instead)

    @property
    def gains(self) -> dict[str, float]:
        """Return by how many dB the vendor is nearer to the truth in the clear part than each picture that is free."""
        psnr = {} if self.part is None or not self.part.photographs else dict(self.part.psnr)
        return {name: psnr[VENDOR] - value for name, value in psnr.items() if name != VENDOR}

    @property
    def advice(self) -> str | None:
        """Say which picture to use instead of the vendor's; None: none is shown nearer."""
        if self.part is None or (name := self.part.to_use()) is None:
            return None
        return f"At {self.alpha:g} {self.part.sentence(name, 'calibration photographs', exact=False)}."

    @property
    def shares_in_words(self) -> str:
        """Say how much is clear, and how well the score tells right from invented; empty: not known, or nothing is."""
        if math.isnan(self.auc) or not self.right + self.invented > 0:
            return ""
        right, invented = (f"{100 * value:.0f} %" for value in (self.right, self.invented))
        where = f"On {'these ' * (self.photographs > 1)}{counted(self.photographs, 'calibration photograph')}"
        return (
            f"{where} at {self.alpha:g}, {right} of the right detail is clear and {invented} of the invented (AUC of "
            f"the score {self.auc:.2f}, by chance 0.5)."
        )

    @property
    def gains_in_words(self) -> str:
        """Say what the clear part is worth beside free pictures; empty: not known, or nothing is clear."""
        if self.part is None or not self.gains:
            return ""
        told = [
            f"{abs(gain):.1f} dB {'nearer to' if gain >= 0 else 'farther from'} the originals than {SAID[name]}"
            for name, gain in self.gains.items()
            if self.part.beyond is None or name != REFERENCE
        ]
        told += [] if self.part.beyond is None else [f"beyond the free reference: {self.part.beyond.words}"]
        where = f"at {self.alpha:g} of {counted(self.part.photographs, 'calibration photograph')}"
        return f"In the clear part {where} the vendor is {'; '.join(told)}."

    @property
    def warning(self) -> str | None:
        """Say what is bad here, and what to do; None: nothing is."""
        told, free = [], ""
        if self.auc < LEAST_AUC:
            told.append("the score hardly tells invented from right detail")
        if farther := {name: gain for name, gain in self.gains.items() if gain < 0}:
            names = " and ".join(SAID[name] for name in farther)
            told.append(f"the vendor's clear part is farther from the originals than {names}")
            free = "" if self.advice else f", or use {SAID[min(farther, key=lambda name: farther[name])]}"
        if not told:
            return None
        others = " or ".join(filter(None, [", ".join(self.instead), "another vendor"]))
        what = f"on these calibration photographs {' and '.join(told)}"
        return f"{what}: `compare` tells whether {others} does better{free}"

    def words(self, audited: str = "") -> str:
        """Say all of it in one paragraph; empty where nothing is known. `audited` takes the place of the gains."""
        warning = "" if self.warning is None else f"Warning: {self.warning}."
        return " ".join(filter(None, [self.shares_in_words, audited or self.gains_in_words, warning]))

    @property
    def document(self) -> dict[str, Any]:
        """Return the figures for scripts."""
        beyond = None if self.part is None else self.part.beyond
        figures = {"auc": self.auc, "right_clear": self.right, "invented_clear": self.invented}
        return {
            "alpha": self.alpha,
            "photographs": self.photographs,
            **{name: None if math.isnan(value) else value for name, value in figures.items()},
            "decibels": self.gains,
            "beyond": beyond and asdict(beyond),
            "warning": self.warning,
        }
