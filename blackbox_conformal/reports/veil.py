"""How untrusted pixels are veiled on the page, by its script and, where no script runs, by a picture of one level.

Trusted pixels stay clear. The rest gets a dark veil with light stripes: told apart by pattern, not by colour.
"""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

VEIL = (12, 12, 18, 150)
STRIPE = (250, 250, 250, 170)
"""Red, green, blue and opacity, 0 to 255."""


def pattern(height: int, width: int) -> tuple[int, int]:
    """Pixels from stripe to stripe, along a row, and how many of them a stripe takes."""
    period = max(4, round(max(width, height) / 48))
    return period, max(1, round(period / 5))


def veil_png(first: NDArray[np.uint8], stop: int) -> str:
    """Base64 of a PNG, as large as `first`, that veils what is not trusted at `stop`.

    Parameters
    ----------
    first
        (h, w) uint8: for each pixel the first stop that trusts it, as `preview.first_stops` finds it.
    stop
        The stop that the page opens at.
    """
    height, width = first.shape
    period, thick = pattern(height, width)
    striped = np.add.outer(np.arange(height), np.arange(width)) % period < thick
    picture = PillowImage.fromarray(np.where(first <= stop, 0, np.where(striped, 2, 1)).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, *VEIL[:3], *STRIPE[:3]])
    out = io.BytesIO()
    picture.save(out, "PNG", bits=2, transparency=bytes([0, VEIL[3], STRIPE[3]]), optimize=True)
    return base64.b64encode(out.getvalue()).decode()
