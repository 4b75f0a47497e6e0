"""Metrics that compare colours at each pixel, alone or averaged over a neighbourhood in one of two orders."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.averaging import Sigma, Size, Window, complete
from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.kernels.distance import Planes, rgb_difference
from blackbox_conformal.method.kernels.spectra import band_difference, band_planes
from blackbox_conformal.method.kernels.windows import average, gaussian_taps
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.exact import largest_loss
from blackbox_conformal.method.risk.truth_bounds import BlurredTruth, blurred_truth, farthest, rgb_planes
from blackbox_conformal.support.types import Image, Map

FULL_WIDTH = 2 * math.sqrt(2 * math.log(2))  # How wide a Gaussian is at half its height, in standard deviations.
# Share of the bound by which single precision may exceed it in sums over a window; no bound is meant so closely.
_ROUNDING = 1e-4

Order = Literal["pointwise", "blur-of-difference", "difference-of-blurs"]


class AveragedMetric(Metric):
    """A norm of the colour difference at each pixel.

    Averaging cannot exceed the bound: window weights are >= 0 and sum to 1, a norm is convex, and both windows of a
    difference of blurs hold colours of the same convex set.

    `order`: `pointwise`: `|Y - Ŷ|`. `blur-of-difference`: `K * |Y - Ŷ|`, which counts every error.
      `difference-of-blurs`: `|K * Y - K * Ŷ|`, never larger, which forgives errors that cancel within the window, such
      as misplaced texture. Pointwise unless a window is given, then blur-of-difference.
    `kernel`: `gaussian` or `box`; None when pointwise.
    `sigma`: Standard deviation of the Gaussian in pixels, 4 unless given.
    `size`: Side of the box in pixels, odd, 31 unless given.
    `opposite_error`: The pointwise error of `opposites`; None where the map is no norm of a difference of colours.
    """

    largest: ClassVar[float]
    opposite_error: ClassVar[float | None] = None

    order: Order = "pointwise"
    kernel: Window | None = None
    sigma: Sigma | None = None
    size: Size | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, parameters: Any) -> Any:
        if not isinstance(parameters, dict):
            return parameters
        completed = {key: value for key, value in parameters.items() if value is not None}
        windowed = {"kernel", "sigma", "size"} & completed.keys()
        # A window alone means that errors are averaged; the order that forgives errors must be asked for.
        order = completed.setdefault("order", "blur-of-difference" if windowed else "pointwise")
        if order == "pointwise":
            if windowed:
                raise ValueError(
                    f"expected no window in order pointwise; got {', '.join(sorted(windowed))}. "
                    "Leave it out, or choose order blur-of-difference or difference-of-blurs"
                )
            return completed
        return complete(completed)

    @property
    def bound(self) -> float:
        return self.largest

    @property
    def pointwise_root_mean_square(self) -> bool:  # type: ignore[override]
        """True when pointwise: each norm here is at least the root mean square over channels. An average is not."""
        return self.order == "pointwise"

    def map(self, truth: Image, delivered: Image) -> Map:
        """Return the map, (H, W) float32 in [0, bound], of two (H, W, 3) uint8 pictures of equal size."""
        if self.order == "difference-of-blurs":
            # Averaging is linear, so the averaged difference is the difference of averages, with less rounding.
            planes = self.difference(truth, delivered)
            for plane in planes:
                self._average(plane)
            # The averages are signed, so opposite errors cancel before the norm is taken.
            values = self.norm(planes)
        else:
            values = self.distance(truth, delivered)
            if self.order == "blur-of-difference":
                self._average(values)
        largest, found = largest_loss(self.bound), float(values.max())
        if found > largest * (1 + _ROUNDING):
            raise UsageError(
                f"expected errors of {self.plugin_name()} up to its bound of {self.bound:g}; got {found:g}, so that "
                f"guarantees would be false. Set `largest` of {type(self).__name__} to the largest norm of a difference"
            )
        # Single precision may round past the bound in its last places.
        return values if found <= largest else np.minimum(values, largest, out=values)

    def distance(self, truth: Image, delivered: Image) -> Map:
        """Return the pointwise map, which a metric may know a faster way to."""
        return self.norm(self.difference(truth, delivered))

    def difference(self, truth: Image, delivered: Image) -> Planes:
        """Return signed differences, (3, H, W) float32, of which the pointwise map is the norm."""
        raise NotImplementedError(f"{type(self).__name__} must define difference(truth, delivered)")

    def norm(self, planes: Planes) -> Map:
        """Return the norm of (3, H, W) differences at each pixel; the sum of absolute values unless overridden."""
        total: Map = np.abs(planes[0]) + np.abs(planes[1]) + np.abs(planes[2])
        return total

    def channel_differences(self, truth: Image, delivered: Image) -> Planes | None:
        return self.difference(truth, delivered) if self.pointwise_root_mean_square else None

    @property
    def averaging(self) -> str:
        return f"Gaussian of sigma {self.sigma:g}" if self.sigma else "box"

    @property
    def error_in_words(self) -> str:
        if self.order == "pointwise":
            return f"{self.plugin_name()} error"
        wide = round(FULL_WIDTH * self.sigma) if self.sigma else self.size
        window = f"{self.averaging}, about {wide} pixels wide" if self.sigma else f"box of {wide}×{wide} pixels"
        if self.order == "difference-of-blurs":
            return f"{self.plugin_name()} difference of local averages ({window}; opposite errors cancel)"
        return f"locally averaged {self.plugin_name()} error ({window})"

    @property
    def error_in_short(self) -> str:
        return super().error_in_short if self.order == "pointwise" else f"averaged {super().error_in_short}"

    def block_error(self, side: int) -> float | None:
        """Return the error of one opposite colour for the other, times the weight of the block in the window.

        That is the largest value of the map in both orders, since every difference has the same direction.
        """
        if self.opposite_error is None:
            return super().block_error(side)
        weight = 1.0
        if self.sigma is not None:
            taps = gaussian_taps(self.sigma)
            both = np.r_[taps[:0:-1], taps]
            # The largest weight is that of the block around the centre; rows and columns multiply.
            weight = float(both[max(taps.size - 1 - (side - 1) // 2, 0) :][:side].sum() ** 2)
        elif self.order != "pointwise":
            # A box weighs all its pixels alike, so a block in it weighs its share of the area.
            weight = (min(side, self.size or 1) / (self.size or 1)) ** 2
        return min(self.opposite_error * weight, self.capped_bound)

    @property
    def averages_colours(self) -> bool:
        return self.order == "difference-of-blurs"

    def _averaged_bound(self, planes: Planes, norm: Callable[[Planes], Map]) -> Map:
        """Return `norm` of support `planes` of the delivered colours, averaged as the map is."""
        if self.order == "difference-of-blurs":
            # The averaged truth is a mean of colours, so it lies in the convex hull that the support values describe.
            for plane in planes:
                self._average(plane)
        largest = norm(planes)
        if self.order == "blur-of-difference":
            self._average(largest)
        # A bound of the map that is averaged bounds its average, as weights are at least 0.
        return largest

    def _truth_behind(
        self, low_resolution: Image, delivered: Image, steps: tuple[Degradation, ...], scale: int
    ) -> BlurredTruth:
        """Return what the input says of the truth averaged over the window; for `bound_from_input`."""
        height, width = low_resolution.shape[0] * scale, low_resolution.shape[1] * scale
        if delivered.shape[:2] != (height, width):
            raise UsageError(
                f"expected a delivered picture of {width}×{height}; got {delivered.shape[1]}×{delivered.shape[0]}"
            )
        return blurred_truth(low_resolution, steps, scale, window=self.kernel or "", sigma=self.sigma, size=self.size)

    def _average(self, values: Map) -> None:
        """Put the average in the place of `values`, C-contiguous."""
        average(values, self.kernel or "", self.sigma, self.size, overwrite=True)


class LocalMetric(AveragedMetric):
    """A finished map, averaged over a window if one is given; a mean cannot exceed the bound.

    The difference of two averaged pictures means nothing here, so that order is not offered.

    `order`: `pointwise`: the map. `blur-of-difference`: the map averaged, `K * D`. Pointwise unless a window is given.
    `compares`: What one value compares where that is more than a pixel; empty: pixels.
    """

    largest: ClassVar[float] = 1.0
    compares: ClassVar[str] = ""

    order: Literal["pointwise", "blur-of-difference"] = "pointwise"

    @model_validator(mode="before")
    @classmethod
    def _offered(cls, parameters: Any) -> Any:
        if isinstance(parameters, dict) and parameters.get("order") == "difference-of-blurs":
            raise ValueError("expected order pointwise or blur-of-difference; this metric has no difference of blurs")
        return parameters

    @property
    def error_in_words(self) -> str:
        return super().error_in_words + (f", which compares {self.compares}," if self.compares else "")

    @property
    def pointwise_root_mean_square(self) -> bool:  # type: ignore[override]
        return False


class RgbMetric(AveragedMetric):
    """A norm of the difference of sRGB colours, white = 1."""

    @property
    def grey_scale(self) -> NDArray[np.float64]:
        return self.largest * np.arange(256) / 255

    def difference(self, truth: Image, delivered: Image) -> Planes:
        return rgb_difference(truth, delivered)

    def bound_from_delivered(self, delivered: Image) -> Map:
        return self._averaged_bound(rgb_planes(delivered), lambda planes: self.norm(farthest(planes)))

    def bound_from_input(
        self, low_resolution: Image, delivered: Image, steps: tuple[Degradation, ...], scale: int
    ) -> Map:
        """Return what the input says of the averaged truth; difference-of-blurs only."""
        if self.order != "difference-of-blurs":
            return super().bound_from_input(low_resolution, delivered, steps, scale)
        truth = self._truth_behind(low_resolution, delivered, steps, scale)
        blurred = rgb_planes(delivered)
        for plane in blurred:
            self._average(plane)
        # The metric's own bound holds as well, for every picture.
        largest: Map = np.minimum(self.norm(truth.largest_difference(blurred)), np.float32(self.bound))
        return largest


class BandMetric(AveragedMetric):
    """A norm of the difference of two spectra, each band as a share of its declared range: at most 1."""

    fewest_bands: ClassVar[int] = 1
    space: ClassVar[str] = "shares of the range of each band"
    largest: ClassVar[float] = 1.0
    opposite_error: ClassVar[float] = 1.0

    @property
    def pointwise_root_mean_square(self) -> bool:  # type: ignore[override]
        return False

    @property
    def averages_colours(self) -> bool:
        """False: what the input tells of averaged bands is not worked out."""
        return False

    @property
    def opposites(self) -> str:
        return "the lowest value in place of the highest in every band"

    def difference(self, truth: Image, delivered: Image) -> Planes:
        return band_difference(truth, delivered)

    def bound_from_delivered(self, delivered: Image) -> Map:
        return self._averaged_bound(band_planes(delivered), lambda planes: self.norm(farthest(planes)))
