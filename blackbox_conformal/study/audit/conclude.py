"""Turn audited pictures into an audit: claims, verdicts, quality against its bounds, planted leakage."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.contamination import audit_leakage
from blackbox_conformal.method.audits.control_variates import FreeLosses, RandomPart
from blackbox_conformal.method.audits.detail_shares import VENDOR
from blackbox_conformal.method.audits.findings import Audit, AuditedLevel, AuditedPicture
from blackbox_conformal.method.audits.kinds import AtLevel, KindRisk, group_of_each, kind_risks, statistics_of
from blackbox_conformal.method.audits.permutation import resplit_risks
from blackbox_conformal.method.audits.quality import mean_quality, promise
from blackbox_conformal.method.audits.sequential import AuditStop
from blackbox_conformal.method.audits.verdict import Verdict, claim, judge, meaning, overall, quantity
from blackbox_conformal.method.guarantees.corollaries import cap_note, error_in_words
from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee, Units
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import least_invented
from blackbox_conformal.method.risk.curve_set import CurveSet, mean_of_clusters, pool
from blackbox_conformal.study.audit.audited_rule import Beside
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import printable

_LOOKED_AT = (
    "Some of these photographs were audited before, together with fewer or other ones, so their number was not fixed "
    "before looking. The interval is one that holds however often you look, which is wider than the exact one."
)


def conclude(
    calibration: Calibration,
    rule: Guarantee,
    levels: Sequence[float],
    audited: Sequence[AuditedPicture],
    *,
    clusters: Sequence[str] | None = None,
    stop: AuditStop | None = None,
    first_look: bool = True,
    groups: Mapping[str, str] | None = None,
    part: RandomPart | None = None,
) -> Audit:
    """Conclude the audit of pictures at `levels`.

    `clusters`: The photograph that each picture is a tile of; None: each is its own.
    `stop`: How an audit that may stop went; None: the number of photographs was fixed beforehand.
    `first_look`: Whether none of these photographs was in an earlier audit of others. Otherwise the number was not
      fixed before looking, and the interval is one that holds at every look.
    `groups`: Picture's name → group whose risk is shown.
    `part`: The random part that `audited` are, in its order; None: all photographs were bought.
    """
    tiles = None if clusters is None else tuple(clusters)
    measured = _Measured(calibration, rule, tuple(levels), tuple(audited), tiles, stop, first_look, part)
    audited_levels = tuple(measured.level(index) for index in range(len(levels)))
    tested = [level.judgement for level in audited_levels if level.tested]
    promised = [one for one in Beside.at(calibration, rule, levels) if audited_levels[one.index].tested]
    beside = [one.judgement(measured.audited, tiles) for one in promised]
    verdict: Verdict = overall([*tested, *beside], len(audited_levels) + len(beside))
    if any(picture.broken_bound for picture in audited):
        verdict = "contradicted"
    notes = []
    for kind, p_name in (("contradicted", "p_promise"), ("shifted", "p_value")):
        if verdict in (kind, "contradicted"):
            break
        alone = [level for level in audited_levels if level.judgement.verdict == kind]
        if alone:
            named = ", ".join(f"{level.alpha:g} (p = {getattr(level.judgement, p_name):.3g})" for level in alone)
            notes.append(
                f"{kind.capitalize()} by itself: {named}. Of {len(levels)} levels that were looked at, one is by "
                f"chance more often than 5 % of the time, so the whole audit is {kind} only where p is at most "
                f"{LEVEL / len(levels):.2g}."
            )
    units, error = measured.units, error_in_words(calibration.procedure.metric)
    counted = measured.unseen if tiles is None else pool(measured.unseen, tiles)
    alike = (units.clusters is None) == (tiles is None)
    return Audit(
        n=len(audited),
        units=len(counted),
        quantity=quantity(rule, tiles, error),
        levels=audited_levels,
        verdict=verdict,
        pictures=measured.audited,
        leakage=audit_leakage(units.rule, units.curves, counted, levels) if alike else None,
        notes=(
            *notes,
            *_notes_on_pictures(measured),
            *(one.in_words(judged, tiles, error) for one, judged in zip(promised, beside, strict=True)),
            *units.rule.audit_notes,
            *([] if alike else [_NOT_ALIKE]),
            *([] if first_look else [_LOOKED_AT]),
            *filter(None, [cap_note(rule, calibration.procedure.metric), calibration.procedure.seed_note]),
        ),
        clusters=tiles,
        stop=stop,
        kinds=measured.kinds(groups or {}, [level.alpha for level in audited_levels if level.tested]),
        part=None if part is None else replace(part, beside=first_look and not any(one.exact for one in tested)),
    )


def calibrated_kinds(calibration: Calibration, alpha: float) -> tuple[KindRisk, ...]:
    """Describe the calibration's own photographs: risk and trusted share of each kind.

    Empty where the guarantee bounds no mean.
    """
    rule = calibration.rule()
    curves, units = calibration.curves_for(rule), rule.unit_curves(calibration.curves_for(rule))
    threshold = rule.threshold(curves, alpha)
    if threshold == -math.inf or not curves.area_scores.size:
        return ()
    try:
        claimed = claim(units.rule, units.curves.losses_at(threshold), alpha, calibration.bound_for(rule))
    except UsageError:
        return ()
    known = statistics_of([image.kind for image in calibration.images], units.clusters)
    groups = group_of_each([image.group for image in calibration.images], units.clusters)
    # A refused photograph has no pixels to trust.
    shares = np.nan_to_num(units.trusted_shares_at(threshold))
    return kind_risks(known, known, groups, [AtLevel(alpha, claimed, shares)], unseen=False)


@dataclass(frozen=True)
class _Measured:
    """Audited pictures, and what follows for all levels together."""

    calibration: Calibration
    rule: Guarantee
    levels: tuple[float, ...]
    audited: tuple[AuditedPicture, ...]
    clusters: tuple[str, ...] | None
    stop: AuditStop | None
    first_look: bool
    part: RandomPart | None = None

    def level(self, index: int) -> AuditedLevel:
        """Conclude one level."""
        alpha, threshold, claimed = self.levels[index], self.thresholds[index], self.claims[index]
        resplit, observed = (None, None) if self.resplit is None else self.resplit[index]
        free = self.free(index)
        judgement = judge(
            claimed.losses,
            claimed.level,
            claimed.bound,
            resplit,
            observed,
            claim(self.units.rule, self.units.curves.losses_at(threshold), alpha, self.bound).losses,
            averages=claimed.averages,
            exact=claimed.binary and self.clusters is None and self.stop is None and self.first_look,
            # What holds however often one looks is the plain interval.
            free=free if self.first_look else None,
        )
        if self.stop is not None and self.stop.p_against[index] <= self.stop.share:
            p_promise = min(judgement.p_promise, self.stop.p_against[index])
            judgement = replace(judgement, verdict="contradicted", p_promise=p_promise, further=None, fewest=None)
        shares = np.array([picture.shares[index] for picture in self.audited])
        # A refused photograph has no pixels either, but it has a loss.
        empty = self._mean((shares == 0) & (self.losses[:, index] == 0))
        named = "photographs" if self.clusters is None else "photographs with their tiles"
        in_words = meaning(judgement, claimed.level, named)
        reason = self.rule.choose(self.curves, alpha).reason
        if reason is not None and empty == 1:
            # A mask without pixels cannot be wrong, so however many of them confirm nothing.
            judgement = replace(judgement, verdict="inconclusive", further=None, fewest=None)
            in_words = f"{reason}. So nothing was tested."
        # The share of all invented detail that is clear, over these pictures together, from each picture's own share,
        # as far as that share is at most its invented detail.
        known = [(each.losses[index], each.detail[VENDOR]) for each in self.audited if VENDOR in each.detail]
        whole = sum(sums.invented for _, sums in known) if self.rule.needs.curve_kind == "marked" else 0
        added = [(loss, sums.invented, least_invented(sums.values / 3)) for loss, sums in known if whole]
        clear = sum(min(invented, loss * (invented + more)) for loss, invented, more in added)
        pooled = clear / whole if whole else None
        metric: Metric = catalog.of_specification("metrics", self.calibration.procedure.metric)
        return AuditedLevel(
            alpha=alpha,
            threshold=threshold,
            claimed=claimed.level,
            judgement=judgement,
            meaning=in_words,
            trusted_share=self._mean(shares),
            empty_share=empty,
            inside=mean_quality([picture.inside[index] for picture in self.audited], self.weights),
            outside=mean_quality([picture.outside[index] for picture in self.audited], self.weights),
            whole=mean_quality([picture.whole for picture in self.audited], self.weights),
            promise=promise(self.rule, alpha, metric, self._mean(shares > 0)),
            pooled=pooled,
            estimate=None if free is None else free.estimate(claimed.losses, claimed.bound),
        )

    def free(self, index: int) -> FreeLosses | None:
        """Return what a level claims of free pictures, as shares of the bound; None where all were bought."""
        if self.part is None:
            return None
        table, bought = self.part.losses(index), len(self.audited)
        claims = [claim(self.rule, losses, self.levels[index], self.bound) for losses in table.T]
        shares = np.stack([claimed.losses / claimed.bound for claimed in claims], axis=1)
        return FreeLosses(shares[:bought], shares[bought:])

    @cached_property
    def curves(self) -> CurveSet:
        return self.calibration.curves_for(self.rule)

    @cached_property
    def bound(self) -> float:
        return self.calibration.bound_for(self.rule)

    @cached_property
    def units(self) -> Units:
        """Return the calibration's curves, one for each photograph."""
        return self.rule.unit_curves(self.curves)

    @cached_property
    def unseen(self) -> CurveSet:
        """Return the curves of the audited pictures."""
        return CurveSet.from_curves([picture.curve for picture in self.audited])

    @cached_property
    def thresholds(self) -> list[float]:
        """Return the calibration's threshold at each level."""
        return [self.rule.threshold(self.curves, alpha) for alpha in self.levels]

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Return the loss of each mask, (pictures, levels)."""
        return np.array([picture.losses for picture in self.audited], dtype=np.float64)

    @cached_property
    def claims(self) -> list[Claim]:
        """Return the guarantee's claim about these losses, at each level."""
        return [
            claim(self.rule, self.losses[:, index], alpha, self.bound, self.clusters)
            for index, alpha in enumerate(self.levels)
        ]

    @cached_property
    def resplit(self) -> list[tuple[NDArray[np.float64], float]] | None:
        """Return, at each level, the risks of random splits and of this split; None where they test nothing.

        Splits test a risk above the claim, if calibration and audit photographs are exchangeable and results did not
        decide the number of photographs.
        """
        if self.stop is not None and self.stop.reason is not None:
            return None
        if all(claimed.losses.mean() <= claimed.level for claimed in self.claims):
            return None
        together = self.units.pooled(self.unseen, self.clusters)
        if together is None:
            return None
        risks = resplit_risks(self.units.rule, together, len(self.units.curves), self.levels)
        if risks is None:
            return None
        observed = [
            claim(self.rule, self.unseen.losses_at(threshold), alpha, self.bound, self.clusters).losses.mean()
            for threshold, alpha in zip(self.thresholds, self.levels, strict=True)
        ]
        return [(risks[:, index], float(risk)) for index, risk in enumerate(observed)]

    @cached_property
    def weights(self) -> list[float] | None:
        """Return weights that count each photograph once, however many tiles it has."""
        return None if self.clusters is None else [1.0 / self.clusters.count(name) for name in self.clusters]

    def kinds(self, groups: Mapping[str, str], tested: Sequence[float]) -> tuple[KindRisk, ...]:
        """Return risk and trusted share of each kind of photograph at the `tested` levels, which share the error."""
        images = self.calibration.images
        tiles = [image.cluster for image in images if image.cluster is not None]
        known = statistics_of([image.kind for image in images], tiles or None)
        new = statistics_of([picture.kind for picture in self.audited], self.clusters)
        of_each = group_of_each([groups.get(picture.name) for picture in self.audited], self.clusters)
        shares = np.array([picture.shares for picture in self.audited], np.float64)
        levels = [
            AtLevel(
                alpha,
                self.claims[index],
                shares[:, index] if self.clusters is None else mean_of_clusters(shares[:, index], self.clusters),
                self.units.curves.losses_at(self.thresholds[index]),
            )
            for index, alpha in enumerate(self.levels)
        ]
        return tuple(one for one in kind_risks(known, new, of_each, levels) if one.alpha in tested)

    def _mean(self, values: NDArray[Any]) -> float:
        return float(np.average(values, weights=self.weights))


_NOT_ALIKE = (
    "Audit pictures are tiles and calibration pictures are not: each photograph counts once in the interval, "
    "and there is no permutation test, as the two are not exchangeable."
)


def _notes_on_pictures(measured: _Measured) -> list[str]:
    notes, audited = [], measured.audited
    refused = [picture.name for picture in audited if picture.refused]
    if refused:
        notes.append(
            f"The vendor refused {len(refused)} of {len(audited)} audit photographs, first {printable(refused[0])}: "
            "each counts at the worst loss as soon as anything is trusted, and has no pixels to trust."
        )
    source = measured.rule.bound_source
    if source != "metric":
        kind = "delivered colours" if source == "delivered" else "input"
        notes.append(
            f"Risk, trusted share and quality are measured with each picture's own bound, from its {kind}, as its mask "
            "is when it is made. Random splits, the permutation test and planted leakage use the metric's bound, since "
            "stored curves hold no other."
        )
    broken = [picture.name for picture in audited if picture.broken_bound]
    if broken:
        notes.append(
            f"The loss of {len(broken)} pictures exceeds the bound that was computed for them, first "
            f"{printable(broken[0])}: what that bound rests on is not true, and the guarantee with it."
        )
    return notes
