"""From a guarantee's name to a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees import NOT_MEMBERS
from blackbox_conformal.method.guarantees.guarantee import Choice, Guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support import catalog


def guarantee(name: str, /, **parameters: Any) -> Guarantee:
    """The guarantee called `name`, with its parameters checked."""
    if name.replace("-", "_") in NOT_MEMBERS:
        raise UsageError(f"expected a guarantee; {name!r} is none. `blackbox-conformal list guarantees` shows them")
    rule: Guarantee = catalog.load("guarantees", name, **parameters)
    return rule


def threshold(
    curves: CurveSet | Sequence[RiskCurve], alpha: float, guarantee: str | Guarantee = "expected", **parameters: Any
) -> float:
    """The largest threshold that keeps the guarantee at `alpha`.

    Parameters
    ----------
    curves
        One risk curve a calibration photograph.
    alpha
        The level, in the metric's unit (a share of the picture for ``false-trust``); a decimal is taken as typed.
    guarantee
        ``expected``, ``per-image``, ``high-probability``, ``false-trust``, ``by-group``, ``by-cluster``, or one built.
    parameters
        The guarantee's own.

    Returns
    -------
    float
        Trust where score < threshold; ``-inf`` nothing, ``+inf`` everything.

    Raises
    ------
    UsageError
        Level, name or parameters that cannot be used.
    CalibrationError
        No curve, or curves that do not belong together or not to this guarantee.
    """
    return choose(curves, alpha, guarantee, **parameters).threshold


def choose(
    curves: CurveSet | Sequence[RiskCurve], alpha: float, guarantee: str | Guarantee = "expected", **parameters: Any
) -> Choice:
    """As `threshold`, with the reason and the number of missing photographs when nothing can be trusted."""
    rule = _built(guarantee, parameters)
    return rule.choose(CurveSet.of(curves), alpha)


def _built(name_or_rule: str | Guarantee, parameters: dict[str, Any]) -> Guarantee:
    if isinstance(name_or_rule, str):
        return guarantee(name_or_rule, **parameters)
    if parameters:
        raise UsageError("expected parameters inside the guarantee that was built; got some beside it")
    return name_or_rule
