"""Structural dissimilarity around each pixel."""

from typing import ClassVar

from blackbox_conformal.method.kernels.similarity import structural_dissimilarity
from blackbox_conformal.method.metrics._averaged import LocalMetric
from blackbox_conformal.support.types import Image, Map


class Ssim(LocalMetric):
    """`(1 - SSIM) / 2` of the luminance 0.299 R + 0.587 G + 0.114 B (Wang, Bovik, Sheikh and Simoncelli 2004).

    Gaussian window of 11 x 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03. SSIM lies in [-1, 1], so the bound is 1.
    Blind to hue: two colours of equal luminance are equal.
    """

    space: ClassVar[str] = "sRGB luminance"
    compares: ClassVar[str] = "windows of 11×11 pixels"

    def distance(self, truth: Image, delivered: Image) -> Map:
        return structural_dissimilarity(truth, delivered)

    @property
    def pointwise_dissimilarity(self) -> bool:
        return self.order == "pointwise"


PLUGIN = Ssim
