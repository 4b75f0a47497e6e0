"""Holes: parts that are painted over, which inpainting fills."""

import re
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.parameter_range import Range, between
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.support.types import Image


class Holes(Degradation):
    """Paints rectangles in one colour until a share of the picture is covered; other pixels stay as they are.

    Let it be the last step where the holes are to be read back from the input: a later one changes the colour.

    `share`: Share of the pixels that is covered at least, or a range.
    `side`: Sides of the rectangles in pixels, or a range of whole numbers. Every rectangle draws both of its own.
    `colour`: What they are painted in, as RRGGBB in hexadecimal.
    """

    main = "share"

    share: between(0, 0.9) = Field(default=Range(0.1, 0.1), examples=["0.3", "0.05-0.4"])  # type: ignore[valid-type]
    side: between(4, 4096, whole=True) = Field(default=Range(16, 64), examples=["8", "4-12"])  # type: ignore[valid-type]
    colour: str = Field(default="ff00ff", examples=["FFFFFF"])

    @field_validator("colour")
    @classmethod
    def _hexadecimal(cls, colour: str) -> str:
        if not re.fullmatch(r"[0-9a-fA-F]{6}", colour):
            raise ValueError(f"expected a colour as RRGGBB, such as ff00ff; got {colour!r}")
        return colour.lower()

    @property
    def random(self) -> bool:
        return True

    def drawn(self, random: RandomNumbers) -> Self:
        return super().drawn(random).model_copy(update={"side": self.side})

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        """Let rectangles reach over the border and each other, so that every pixel is equally likely covered."""
        height, width = pixels.shape[:2]
        covered, missing = np.zeros((height, width), bool), self.share.low * height * width
        while missing > 0:
            tall, wide = int(self.side.drawn(random)), int(self.side.drawn(random))
            top, left = random.whole(1 - tall, height - 1), random.whole(1 - wide, width - 1)
            part = covered[max(top, 0) : top + tall, max(left, 0) : left + wide]
            missing -= part.size - int(np.count_nonzero(part))
            part[:] = True
        return np.where(covered[..., None], self._colour, pixels)

    def hidden(self, pixels: Image) -> NDArray[np.bool_]:
        """Return where the holes of an input, (H, W, 3) uint8, are: (H, W), True at every pixel of exactly the colour.

        A pixel of the photograph that has the colour itself counts as a hole, too.
        """
        return np.asarray((pixels == self._colour).all(axis=2))

    @property
    def _colour(self) -> NDArray[np.uint8]:
        return np.frombuffer(bytes.fromhex(self.colour), np.uint8)


PLUGIN = Holes
