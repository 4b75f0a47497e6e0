"""Whether the risk itself is above what a guarantee allows, from photographs that calibration never saw.

The mirrored bets of `audits.sequential`: against "the mean loss is at most the level", valid at every number of visits.
The photographs of one visit may have met the same one of a vendor's machines, so each visit bets once, on its mean
loss. A guarantee on average over calibrations lets a single one lie above its level by chance; `allowed_risk` says how
far, so that an unlucky calibration is no alarm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import p_above, stakes
from blackbox_conformal.method.audits.sequential import allowed_risk
from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.wording import at_least, at_most
from blackbox_conformal.watching.watch_findings import Finding


@dataclass(frozen=True, slots=True)
class HarmTest:
    """The test of one level, fixed before a loss is seen.

    Attributes
    ----------
    alpha
        The level that masks are made at.
    allowed
        The mean loss, in [0, 1], that a guarantee which holds exceeds with probability `luck` at most.
    share
        Probability of a false alarm, over all visits; `luck` is a part of it.
    rule, largest
        Whose claim it is, and the largest loss of a photograph: losses become what is claimed of them, such as misses.
        None: they are that already.
    """

    alpha: float
    allowed: float
    luck: float
    share: float
    bound: float
    stake: NDArray[np.float64]
    rule: Guarantee | None = None
    largest: float = 1.0

    @classmethod
    def of(
        cls, known: Claim, alpha: float, share: float, rule: Guarantee | None = None, largest: float = 1.0
    ) -> "HarmTest":
        """The test of a claim about the calibration photographs' own losses at the same threshold."""
        level = known.level / known.bound
        # A claim about calibration sets allows some above the level: half of the share pays for that luck.
        luck = share / 2 if known.averages else 0.0
        allowed = allowed_risk(level, len(known.losses), luck) if known.averages else level
        stake = stakes(known.losses, known.level, known.bound, mirrored=True)
        return cls(alpha, allowed, luck, share, known.bound, stake, rule, largest)

    def evidence(self, losses: NDArray[np.float64]) -> float:
        """What the bets on the mean loss of each visit are worth; ``1 / (share - luck)`` is an alarm."""
        # A level that no calibration can exceed cannot be shown to be exceeded.
        if not losses.size or not 0 < self.allowed < 1:
            return 1.0
        # The reciprocal of a p-value is a wealth: the bets start at 1.
        return 1.0 / p_above(losses / self.bound, self.allowed, self.stake)

    def finding(self, visits: Sequence[NDArray[np.float64]]) -> Finding:
        """What the losses of the fresh photographs of each visit so far say, (m,) each with m > 0."""
        if not visits:
            return Finding("harm", "cannot tell", "no fresh photograph was measured")
        means = np.array([self._claimed(losses).mean() for losses in visits])
        needed, evidence = 1.0 / (self.share - self.luck), self.evidence(means)
        taken = f"{counted(sum(map(len, visits)), 'fresh photograph')} of {counted(len(visits), 'visit')}"
        known = f"mean loss {means.mean():.3g} over {taken}, {at_most(self.allowed * self.bound)} is allowed"
        if evidence >= needed:
            return Finding("harm", "above", f"the risk is above alpha={self.alpha:g}: {known}", evidence)
        told = f"{known}; evidence of harm {at_least(evidence)}, {at_most(needed)} is an alarm"
        return Finding("harm", "same", told, evidence)

    def _claimed(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        return losses if self.rule is None else self.rule.claim(losses, self.alpha, self.largest).losses
