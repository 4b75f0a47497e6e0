"""A picture to use: the delivered pixels where they are trusted, plain enlargement of the input elsewhere."""

import numpy as np

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.images.grown import grown
from blackbox_conformal.method.images.making_inputs import resized
from blackbox_conformal.method.images.picture import check_pixels
from blackbox_conformal.support.types import Image, Mask


def safe_picture(delivered: Image, mask: Mask, low_resolution: Image, feather: int = 0) -> Image:
    """`delivered` inside the mask and `low_resolution`, made larger without a model, outside: (H, W, 3) uint8.

    Parameters
    ----------
    delivered
        (H, W, 3) uint8.
    mask
        (H, W) bool, True = trusted. These pixels are exactly the delivered ones, whatever `feather` is.
    low_resolution
        What the vendor was sent, (h, w, 3) uint8; enlarged by Pillow's bicubic filter (Keys 1981, a = -1/2). Of the
        delivered size it is taken as it is.
    feather
        Over how many pixels outside the mask the delivered picture fades into the enlargement; 0: a hard edge.

    Raises
    ------
    MapError
        A mask of another size.
    UsageError
        `feather` is negative.
    """
    delivered = check_pixels(delivered)
    if mask.shape != delivered.shape[:2] or mask.dtype != np.bool_:
        raise MapError(f"expected a bool mask of {delivered.shape[:2]}; got {mask.dtype} {mask.shape}")
    if feather < 0:
        raise UsageError(f"expected a feather of 0 pixels or more; got {feather}")
    height, width = mask.shape
    safe = resized(check_pixels(low_resolution), width, height)
    safe[mask] = delivered[mask]
    near = mask
    for step in range(1, feather + 1):
        wider = grown(near, 1)
        ring = wider & ~near
        share = 1 - step / (feather + 1)
        safe[ring] = np.rint(share * delivered[ring] + (1 - share) * safe[ring]).astype(np.uint8)
        near = wider
    return safe


def safe_statement(*, enlarged: bool, feather: int, guaranteed: bool = True) -> str:
    """What is promised of a `safe_picture`.

    Parameters
    ----------
    enlarged
        The delivered picture is larger than the input.
    guaranteed
        The guarantee speaks of the mask; where it does not, the safe picture has nothing of the delivered one.
    """
    outside = "plain enlargement" if enlarged else "the input"
    if not guaranteed:
        return f"the guarantee does not speak of this picture, so all of it is {outside}, of which nothing is promised"
    if feather:
        outside += f", into which the delivered picture fades over {feather} pixels"
    return (
        "inside the mask it is the delivered picture, of which the guarantee speaks; "
        f"outside it is {outside}, of which nothing is promised"
    )
