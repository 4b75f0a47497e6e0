"""Conformal p-values of one canary's draws, over a bag that grows with every visit.

Draws of one picture from an unchanged vendor are exchangeable, whenever they were made. The place of a new one among
all earlier ones is then uniform, and independent of the places before it: p-values over a growing bag, ties broken at
random, are independent and uniform (Vovk, Gammerman and Shafer 2005, theorem 8.2). P-values against a bag that stays
as it was at calibration are not independent, since all share its luck; a martingale that bets on them alarms by itself.
"""

import hashlib
from collections.abc import Sequence


def rank_p_value(bag: Sequence[float], new: float, tie: float) -> float:
    """The p-value of `new` beside the earlier values `bag`: small where it is among the largest, in [0, 1].

    Parameters
    ----------
    bag
        Every earlier value of the same feature of the same canary; may be empty.
    tie
        Uniform on [0, 1) and independent of everything else: the place of `new` among its equals, itself included.
    """
    above = sum(value > new for value in bag)
    equal = sum(value == new for value in bag) + 1
    return (above + tie * equal) / (len(bag) + 1)


def tie_of(seed: str, draw: int, feature: str) -> float:
    """The number in [0, 1) that breaks the ties of a draw; whoever knows the recorded `seed` can compute it again."""
    content = hashlib.sha256(f"blackbox-conformal tie {seed} {draw} {feature}".encode()).digest()
    return int.from_bytes(content[:6], "little") / 2**48
