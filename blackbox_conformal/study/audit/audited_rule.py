"""Choose the guarantee of a calibration to audit, and foretell what the audit can find."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.audits.confidence import LEVEL, Exact, interval_for
from blackbox_conformal.method.audits.findings import AuditedPicture
from blackbox_conformal.method.audits.sequential import LevelTest, level_test
from blackbox_conformal.method.audits.verdict import Judgement, claim, judge, meaning, quantity
from blackbox_conformal.method.guarantees.by_cluster import in_tiles
from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee
from blackbox_conformal.method.guarantees.instance_bound import reason_of_nothing
from blackbox_conformal.study.stages.certify import rules_of_masks
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import printable


@dataclass(frozen=True, slots=True)
class Beside:
    """A second promise for the masks of one level: the largest error, tested at that level."""

    # The second guarantee and its level.
    rule: Guarantee
    promised: float
    # The masks' level: its place, itself, and its threshold.
    index: int
    alpha: float
    threshold: float
    known: Claim  # The claim about the calibration photographs at that threshold.
    bound: float  # The largest error.
    test: LevelTest  # Of the claim, valid however often an audit looks.

    @classmethod
    def at(cls, calibration: Calibration, rule: Guarantee, levels: Sequence[float]) -> list["Beside"]:
        """Return the second promise at each level whose masks trust anything; empty where there is none."""
        if rule.beside is None:
            return []
        other, promised = rule.beside
        curves, units, bound = calibration.curves_for(rule), other.unit_curves(calibration.curves), calibration.bound
        found = []
        for index, alpha in enumerate(levels):
            threshold = rule.threshold(curves, alpha)
            if threshold == -math.inf:
                continue
            known = claim(units.rule, units.curves.losses_at(threshold), promised, bound)
            # A threshold below the one of `other` loses no more, so the bound on that risk bounds this risk, too.
            test = level_test(known, alike=units.rule.treats_photographs_alike, levels=2 * len(levels))
            found.append(cls(other, promised, index, alpha, threshold, known, bound, test))
        return found

    def claimed(self, audited: Sequence[AuditedPicture], clusters: Sequence[str] | None) -> Claim:
        """Return the claim about the masks of the audited pictures."""
        losses = np.array([self.loss(picture) for picture in audited])
        return claim(self.rule, losses, self.promised, self.bound, clusters)

    def loss(self, picture: AuditedPicture) -> float:
        """Return the largest trusted error of an audited picture."""
        # A refused photograph has no pixels: it loses the most as soon as anything is trusted.
        if picture.refused:
            return self.bound
        place = picture.worst[self.index]
        return 0.0 if place is None else place.error

    def judgement(self, audited: Sequence[AuditedPicture], clusters: Sequence[str] | None) -> Judgement:
        """Judge whether the masks keep the promise."""
        claimed, known = self.claimed(audited, clusters), self.known
        judged = judge(claimed.losses, claimed.level, claimed.bound, known=known.losses, averages=known.averages)
        p_promise = self.test.p_against(claimed.losses / claimed.bound)
        if p_promise > LEVEL:
            return judged
        return replace(judged, verdict="contradicted", p_promise=p_promise, further=None, fewest=None)

    def in_words(self, judged: Judgement, clusters: Sequence[str] | None, error: str) -> str:
        """Say what was found; `error` is the metric's name of an error."""
        named = "photographs" if clusters is None else "photographs with their tiles"
        measured = quantity(self.rule, clusters, error).replace(" alpha", f" {self.promised:g}")
        limit = "" if self.rule.miss_rate is not None else f", at most {self.promised:g}"
        return (
            f"Also promised{limit}: {measured}. With the masks of alpha {self.alpha:g} it is {judged.risk:.3g}: "
            f"{meaning(judged, self.known.level, named)}"
        )


_BY = {
    "by-cluster": "the photograph of each tile with --tiles FILE",
    "by-group": "calibrate with --groups FILE and audit with --group NAME",
    "by-score": "audit with --group NAME, such as 'lower half'",
    "by-vendor": "audit with --group NAME, such as 'vendor 1 of 2'",
}


def audited_rule(
    calibration: Calibration,
    guarantee: str | Guarantee | None = None,
    group: str | None = None,
    tiles: Mapping[str, str] | None = None,
) -> Guarantee:
    """Return the guarantee to audit: the calibration's own unless another is named.

    `guarantee`: An instance, or ``name:key=value``.
    `tiles`: Picture → photograph it is a tile of. If calibration pictures are among them, the guarantee becomes
      ``by-cluster``: a photograph counts once.
    """
    if isinstance(guarantee, str):
        name = catalog.parse(guarantee)[0]
        if name in _BY:
            raise UsageError(f"expected the guarantee that holds within; got {name}. Name that one, and {_BY[name]}")
    rule = calibration.rule(guarantee)
    names = [image.name for image in calibration.images]
    photographs = tiles or {}
    # Calibration pictures that are named as tiles count by photograph, as the audited ones do.
    if rule.tiles is None and any(name in photographs for name in names):
        missing = [name for name in names if name not in photographs]
        if missing:
            raise UsageError(
                f"expected the photograph of every calibration picture or of none; {len(missing)} of {len(names)} have "
                f"none, first {printable(missing[0])}. Name all of them"
            )
        rule = in_tiles(rule, [photographs[name] for name in names])
    if group is None and len(rules := rules_of_masks(calibration, rule)) > 1:
        ends = " or ".join(f"--group {one.own_group!r}" for one in rules)
        raise UsageError(
            f"expected {ends} (group in Python), since masks have a threshold for each: audit one after the other, as "
            "the draws are kept and nothing is paid twice"
        )
    return rule if group is None else calibration.rule_of_group(group, rule)


def is_own(calibration: Calibration, rule: Guarantee) -> bool:
    """Tell whether the calibration states `rule` by itself, so its report can show the audit."""
    return rule == calibration.rule()


def photographs_of(rule: Guarantee, names: Sequence[str], tiles: Mapping[str, str] | None) -> tuple[str, ...] | None:
    """Return the photograph of each audited tile; None: each picture is its own photograph."""
    if tiles is None:
        return None
    missing = [name for name in names if name not in tiles]
    if missing:
        raise UsageError(
            f"expected the photograph of every audited picture; {len(missing)} of {len(names)} have none, first "
            f"{printable(missing[0])}. A picture that is no tile is its own photograph"
        )
    photographs = tuple(tiles[name] for name in names)
    shared = sorted(set(photographs) & set(rule.tiles or ()))
    if shared:
        raise CalibrationError(
            f"expected photographs that calibration has not seen; tiles of {len(shared)} were used for it, first "
            f"{printable(shared[0])}. Leave their tiles out"
        )
    return photographs


@dataclass(frozen=True, slots=True)
class Outlook:
    """The photographs that it takes to confirm one level."""

    alpha: float
    fewest: int | None  # Photographs needed if none shows any loss; fewer confirm nothing.
    likely: int | None  # Photographs needed if they are like the calibration's; None: no practical number.
    # Photographs without loss needed if their number is fixed beforehand, where that is fewer.
    fixed: int | None = None


def refuse_hopeless(calibration: Calibration, rule: Guarantee, levels: Sequence[float]) -> None:
    """Refuse to audit masks that are empty at every level."""
    curves = calibration.curves_for(rule)
    reasons = [reason_of_nothing(rule, curves, alpha) for alpha in levels]
    if reasons and all(reasons):
        raise CalibrationError(
            f"every mask would be empty at every level, so there is nothing to audit: {reasons[-1]}. Calibrate on more "
            "photographs, or audit a higher --alpha"
        )


def outlook(
    calibration: Calibration, rule: Guarantee, levels: Sequence[float], *, fixed: bool = False
) -> list[Outlook]:
    """Foretell the photographs that confirm each level; empty where each picture has a bound of its own.

    `fixed`: Whether the number of photographs is fixed before looking, which allows exact bounds.
    """
    if rule.bound_source != "metric" or rule.own_bound is not None:
        return []
    curves = calibration.curves_for(rule)
    units, bound = rule.unit_curves(curves), calibration.bound_for(rule)
    outlooks = []
    for alpha in levels:
        if reason_of_nothing(rule, curves, alpha) is not None:
            # Nothing is trusted, so nothing is tested.
            continue
        calibrated = claim(units.rule, units.curves.losses_at(rule.threshold(curves, alpha)), alpha, bound)
        # With one loss above 0 or a level outside (0, 1), losses of 0 confirm nothing.
        if not 0 < calibrated.level < calibrated.bound:
            continue
        # The same photographs confirm the promise beside, and never by an exact interval.
        found = [_outlook(alpha, calibrated, fixed=fixed)]
        found += [_outlook(alpha, one.known, fixed=False) for one in Beside.at(calibration, rule, [alpha])]
        fewest, likely = (_most([getattr(each, name) for each in found]) for name in ("fewest", "likely"))
        outlooks.append(Outlook(alpha, fewest, likely, found[0].fixed if len(found) == 1 else None))
    return outlooks


def _most(numbers: Sequence[int | None]) -> int | None:
    return None if None in numbers else max(number for number in numbers if number is not None)


def _outlook(alpha: float, known: Claim, *, fixed: bool) -> Outlook:
    level, losses = known.level / known.bound, known.losses / known.bound
    interval = interval_for(known.losses, known.level, known.bound, exact=fixed and known.binary)
    # A fixed number allows the exact interval only where every loss is 0 or the bound.
    least = Exact().fewest(np.zeros(1), level) if known.binary and not fixed else None
    return Outlook(alpha, interval.fewest(np.zeros(1), level), interval.fewest(losses, level), least)
