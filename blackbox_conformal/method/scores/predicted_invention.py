"""A fitted score: which share of the detail that the vendor added is invented, as a small network expects.

The network was fitted to the energies of the metric `invention` in answers of other vendors to photographs whose truth
is known (examples/train_predicted_invention.py). It sees how what the vendor added agrees with what the free and the
fine reference add, and only ratios and correlations of their energies, so that contrast plays no part.
"""

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr, model_validator

from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.images.fine_reference import fine_reference_digest
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference_digest
from blackbox_conformal.method.kernels.cells import cell_products
from blackbox_conformal.method.kernels.elementary import exponential, logarithm
from blackbox_conformal.method.kernels.layers import convolved
from blackbox_conformal.method.kernels.windows import gaussian
from blackbox_conformal.method.scores._weights_file import WeightsFile, channels_in, unfit, weights_file
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.method.scores.unsupported import Unsupported
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.types import Image, Map

Features = npt.NDArray[np.float32]

WINDOWS = 1.0, 2.0  # Cells: standard deviations of the Gaussians over which products are averaged.
# A grey level, squared: the energy of less detail counts as none, which keeps ratios and logarithms finite.
LEAST = np.float32(1)
# Energy below which the reference says little, and how many times its detail a vendor may add: it is too soft.
FAINT, MOST = np.float32(10), np.float32(1.5)

INPUTS = 34, 66
"""Features of each cell: of the light network, which compares with one reference, and of the other, with two."""

PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))

LITTLE = np.float32(3)
"""Squared grey levels that count as added and right. With 1, as fitted, smooth parts are hatched to which next to
nothing was added; with 3 a quarter more is clear, and next to none of the right detail less; 9 keeps less of that."""


class PredictedInvention(Unsupported):
    """The expected `I / (A + 3)` of the metric `invention`, in [0, 1], averaged over the window.

    All pixels of a cell, the block made of one pixel of the input, have one value before that.

    `light`: Whether it compares with the free reference alone, in a tenth of the time, and not with the fine
      reference, too. Specifications leave it to the digest, since earlier versions had the light one only.
    `weights`: A file of weights that `tune --learn` wrote, or its content; this package's own unless given. Not part of
      the procedure, which names weights by their digest.
    """

    light: bool = Field(default=False, exclude=True)
    weights: Path | bytes | None = Field(default=None, exclude=True, repr=False)

    _network: WeightsFile = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _tell_by_digest(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("digest") and given.get("weights") is None:
            for degraded in (False, True):
                if given["digest"] == _digest(own_network(light=True), degraded=degraded):
                    return given | {"light": True}
        return given

    def model_post_init(self, _: Any) -> None:
        """Read the weights, which say themselves whether they are light."""
        if self.weights is None:
            self._network = own_network(light=self.light)
            return
        try:
            self._network = weights_file(self.weights, shapes)
        except BlackboxConformalError as error:
            raise ValueError(str(error)) from None
        object.__setattr__(self, "light", is_light(self.network))

    def own_digest(self) -> str:
        """Of the network, of the references that it compares with and of what counts as little."""
        return _digest(self._network, degraded=bool(self.degraded))

    @property
    def fitted_weights(self) -> bytes | None:
        """The content of the file of weights; None for this package's own."""
        own = own_network(light=self.light)
        return None if self._network.digest == own.digest else self._network.content

    @property
    def taught_by(self) -> tuple[KnownPhotograph, ...]:
        """The photographs that the weights were learned from; of this package's own none is anybody's."""
        return self._network.taught_by

    @property
    def network(self) -> dict[str, Features]:
        """The weights by layer; see `shapes`."""
        return self._network.arrays

    def share(self, context: Context, low: Image) -> Map:
        """What the network expects at each pixel."""
        seen, added = self.seen(context, low)
        cells = expected_share(self.network, seen) * (added / (added + LITTLE - LEAST))
        return np.ascontiguousarray(cells.repeat(context.scale, axis=0).repeat(context.scale, axis=1))

    def seen(self, context: Context, low: Image) -> tuple[Features, Map]:
        """What the network sees of each cell, and the energy of added detail there; see `features`."""
        degraded = bool(self.degraded)
        free = [context.reference(degraded=degraded)] + [context.fine_reference()] * (not self.light)
        return features(context.delivered, low, free, degraded=degraded)


@functools.cache
def own_network(*, light: bool) -> WeightsFile:
    """This package's own weights."""
    name = f"predicted_invention{'_light' * light}_weights.npz"
    return weights_file(resources.files(__package__).joinpath(name).read_bytes(), shapes)


def shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each layer, for as many channels as the first one has; learned weights have a `skip`, too."""
    channels, inputs = channels_in(arrays, "first"), arrays["first"].shape[1]
    if inputs not in INPUTS:
        raise unfit(f"an array first of {' or '.join(map(str, INPUTS))} columns", f"shape {arrays['first'].shape}")
    found: dict[str, tuple[int, ...]] = {"first": (channels, inputs), "first_bias": (channels,)}
    found |= {"second": (channels, channels), "second_bias": (channels,), "last": (1, channels), "last_bias": (1,)}
    return found | ({"skip": (1, inputs)} if "skip" in arrays else {})


def is_light(weights: Mapping[str, Features]) -> bool:
    """Whether these weights compare with one reference alone."""
    return bool(weights["first"].shape[1] == INPUTS[0])


def expected_share(weights: Mapping[str, Features], seen: Features) -> Map:
    """The share of what was added that is invented, of (F, h, w) float32: (h, w) float32 in [0, 1]."""
    last = convolved(last_hidden(weights, seen), weights["last"][:, :, None, None], weights["last_bias"], 1)[0]
    if "skip" in weights:
        last = last + np.tensordot(weights["skip"][0], seen, 1)
    share: Map = (1 / (1 + exponential(-last))).astype(np.float32)
    return share


def last_hidden(weights: Mapping[str, Features], seen: Features) -> Features:
    """What the last layer sees, (C, h, w) float32."""
    for layer in ("first", "second"):
        seen = convolved(seen, weights[layer][:, :, None, None], weights[f"{layer}_bias"], 1)
        np.maximum(seen, 0, out=seen)
    return seen


def _digest(network: WeightsFile, *, degraded: bool) -> str:
    references = reference_digest(degraded=degraded)
    if not is_light(network.arrays):
        references += f" {fine_reference_digest()}"
    return digest_bytes(network.content + f"{references} {LITTLE:g}".encode())


def features(delivered: Image, low: Image, free: Sequence[Image], *, degraded: bool) -> tuple[Features, Map]:
    """What the network sees of each cell, (2 + 32 · references, h, w) float32, and what was added, (h, w).

    The latter is the energy of added detail plus `LEAST`.

    `delivered`: The vendor's picture, (H, W, 3) uint8.
    `low`: The input, (h, w, 3) uint8.
    `free`: The references, (H, W, 3) uint8 each.
    `degraded`: Whether the first reference has the weights for noisy, sharpened or compressed inputs.
    """
    scale, found, logs = len(delivered) // len(low), list[Map](), list[Map]()
    plain = bicubic_up(low, scale)
    for one in free:
        products = cell_products(delivered, one, plain, scale)
        for sigma in WINDOWS:
            smooth = [gaussian(plane, sigma) for plane in products]
            means = np.stack(smooth[6:15]).reshape(3, 3, *low.shape[:2])
            # Covariances, so that a cast of colour is no detail.
            pixels = [smooth[k] - (means[i] * means[j]).mean(axis=0) for k, (i, j) in enumerate(PAIRS)]
            seen, log = of_window(pixels, smooth[15:])
            found, logs = [*found, *seen], [*logs, log]
    # Whether added detail stands alone in the wider window, and which weights the reference has.
    return np.stack([*found, logs[0] - logs[1], np.full_like(logs[0], degraded)]), exponential(logs[0]).astype(
        np.float32
    )


def of_window(pixels: list[Map], steps: list[Map]) -> tuple[list[Map], Map]:
    """16 features and the log energy of added detail, of aa, ar, au, rr, ru and uu of pixels and of their steps."""
    (part, whole, first), (fine_part, fine_whole, second) = _of_band(*pixels), _of_band(*steps)
    # Steps weigh twice: fine detail tells more.
    both = _logit((part + 2 * fine_part) / (whole + 2 * fine_whole + LEAST))
    log = _log(whole + LEAST)
    return [*first, *second, both, _log(fine_whole + LEAST) - log], log


def _of_band(aa: Map, ar: Map, au: Map, rr: Map, ru: Map, uu: Map) -> tuple[Map, Map, list[Map]]:
    """Energy of added detail that the reference does not explain, energy of all added detail, and seven features."""
    aa, rr, uu = (np.maximum(energy, 0) for energy in (aa, rr, uu))
    a, r, u = aa + LEAST, rr + LEAST, uu + LEAST
    by_r, by_u, of_both = _correlation(ar, a, r), _correlation(au, a, u), _correlation(ru, r, u)
    blend = np.clip(ar / (rr + FAINT), 0, MOST)
    part: Map = np.clip(aa - 2 * blend * ar + blend**2 * rr, 0, aa)
    # What the best combination of reference and plain enlargement leaves.
    joint = np.divide(by_r**2 + by_u**2 - 2 * by_r * by_u * of_both, np.maximum(1 - of_both**2, np.float32(0.02)))
    rest = _logit(1 - np.clip(joint, 0, 1))
    return part, aa, [_logit(part / a), rest, by_r, by_u, of_both, _log(r / a), _log(u / a)]


def _correlation(product: Map, first: Map, second: Map) -> Map:
    found: Map = np.divide(product, np.sqrt(first * second))
    return found


def _logit(share: Map) -> Map:
    small = np.float32(0.01)
    return _log((share + small) / (1 + small - share))


def _log(values: Map) -> Map:
    return logarithm(values).astype(np.float32)


PLUGIN = PredictedInvention
