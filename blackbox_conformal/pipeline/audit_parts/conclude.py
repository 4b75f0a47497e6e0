"""From audited pictures to the audit: claims, verdicts, quality against its bounds, planted leakage.

No picture is read and nothing is drawn here.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from blackbox_conformal import catalog
from blackbox_conformal.audits.confidence import LEVEL
from blackbox_conformal.audits.contamination import audit_leakage
from blackbox_conformal.audits.exchangeable_units import pooled
from blackbox_conformal.audits.findings import Audit, AuditedLevel, AuditedPicture
from blackbox_conformal.audits.hypothesis import claim, quantity
from blackbox_conformal.audits.implied_quality import promise
from blackbox_conformal.audits.permutation import resplit_risks
from blackbox_conformal.audits.quality import mean_quality
from blackbox_conformal.audits.verdict import Verdict, judge, meaning, overall
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.guarantees.claims import Units
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.risk.pool import pool
from blackbox_conformal.text import printable


def conclude(
    calibration: Calibration,
    rule: Guarantee,
    levels: Sequence[float],
    audited: Sequence[AuditedPicture],
    *,
    clusters: Sequence[str] | None = None,
    calls: int = 0,
    cached: int = 0,
) -> Audit:
    """The audit that follows from pictures audited at `levels`.

    Parameters
    ----------
    rule
        The guarantee in force, of `calibration`.
    clusters
        The photograph that each picture is a tile of; None: each is a photograph of its own.
    """
    curves = calibration.curves_for(rule)
    bound = calibration.bound_for(rule)
    units = rule.unit_curves(curves)
    unseen = CurveSet.from_curves([one.curve for one in audited])
    words = quantity(rule, clusters)
    thresholds = [rule.threshold(curves, alpha) for alpha in levels]
    losses = np.array([one.losses for one in audited], dtype=np.float64)
    claims = [claim(rule, losses[:, index], alpha, bound, clusters) for index, alpha in enumerate(levels)]
    resplit = observed = None
    if any(one.losses.mean() > one.level for one in claims):
        together = pooled(units, unseen, clusters)
        if together is not None:
            resplit = resplit_risks(units.rule, together, len(units.curves), levels)
            plain = [
                claim(rule, unseen.losses_at(t), a, bound, clusters) for t, a in zip(thresholds, levels, strict=True)
            ]
            observed = [float(one.losses.mean()) for one in plain]
    weights = _weights(audited, clusters)
    named = "photographs" if clusters is None else "photographs with their tiles"
    metric = metric_of(calibration)
    found = []
    for index, alpha in enumerate(levels):
        one = claims[index]
        judgement = judge(
            one.losses,
            one.level,
            one.bound,
            None if resplit is None else resplit[:, index],
            None if observed is None else observed[index],
            claim(units.rule, units.curves.losses_at(thresholds[index]), alpha, bound).losses,
            averages=one.averages,
        )
        shares = np.array([picture.shares[index] for picture in audited])
        # A refused photograph has no pixels either, but it has a loss.
        empty = float(np.average((shares == 0) & (losses[:, index] == 0), weights=weights))
        told = meaning(judgement, one.level, named)
        reason = rule.choose(curves, alpha).reason
        if reason is not None and empty == 1:
            # A mask without pixels cannot be wrong: however many of them confirm nothing.
            judgement = replace(judgement, verdict="inconclusive", further=None)
            told = f"{reason}. So nothing was tested."
        found.append(
            AuditedLevel(
                alpha=alpha,
                threshold=thresholds[index],
                claimed=one.level,
                judgement=judgement,
                meaning=told,
                trusted_share=float(np.average(shares, weights=weights)),
                empty_share=empty,
                inside=mean_quality([picture.inside[index] for picture in audited], weights),
                outside=mean_quality([picture.outside[index] for picture in audited], weights),
                whole=mean_quality([picture.whole for picture in audited], weights),
                promise=promise(rule, alpha, metric, float(np.average(shares > 0, weights=weights))),
            )
        )
    verdict: Verdict = overall([one.judgement for one in found if one.tested], len(found))
    if any(one.broken_bound for one in audited):
        verdict = "contradicted"
    counted = unseen if clusters is None else pool(unseen, tuple(clusters))
    return Audit(
        n=len(audited),
        units=len(counted),
        quantity=words,
        levels=tuple(found),
        verdict=verdict,
        pictures=tuple(audited),
        leakage=audit_leakage(units.rule, units.curves, counted, levels) if _alike(units, clusters) else None,
        notes=(
            *_alone(found, verdict),
            *_notes(rule, audited, units, clusters),
            *filter(None, [calibration.procedure.seed_note]),
        ),
        clusters=None if clusters is None else tuple(clusters),
        calls=calls,
        cached=cached,
    )


def metric_of(calibration: Calibration) -> Metric:
    """The metric that was calibrated."""
    given = dict(calibration.procedure.metric)
    found: Metric = catalog.load("metrics", given.pop("name"), **given)
    return found


def _weights(audited: Sequence[AuditedPicture], clusters: Sequence[str] | None) -> list[float] | None:
    """Each photograph counts once, whatever the number of its tiles."""
    return None if clusters is None else [1.0 / clusters.count(name) for name in clusters]


def _alike(units: Units, clusters: Sequence[str] | None) -> bool:
    return (units.clusters is None) == (clusters is None)


def _alone(levels: Sequence[AuditedLevel], verdict: Verdict) -> list[str]:
    """Why levels that are contradicted or shifted by themselves do not make the audit so."""
    notes = []
    for kind, p_name in (("contradicted", "p_promise"), ("shifted", "p_value")):
        if verdict == kind or verdict == "contradicted":
            break
        alone = [level for level in levels if level.judgement.verdict == kind]
        if alone:
            named = ", ".join(f"{level.alpha:g} (p = {getattr(level.judgement, p_name):.3g})" for level in alone)
            notes.append(
                f"{kind.capitalize()} by itself: {named}. Of {len(levels)} levels that were looked at, one is by "
                f"chance more often than 5 % of the time, so the whole audit is {kind} only where p is at most "
                f"{LEVEL / len(levels):.2g}."
            )
    return notes


def _notes(
    rule: Guarantee, audited: Sequence[AuditedPicture], units: Units, clusters: Sequence[str] | None
) -> tuple[str, ...]:
    notes = []
    refused = [one.name for one in audited if one.refused]
    if refused:
        notes.append(
            f"The vendor refused {len(refused)} of {len(audited)} audit photographs, first {printable(refused[0])}: "
            "each counts at the worst loss as soon as anything is trusted, and has no pixels to trust."
        )
    source = rule.bound_source
    if source != "metric":
        kind = "delivered colours" if source == "delivered" else "input"
        notes.append(
            f"Risk, trusted share and quality are measured with each picture's own bound, from its {kind}, as its mask "
            "is when it is made. Random splits, the permutation test and planted leakage use the metric's bound, since "
            "stored curves hold no other."
        )
    broken = [one.name for one in audited if one.broken_bound]
    if broken:
        notes.append(
            f"The loss of {len(broken)} pictures exceeds the bound that was computed for them, first "
            f"{printable(broken[0])}: what that bound rests on is not true, and the guarantee with it."
        )
    notes.extend(units.rule.audit_notes)
    if not _alike(units, clusters):
        notes.append(
            "Audit pictures are tiles and calibration pictures are not: each photograph counts once in the interval, "
            "and there is no permutation test, as the two are not exchangeable."
        )
    return tuple(notes)
