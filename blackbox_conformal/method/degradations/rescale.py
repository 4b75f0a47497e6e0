"""Rescaling on the way: pictures that were enlarged or made smaller before they became inputs."""

from typing import Literal, Self

from PIL.Image import Resampling
from pydantic import Field

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.parameter_range import between
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.method.images.making_inputs import resized
from blackbox_conformal.support.types import Image

FILTERS = {
    "area": Resampling.BOX,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "lanczos": Resampling.LANCZOS,
}
RANDOM = ("area", "bilinear", "bicubic")


class Rescale(Degradation):
    """Brings the picture to another size, which a later step without a factor, such as ``bicubic``, corrects.

    `ratio`: How long each side becomes, as a multiple of what it was, or a range; rounded to whole pixels.
    `filter`: Which of Pillow's filters; ``random`` draws area, bilinear or bicubic.
    `relative`: What `ratio` is a multiple of: the ``picture`` as it arrives, or the size that the whole chain ends with
      (``input``).
    """

    main = "ratio"
    linear = True

    ratio: between(0.1, 2) = Field(examples=["0.5", "0.5-1.5"])  # type: ignore[valid-type]
    filter: Literal["area", "bilinear", "bicubic", "lanczos", "random"] = Field(
        default="bicubic", examples=["area", "random"]
    )
    relative: Literal["picture", "input"] = Field(default="picture", examples=["input"])

    @property
    def random(self) -> bool:
        return super().random or self.filter == "random"

    @property
    def resizes(self) -> bool:
        return True

    def drawn(self, random: RandomNumbers) -> Self:
        drawn, name = super().drawn(random), RANDOM[random.whole(0, len(RANDOM) - 1)]
        return drawn.model_copy(update={"filter": name}) if self.filter == "random" else drawn

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        before = pixels.shape[:2] if self.relative == "picture" else size
        height, width = (max(1, round(side * self.ratio.low)) for side in before)
        return resized(pixels, width, height, FILTERS[self.filter])


PLUGIN = Rescale
