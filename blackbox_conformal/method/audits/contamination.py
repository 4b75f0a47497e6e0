"""Plant leakage: pretend that the vendor was trained on some of the calibration photographs.

`guarantees.expected` with ``leaked`` allows for it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support.blocks import Block, Note, Table

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)  # Shares of leaked calibration photographs that an audit plants.
TYPICAL = 0.1

CHANCE = 2.0  # Chance alone hardly takes a mean more than so many standard errors above its bound.


@dataclass(frozen=True, slots=True)
class LeakagePoint:
    """The losses of unseen photographs after `leaked` of the n calibration photographs were replaced.

    `risk` is their mean loss at a threshold that ignores the leak, `error` its standard error. `bound` is ``level (n +
    1) / (n - leaked + 1)``, at most B: it bounds the mean of `risk` over calibration sets and photographs.
    `risk_allowed` is the mean loss at a threshold that allows for the leak: in expectation at most the claimed level.
    """

    leaked: int
    risk: float
    bound: float
    risk_allowed: float
    error: float

    @property
    def within(self) -> Literal["yes", "by chance", "no"]:
        """Say whether `risk` keeps to `bound`, or exceeds it by no more than `CHANCE` standard errors."""
        if self.risk <= self.bound:
            return "yes"
        return "by chance" if self.risk <= self.bound + CHANCE * self.error else "no"


@dataclass(frozen=True, slots=True)
class Leakage:
    """Leakage planted at one level, for growing numbers of leaked photographs among `n`."""

    alpha: float
    n: int
    points: tuple[LeakagePoint, ...]

    def blocks(self) -> Iterator[Block]:
        """Yield the risk at each number of leaked photographs, beside its bound."""
        rows = [
            {
                "leaked": point.leaked,
                "share": point.leaked / self.n,
                "risk": point.risk,
                "bound": point.bound,
                "risk_allowed": point.risk_allowed,
                "standard_error": point.error,
                "within": point.within,
            }
            for point in self.points
        ]
        columns = {
            "leaked": "{leaked}",
            "share": "{share:share}",
            "risk": "{risk:.4f}",
            "bound": "{bound:at_most}",
            "within": "{within}",
            "risk when allowed for": "{risk_allowed:.4f}",
        }
        title = (
            f"Sensitivity at alpha = {self.alpha:g}: what if the vendor trained on some of the {self.n} calibration "
            "photographs?"
        )
        data = {"leakage": {"alpha": self.alpha, "n": self.n, "points": rows}}
        yield Table("leakage", columns, rows, data, title=title, detail=True)
        yield Note(
            "Photographs that the vendor knows show no error, so calibration on them is too hopeful. Each value is a "
            "mean over random choices of these photographs. The bound is "
            f"alpha (n + 1) / (n - leaked + 1), n = {self.n}, holds for the mean over calibrations and photographs, "
            "and assumes that the other photographs and new ones are exchangeable: a measured risk may exceed it by "
            f"chance ({CHANCE:g} standard errors). Last column: with --guarantee …leaked=N.",
            detail=True,
        )


def leakage_curve(
    calibration: CurveSet,
    unseen: CurveSet,
    alpha: float,
    counts: Sequence[int],
    *,
    rule: Guarantee | None = None,
    leaked: CurveSet | None = None,
    repeats: int = 20,
    seed: int = 0,
) -> list[LeakagePoint]:
    """Plant leakage and measure its effect (Adame, Csillag and Goedert 2025, Proposition 3.2).

    Each of `counts`, at most n, is a number of calibration photographs to replace, averaged over `repeats` random
    choices. `rule` allows for leaked photographs; None: plain ``expected``. `leaked` are curves of photographs that the
    vendor knows, drawn with replacement; None: the worst case, curves without error.
    """
    n = len(calibration)
    if any(not 0 <= count <= n for count in counts):
        raise CalibrationError(f"expected to plant 0 to {n} leaked photographs in {n}; got {list(counts)}")
    rule = rule or Expected()
    nothing = np.empty(0, np.float32)
    perfect = replace(calibration[0], scores=nothing, losses=nothing, area_scores=None, area_shares=None)
    pool = [perfect] if leaked is None else list(leaked)
    own = list(calibration)
    generator = np.random.Generator(np.random.Philox(seed))
    points = []
    for count in counts:
        allowing = rule.allowing_leaked(count)
        if allowing is None:
            raise UsageError(f"expected a guarantee that allows for leaked photographs; got {rule.plugin_name()}")
        ignored, allowed, variances = [], [], []
        for _ in range(repeats if count > 0 else 1):
            curves = _planted(own, pool, count, generator)
            losses = unseen.losses_at(rule.threshold(curves, alpha))
            ignored.append(losses.mean())
            # Popoviciu's inequality: no variance of a loss in [0, B] is above B^2 / 4.
            variances.append(losses.var(ddof=1) if len(unseen) > 1 else calibration.bound**2 / 4)
            allowed.append(unseen.losses_at(allowing.threshold(curves, alpha)).mean())
        # The bound of Proposition 3.2, capped at the largest loss.
        bound = min(rule.claimed_level(alpha, calibration.bound) * (n + 1) / (n - count + 1), calibration.bound)
        # The threshold makes the mean loss of the calibration photographs equal this level, so that mean's error counts
        # too.
        error = math.sqrt(float(np.mean(variances)) * (1 / len(unseen) + 1 / max(n - count, 1)))
        points.append(LeakagePoint(count, float(np.mean(ignored)), bound, float(np.mean(allowed)), error))
    return points


def audit_leakage(rule: Guarantee, calibration: CurveSet, unseen: CurveSet, alphas: Sequence[float]) -> Leakage | None:
    """Return the leakage curve at the level nearest to `TYPICAL` at which anything is trusted.

    None where nothing is trusted at any of `alphas`, or the guarantee states no bound on leakage: ``expected`` and
    ``false-trust`` state one, with photographs that count alike.
    """
    if rule.allowing_leaked(0) is None:
        return None
    trusting = [alpha for alpha in alphas if rule.threshold(calibration, alpha) > -math.inf]
    if not trusting:
        return None
    alpha = min(trusting, key=lambda level: (abs(level - TYPICAL), level))
    n = len(calibration)
    counts = sorted({round(share * n) for share in SHARES})
    return Leakage(alpha, n, tuple(leakage_curve(calibration, unseen, alpha, counts, rule=rule)))


def _planted(
    own: Sequence[RiskCurve], pool: Sequence[RiskCurve], count: int, generator: np.random.Generator
) -> CurveSet:
    kept: NDArray[np.int64] = generator.permutation(len(own))[count:]
    planted = [pool[int(generator.integers(len(pool)))] for _ in range(count)]
    return CurveSet.from_curves([*(own[index] for index in kept), *planted])
