"""Measure the detail that a picture adds to a plain one, and how much of this detail a second picture explains.

With `u` plain, `d` delivered and `y` the truth, `a = d - u` is added and `t = y - u` is missing. Around each pixel, the
best blend of `u` and `y` explains `b t` of the added detail, and leaves `|a - b t|^2`, the energy of the invented
detail.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._checks import image_pair
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.windows import gaussian
from blackbox_conformal.support.types import Image, Map

# A smaller share of the energy is a rounding error of single precision, and counts as none.
LEAST_SHARE = np.float32(1e-5)
LEAST_DETAIL = np.float32(9)  # Three grey levels, squared: a smaller root mean square is hardly detail.
LEAST_PLACES = 256  # A picture of so many squared sigmas holds about twenty independent averages.


class Energies(NamedTuple):
    """Energies around each pixel: means over three channels and a Gaussian window, in squares of grey levels."""

    part: Map  # (H, W) float32: energy of the detail that `explained` does not account for; from 0 to `whole`.
    whole: Map  # (H, W) float32: energy of all detail that `changed` adds.

    @property
    def share(self) -> Map:
        """Return `part` / (`whole` + `LEAST_DETAIL`), so that faint detail counts as none: (H, W) float32 in [0, 1)."""
        share: Map = self.part / (self.whole + LEAST_DETAIL)
        return share


class Leasts(NamedTuple):
    """What keeps the losses of a picture with hardly any detail defined.

    `invented`, `pixel`: Squared grey levels added to the invented energy of a picture, and of each pixel of a square.
    `added_share`: Of all added energy, the least that is divided by.
    """

    invented: float
    pixel: float
    added_share: float


def unexplained(changed: Image, explained: Image, plain: Image, sigma: float, *, high_pass: bool = True) -> Energies:
    """Measure how much of the detail that `changed` adds to `plain` is not in `explained`.

    `sigma`: Standard deviation in pixels of the Gaussian window, with reflected borders, and of the high-pass.
    `high_pass`: Whether differences that are wider than that, such as a cast of colour, are taken away first.
    Returns: ``part = min over b in [0, 1] of <|a - b t|^2>`` and ``whole = <a . a>``, where ``a = changed - plain``,
      ``t = explained - plain``, each less its own Gaussian mean with the high-pass. `part` is 0 where `changed` is, in
      the window, a blend of `plain` and `explained`.
    """
    changed, plain = image_pair(changed, plain)
    explained, plain = image_pair(explained, plain)
    added, missing = np.empty((2, *plain.shape[:2]), np.float32)
    whole, common, other = np.zeros((3, *plain.shape[:2]), np.float32)
    for channel in range(3):
        for picture, difference in ((changed, added), (explained, missing)):
            _subtract(picture, plain, channel, difference)
            if high_pass:
                difference -= gaussian(difference, sigma)
        _add_products(added, missing, whole, common, other)
    for products in (whole, common, other):
        gaussian(products, sigma, overwrite=True)
    _unexplained(whole, common, other, LEAST_SHARE)
    return Energies(common, whole)


def added(changed: Image, plain: Image, sigma: float, *, high_pass: bool = True) -> Map:
    """Return `whole` as `unexplained` gives it, for the same parameters at a third of the time: (H, W) float32."""
    changed, plain = image_pair(changed, plain)
    difference, whole = np.empty(plain.shape[:2], np.float32), np.zeros(plain.shape[:2], np.float32)
    for channel in range(3):
        _subtract(changed, plain, channel, difference)
        if high_pass:
            difference -= gaussian(difference, sigma)
        whole += np.square(difference, out=difference)
    whole /= 3
    gaussian(whole, sigma, overwrite=True)
    return whole


def detail_losses(
    order: NDArray[np.int64], scores: Map, energies: Energies, top: np.float32, side: int, steps: int, leasts: Leasts
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return three losses of the pixels that score below a threshold, as staircases: scores and losses, both rising.

    `order`: (H W,) int64: the pixels by their scores, rising.
    `scores`: (H, W) float32, finite.
    `top`: From it on every loss is 1.
    `side`: Of squares, in pixels, from the upper left corner on.
    `steps`: Losses are rounded up to multiples of 1 / `steps`, a power of two.
    Returns: The invented energy divided by that of the whole picture; the invented energy divided by the added energy,
      and at thresholds above no smaller; the mean over squares, by their areas, of the first loss.
    """
    at, levels, sizes = np.empty((3, steps), np.float32), np.empty((3, steps), np.float32), np.zeros(3, np.int64)
    weighted, flat = np.empty(scores.shape, np.float64), (scores.ravel(), energies.part.ravel(), energies.whole.ravel())
    _weigh_by_squares(energies.part, side, leasts.pixel, weighted)
    _walk(order, *flat, weighted.ravel(), top, leasts.invented, leasts.added_share, at, levels, sizes)
    return [(at[kind, :size].copy(), levels[kind, :size].copy()) for kind, size in enumerate(sizes.tolist())]


def displacement(changed: Image, plain: Image, sigma: float) -> tuple[float, float]:
    """Return how far `changed` lies below and to the right of `plain`, in pixels, where a displacement sets them apart.

    A Gaussian of `sigma` averages both first, so that detail plays no part. One step of Lucas and Kanade (1981) over
    the whole picture, in green; (0, 0) where a displacement explains less than half of the remaining difference, and in
    pictures of less than `LEAST_PLACES` squared sigmas, where it may explain half by chance.
    """
    changed, plain = image_pair(changed, plain)
    if changed[..., 0].size < LEAST_PLACES * sigma**2 or min(changed.shape[:2]) < 3:
        return 0.0, 0.0
    apart, base = np.empty((2, *plain.shape[:2]), np.float32)
    _subtract(changed, plain, 1, apart)
    _subtract(plain, np.zeros_like(plain), 1, base)
    apart, base = gaussian(apart, sigma, overwrite=True), gaussian(base, sigma, overwrite=True)
    inner = (slice(1, -1), slice(1, -1))
    down, across = (base[2:, 1:-1] - base[:-2, 1:-1]) / 2, (base[1:-1, 2:] - base[1:-1, :-2]) / 2
    apart = apart[inner]
    apart -= apart.mean()
    dd, da, aa, d, a, energy = (
        float(np.sum(first * second, dtype=np.float64))
        for first, second in (
            *((down, down), (down, across), (across, across)),
            *((down, apart), (across, apart), (apart, apart)),
        )
    )
    # The eigenvalues of the structure tensor. Where all edges run one way, nothing tells how far a picture was moved
    # along them.
    middle, half = (dd + aa) / 2, math.sqrt(((dd - aa) / 2) ** 2 + da**2)
    largest, least = middle + half, middle - half
    if largest <= 0:
        return 0.0, 0.0
    if least > 1e-3 * largest:
        y, x = (da * a - aa * d) / (largest * least), (da * d - dd * a) / (largest * least)
    else:
        scale = -1 / ((largest - least) * largest)
        y, x = scale * ((dd - least) * d + da * a), scale * (da * d + (aa - least) * a)
    return (y, x) if -(d * y + a * x) >= 0.5 * energy else (0.0, 0.0)


@kernel
def _subtract(first: NDArray[np.uint8], second: NDArray[np.uint8], channel: int, out: NDArray[np.float32]) -> None:
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = np.float32(np.int32(first[y, x, channel]) - np.int32(second[y, x, channel]))


@kernel
def _add_products(
    added: NDArray[np.float32],
    missing: NDArray[np.float32],
    whole: NDArray[np.float32],
    common: NDArray[np.float32],
    other: NDArray[np.float32],
) -> None:
    third = np.float32(1 / 3)
    for y in range(added.shape[0]):
        for x in range(added.shape[1]):
            a, t = added[y, x], missing[y, x]
            whole[y, x] += third * (a * a)
            common[y, x] += third * (a * t)
            other[y, x] += third * (t * t)


@kernel
def _unexplained(
    whole: NDArray[np.float32], common: NDArray[np.float32], other: NDArray[np.float32], least: np.float32
) -> None:
    """Overwrite `common` with the energy that no blend explains."""
    zero, one = np.float32(0), np.float32(1)
    for y in range(whole.shape[0]):
        for x in range(whole.shape[1]):
            energy, shared, length = whole[y, x], common[y, x], other[y, x]
            blend = min(max(shared / length, zero), one) if length > zero else zero
            rest = energy - blend * (shared + shared - blend * length)
            common[y, x] = min(rest, energy) if rest > least * energy else zero


@kernel
def _weigh_by_squares(part: NDArray[np.float32], side: int, least: float, out: NDArray[np.float64]) -> None:
    """Write each pixel's part of the mean over squares of their losses."""
    height, width = part.shape
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right, energy = min(top + side, height), min(left + side, width), 0.0
            for y in range(top, bottom):
                for x in range(left, right):
                    energy += part[y, x]
            area = (bottom - top) * (right - left)
            weight = area / (energy + least * area) / part.size
            for y in range(top, bottom):
                for x in range(left, right):
                    out[y, x] = part[y, x] * weight


@kernel
def _walk(
    order: NDArray[np.int64],
    scores: NDArray[np.float32],
    part: NDArray[np.float32],
    whole: NDArray[np.float32],
    weighted: NDArray[np.float64],
    top: np.float32,
    least: float,
    least_share: float,
    at: NDArray[np.float32],
    levels: NDArray[np.float32],
    sizes: NDArray[np.int64],
) -> None:
    steps, count, all_invented, all_added = at.shape[1], order.size, 0.0, 0.0
    for i in range(count):
        all_invented += part[order[i]]
        all_added += whole[order[i]]
    losses, reached = np.zeros(3), np.zeros(3)
    invented, added, score = 0.0, 0.0, top
    for i in range(count + 1):
        # Pixels of one score are trusted together.
        if i and (i == count or scores[order[i]] > score):
            losses[0] = invented / (all_invented + least)
            counted = max(added, least_share * all_added)
            if counted > 0:
                losses[1] = max(losses[1], invented / counted)
            ended = score >= top
            for kind in range(3):
                step = steps if ended else min(np.ceil(losses[kind] * steps), steps)
                if step > reached[kind]:
                    reached[kind] = step
                    at[kind, sizes[kind]] = top if ended else score
                    levels[kind, sizes[kind]] = np.float32(step) / np.float32(steps)
                    sizes[kind] += 1
            if ended:
                return
        if i < count:
            score = scores[order[i]]
            invented += part[order[i]]
            added += whole[order[i]]
            losses[2] += weighted[order[i]]
    for kind in range(3):
        if reached[kind] < steps:
            at[kind, sizes[kind]], levels[kind, sizes[kind]] = top, np.float32(1)
            sizes[kind] += 1


def warm_up() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    found = unexplained(black + np.uint8(1), black, black, 1.0)
    detail_losses(np.arange(4), found.whole, found, np.float32(1), 1, 2, Leasts(1.0, 1.0, 0.5))
