"""Iterative back-projection: a picture made consistent with what the vendor was sent."""

import numpy as np

from blackbox_conformal.method.degradations.chain import Chain
from blackbox_conformal.method.kernels.enlarge import add_enlarged
from blackbox_conformal.support.types import Image


def back_projected(pixels: Image, low_resolution: Image, chain: Chain, steps: int) -> Image:
    """`pixels` after ``Y <- clip(round(Y + U(X - D(Y))))``, `steps` times (Irani and Peleg 1991).

    X is `low_resolution`. D is `chain`, by the very code that makes inputs, so a picture whose input is X stays as it
    is. U is bicubic enlargement of the difference; at scale 1 it is nothing.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8.
    low_resolution
        (H / scale, W / scale, 3) uint8.
    chain
        Linear steps that are the same for every photograph.

    Returns
    -------
    Image
        (H, W, 3) uint8; `pixels` itself where nothing is to be changed.
    """
    for step in range(steps):
        reduced = chain.apply(pixels, low_resolution.shape[:2])
        if np.array_equal(reduced, low_resolution):
            break
        if step == 0:
            pixels = pixels.copy()
        add_enlarged(pixels, np.subtract(low_resolution, reduced, dtype=np.int16))
    return pixels
