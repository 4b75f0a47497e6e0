"""How often an unchanged vendor may be called changed, over all visits ever, and what each layer gets of that."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.wording import at_most

# Conformal p-values over a bag that grows: of a live picture, and of a whole visit to the canaries.


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


LEVEL = 0.01
"""Probability of ever raising a false alarm."""


@dataclass(frozen=True, slots=True)
class Level:
    """The level of a watch, split over the layers that rest on chance.

    Half is for canaries, a quarter for harm, 15 % for the answers to live pictures and 10 % for their inputs. Without
    live pictures, as in watches that earlier versions began, half is for harm. Declared identity and pixels of a vendor
    that repeats itself have no part in it: they are compared and not tested.
    """

    whole: float = LEVEL
    live: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.whole < 1:
            raise UsageError(f"expected --level between 0 and 1, such as {LEVEL}; got {self.whole}")

    @property
    def canaries(self) -> float:
        """Probability that the draws of canaries ever raise a false alarm."""
        return self.whole / 2

    @property
    def harm(self) -> float:
        """Probability that fresh photographs ever raise a false alarm."""
        return self.whole / (4 if self.live else 2)

    @property
    def answers(self) -> float:
        """Probability that answers to live pictures ever raise a false alarm."""
        return 0.15 * self.whole if self.live else 0.0

    @property
    def inputs(self) -> float:
        """Probability that live inputs like the calibration's are ever said to have drifted."""
        return 0.1 * self.whole if self.live else 0.0

    def needed(self, features: int) -> float:
        """The wealth at which the martingale of one of so many features is an alarm.

        A martingale that starts at 1 ever reaches c with a probability of at most 1 / c (Ville), so each feature has an
        equal part of the level. The features' martingales are not averaged: each is one in the history of its own
        p-values, and together they need not be (Choe and Ramdas 2024, on evidence across filtrations).
        """
        return features / self.canaries

    @property
    def sentence(self) -> str:
        """What the level is and how it is split."""
        live = f", {_percent(self.answers)} for answers, {_percent(self.inputs)} for inputs" if self.live else ""
        pictures = ", and the masked pictures and the calibration's photographs," if self.live else ""
        return (
            f"false alarms: at most {_percent(self.whole)} of watches of an unchanged vendor ever raise one, as long "
            f"as its visits{pictures} might have come in any other order; {_percent(self.canaries)} for canaries, "
            f"{_percent(self.harm)} for harm{live}. Answers of one visit may have anything in common. Identity and "
            "pixels are compared, not tested"
        )


def _percent(share: float) -> str:
    """The bound of a probability; what was halved and quartered is shown with its digits, and no more than needed."""
    return f"{Decimal(at_most(100 * share)).normalize():f} %"
