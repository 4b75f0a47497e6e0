"""Consistency: how far the delivered picture, made an input again, is from what the vendor was sent.

A faithful picture degrades to its input; a difference shows that something was moved, recoloured or invented at the
scale of the input's pixels. One draw is enough.
"""

from typing import ClassVar

import numpy as np

from blackbox_conformal.method.kernels.distance import rgb_l1
from blackbox_conformal.method.scores._bases import OneDrawScore, input_of
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Map


class Consistency(OneDrawScore):
    """`K * up(|degrade(Ŷ) - X|)`, summed over channels, white = 1: in [0, 3]; each input pixel fills its block.

    ``degrade`` is the calibration's degradation without noise and codecs, which cannot be made again.
    """

    at_scale_one: ClassVar[str] = (
        "the gap to the input once blurred or made grey again; after noise, codecs or holes alone that of bicubic-gap"
    )

    def raw(self, context: Context) -> Map:
        """The residual of each input pixel, spread over the pixels that it covers."""
        low = input_of(context, "consistency")
        residual = rgb_l1(context.reduced(), low)
        return np.ascontiguousarray(residual.repeat(context.scale, axis=0).repeat(context.scale, axis=1))


PLUGIN = Consistency
