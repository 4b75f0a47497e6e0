"""What happens when some calibration photographs were in the vendor's training set: planted leakage against its bound.

The guarantee that allows for it is `guarantees.expected` with ``leaked``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet


@dataclass(frozen=True, slots=True)
class LeakagePoint:
    """Unseen photographs after `leaked` of the n calibration photographs were replaced by leaked ones.

    Attributes
    ----------
    risk
        Their mean loss at the threshold that takes no notice of the leak.
    bound
        ``alpha (n + 1) / (n - leaked + 1)``, at most B.
    risk_allowed
        Their mean loss when the threshold allows for the leak; at most alpha in expectation.
    """

    leaked: int
    risk: float
    bound: float
    risk_allowed: float


def leakage_curve(
    calibration: CurveSet,
    unseen: CurveSet,
    alpha: float,
    counts: Sequence[int],
    *,
    leaked: CurveSet | None = None,
    repeats: int = 20,
    seed: int = 0,
) -> list[LeakagePoint]:
    """Plant leakage and measure it (Adame, Csillag and Goedert 2025, Proposition 3.2).

    Parameters
    ----------
    calibration, unseen
        Curves of calibration photographs and of unseen ones.
    counts
        How many calibration photographs to replace, each at most n.
    leaked
        Curves of photographs that the vendor was trained on; drawn with replacement. None: the worst case, a vendor
        that knows them by heart, so that they show no error at all.
    repeats
        Random choices of the replaced photographs that are averaged.

    Raises
    ------
    CalibrationError
        More photographs are to be replaced than there are.
    """
    n = len(calibration)
    if any(not 0 <= count <= n for count in counts):
        raise CalibrationError(f"expected to plant 0 to {n} leaked photographs in {n}; got {list(counts)}")
    nothing = np.empty(0, np.float32)
    perfect = RiskCurve(nothing, nothing, calibration.bound, calibration.kind, calibration.tolerance)
    pool = [perfect] if leaked is None else list(leaked)
    own = list(calibration)
    generator = np.random.Generator(np.random.Philox(seed))
    found = []
    for count in counts:
        plain, allowed = [], []
        for _ in range(repeats if count > 0 else 1):
            curves = _planted(own, pool, count, generator)
            plain.append(unseen.losses_at(Expected().threshold(curves, alpha)).mean())
            allowed.append(unseen.losses_at(Expected(leaked=count).threshold(curves, alpha)).mean())
        bound = min(alpha * (n + 1) / (n - count + 1), calibration.bound)
        found.append(LeakagePoint(count, float(np.mean(plain)), bound, float(np.mean(allowed))))
    return found


def _planted(
    own: Sequence[RiskCurve], pool: Sequence[RiskCurve], count: int, generator: np.random.Generator
) -> CurveSet:
    kept: NDArray[np.int64] = generator.permutation(len(own))[count:]
    planted = [pool[int(generator.integers(len(pool)))] for _ in range(count)]
    return CurveSet.from_curves([*(own[index] for index in kept), *planted])
