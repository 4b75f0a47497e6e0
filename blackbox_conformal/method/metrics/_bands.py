"""Norms of the difference of two spectra, and the bounds that one picture gives of them."""

from typing import ClassVar

from blackbox_conformal.method.kernels.distance import Planes
from blackbox_conformal.method.kernels.spectra import band_difference, band_planes
from blackbox_conformal.method.metrics._averaged import AveragedMetric
from blackbox_conformal.method.risk.truth_bounds import farthest
from blackbox_conformal.support.types import Image, Map


class BandMetric(AveragedMetric):
    """A norm of the difference of two spectra, each band as a share of its declared range: at most 1."""

    fewest_bands: ClassVar[int] = 1
    space: ClassVar[str] = "shares of the range of each band"
    largest: ClassVar[float] = 1.0
    opposite_error: ClassVar[float] = 1.0

    @property
    def pointwise_root_mean_square(self) -> bool:  # type: ignore[override]
        """False: no PSNR follows."""
        return False

    @property
    def averages_colours(self) -> bool:
        """False: what the input tells of averaged bands is not worked out."""
        return False

    @property
    def opposites(self) -> str:
        return "the lowest value in place of the highest in every band"

    def difference(self, truth: Image, delivered: Image) -> Planes:
        """Signed differences of all bands, (bands, H, W)."""
        return band_difference(truth, delivered)

    def bound_from_delivered(self, delivered: Image) -> Map:
        """The largest value that the map can take, from the farther end of each range."""
        return self._averaged_bound(band_planes(delivered), lambda planes: self.norm(farthest(planes)))
