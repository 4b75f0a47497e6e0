"""Metrics of detail: which share of what one picture adds to plain enlargement another one does not explain."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.kernels.detail import LEAST_DETAIL, Energies, added, displacement, unexplained
from blackbox_conformal.method.kernels.regions import in_regions
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import DETAIL
from blackbox_conformal.support.catalog import member
from blackbox_conformal.support.types import Image, Map

SIGMA = 4.0  # Of window and high-pass where nothing is enlarged; else they grow with the scale.
FARTHEST = 0.25  # Pixels: a delivered picture that lies farther from its input is refused.


class DetailMetric(Metric):
    """`I / (A + c^2)`: the energy of unexplained detail over the energy of all detail, c = 3 grey levels.

    `A = <|a|^2>` is the energy of `a`, a picture less plain enlargement, `t` is another one less plain enlargement, and
    ``I = min over b in [0, 1] of <|a - b t|^2>``. At scale 1 the input itself takes the place of plain enlargement.

    Both are high-passed by a Gaussian, so that a cast of colour is no detail, and averaged over channels and the same
    Gaussian: its sigma is the scale, or 4 pixels at scale 1. Where inputs have lost their colours nothing is
    high-passed, since colours are what is added.

    `words`: What a value of the map is.
    """

    words: ClassVar[str]

    @property
    def bound(self) -> float:
        """Return 1, which no share reaches: `I <= A`, since `b = 0` is allowed."""
        return 1.0

    @property
    def error_in_words(self) -> str:
        return self.words

    def require_degradation(self, degradation: Mixture) -> None:
        if hides(degradation):
            raise UsageError(
                f"expected inputs that show the whole picture for {self.plugin_name()}; {degradation.text} paints "
                "holes, and whatever fills them is added. Give --metric in-holes:of=lab-l1,sigma=4"
            )

    def block_error(self, side: int) -> None:
        """None: how wrong a block is depends on the input."""

    def map(self, truth: Image, delivered: Image) -> Map:
        raise UsageError(
            f"{self.plugin_name()} needs the input, which shows what the vendor added; got truth and delivered picture "
            "alone. Calibrate or audit with it, or give --metric lab-l1:sigma=4"
        )

    def energies(self, truth: Image, delivered: Image, low_resolution: Image, degradation: Mixture) -> Energies:
        """Return the energies of invented and of all added detail, in squares of grey levels."""
        plain, sigma = enlarged(low_resolution, delivered.shape[0] // low_resolution.shape[0])
        if (moved := shift(delivered, plain, sigma)) is not None:
            raise ImageError(
                f"expected delivered pictures that lie where their inputs do; one lies {moved[1]:+.2f} pixels to the "
                f"right and {moved[0]:+.2f} down, so nearly all of its detail would count as invented. Give "
                "--delivery aligned, which moves answers back by whole pixels, or --guarantee expected --metric "
                "lab-l1:sigma=4"
            )
        changed, explained = self.compared(truth, delivered)
        return unexplained(changed, explained, plain, sigma, high_pass=not degradation.loses_colours)

    def compared(self, truth: Image, delivered: Image) -> tuple[Image, Image]:
        """Return the picture whose detail counts, and the one that it is looked for in."""
        raise NotImplementedError(f"{type(self).__name__} must define compared(truth, delivered)")

    def errors(self, truth: Image, delivered: Image, low_resolution: Image, degradation: Mixture) -> Map:
        return self.energies(truth, delivered, low_resolution, degradation).share


def hides(degradation: Mixture) -> bool:
    """Whether inputs have holes."""
    return degradation.hidden(np.zeros((1, 1, 3), np.uint8)) is not None


def enlarged(low_resolution: Image, scale: int) -> tuple[Image, float]:
    """Return plain enlargement of the input, or the input at scale 1, and the sigma of window and high-pass."""
    return (low_resolution, SIGMA) if scale == 1 else (bicubic_up(low_resolution, scale), float(scale))


def shift(delivered: Image, plain: Image, sigma: float) -> tuple[float, float] | None:
    """Return how far down and right of plain enlargement a picture lies, where that is more than `FARTHEST`."""
    moved = displacement(delivered, plain, sigma)
    return moved if math.hypot(*moved) > FARTHEST else None


STRIPED = "striped: not trusted, as nothing supports it enough, though it may be right"
CROSSED = "darker and crossed: not trusted, and a free enlargement of the input shows other detail there"
DOTTED = "dotted: trusted, and no detail was added"
CLEAR = "clear: detail was added and is trusted (the promise is about clear and dotted parts alone)"
DIFFERS = "framed and hatched in cyan: differs from the input by more than is usual"


def about_detail(guarantee: Mapping[str, Any], metric: Mapping[str, Any]) -> bool:
    """Whether a guarantee on a metric is about detail; each by its name and parameters."""
    # Not built: a guarantee with a bound of a picture's own is told in words there.
    innermost = guarantee
    while "of" in innermost:
        innermost = {**innermost.get("parameters", {}), "name": innermost["of"]}
    counts: bool = member("metrics", metric["name"]).counts_detail
    return counts or member("guarantees", innermost["name"]).curve_kind in DETAIL


NOT_ADDED, ADDED, CONTRADICTED = range(3)
"""What the answer added to a pixel, as marks tell it apart."""

_REGION = 16  # Pixels on a side of the square that has as many as the smallest contradicted patch.
_AGAINST = np.float32(0.9)  # Of the added detail, the share that the free reference must lack to speak against it.


def kinds_of_detail(delivered: Image, low_resolution: Image, mixture: Mixture) -> NDArray[np.uint8]:
    """Return what was added to each pixel: (H, W) uint8, `NOT_ADDED`, `ADDED` or `CONTRADICTED`.

    Detail below 3 grey levels (root mean square in the window of `DetailMetric`) counts as none. It is contradicted
    where the free reference adds detail, too, and lacks at least nine tenths of what was added; patches smaller than
    a square of `_REGION` pixels are evened out.

    `delivered` is (H, W, 3) uint8, `low_resolution` its input, (h, w, 3) uint8, which at scale 1 stands for its plain
    enlargement, and for the reference. `mixture` says how inputs are made: where they lose their colours, colours count
    as detail; where they have holes, whatever fills them is added, so that nowhere is nothing added.
    """
    found = np.full(delivered.shape[:2], ADDED, np.uint8)
    if hides(mixture):
        return found
    scale, high_pass = delivered.shape[0] // low_resolution.shape[0], not mixture.loses_colours
    plain, sigma = enlarged(low_resolution, scale)
    if scale == 1:
        found[added(delivered, plain, sigma, high_pass=high_pass) < LEAST_DETAIL] = NOT_ADDED
        return found
    free = reference(low_resolution, scale, degraded=not mixture.adds_nothing)
    part, whole = unexplained(delivered, free, plain, sigma, high_pass=high_pass)
    against = part >= _AGAINST * whole
    for energy in (whole, added(free, plain, sigma, high_pass=high_pass)):
        against &= energy >= LEAST_DETAIL
    # No specks, which nobody could read.
    found[in_regions(against.astype(np.float32), _REGION) > 0.5] = CONTRADICTED
    found[whole < LEAST_DETAIL] = NOT_ADDED
    return found
