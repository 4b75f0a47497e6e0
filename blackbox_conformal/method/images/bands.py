"""Pictures of more than 8 bits, or of other bands than red, green and blue: numbers in a range that the user declares.

Inside they are (H, W, bands) uint16, levels of equal distance from the lower end of the range to the upper. 8-bit sRGB
stays (H, W, 3) uint8, so that the type tells the two apart.
"""

import io
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.images.picture import rows_then_columns
from blackbox_conformal.support.types import Image

LEVELS = 65535  # The level of the upper end of the range; the lower end is 0.
_NUMBER = r"-?\d{1,15}(?:\.\d{1,15})?(?:e-?\d{1,2})?"
_TEXT = re.compile(rf"(\d{{1,4}}):({_NUMBER}):({_NUMBER})(:float)?")
_ROWS = 64  # Rows that are converted at once, in float64: what is between stays small.


@dataclass(frozen=True, slots=True)
class Bands:
    """What the numbers of a picture are, as declared."""

    count: int  # How many bands each pixel has.
    # The range of their values.
    low: float
    high: float
    # Whether they are floating-point numbers, which are rounded to the nearest level; else whole numbers, which are
    # kept exactly.
    floating: bool

    @classmethod
    def of_text(cls, text: str) -> "Bands":
        """``COUNT:LOW:HIGH`` for whole numbers, with ``:float`` behind it for others."""
        found = _TEXT.fullmatch(text)
        bands = cls(int(found[1]), float(found[2]), float(found[3]), bool(found[4])) if found else None
        if bands is None or not (1 <= bands.count <= 1024 and -math.inf < bands.low < bands.high < math.inf):
            raise UsageError(
                f"expected bands as COUNT:LOW:HIGH, with :float behind it where values are no whole numbers; got "
                f"{text!r}. Give for example bands=4:0:10000, or bands=4:0:1:float"
            )
        whole = bands.low.is_integer() and bands.high.is_integer() and bands.high - bands.low <= LEVELS
        if not (bands.floating or whole):
            raise UsageError(
                f"expected whole numbers from LOW to HIGH, at most {LEVELS} apart; got bands={text}. Give bands={text}"
                f":float, by which values are rounded to {LEVELS + 1} levels"
            )
        return bands

    @property
    def range(self) -> str:
        return f"from {self.low:g} to {self.high:g}"

    @property
    def words(self) -> str:
        """What is kept of a picture, and how people see it."""
        bands = "1 band" if self.count == 1 else f"{self.count} bands"
        seen = "bands 1, 2 and 3 as red, green and blue" if self.count >= 3 else "band 1 as grey"
        kept = f"rounded to {LEVELS + 1} levels of that range" if self.floating else "kept exactly"
        return (
            f"{bands} {self.range}, {kept}; pages and overlays show {seen}, the square root of the share of the range"
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type of numbers that holds the values."""
        if self.floating:
            return np.dtype(np.float32)
        kinds: tuple[Any, ...] = (np.uint8, np.uint16, np.int16, np.int64)
        ends = ((np.dtype(kind), np.iinfo(kind)) for kind in kinds)
        return next(kind for kind, end in ends if end.min <= self.low and self.high <= end.max)

    def levels(self, values: NDArray[Any]) -> Image:
        """The levels of (H, W, bands) values, or of (H, W) where there is one band: (H, W, bands) uint16."""
        values = values[:, :, None] if values.ndim == 2 else values
        if values.ndim != 3 or values.shape[2] != self.count or values.size == 0:
            turn = ". Give np.moveaxis(pixels, 0, -1)" if values.ndim == 3 and values.shape[0] == self.count else ""
            raise ImageError(f"expected pixels of shape (height, width, {self.count}); got {values.shape}{turn}")
        if values.dtype.kind not in ("uif" if self.floating else "ui"):
            cure = f". Declare bands={self.count}:{self.low:g}:{self.high:g}:float" if values.dtype.kind == "f" else ""
            raise ImageError(f"expected {'' if self.floating else 'whole '}numbers; got {values.dtype}{cure}")
        levels = np.empty(values.shape, np.uint16)
        for top in range(0, len(values), _ROWS):
            part = values[top : top + _ROWS]
            # NaN is neither.
            within = (part >= self.low) & (part <= self.high)
            if not within.all():
                self._refuse(values)
            exact = (part.astype(np.float64) - self.low) * (LEVELS / (self.high - self.low))
            levels[top : top + _ROWS] = np.rint(exact, out=exact)
        return cast(Image, levels)

    def values(self, levels: Image) -> NDArray[Any]:
        """The values of `levels`, (H, W, bands) uint16."""
        values = np.empty(levels.shape, self.dtype)
        for top in range(0, len(values), _ROWS):
            exact = self.low + levels[top : top + _ROWS] * ((self.high - self.low) / LEVELS)
            values[top : top + _ROWS] = exact if self.floating else np.rint(exact)
        return values

    def _refuse(self, values: NDArray[Any]) -> None:
        outside = ~((values >= self.low) & (values <= self.high))
        missing = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
        found = values[outside & ~np.isnan(values)] if missing else values[outside]
        which = f", {missing} of them no numbers (NaN)" if missing else ""
        reach = f", as far as {found.min():g} and {found.max():g}" if found.size else ""
        raise ImageError(
            f"expected values {self.range}; {np.count_nonzero(outside)} of {values.size} lie outside{which}{reach}. "
            "Declare the range that holds them all, or replace what stands for missing values"
        )


def npy_file(values: NDArray[Any]) -> bytes:
    """What ``np.save`` writes."""
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()


def is_deep(pixels: Image) -> bool:
    """Whether `pixels` are levels of declared bands and not 8-bit sRGB."""
    return pixels.dtype == np.uint16


def rendered(pixels: Image) -> Image:
    """Pixels for people and for comparisons of whole pictures: (H, W, 3) uint8; see `Bands.words`."""
    if not is_deep(pixels):
        return pixels
    roots: Image = _roots()[pixels[:, :, [0, 1, 2] if pixels.shape[2] >= 3 else [0, 0, 0]]]
    return roots


@cache
def _roots() -> Image:
    roots: Image = np.rint(255 * np.sqrt(np.arange(LEVELS + 1) / LEVELS)).astype(np.uint8)
    return roots


def resized_levels(pixels: Image, width: int, height: int, resampling: PillowImage.Resampling) -> Image:
    """Levels, (H, W, bands) uint16, brought to another size by Pillow's filters: (height, width, bands) uint16."""
    result = np.empty((height, width, pixels.shape[2]), np.uint16)
    for band in range(pixels.shape[2]):
        plane = rows_then_columns(
            PillowImage.fromarray(pixels[:, :, band].astype(np.float32)), (width, height), resampling
        )
        result[:, :, band] = np.rint(np.clip(np.asarray(plane), 0, LEVELS))
    return cast(Image, result)
