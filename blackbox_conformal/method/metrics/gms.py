"""Gradient magnitude dissimilarity: edges that appear, vanish, sharpen or blur."""

from typing import Annotated, ClassVar

from pydantic import Field

from blackbox_conformal.method.kernels.similarity import gradient_dissimilarity
from blackbox_conformal.method.metrics._averaged import LocalMetric
from blackbox_conformal.support.types import Image, Map


class Gms(LocalMetric):
    """`1 - GMS` of the luminance 0.299 R + 0.587 G + 0.114 B (Xue, Zhang, Mou and Bovik 2014).

    Prewitt gradients, c = 170 / 255^2 on the scale [0, 1]. Blind to hue, to a constant added to all pixels, and to
    the direction of an edge.

    `downsample`: Average 2 x 2 pixels first, as the source does; each value is then shown at its four pixels.
    """

    space: ClassVar[str] = "sRGB luminance"
    compares: ClassVar[str] = "gradients over 3×3 pixels"

    downsample: Annotated[bool, Field(examples=[True])] = False

    def distance(self, truth: Image, delivered: Image) -> Map:
        return gradient_dissimilarity(truth, delivered, self.downsample)


PLUGIN = Gms
