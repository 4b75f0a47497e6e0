"""What a metric is: a map of how far the delivered picture is from the truth, with the largest value it can take.

No metric lives here.
"""

from typing import ClassVar

from blackbox_conformal.catalog import Plugin
from blackbox_conformal.types import Image, Map


class Metric(Plugin):
    """A metric with its parameters; a file `metrics/NAME.py` defines one subclass and calls it PLUGIN.

    Attributes
    ----------
    pointwise_root_mean_square
        True when the map bounds each pixel's root mean square error over channels, in the space that
        `space` names, from above: the premise of the PSNR corollary.
    sums_channels
        True when the map is a sum of absolute differences over three channels.
    space
        The colour space in which the map measures, as a certificate prints it.
    """

    pointwise_root_mean_square: ClassVar[bool] = False
    sums_channels: ClassVar[bool] = False
    space: ClassVar[str] = "sRGB"

    @property
    def bound(self) -> float:
        """The largest value the map can take on 8-bit sRGB pictures."""
        raise NotImplementedError(f"{type(self).__name__} must define bound")

    def require(self) -> None:
        """Refuse a metric that this program cannot compute; those that ship with the package always can be."""

    def map(self, truth: Image, delivered: Image) -> Map:
        """The map, (H, W) float32 in [0, bound], of two (H, W, 3) uint8 pictures of equal size."""
        raise NotImplementedError(f"{type(self).__name__} must define map(truth, delivered)")
