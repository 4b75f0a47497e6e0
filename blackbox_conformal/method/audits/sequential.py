"""Decide when an audit that looks at its photographs one by one may stop: tests valid at every stopping time.

To confirm: the upper bound by betting holds at every number of photographs at once (Ville; Waudby-Smith and Ramdas
2024). To contradict: the mirrored bets, against the risk that a valid guarantee allows a calibration. A guarantee on
average lets single calibrations lie above its level; `allowed_risk` says how far, without a look at any loss. The
permutation test in `verdict` needs a number that was fixed before, so it does not fit here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import BETS, LEVEL, p_above, stakes, upper_bound
from blackbox_conformal.method.guarantees._bounds import hoeffding_bentkus_upper
from blackbox_conformal.method.guarantees.guarantee import Claim
from blackbox_conformal.method.risk.betting import growth
from blackbox_conformal.support.blocks import Block, How, Note, Table

EARLY = 0.01  # Probability of contradicting a valid guarantee before the last photograph, over all levels together.
Reason = Literal["confirmed", "contradicted"]


@dataclass(frozen=True, slots=True)
class AuditLook:
    """One look at `units` photographs: at each level the upper end of the interval for the mean risk."""

    units: int
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AuditStop:
    """The course of an audit that may stop, with `given` photographs.

    The last of the `looks` is at all photographs that were bought. `reason` says what was found when it stopped; None:
    nothing, or only with all photographs. `p_against` holds for each level the p-value of "the guarantee holds", valid
    at every stopping time; a level is contradicted where its p-value does not exceed `share`.
    """

    given: int
    looks: tuple[AuditLook, ...]
    reason: Reason | None
    p_against: tuple[float, ...]
    share: float

    @property
    def looked(self) -> int:
        return self.looks[-1].units

    def blocks(self, alphas: Sequence[float]) -> Iterator[Block]:
        """Yield the running bound at each level."""
        columns: dict[str, How] = {
            "photographs": "{units}",
            **{f"at {alpha:g}": f"{{bounds[{place}]:at_most3}}" for place, alpha in enumerate(alphas)},
        }
        yield Table("looks", columns, self.document["looks"], {}, title="The running bound", detail=True)
        yield Note(
            "At each look, the upper end of the interval for the mean risk at each level, from all photographs looked "
            "at so far.",
            detail=True,
        )

    @property
    def document(self) -> dict[str, Any]:
        """Return the course for scripts."""
        return {
            "given": self.given,
            "looked": self.looked,
            "reason": self.reason,
            "meaning": self.sentence,
            "looks": [{"units": look.units, "bounds": list(look.bounds)} for look in self.looks],
        }

    @property
    def sentence(self) -> str:
        """Say how many photographs were looked at, and why no more."""
        if self.reason is None:
            return f"All {self.given} photographs were looked at; no result ended the audit before."
        found = {
            "confirmed": "the running bound of the risk is not above what is claimed",
            "contradicted": "the risk is above what a guarantee that holds allows",
        }[self.reason]
        return f"The audit ended after {self.looked} of {self.given} photographs: {found}."


@dataclass(frozen=True, slots=True)
class LevelTest:
    """The two tests at one level, fixed before anybody sees a loss; losses are in [0, 1].

    The mean loss is claimed not to exceed `level`, below 1. A valid guarantee exceeds `allowed` with probability `luck`
    at most (None: unknown), and is contradicted with probability `share` at most. `above` and `below` are the stakes of
    the upper and of the lower bound, (`BETS`,) float64.
    """

    level: float
    allowed: float | None
    luck: float
    share: float
    above: NDArray[np.float64]
    below: NDArray[np.float64]

    def bound(self, losses: NDArray[np.float64]) -> float:
        """Return the running upper bound for the mean."""
        return upper_bound(losses, stake=self.above)

    def p_against(self, losses: NDArray[np.float64]) -> float:
        """Return the p-value of "the guarantee holds", valid at every number of losses at once."""
        if self.allowed is None or not 0 < self.allowed < 1:
            return 1.0
        return min(1.0, self.luck + p_above(losses, self.allowed, self.below))

    def fewest_to_confirm(self, losses: NDArray[np.float64], most: int) -> int:
        """Return how many more losses of 0 would confirm; `most` + 1 where `most` do not."""
        return _fewest_zeros(losses, self.level, LEVEL, self.above, most)

    def fewest_against(self, losses: NDArray[np.float64], most: int) -> int:
        """Return how many more losses of 1 would contradict; `most` + 1 where `most` do not."""
        if self.allowed is None or not 0 < self.allowed < 1:
            return most + 1
        return _fewest_zeros(1.0 - losses, 1.0 - self.allowed, self.share - self.luck, self.below, most)


def level_test(known: Claim, *, alike: bool, levels: int) -> LevelTest:
    """Return the tests of one claim.

    `known` is the claim about the calibration photographs' own losses at the same threshold. `levels` share `EARLY`.
    Where the photographs do not play `alike` parts, nobody knows how far above its level a calibration may lie by
    chance, so an average over calibration sets is not contradicted early.
    """
    level, share = known.level / known.bound, EARLY / levels
    allowed: float | None = level
    luck = 0.0
    if known.averages:
        luck = share / 2
        allowed = allowed_risk(level, len(known.losses), luck) if alike else None
    above = stakes(known.losses, known.level, known.bound)
    below = stakes(known.losses, known.level, known.bound, mirrored=True)
    return LevelTest(level, allowed, luck, share, above, below)


def allowed_risk(level: float, units: int, luck: float) -> float:
    """Return the risk that a calibration on `units` photographs exceeds with probability at most `luck`.

    Calibration chooses a threshold at which the losses, in [0, 1], sum to at most ``level (units + 1)``, and losses
    grow with the threshold. So the risk exceeds r only if the losses have no larger sum at the least threshold with a
    risk above r. Hoeffding-Bentkus (Bates et al. 2021) bounds this probability; the result is the least r where it is
    at most `luck`.
    """
    return hoeffding_bentkus_upper(Fraction(level) * (units + 1), units, luck) if level * (units + 1) < units else 1.0


def _fewest_zeros(
    losses: NDArray[np.float64], level: float, delta: float, stake: NDArray[np.float64], most: int
) -> int:
    """Return the least number of further losses of 0 with which the wealth against `level` reaches 1 / `delta`."""
    if not 0 < level < 1:
        return most + 1
    now, each = growth(losses, level, BETS).sum(axis=1), growth(np.zeros(1), level, BETS)[:, 0]
    # A wealth too large for a float is infinite, and reaches every limit.
    with np.errstate(over="ignore"):
        wealth = stake @ np.exp(now[:, None] + each[:, None] * np.arange(most + 1))
    # Each loss of 0 makes every bet grow, so the wealth only rises.
    return int(np.searchsorted(wealth, 1.0 / delta)) if wealth[-1] >= 1.0 / delta else most + 1
