"""Steps that make a picture smaller by a whole factor."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling
from pydantic import Field, field_validator

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.method.images.making_inputs import FILTER_NAMES, resized
from blackbox_conformal.method.risk.resampling import reduction_matrix
from blackbox_conformal.support.types import Image


class Reduction(Degradation):
    """A step that makes a picture smaller by one of Pillow's filters, in two passes, each rounded to 8 bits.

    `filter`: The filter; it is widened by the factor, so that it does not alias.
    `factor`: How many times smaller each side becomes. Left out, the step gives the size that the whole chain ends
      with.
    `chance`: Always 1, since the step makes the size.
    """

    main = "factor"
    linear = True
    filter: ClassVar[Resampling]

    factor: int | None = Field(default=None, ge=1, le=16)

    @field_validator("chance")
    @classmethod
    def _always(cls, chance: float) -> float:
        if chance != 1:
            raise ValueError("expected a step for every photograph, since it makes the size; leave chance out")
        return chance

    @property
    def resizes(self) -> bool:
        return True

    def along_axis(self, length: int) -> NDArray[np.float64] | None:
        if self.factor is None or self.filter not in FILTER_NAMES:
            return None
        return np.eye(length) if self.factor == 1 else reduction_matrix(FILTER_NAMES[self.filter], length, self.factor)

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        height, width = size
        if self.factor is not None:
            (height, down), (width, across) = (divmod(side, self.factor) for side in pixels.shape[:2])
            if down or across:
                raise ImageError(
                    f"expected sides that are multiples of {self.factor}; got {pixels.shape[1]}×{pixels.shape[0]}. "
                    "Cut the picture first"
                )
        return pixels if (height, width) == pixels.shape[:2] else resized(pixels, width, height, self.filter)
