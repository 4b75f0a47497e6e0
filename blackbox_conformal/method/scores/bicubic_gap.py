"""Bicubic gap: how far the delivered picture is from what plain enlargement of the input gives.

Where they agree the vendor has added nothing; where they differ it has invented. At scale 1 nothing is enlarged, and
the gap is that to the input. One draw is enough.
"""

from typing import ClassVar

from blackbox_conformal.method.images.bands import is_deep
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.kernels.distance import rgb_l1
from blackbox_conformal.method.kernels.spectra import band_l1
from blackbox_conformal.method.scores._bases import OneDrawScore, input_of
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Map


class BicubicGap(OneDrawScore):
    """`K * |Ŷ - bicubic(X)|`, summed over channels, white = 1: in [0, 3]; of declared bands the mean: in [0, 1]."""

    takes_bands: ClassVar[bool] = True
    candidates: ClassVar[tuple[str, ...]] = ("", "sigma=8")
    at_scale_one: ClassVar[str] = "the gap to the input: all that the vendor changed, also the noise that it removed"

    def raw(self, context: Context) -> Map:
        plain = bicubic_up(input_of(context, "bicubic-gap"), context.scale)
        return band_l1(context.delivered, plain) if is_deep(plain) else rgb_l1(context.delivered, plain)


PLUGIN = BicubicGap
