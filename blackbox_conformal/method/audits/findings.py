"""The findings of an audit: by photograph, by level, and altogether. `study.audit.conclude` fills them in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.method.audits.clear_part import ClearPart, Details, Squares, advice, clear_blocks, clear_parts
from blackbox_conformal.method.audits.contamination import Leakage
from blackbox_conformal.method.audits.control_variates import (
    FIXED_NUMBER,
    FreeEstimate,
    PaidForetold,
    RandomPart,
    estimate_blocks,
)
from blackbox_conformal.method.audits.detail_shares import DetailSums, detail_blocks
from blackbox_conformal.method.audits.kinds import KindRisk, kind_blocks, kinds_in_words
from blackbox_conformal.method.audits.known_facts import FactCounts, KnownFacts
from blackbox_conformal.method.audits.quality import Quality, QualityBounds, QualityMisses, quality_blocks
from blackbox_conformal.method.audits.random_splits import claimed_column
from blackbox_conformal.method.audits.sequential import AuditStop
from blackbox_conformal.method.audits.verdict import EXPLAINED, FIXED, SHORT, Judgement, Verdict, beforehand, in_short
from blackbox_conformal.method.images.input_statistics import InputKind
from blackbox_conformal.method.risk.curve_set import StoredCurve
from blackbox_conformal.method.risk.trust import PixelPlace, threshold_json
from blackbox_conformal.support.blocks import Block, Faces, Figure, How, Note, Table
from blackbox_conformal.support.plots import Chart, Series
from blackbox_conformal.support.text import counted

WORST = 3  # How many of the worst photographs are named at each level by default.
_TOLD = 2  # Up to so many levels get a sentence each.


@dataclass(frozen=True, slots=True)
class AuditedPicture:
    """One audit photograph, or one tile."""

    name: str
    truth: str  # Digest of the photograph's pixels.
    curve: StoredCurve
    # At each level: loss, trusted share, quality of trusted and of untrusted pixels, the trusted pixel with the largest
    # error (None when nothing is trusted).
    losses: tuple[float, ...]
    shares: tuple[float, ...]
    inside: tuple[Quality, ...]
    outside: tuple[Quality, ...]
    worst: tuple[PixelPlace | None, ...]
    whole: Quality  # Quality of the whole picture.
    broken_bound: bool = False  # Whether its loss exceeded its own bound, where the guarantee uses one.
    # Its kind, the detail that vendor and free pictures restore and invent (`DetailMeter`), the ratios of
    # `WholeErrors`, these pictures' squared errors and detail in the clear part, and how the picture differs from its
    # input; None or empty in audits of versions that did not look.
    kind: InputKind | None = None
    detail: Mapping[str, DetailSums] = field(default_factory=dict)
    ratios: tuple[float, ...] = ()
    squares: Squares = field(default_factory=dict)
    clear_detail: Details = field(default_factory=dict)
    facts: KnownFacts | None = None

    @property
    def refused(self) -> bool:
        """Tell whether the vendor refused the photograph, so that it has no pixels."""
        return math.isnan(self.whole.ssim) and math.isnan(self.whole.psnr_in_space)


@dataclass(frozen=True, slots=True)
class AuditedLevel:
    """The audit's findings at one level; qualities are means over the photographs that have such pixels."""

    alpha: float
    threshold: float  # The calibration's; pictures with a bound of their own have others.
    claimed: float  # The claimed upper limit of the risk: alpha, or delta for ``per-image``.
    judgement: Judgement
    meaning: str  # The finding, in words.
    trusted_share: float
    empty_share: float
    inside: Quality
    outside: Quality
    whole: Quality
    promise: QualityBounds
    # The clear share of everything invented in all photographs together, for ``marked``; else None.
    pooled: float | None = None
    # The risk estimated with free pictures of all photographs; None: all photographs were bought.
    estimate: FreeEstimate | None = None

    @property
    def tested(self) -> bool:
        """Tell whether anything could have been wrong: False where no mask trusts a pixel."""
        return self.threshold > -math.inf or self.empty_share < 1

    @property
    def found(self) -> str:
        """Name the verdict as in a table."""
        return SHORT[self.judgement.verdict] if self.tested else "nothing trusted"

    @property
    def sentence(self) -> str:
        """Say `meaning` with its level, to stand by itself."""
        return f"At {self.alpha:g}: {self.meaning}" if self.tested else self.meaning[:1].upper() + self.meaning[1:]

    @property
    def row(self) -> dict[str, Any]:
        """Return the figures for tables and scripts."""
        judgement, promise = self.judgement, self.promise
        return {
            "alpha": self.alpha,
            "claimed": self.claimed,
            "threshold": self.threshold,
            "risk": judgement.risk,
            "pooled_risk": self.pooled,
            "ci": judgement.interval,
            "ci_exact": judgement.exact,
            "p_value": judgement.p_value,
            "p_promise": judgement.p_promise,
            "trusted_share": self.trusted_share,
            "empty_share": self.empty_share,
            "psnr_trusted": self.inside.psnr,
            "psnr_untrusted": self.outside.psnr,
            "psnr_all": self.whole.psnr,
            "ssim_trusted": self.inside.ssim,
            "ssim_untrusted": self.outside.ssim,
            "ssim_all": self.whole.ssim,
            "psnr_bound": promise.psnr,
            "psnr_bound_if_trusted": promise.psnr_if_trusted,
            "psnr_trusted_in_metric_space": self.inside.psnr_in_space,
            "ssim_bound": promise.ssim,
            "ssim_bound_if_trusted": promise.ssim_if_trusted,
            "bound_of": promise.words,
            "tested": self.tested,
            "verdict": judgement.verdict,
            "meaning": self.meaning,
            "further": judgement.further,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Audit(Faces):
    """An audit of one calibration.

    Attributes
    ----------
    n, units
        Audited pictures, and photographs: fewer where pictures are tiles.
    quantity
        The mean that is the risk, in words.
    leakage
        Planted leakage against its bound; None where no such bound is stated.
    clusters
        The photograph that each of `pictures` is a tile of; None: each is a photograph of its own.
    drift
        How the answers differ from the calibration's; None: in no way, or one cannot tell.
    stop
        How an audit that may stop went; None: the number of photographs was fixed beforehand.
    kinds
        Risk and trusted share of each kind of photograph at each level at which anything is trusted.
    quality
        How many photographs are worse than certified, by each measure of the whole picture.
    part
        The random part of photographs that was bought, and free pictures of all; None: all were bought.
    notes
        Remarks that a reader must know beside the figures.
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
    stop: AuditStop | None = None
    kinds: tuple[KindRisk, ...] = ()
    quality: tuple[QualityMisses, ...] = ()
    part: RandomPart | None = None

    @property
    def found(self) -> str:
        """Say the verdict for people."""
        tested = [level for level in self.levels if level.tested]
        return in_short(self.verdict, [(level.judgement, level.claimed) for level in tested])

    @property
    def foretold(self) -> PaidForetold | None:
        """Foretell from a bought part how many photographs another audit must buy; None where nothing follows."""
        for index, level in enumerate(self.levels):
            # Where the claim is not alpha, it is not about these losses themselves.
            if self.part is not None and level.estimate is not None and level.claimed == level.alpha:
                losses = np.array([picture.losses[index] for picture in self.pictures])
                free = self.part.losses(index)[: self.n]
                return PaidForetold.of(losses, free, "the losses of the last audit with --paid in this run folder")
        return None

    def __repr__(self) -> str:
        levels = "; ".join(
            f"risk {level.judgement.risk:.3f} at alpha={level.alpha:g}, {level.trusted_share:.1%} trusted"
            for level in self.levels[:3]
        )
        more = f"; and {len(self.levels) - 3} levels more" if len(self.levels) > 3 else ""
        return f"<Audit of {self.n} photographs: {self.verdict}; {levels}{more}>"

    @property
    def clear_parts(self) -> list[ClearPart]:
        """Return how near pictures are to the truth in the clear part at each level, then over all pixels."""
        shares = np.array([picture.shares for picture in self.pictures], np.float64)
        details = [picture.clear_detail for picture in self.pictures]
        return clear_parts([picture.squares for picture in self.pictures], shares, self.clusters, details)

    def blocks(
        self, worst: int = WORST, files: Mapping[tuple[float, str], Mapping[str, Path]] | None = None
    ) -> Iterator[Block]:
        """Yield verdict, sentences, levels, clear parts; as details explanations, kinds, quality and worst places.

        `worst` photographs are named at each level; `files` are crops that were written, by level and photograph's
        digest.
        """
        tiles = "" if self.units == self.n else f" (tiles of {self.units})"
        yield Note(
            f"Audit on {counted(self.n, 'unseen photograph')}{tiles}: {self.found}",
            {
                "n": self.n,
                "units": self.units,
                "stop": None if self.stop is None else self.stop.document,
                "quantity": self.quantity,
                "verdict": self.verdict,
                "notes": list(self.notes),
                "drift": self.drift,
            },
        )
        alphas, parts = [level.alpha for level in self.levels], self.clear_parts
        said = advice(alphas, parts)
        yield Note(said, {"advice": said or None})
        few = len(self.levels) <= _TOLD
        # Many levels are told in the table alone, but a level that speaks against the guarantee always gets a sentence.
        shown = [few or level.judgement.verdict in ("shifted", "contradicted") for level in self.levels]
        stop = [] if self.stop is None else [self.stop.sentence]
        told = [level.sentence for level, now in zip(self.levels, shown, strict=True) if now]
        yield Note(" ".join([*told, *kinds_in_words(self.kinds), *stop, *self.notes]))
        rest = [level.sentence for level, now in zip(self.levels, shown, strict=True) if not now]
        yield Note(" ".join(rest), detail=True)
        yield Note("" if self.drift is None else self.drift, remark="warning")
        yield self._level_table()
        if self.part is not None:
            estimates = {level.alpha: level.estimate for level in self.levels if level.tested and level.estimate}
            yield from estimate_blocks(self.part, self.n, estimates)
        yield self._figure()
        yield from self._explanations()
        yield from FactCounts.of([picture.facts for picture in self.pictures]).blocks()
        yield from clear_blocks(alphas, parts)
        yield from quality_blocks(self.quality)
        yield from detail_blocks([picture.detail for picture in self.pictures], self.clusters)
        if self.stop is not None:
            yield from self.stop.blocks(alphas)
        yield from kind_blocks(self.kinds)
        yield from self._quality_blocks()
        yield from [Note("", {"leakage": None})] if self.leakage is None else self.leakage.blocks()
        yield self._worst_table(worst, files or {})
        yield self._photograph_table()
        yield Note(f"Calls made: {self.calls}. Draws that were stored already: {self.cached}.", only="call")

    def _level_table(self) -> Table:
        columns: dict[str, How] = {
            "alpha": "{alpha:g}",
            **claimed_column(self.levels),
            "risk": "{risk:.4f}",
            "90 % interval": "{ci:between}",
            **({"of all invention": "{pooled_risk:.4f}"} if self._pools else {}),
            "trusted": "{trusted_share:share}",
            "empty masks": "{empty_share:share}",
            "p": "{p_value:.3f}",
            "verdict": lambda row: next(level.found for level in self.levels if level.alpha == row["alpha"]),
        }
        rows = [level.row for level in self.levels]
        document = [{**row, "threshold": threshold_json(row["threshold"])} for row in rows]
        title = f"Risk: {self.quantity}"
        return Table("levels", columns, rows, {"levels": document}, title=title, not_in_terminal=["p"])

    @property
    def _pools(self) -> bool:
        return all(level.pooled is not None for level in self.levels)

    def _figure(self) -> Figure:
        ends = (0.0, 1.1 * max(level.alpha for level in self.levels))
        risks = tuple((level.alpha, level.judgement.risk) for level in self.levels)
        whiskers = tuple((level.alpha, *level.judgement.interval) for level in self.levels)
        claimed = tuple((level.alpha, level.claimed) for level in self.levels)
        # Alpha bounds the risk itself: the claim is then the diagonal of the chart, else a flat line.
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

    def _explanations(self) -> Iterator[Block]:
        if self._pools:
            clear = ", ".join(f"{level.pooled:.0%} at {level.alpha:g}" for level in self.levels)
            yield Note(
                f"Of all that was invented in these photographs together, {clear} is clear. The risk is a mean over "
                "photographs of the share of each, so that little invention counts in one as much as a lot in another; "
                "only this mean is promised."
            )
        judgements = [level.judgement for level in self.levels]
        verdicts = dict.fromkeys(level.judgement.verdict for level in self.levels if level.tested)
        yield Note(f"Trusted is the mean trusted share of the photographs. {FIXED}", detail=True)
        yield Note(
            "p is the share of random splits of calibration and audit photographs that show at least this risk; it is "
            "1 where the risk is not above the claimed one.",
            only="page",
        )
        fixed = FIXED_NUMBER if self.part is not None and self.part.beside else beforehand(judgements)
        for sentence in (*(EXPLAINED[verdict] for verdict in verdicts), fixed or ""):
            yield Note(sentence, detail=True)

    def _quality_blocks(self) -> Iterator[Block]:
        levels, promised = self.levels, False
        measures = [("psnr", "PSNR, dB in sRGB", 2), ("ssim", "SSIM of luminance", 3)]
        if all(math.isnan(level.whole.ssim) and math.isfinite(level.whole.psnr_in_space) for level in levels):
            measures = [("psnr_in_space", "PSNR, dB of the range of each band", 2)]
        for name, measured, digits in measures:
            places = ("inside", "outside", "whole")
            columns: dict[str, How] = {"alpha": "{alpha:g}", **{place: f"{{{place}:.{digits}f}}" for place in places}}
            bounded = any(math.isfinite(getattr(level.promise, name, math.nan)) for level in levels)
            if bounded and name == "psnr":
                columns["inside, metric's space"] = "{space:.2f}"
            if bounded:
                columns["promised at least"] = f"{{least:{'at_least' if name == 'psnr' else 'at_least3'}}}"
            rows = [
                {
                    "alpha": level.alpha,
                    **{place: getattr(getattr(level, place), name) for place in places},
                    "space": level.inside.psnr_in_space,
                    "least": getattr(level.promise, f"{name}_if_trusted", math.nan),
                }
                for level in levels
            ]
            against = ", against its bound" if bounded else ""
            title = f"{measured}, inside and outside the mask{against}"
            yield Table(name, columns, rows, {}, title=title, detail=True)
            promised = promised or bounded
        yield Note("These are means over the photographs that have such pixels.", detail=True)
        if (lower := ssim_lower(levels)) is not None:
            yield Note(lower, detail=True)
        if promised:
            yield Note(f"Promised at least: {levels[0].promise.words}.", detail=True)

    def _worst_table(self, most: int, files: Mapping[tuple[float, str], Mapping[str, Path]]) -> Table:
        rows = [
            {
                "alpha": level.alpha,
                "name": picture.name,
                "photograph": picture.truth,
                "loss": picture.losses[index],
                "trusted_share": picture.shares[index],
                "row": place.row,
                "column": place.column,
                "error": place.error,
                "files": {
                    kind: str(path.resolve()) for kind, path in files.get((level.alpha, picture.truth), {}).items()
                },
            }
            for index, level in enumerate(self.levels)
            for picture in self.worst(index, most)
            if (place := picture.worst[index]) is not None
        ]
        # A largest error is itself the loss; a share of wrong pixels is not.
        apart: dict[str, How] = (
            {"error there": "{error:.4f}"} if any(row["loss"] != row["error"] for row in rows) else {}
        )
        columns: dict[str, How] = {
            "alpha": "{alpha:g}",
            "photograph": "{name}",
            "loss": "{loss:.4f}",
            "trusted": "{trusted_share:share}",
            **apart,
            "row": "{row}",
            "column": "{column}",
        }
        title = "Worst photographs, with the trusted pixel of the largest error"
        return Table("worst", columns, rows, title=title, detail=True)

    def _photograph_table(self) -> Table:
        rows = [
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
        columns: dict[str, How] = {
            "photograph": "{name}",
            "alpha": "{alpha:g}",
            "loss": "{loss:.3f}",
            "trusted": "{trusted_share:share}",
            "PSNR trusted, dB": "{psnr_trusted:.2f}",
            "PSNR all, dB": "{psnr_all:.2f}",
        }
        return Table("photographs", columns, rows, {}, title="All audited photographs", only="page")

    def worst(self, level: int, most: int) -> list[AuditedPicture]:
        """Return at most `most` pictures with the largest losses at a level, among pictures that trust anything."""
        # A photograph without a loss is not wrong anywhere, so it cannot be among the worst.
        wrong = [picture for picture in self.pictures if picture.worst[level] and picture.losses[level] > 0]
        return sorted(wrong, key=lambda picture: (-picture.losses[level], -_error(picture.worst[level]), picture.name))[
            :most
        ]


def ssim_lower(levels: Sequence[AuditedLevel]) -> str | None:
    """Explain a structural similarity that is lower inside the mask than outside; None where none is."""
    if not any(level.inside.ssim < level.outside.ssim for level in levels):
        return None
    return (
        "SSIM can be lower inside the mask than outside while errors are smaller there: it compares contrast, and in "
        "smooth parts, which are trusted first, a grain that is hardly seen changes contrast much."
    )


def _error(place: PixelPlace | None) -> float:
    return 0.0 if place is None else place.error
