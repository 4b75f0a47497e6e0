"""WebP: what many sites send instead of JPEG."""

from pydantic import Field

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.jpeg import saved_and_read
from blackbox_conformal.method.degradations.parameter_range import Range, between
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.support.types import Image

LONGEST = 16_383  # The longest side that the format takes.


class Webp(Degradation):
    """Saves the picture as a lossy WebP file and reads it again.

    Another version of libwebp may choose other modes, so the bytes are the same with equal versions only.

    `quality`: 1 to 100 as libwebp counts it, or a range of whole numbers.
    """

    main = "quality"
    file_format = "WEBP"

    quality: between(1, 100, whole=True) = Field(default=Range(80, 80), examples=["30", "60-95"])  # type: ignore[valid-type]

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        return saved_and_read(pixels, "WEBP", LONGEST, quality=int(self.quality.low))


PLUGIN = Webp
