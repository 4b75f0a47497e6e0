"""What a metric is: a map of how far the delivered picture is from the truth, with the largest value it can take."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.kernels.distance import Planes
from blackbox_conformal.method.risk.exact import largest_loss
from blackbox_conformal.support.catalog import Plugin
from blackbox_conformal.support.types import Image, Map


class Metric(Plugin):
    """A metric with its parameters; a file `metrics/NAME.py` defines one subclass and calls it PLUGIN.

    A subclass defines `bound` and `map`; whatever is calibrated, audited or shown uses `capped_bound`, and errors that
    went through `capped`.

    `cap`: Errors above it count as the cap, after any averaging; None counts them as they are. The bound is then the
      cap, so that fewer photographs suffice, and a guarantee of a mean does not tell such errors from larger ones.
    `pointwise_root_mean_square`: True when the map bounds each pixel's root mean square error over channels, in the
      space that `space` names, from above: the premise of the PSNR corollary.
    `sums_channels`: True when the map is a sum of absolute differences over three channels.
    `space`: The colour space in which the map measures, as a certificate prints it.
    `counts_detail`: Whether it also gives the energies of invented and of added detail, which `marked` and
      `clear-share` add up.
    `fewest_bands`: With how many it measures pictures of declared bands, (H, W, bands) uint16, too; 0: not at all.
    `reads_pictures`: Whether the map of any two pictures can be computed here and now, without a person's marks or a
      user's function.
    """

    pointwise_root_mean_square: ClassVar[bool] = False
    sums_channels: ClassVar[bool] = False
    space: ClassVar[str] = "sRGB"
    counts_detail: ClassVar[bool] = False
    fewest_bands: ClassVar[int] = 0
    reads_pictures: ClassVar[bool] = True

    cap: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def specification(self) -> dict[str, Any]:
        # Settings from before there were caps keep their fingerprint.
        content = super().specification()
        return {key: value for key, value in content.items() if key != "cap" or value is not None}

    @property
    def bound(self) -> float:
        """Return the largest value the map can take on 8-bit sRGB pictures."""
        raise NotImplementedError(f"{type(self).__name__} must define bound")

    def require(self) -> None:
        """Refuse a metric that this program cannot compute: a user's that it has not defined."""

    def map(self, truth: Image, delivered: Image) -> Map:
        """Return the map, (H, W) float32 in [0, bound], of two (H, W, 3) uint8 pictures of equal size."""
        raise NotImplementedError(f"{type(self).__name__} must define map(truth, delivered)")

    def require_degradation(self, degradation: Mixture) -> None:
        """Refuse a degradation whose inputs do not tell the metric what it needs."""

    def errors(self, truth: Image, delivered: Image, low_resolution: Image, degradation: Mixture) -> Map:
        """Return the map of a photograph whose input is known: `map`, unless the metric leaves parts out.

        `low_resolution` is the input, (h, w, 3) uint8; `degradation` says how it was made.
        """
        return self.map(truth, delivered)

    def energies(self, truth: Image, delivered: Image, low_resolution: Image, degradation: Mixture) -> Energies:
        """Return the energies of invented and of added detail, if it counts them; `errors` is their share."""
        raise NotImplementedError(f"{type(self).__name__} counts no detail")

    @property
    def capped_bound(self) -> float:
        """Return the largest error that counts: the smaller of cap and `bound`."""
        return self.bound if self.cap is None else min(self.bound, self.cap)

    def capped_map(self, truth: Image, delivered: Image) -> Map:
        """Return the `map` with errors above the cap counted as the cap: (H, W) float32 in [0, capped_bound]."""
        return self.capped(self.map(truth, delivered))

    def capped(self, errors: Map) -> Map:
        """Return `errors` with those above the cap counted as the cap."""
        # As float32, and not above the cap: the capped bound must bound it.
        return errors if self.cap is None else np.minimum(errors, largest_loss(self.cap))

    def facts(self) -> dict[str, str]:
        return {
            "values": f"0 to {self.capped_bound:g}, 0 where nothing is wrong",
            "colour space": self.space,
            "PSNR follows": "yes" if self.pointwise_root_mean_square and self.cap is None else "no",
        }

    @property
    def pointwise_dissimilarity(self) -> bool:
        """Whether the map is ``(1 - SSIM) / 2`` at each pixel, so that a bound on it bounds the mean SSIM."""
        return False

    @property
    def averaging(self) -> str:
        """Name the window that colours or differences are averaged with."""
        return "box"

    @property
    def averages_colours(self) -> bool:
        """Whether the map is a norm of the difference of averaged colours, which the input tells something of."""
        return False

    # What a sentence about its errors must say.

    @property
    def error_in_words(self) -> str:
        """Say what one value of the map is: the metric, with the window that it averages over."""
        return f"{self.plugin_name()} error"

    @property
    def error_in_short(self) -> str:
        """Say the same in few words: whether it is averaged, and not over what."""
        return f"{self.plugin_name()} error"

    @property
    def grey_scale(self) -> NDArray[np.float64] | None:
        """Return a value a grey, (256,) float64, ascending, whose differences are errors; None: no scale."""
        return None

    def block_error(self, side: int) -> float | None:
        """Return the error where `side` x `side` pixels of a white area came back black, all else right; None: unknown.

        Where pictures have two other colours that differ most, `opposites` names them.
        """
        if not self.reads_pictures:
            return None
        # The block and what windows of up to 16 pixels around it see.
        truth = np.full((side + 64, side + 64, 3), 255, np.uint8)
        delivered = truth.copy()
        delivered[32 : 32 + side, 32 : 32 + side] = 0
        return float(self.capped_map(truth, delivered).max())

    @property
    def opposites(self) -> str:
        """Name the two colours of `block_error`."""
        return "black in place of white"

    def channel_differences(self, truth: Image, delivered: Image) -> Planes | None:
        """Return signed differences, (3, H, W) float32, whose root mean square the map bounds; else None."""
        return None

    def bound_from_delivered(self, delivered: Image) -> Map:
        """Return the largest value that the map can take at each pixel, whatever the truth: (H, W) float32.

        `delivered` is (H, W, 3) uint8.

        Raises `UsageError`: No such bound is known for the metric; its general bound holds.
        """
        raise UsageError(
            f"expected a metric that delivered colours bound, such as rgb-l1; got {self.plugin_name()}. "
            "Leave bound_from out: the metric's own bound holds"
        )

    def bound_from_input(
        self, low_resolution: Image, delivered: Image, steps: tuple[Degradation, ...], scale: int
    ) -> Map:
        """Return an upper bound on the map for every truth with this input: (H, W) float32 in [0, bound].

        `low_resolution`: The input: (h, w, 3) uint8, made from the truth by the steps.
        `delivered`: (h * scale, w * scale, 3) uint8.
        `steps`: Each has a linear map (see `Degradation.along_axis`).
        `scale`: How many times smaller the input is, at least 2.
        Raises `UsageError`: The input says nothing of the metric, or sizes do not fit.
        """
        raise UsageError(
            "expected a metric that the input bounds, such as lab-l1 with a window, or rgb-l1 in the order "
            f"difference-of-blurs; got {self.plugin_name()}, of which the input says nothing as it is set. Leave "
            "bound_from out: the metric's bound holds"
        )
