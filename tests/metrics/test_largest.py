"""A metric with too small a bound is refused once a picture exceeds it: clipped losses make guarantees false."""

from typing import ClassVar

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.metrics.rgb_l1 import RgbL1

BLACK, WHITE = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)


class TooSmall(RgbL1):
    """It claims a little less than black beside white."""

    largest: ClassVar[float] = 2.9


@pytest.mark.parametrize("order", ["pointwise", "blur-of-difference", "difference-of-blurs"])
def test_a_bound_that_a_picture_exceeds_is_refused(order: str) -> None:
    assert RgbL1(order=order).map(BLACK, WHITE).max() == pytest.approx(3.0)
    with pytest.raises(UsageError, match=r"up to its bound of 2\.9; got 3.*Set `largest` of TooSmall"):
        TooSmall(order=order).map(BLACK, WHITE)
