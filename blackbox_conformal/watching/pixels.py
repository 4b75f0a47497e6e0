"""How far two answers to equal requests are apart, for a vendor that was measured to repeat itself."""

from dataclasses import dataclass

import numpy as np

from blackbox_conformal.types import Image

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
