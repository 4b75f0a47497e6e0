"""How often an unchanged vendor may be called changed, over all visits ever, and what each layer gets of that."""

from dataclasses import dataclass

from blackbox_conformal.errors import UsageError

LEVEL = 0.01
"""Probability of ever raising a false alarm."""


@dataclass(frozen=True, slots=True)
class Level:
    """The level of a watch, split half and half over the two layers that rest on chance.

    Declared identity and pixels of a vendor that repeats itself have no part in it: they are compared and not tested.
    """

    whole: float = LEVEL

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
        return self.whole / 2

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
        return (
            f"false alarms: at most {_percent(self.whole)} of watches ever raise one; {_percent(self.canaries)} for "
            f"canaries, {_percent(self.harm)} for harm"
        )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
