"""How often an unchanged vendor may be called changed, over all visits ever, and what each layer gets of that."""

from dataclasses import dataclass
from decimal import Decimal

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.wording import at_most

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
