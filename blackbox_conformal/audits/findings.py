"""What an audit found: photograph by photograph, level by level, and altogether.

Plain values; they are put together in `pipeline.audit_parts.conclude` and kept by `reports.report_store`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from blackbox_conformal.audits.contamination import Leakage
from blackbox_conformal.audits.implied_quality import Promise
from blackbox_conformal.audits.kinds import KindRisk, kind_rows
from blackbox_conformal.audits.quality import Quality
from blackbox_conformal.audits.sequential import Stop
from blackbox_conformal.audits.verdict import SHORT, Judgement, Verdict, in_short
from blackbox_conformal.audits.worst_pixels import Place
from blackbox_conformal.display.figure import Figure
from blackbox_conformal.display.plots import Chart, Series
from blackbox_conformal.display.table import frame, html_card, rows_of
from blackbox_conformal.images.input_statistics.kind import Kind
from blackbox_conformal.risk.curve_set import StoredCurve
from blackbox_conformal.text import counted
from blackbox_conformal.wording import between

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class AuditedPicture:
    """One audit photograph, or one tile of one.

    Attributes
    ----------
    truth
        Digest of the photograph's pixels.
    curve
        Its risk curve.
    losses, shares, inside, outside, worst
        At each level: loss, trusted share, quality of trusted and of untrusted pixels, the trusted pixel with the
        largest error (None when nothing is trusted).
    whole
        Quality of the whole picture.
    broken_bound
        Whether its loss exceeded the bound that was computed for it, where the guarantee uses one of the picture.
    kind
        Of which kind it is; None in audits of versions that did not look.
    """

    name: str
    truth: str
    curve: StoredCurve
    losses: tuple[float, ...]
    shares: tuple[float, ...]
    inside: tuple[Quality, ...]
    outside: tuple[Quality, ...]
    worst: tuple[Place | None, ...]
    whole: Quality
    broken_bound: bool = False
    kind: Kind | None = None

    @property
    def refused(self) -> bool:
        """Whether the vendor refused the photograph, so that it has no pixels."""
        return math.isnan(self.whole.ssim)


@dataclass(frozen=True, slots=True)
class AuditedLevel:
    """What the audit says at one level; qualities are means over the photographs that have such pixels.

    Attributes
    ----------
    threshold
        The calibration's; pictures with a bound of their own have others.
    claimed
        What the risk is claimed not to exceed: alpha, or delta for ``per-image``.
    meaning
        What was found, in words.
    """

    alpha: float
    threshold: float
    claimed: float
    judgement: Judgement
    meaning: str
    trusted_share: float
    empty_share: float
    inside: Quality
    outside: Quality
    whole: Quality
    promise: Promise

    @property
    def tested(self) -> bool:
        """Whether anything could have been wrong: False where calibration trusts nothing and no mask shows a pixel."""
        return self.threshold > -math.inf or self.empty_share < 1

    @property
    def found(self) -> str:
        """The verdict for people, as it stands in a table."""
        return SHORT[self.judgement.verdict] if self.tested else "nothing trusted"

    @property
    def sentence(self) -> str:
        """`meaning` with its level, to stand by itself."""
        return f"At {self.alpha:g}: {self.meaning}" if self.tested else self.meaning[:1].upper() + self.meaning[1:]

    @property
    def psnr_trusted(self) -> float:
        """Mean PSNR inside the mask, dB, sRGB."""
        return self.inside.psnr

    @property
    def psnr_all(self) -> float:
        """Mean PSNR of the whole pictures, dB, sRGB."""
        return self.whole.psnr


@dataclass(frozen=True, slots=True, repr=False)
class Audit:
    """An audit of one calibration.

    Attributes
    ----------
    n
        Audited pictures.
    units
        Photographs: fewer than `n` when pictures are tiles.
    quantity
        What the risk is the mean of, in words.
    leakage
        Planted leakage against its bound; None where no such bound is stated.
    notes
        What a reader must know beside the figures.
    clusters
        The photograph that each of `pictures` is a tile of; None: each is a photograph of its own.
    drift
        In which way the answers are not like those to the calibration's photographs; None: they are, or nobody can
        tell.
    stop
        How an audit that may stop went; None: the number of photographs was fixed beforehand.
    kinds
        Risk and trusted share of each kind of photograph at each level at which anything is trusted.
    """

    n: int
    units: int
    quantity: str
    levels: tuple[AuditedLevel, ...]
    verdict: Verdict
    pictures: tuple[AuditedPicture, ...]
    leakage: Leakage | None = None
    notes: tuple[str, ...] = ()
    clusters: tuple[str, ...] | None = None
    calls: int = 0
    cached: int = 0
    drift: str | None = None
    stop: Stop | None = None
    kinds: tuple[KindRisk, ...] = ()

    @property
    def found(self) -> str:
        """The verdict for people."""
        tested = [level for level in self.levels if level.tested]
        above = any(level.judgement.risk > level.claimed for level in tested)
        return in_short(self.verdict, [level.judgement for level in tested], above=above)

    def __repr__(self) -> str:
        levels = "; ".join(
            f"risk {level.judgement.risk:.3f} at alpha={level.alpha:g}, {level.trusted_share:.1%} trusted"
            for level in self.levels[:3]
        )
        more = f"; and {len(self.levels) - 3} levels more" if len(self.levels) > 3 else ""
        return f"<Audit of {self.n} photographs: {self.verdict}; {levels}{more}>"

    def to_frame(self, of: Literal["levels", "photographs", "kinds"] = "levels") -> pandas.DataFrame:
        """The levels, or each photograph or each kind of photograph at each level, as a table of pandas.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        UsageError
            `of` is something else.
        """
        kinds = partial(kind_rows, self.kinds)
        return frame(rows_of(of, levels=self._level_rows, photographs=self._photograph_rows, kinds=kinds))

    def plot(self) -> Figure:
        """Measured risk and trusted share at each level."""
        ends = (0.0, 1.1 * max(level.alpha for level in self.levels))
        risks = tuple((level.alpha, level.judgement.risk) for level in self.levels)
        whiskers = tuple((level.alpha, *level.judgement.interval) for level in self.levels)
        claimed = tuple((level.alpha, level.claimed) for level in self.levels)
        rises = all(level.claimed == level.alpha for level in self.levels)
        allowed = ((0.0, 0.0), (ends[1], ends[1])) if rises else ((0.0, claimed[0][1]), (ends[1], claimed[-1][1]))
        risk = [
            Series("claimed at most", "allowed", allowed),
            Series("measured, 90 % interval", "realised", risks, "marks", whiskers),
        ]
        shares = tuple((level.alpha, level.trusted_share) for level in self.levels)
        share = [Series("mean over the audited photographs", "realised", shares, "dots")]
        top = 1.1 * max(y for _, y in (*risks, *claimed))
        return Figure(
            [
                Chart("Risk", "alpha", "risk", risk, x_range=ends, y_range=(0.0, top)),
                Chart("Trusted share", "alpha", "trusted", share, x_range=ends, y_range=(0.0, 1.0), percent=True),
            ]
        )

    def _repr_html_(self) -> str:
        heading = f"Audit of {counted(self.n, 'photograph')}: {self.found}"
        remarks = [*self.notes, *([] if self.drift is None else [f"Warning: {self.drift}."])]
        shown = ("alpha", "verdict", "claimed", "risk", "interval", "trusted_share", "psnr_trusted", "psnr_all")
        rows = [{**row, "interval": between((row["risk_low"], row["risk_high"]))} for row in self._level_rows()]
        return html_card(heading, remarks, [{name: row[name] for name in shown} for row in rows], self.plot())

    def _level_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "alpha": level.alpha,
                "verdict": level.judgement.verdict,
                "risk": level.judgement.risk,
                "risk_low": level.judgement.interval[0],
                "risk_high": level.judgement.interval[1],
                "claimed": level.claimed,
                "threshold": level.threshold,
                "trusted_share": level.trusted_share,
                "empty_share": level.empty_share,
                "psnr_trusted": level.psnr_trusted,
                "psnr_all": level.psnr_all,
            }
            for level in self.levels
        ]

    def _photograph_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": picture.name,
                "cluster": None if self.clusters is None else self.clusters[place],
                "alpha": level.alpha,
                "loss": picture.losses[index],
                "trusted_share": picture.shares[index],
                "psnr_trusted": picture.inside[index].psnr,
                "psnr_all": picture.whole.psnr,
                "refused": picture.refused,
                **({} if picture.kind is None else asdict(picture.kind)),
            }
            for place, picture in enumerate(self.pictures)
            for index, level in enumerate(self.levels)
        ]

    def worst(self, level: int, most: int) -> list[AuditedPicture]:
        """At most `most` pictures with the largest losses at the `level`-th level, of those that trust anything."""
        wrong = [picture for picture in self.pictures if picture.worst[level] and picture.losses[level] > 0]
        return sorted(wrong, key=lambda picture: (-picture.losses[level], -_error(picture.worst[level]), picture.name))[
            :most
        ]


def ssim_lower(levels: Sequence[AuditedLevel]) -> str | None:
    """Why the structural similarity is lower inside the mask than outside, in a sentence; None where it is not."""
    if not any(level.inside.ssim < level.outside.ssim for level in levels):
        return None
    return (
        "SSIM can be lower inside the mask than outside while errors are smaller there: it compares contrast, and in "
        "smooth parts, which are trusted first, a grain that is hardly seen changes contrast much."
    )


def _error(place: Place | None) -> float:
    return 0.0 if place is None else place.error
