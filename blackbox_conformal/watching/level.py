"""Splits the probability of ever calling an unchanged vendor changed, and ranks new values among earlier ones."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.wording import at_most

# Conformal p-values over a growing bag: for one live picture, and for a whole visit to the canaries.


def rank_p_value(bag: Sequence[float], new: float, tie: float) -> float:
    """Return the p-value of `new` among the earlier values `bag`, in [0, 1]; small where `new` is among the largest.

    `bag`: All earlier values of the feature; may be empty.
    `tie`: Breaks ties: uniform on [0, 1), independent of everything else.
    """
    above = sum(value > new for value in bag)
    equal = sum(value == new for value in bag) + 1
    # Equal values stand in random order.
    return (above + tie * equal) / (len(bag) + 1)


def visit_p_values(values: NDArray[np.float64], ties: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, k): the p-value of each of n visits among the visits before, for k features; small for large values.

    A visit has one p-value, whatever its answers share. Each value is ranked among values of the same canary (equals
    count half); the ranks of a visit are added up, and the sums are ranked. Every visit ranks all anew in the same way,
    so the p-values are valid for exchangeable visits.

    `values`: (n, canaries, k), in the order of the visits.
    `ties`: (n, k), uniform on [0, 1), independent of everything else.
    """
    below, found = np.zeros(values.shape), np.empty(ties.shape)
    for visit, new in enumerate(values):
        old = values[:visit]
        larger, equal = old > new, old == new
        # Earlier visits are ranked among this one, too.
        below[:visit] += larger + equal / 2
        below[visit] = (old < new).sum(axis=0) + equal.sum(axis=0) / 2
        places = below[: visit + 1].sum(axis=1)
        above = (places[:visit] > places[visit]).sum(axis=0)
        found[visit] = (above + ties[visit] * (places == places[visit]).sum(axis=0)) / (visit + 1)
    return found


def tie_of(seed: str, number: int, feature: str) -> float:
    """Return a number in [0, 1) that breaks the ties of a visit or picture; the recorded `seed` reproduces it."""
    content = hashlib.sha256(f"blackbox-conformal tie {seed} {number} {feature}".encode()).digest()
    # 48 bits are finer than any p-value needs, and equal on every machine.
    return int.from_bytes(content[:6], "little") / 2**48


LEVEL = 0.01  # Probability of ever raising a false alarm.


@dataclass(frozen=True, slots=True)
class Level:
    """The level of a watch, split over the layers that rest on chance.

    Canaries get half, harm 25 %, answers to live pictures 15 % and their inputs 10 %. Without live pictures, as in
    watches of earlier versions, harm gets half. Identity and pixels need no level: they are compared, not tested.
    """

    whole: float = LEVEL
    live: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.whole < 1:
            raise UsageError(f"expected --level between 0 and 1, such as {LEVEL}; got {self.whole}")

    @property
    def canaries(self) -> float:
        """Return the probability that canaries ever raise a false alarm."""
        return self.whole / 2

    @property
    def harm(self) -> float:
        """Return the probability that fresh photographs ever raise a false alarm."""
        return self.whole / (4 if self.live else 2)

    @property
    def answers(self) -> float:
        """Return the probability that answers to live pictures ever raise a false alarm."""
        return 0.15 * self.whole if self.live else 0.0

    @property
    def inputs(self) -> float:
        """Return the probability that live inputs are ever said to drift although they are like the calibration's."""
        return 0.1 * self.whole if self.live else 0.0

    def needed(self, features: int) -> float:
        """Return the wealth at which one feature's martingale raises an alarm.

        A martingale that starts at 1 reaches c with probability 1 / c at most (Ville's inequality), so features share
        the level equally. Their average would not be valid: each is a martingale only in the history of its own
        p-values (Choe and Ramdas 2024, on evidence across filtrations).
        """
        return features / self.canaries

    @property
    def sentence(self) -> str:
        """Say the level and its split in words."""
        live = f", {_percent(self.answers)} for answers, {_percent(self.inputs)} for inputs" if self.live else ""
        pictures = ", and the masked pictures and the calibration's photographs," if self.live else ""
        return (
            f"false alarms: at most {_percent(self.whole)} of watches of an unchanged vendor ever raise one, as long "
            f"as its visits{pictures} might have come in any other order; {_percent(self.canaries)} for canaries, "
            f"{_percent(self.harm)} for harm{live}. Answers of one visit may have anything in common. Identity and "
            "pixels are compared, not tested"
        )


def _percent(share: float) -> str:
    return f"{Decimal(at_most(100 * share)).normalize():f} %"
