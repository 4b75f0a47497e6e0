"""Conformal p-values over a bag that grows: of a live picture, and of a whole visit to the canaries.

What comes from an unchanged vendor is exchangeable, whenever it came. The place of a new one among all earlier ones is
then uniform, and independent of the places before it: p-values over a growing bag, ties broken at random, are
independent and uniform (Vovk, Gammerman and Shafer 2005, theorem 8.2). P-values against a bag that stays as it was at
calibration are not independent, since all share its luck; a martingale that bets on them alarms by itself.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def rank_p_value(bag: Sequence[float], new: float, tie: float) -> float:
    """The p-value of `new` beside the earlier values `bag`: small where it is among the largest, in [0, 1].

    Parameters
    ----------
    bag
        Every earlier value of the same feature; may be empty.
    tie
        Uniform on [0, 1) and independent of everything else: the place of `new` among its equals, itself included.
    """
    above = sum(value > new for value in bag)
    equal = sum(value == new for value in bag) + 1
    # The share of the bag that is larger, with the equal ones at a random place among themselves.
    return (above + tie * equal) / (len(bag) + 1)


def visit_p_values(values: NDArray[np.float64], ties: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k): for each of k features the p-value of each of n visits among those before it; small for large values.

    The visit is the unit: one p-value, whatever the answers of a visit share. Each canary's value has a place among the
    values of the same canary, halves for equals. The sum of a visit's places is ranked among the sums of the visits
    so far. All of them are made anew with each visit, in the same way for every visit, so that the theorem holds for
    visits that are exchangeable.

    Parameters
    ----------
    values
        (n, canaries, k), in the order of the visits.
    ties
        (n, k), uniform on [0, 1) and independent of everything else.
    """
    below, found = np.zeros(values.shape), np.empty(ties.shape)
    for visit, new in enumerate(values):
        old = values[:visit]
        larger, equal = old > new, old == new
        # Every earlier visit is ranked among this one, too, so all sums are made anew.
        below[:visit] += larger + equal / 2
        below[visit] = (old < new).sum(axis=0) + equal.sum(axis=0) / 2
        places = below[: visit + 1].sum(axis=1)
        above = (places[:visit] > places[visit]).sum(axis=0)
        found[visit] = (above + ties[visit] * (places == places[visit]).sum(axis=0)) / (visit + 1)
    return found


def tie_of(seed: str, number: int, feature: str) -> float:
    """The number in [0, 1) that breaks the ties of a visit or picture; the recorded `seed` gives it again."""
    content = hashlib.sha256(f"blackbox-conformal tie {seed} {number} {feature}".encode()).digest()
    # 48 bits are finer than any p-value needs, and the same on every machine.
    return int.from_bytes(content[:6], "little") / 2**48
