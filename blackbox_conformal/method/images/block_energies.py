"""How much detail of each fineness the blocks of a picture hold: what blur, sharpening, noise and JPEG change.

The energy of a band of frequencies in the flattest blocks is noise, in the busiest ones it is the sharpness of edges.
JPEG takes the finest bands from most blocks.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.jpeg_traces import coefficients, unclipped
from blackbox_conformal.method.images.picture import luma_of
from blackbox_conformal.method.kernels.elementary import logarithm, product
from blackbox_conformal.support.types import Image

BANDS = ((1, 1), (2, 2), (3, 4), (5, 7), (8, 14))
"""First and last sum of horizontal and vertical frequency of each band, from coarse to fine."""

QUANTILES = (0.1, 0.5, 0.9)

_LEAST = 0.1
"""Squared grey levels a coefficient, about what rounding to 8 bits adds."""

_FEWEST_BLOCKS = 4

FLATTEST = ((5, 24), (5, 6), (5, 2), (2, 12))
"""Which blocks spectra are of: those with the least detail in so many bands from the coarsest on, one in so many."""

_FINEST = 11
"""Larger sums of frequencies count as this one: JPEG leaves so few of their coefficients that one alone jumps."""

_FREQUENCY = np.add.outer(np.arange(8), np.arange(8))


def block_energies(pixels: Image) -> NDArray[np.float64]:
    """What (H, W, 3) uint8 pixels measure: 86 numbers, base-2 logarithms of mean squared coefficients.

    For brightness and for both colour differences together, for each band, the `QUANTILES` of blocks of 8 × 8 pixels.
    Then for brightness, for each sum of horizontal and vertical frequency from 1 to 11 and more, the first of the
    `QUANTILES` of blocks and the means over the `FLATTEST` ones: spectra of noise with more and less of the scene in
    them, which tell weak noise that was sharpened from strong noise.
    The last number is how much more of the three finest bands the flattest bright blocks hold than the flattest dark
    ones, which tells noise that grows with the light.
    """
    red, green, blue = (pixels[:, :, channel].astype(np.float32) for channel in range(3))
    plane, usable = luma_of(pixels), unclipped(pixels)
    light = coefficients(plane, usable)
    if len(light) < _FEWEST_BLOCKS:
        # Clipped everywhere: better all blocks than none.
        usable = np.ones_like(usable)
        light = coefficients(plane, usable)
    if len(light) < _FEWEST_BLOCKS:
        raise ImageError(f"expected at least 16×16 pixels; got {pixels.shape[1]}×{pixels.shape[0]}. Leave it out")
    bright = _bands(light**2)
    colour = _bands((coefficients(red - green, usable) ** 2 + coefficients(blue - green, usable) ** 2) / 2)
    levels = [np.quantile(band, QUANTILES, axis=0).T.ravel() for band in (bright, colour)]
    return np.concatenate(
        [*levels, _spectra(light**2, bright), [_with_light(light[:, 0, 0], bright[:, 2:].mean(axis=1))]]
    )


def _bands(squares: NDArray[Any]) -> NDArray[np.float64]:
    """(blocks, bands): logarithms of the mean over each band's coefficients."""
    means = [squares[:, (first <= _FREQUENCY) & (last >= _FREQUENCY)].mean(axis=1) for first, last in BANDS]
    return _log2(np.stack(means, axis=1))


def _spectra(squares: NDArray[Any], energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """(55,): base-2 logarithms, for each sum of frequencies; see `block_energies`."""
    sums = np.minimum(_FREQUENCY.ravel(), _FINEST)
    chosen = np.equal.outer(sums, np.arange(1, _FINEST + 1)).astype(squares.dtype)
    means = product(squares.reshape(len(squares), -1), chosen / chosen.sum(axis=0))
    spectra = [np.quantile(means, QUANTILES[0], axis=0)]
    for bands, one_in in FLATTEST:
        order = np.argsort(energies[:, :bands].mean(axis=1), kind="stable")
        spectra.append(means[order[: max(_FEWEST_BLOCKS, len(order) // one_in)]].mean(axis=0))
    return _log2(np.concatenate(spectra))


def _with_light(means: NDArray[np.float32], energies: NDArray[np.float64]) -> float:
    """Energy of the flattest bright blocks less that of the flattest dark ones."""
    bright = means > np.median(means)
    if not bright.any():
        return 0.0
    return float(np.quantile(energies[bright], 0.25) - np.quantile(energies[~bright], 0.25))


def _log2(squares: NDArray[Any]) -> NDArray[np.float64]:
    return logarithm(squares.astype(np.float64) + _LEAST) / math.log(2)
