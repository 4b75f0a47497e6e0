"""What an audit found: photograph by photograph, level by level, and altogether.

Plain values; they are put together in `pipeline.audit_parts.conclude` and kept by `reports.stored_audit`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from blackbox_conformal.audits.contamination import Leakage
from blackbox_conformal.audits.implied_quality import Promise
from blackbox_conformal.audits.quality import Quality
from blackbox_conformal.audits.sequential import Stop
from blackbox_conformal.audits.verdict import Judgement, Verdict
from blackbox_conformal.audits.worst_pixels import Place
from blackbox_conformal.risk.curve import RiskCurve


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
    """

    name: str
    truth: str
    curve: RiskCurve
    losses: tuple[float, ...]
    shares: tuple[float, ...]
    inside: tuple[Quality, ...]
    outside: tuple[Quality, ...]
    worst: tuple[Place | None, ...]
    whole: Quality
    broken_bound: bool = False

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

    def __repr__(self) -> str:
        levels = "; ".join(
            f"risk {level.judgement.risk:.3f} at alpha={level.alpha:g}, {level.trusted_share:.1%} trusted"
            for level in self.levels[:3]
        )
        more = f"; and {len(self.levels) - 3} levels more" if len(self.levels) > 3 else ""
        return f"<Audit of {self.n} photographs: {self.verdict}; {levels}{more}>"

    def worst(self, level: int, most: int) -> list[AuditedPicture]:
        """At most `most` pictures with the largest losses at the `level`-th level, of those that trust anything."""
        wrong = [picture for picture in self.pictures if picture.worst[level] and picture.losses[level] > 0]
        return sorted(wrong, key=lambda picture: (-picture.losses[level], -_error(picture.worst[level]), picture.name))[
            :most
        ]


def _error(place: Place | None) -> float:
    return 0.0 if place is None else place.error
