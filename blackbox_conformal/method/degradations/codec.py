"""A picture after it was saved as a file of some format."""

import io

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.errors import ImageError
from blackbox_conformal.support.types import Image


def saved_and_read(pixels: Image, kind: str, longest: int, **settings: int | str) -> Image:
    """`pixels`, (H, W, 3) uint8, as Pillow reads the file of this kind that it writes of them."""
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
