"""Answers to equal requests beside each other: whether the pictures differ by more than rounding, and what that says.

A vendor that repeats itself may have a machine that answers otherwise. A request that meets it is asked again, and only
a vendor that answers it otherwise five times in a row has changed. The visit is one session, however: a vendor that
sends all requests of a session to another machine is called changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from blackbox_conformal.support.types import Image

LEAST_BIT = 1
"""Grey levels. Another graphics card, or another version of a library, rounds some pixels to the level beside."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two pictures beside each other.

    Attributes
    ----------
    largest
        The largest difference of a channel, 0 to 255.
    share
        Of the pixels that differ, 0 to 1.
    """

    largest: int
    share: float

    @classmethod
    def between(cls, before: Image, now: Image) -> "Difference":
        """The difference of two pictures, (H, W, 3) uint8; as large as can be where their sizes differ."""
        # A picture of another size differs everywhere.
        if before.shape != now.shape:
            return cls(255, 1.0)
        apart = np.abs(before.astype(np.int16) - now).max(axis=2)
        return cls(int(apart.max()), float((apart > 0).mean()))

    @property
    def is_change(self) -> bool:
        """Whether it is more than rounding."""
        return self.largest > LEAST_BIT

    @property
    def words(self) -> str:
        """How far the pictures are apart."""
        if not self.largest:
            return "equal"
        return f"{100 * self.share:.3g} % of the pixels differ, by at most {self.largest} of 255"


IN_A_ROW = 5
"""Other answers to one request, and none like the reference, that are a change. Where a share of requests meets another
machine, each by itself, it is that share to the fifth power: one in ten billion of 1 %."""

MOST_ODD = 0.05
"""The share of other answers above which a vendor is not one that repeats itself any more; its canaries bet then."""

ODD = "difference"
"""The name under which the largest difference of a repeated answer is kept beside its features, 0 to 255."""


def to_ask_again(found: Mapping[int, Sequence[Difference]]) -> int | None:
    """The canary whose request must be asked again before its vendor is called changed; None where there is none.

    Parameters
    ----------
    found
        Canary → the answers to its request at this visit, beside its reference.
    """
    others = {canary: own for canary, own in found.items() if all(each.is_change for each in own)}
    if not others or is_changed(found):
        return None
    # The largest difference first: it settles soonest whether the vendor changed.
    return max(others, key=lambda canary: max(each.largest for each in others[canary]))


def is_changed(found: Mapping[int, Sequence[Difference]]) -> bool:
    """Whether a request got other answers alone, and so often that the vendor is another one."""
    return any(len(own) >= IN_A_ROW and all(each.is_change for each in own) for own in found.values())
