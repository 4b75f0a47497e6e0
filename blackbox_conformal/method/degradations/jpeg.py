"""JPEG: the file format that most photographs have been through."""

import io
import re
from typing import Literal, Self

import numpy as np
from PIL import Image as PillowImage
from pydantic import Field, field_validator

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.parameter_range import Range, between
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.support.types import Image


def saved_and_read(pixels: Image, kind: str, longest: int, **settings: int | str) -> Image:
    """Return `pixels`, (H, W, 3) uint8, as Pillow reads the file of this kind that it writes."""
    height, width = pixels.shape[:2]
    if max(height, width) > longest:
        raise ImageError(
            f"expected sides of at most {longest} pixels, the most that {kind} takes; got {width}×{height}. Use a "
            "smaller photograph"
        )
    file = io.BytesIO()
    PillowImage.fromarray(pixels).save(file, kind, **settings)
    with PillowImage.open(file) as picture:
        return np.array(picture.convert("RGB"), np.uint8, order="C")


UNIT = 16  # Pixels from one place of the grid to the next that is the same: halved chroma has blocks of 8 × 8, too.
LONGEST = 65_500  # The longest side that libjpeg writes.


class Jpeg(Degradation):
    """Saves the picture as a JPEG file (baseline, the usual tables of quantisation) and reads it again.

    `quality`: 1 to 100 as libjpeg counts it, or a range of whole numbers.
    `subsampling`: How coarse the chroma is: ``4:2:0`` halves both its sides, ``4:2:2`` its width, ``4:4:4`` keeps it.
    `grid`: Where a corner of the grid of 8 × 8 blocks lies, as ``XxY`` in pixels from the top left, each 0 to 15; other
      than ``0x0`` in pictures that were cropped after they were saved. ``random`` draws a place for each photograph.
      With subsampling, places 8 pixels apart differ in the blocks of the chroma.
    """

    main = "quality"
    file_format = "JPEG"

    quality: between(1, 100, whole=True) = Field(default=Range(75, 75), examples=["30", "60-95"])  # type: ignore[valid-type]
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = Field(default="4:2:0", examples=["4:2:2", "4:4:4"])
    grid: str = Field(default="0x0", examples=["3x5", "random"])

    @field_validator("grid")
    @classmethod
    def _place(cls, grid: str) -> str:
        if grid != "random" and not re.fullmatch(r"(1[0-5]|\d)x(1[0-5]|\d)", grid, re.ASCII):
            raise ValueError(f"expected XxY with 0 to 15 each, such as 3x5, or random; got {grid!r}")
        return grid

    @property
    def random(self) -> bool:
        return super().random or self.grid == "random"

    def drawn(self, random: RandomNumbers) -> Self:
        drawn, places = super().drawn(random), [random.whole(0, UNIT - 1) for _ in range(2)]
        return drawn.model_copy(update={"grid": "{}x{}".format(*places)}) if self.grid == "random" else drawn

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        """Save by Pillow's libjpeg-turbo, which computes in whole numbers; reflect the picture to fill the grid."""
        left, top = (-int(place) % UNIT for place in self.grid.split("x"))
        whole = np.pad(pixels, ((top, 0), (left, 0), (0, 0)), "symmetric") if left or top else pixels
        read = saved_and_read(whole, "JPEG", LONGEST, quality=int(self.quality.low), subsampling=self.subsampling)
        return np.ascontiguousarray(read[top:, left:])


PLUGIN = Jpeg
