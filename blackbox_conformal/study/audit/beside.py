"""What a guarantee promises beside of the same masks, the largest error, as an audit tests it at each level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.findings import AuditedPicture
from blackbox_conformal.method.audits.sequential import LevelTest, level_test
from blackbox_conformal.method.audits.verdict import Judgement, claim, judge, meaning, quantity
from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee


@dataclass(frozen=True, slots=True)
class Beside:
    """The promise beside, of the masks of one level.

    Attributes
    ----------
    rule, promised
        The guarantee beside and its level.
    index, alpha, threshold
        The place of the level of the masks, the level itself, and its threshold.
    known
        The claim about the calibration photographs at that threshold.
    bound
        The largest error.
    test
        Of the claim, valid however often an audit looks.
    """

    rule: Guarantee
    promised: float
    index: int
    alpha: float
    threshold: float
    known: Claim
    bound: float
    test: LevelTest

    @classmethod
    def at(cls, calibration: Calibration, rule: Guarantee, levels: Sequence[float]) -> list["Beside"]:
        """What `rule` promises beside at each level of masks that trust anything; empty where it promises nothing."""
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
            # A threshold below the one of `other` loses no more, so what bounds its risk bounds this one's.
            test = level_test(known, alike=units.rule.treats_photographs_alike, levels=2 * len(levels))
            found.append(cls(other, promised, index, alpha, threshold, known, bound, test))
        return found

    def claimed(self, audited: Sequence[AuditedPicture], clusters: Sequence[str] | None) -> Claim:
        """What it claims of the masks of the audited pictures."""
        losses = np.array([self.loss(picture) for picture in audited])
        return claim(self.rule, losses, self.promised, self.bound, clusters)

    def loss(self, picture: AuditedPicture) -> float:
        """The largest trusted error of an audited picture."""
        # A refused photograph has no pixels: it loses the most as soon as anything is trusted.
        if picture.refused:
            return self.bound
        place = picture.worst[self.index]
        return 0.0 if place is None else place.error

    def judgement(self, audited: Sequence[AuditedPicture], clusters: Sequence[str] | None) -> Judgement:
        """Whether the masks keep it."""
        claimed, known = self.claimed(audited, clusters), self.known
        judged = judge(claimed.losses, claimed.level, claimed.bound, known=known.losses, averages=known.averages)
        p_promise = self.test.p_against(claimed.losses / claimed.bound)
        if p_promise > LEVEL:
            return judged
        return replace(judged, verdict="contradicted", p_promise=p_promise, further=None, fewest=None)

    def in_words(self, judged: Judgement, clusters: Sequence[str] | None, error: str) -> str:
        """What was found of it; `error` names the metric's."""
        named = "photographs" if clusters is None else "photographs with their tiles"
        measured = quantity(self.rule, clusters, error).replace(" alpha", f" {self.promised:g}")
        limit = "" if self.rule.miss_rate is not None else f", at most {self.promised:g}"
        return (
            f"Also promised{limit}: {measured}. With the masks of alpha {self.alpha:g} it is {judged.risk:.3g}: "
            f"{meaning(judged, self.known.level, named)}"
        )
