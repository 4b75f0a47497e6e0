"""How a picture was compressed by JPEG: from a file's tables, or from the pixels of one that was saved differently.

JPEG rounds the coefficients of each block of 8 × 8 pixels to multiples of steps, and the steps follow from the quality.
So after decompression the coefficients still lie near those multiples, if the blocks are cut where they were cut then.
"""

import io
import math
import struct
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.picture import Picture, luma_of
from blackbox_conformal.method.kernels.elementary import exponential, logarithm, product
from blackbox_conformal.support.types import Image

Table = NDArray[np.int64]

_LUMINANCE = np.array(
    [
        (16, 11, 10, 16, 24, 40, 51, 61),
        (12, 12, 14, 19, 26, 58, 60, 55),
        (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62),
        (18, 22, 37, 56, 68, 109, 103, 77),
        (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101),
        (72, 92, 95, 98, 112, 100, 103, 99),
    ]
)
"""Steps of luma at quality 50 (ISO/IEC 10918-1, table K.1), rows by vertical frequency."""

QUALITIES = range(1, 101)

# Standard deviation of a coefficient after decompression around its multiple: what rounding to 8 bits leaves.
_ROUNDING = 0.36
# Smaller coefficients are left out: in any smooth picture they are near 0, which is a multiple of every step.
_SMALLEST = 1.3
_STRAY = 0.02  # Share of coefficients that may lie anywhere: of blocks with clipped or changed pixels.
# Log-likelihood by which steps must explain the coefficients better than no steps; so much for 1 in 10^13.
_LEAST_EVIDENCE = 30.0
_LEAST_MEAN = 0.1  # The same for each coefficient.
_LEAST_DETAIL = 200  # Coefficients among which a compression would show.
# All frequencies but the mean: means of drawings and ramps are multiples of something, too.
_DETAIL = list(np.ndindex(8, 8))[1:]

MOST_BLOCKS = 2048

_MOST_OF_A_GRID = 512


class JpegTrace(NamedTuple):
    """How a picture was compressed."""

    quality: int  # 1 to 100, as the Independent JPEG Group's library counts it; for other tables the nearest.
    subsampling: str | None = None  # Of the colours, such as ``4:2:0``; None where only the pixels are known.
    # (row, column) of the first whole block, each 0 to 7; other than (0, 0) after the picture was cut.
    grid: tuple[int, int] = (0, 0)
    exact: bool = False  # Whether a file has this quality's table.


def jpeg_trace(picture: Picture) -> JpegTrace | None:
    """How `picture` was compressed; None where nothing shows that it was."""
    return trace_of_file(picture.content) if picture.format == "JPEG" else trace_of_pixels(picture.pixels)


def trace_of_file(content: bytes) -> JpegTrace:
    """How a JPEG file is compressed, by its quantisation table for luma."""
    try:
        # Not by `Image.open`, which would warn of large pictures; the decode gate has its own limits.
        with JpegImagePlugin.JpegImageFile(io.BytesIO(content)) as opened:
            sampling = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}.get(JpegImagePlugin.get_sampling(opened))
            tables, number = opened.quantization, opened.layer[0][3]
    except (OSError, SyntaxError, ValueError, IndexError, struct.error) as error:
        raise ImageError(f"expected a JPEG file; {error}. Get it again, or convert it to PNG") from None
    if len(tables.get(number, ())) != 64:
        raise ImageError("expected a JPEG file with its quantisation tables; it has none. Convert it to PNG")
    table = np.array(tables[number]).reshape(8, 8)
    # By ratios: a step of 2 for 1 is as far off as one of 20 for 10.
    distance = np.abs(logarithm(_tables() / np.maximum(table, 1))).sum(axis=(1, 2))
    best = int(distance.argmin())
    return JpegTrace(QUALITIES[best], sampling, exact=bool(distance[best] == 0))


def trace_of_pixels(pixels: Image) -> JpegTrace | None:
    """How `pixels`, (H, W, 3) uint8, were compressed before; None where nothing shows that they were.

    The grid is the one where most coefficients are zero (Nikoukhah et al. 2021); the quality is the likeliest one, by
    the distances of the coefficients from multiples of its steps (Fan & de Queiroz 2003). Qualities above 97 leave no
    trace: their steps are no larger than the rounding of pixels.
    """
    plane, usable = _luma(pixels)
    quality = _likeliest(coefficients(plane, usable))
    if quality is not None:
        return JpegTrace(quality)
    grid = _grid(plane, usable)
    quality = _likeliest(coefficients(plane, usable, grid))
    return None if quality is None else JpegTrace(quality, grid=grid)


def would_tell(pixels: Image) -> bool:
    """Whether (H, W, 3) uint8 pixels have so much detail that a compression would show: smooth pictures have not."""
    plane, usable = _luma(pixels)
    blocks = coefficients(plane, usable, _grid(plane, usable))
    return sum(_values(blocks, row, column).size for row, column in _DETAIL) >= _LEAST_DETAIL


def quality_table(quality: int) -> Table:
    """(8, 8) int64: the steps of luma at a quality from 1 to 100, as the Independent JPEG Group scales them."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table: Table = np.clip((_LUMINANCE * percent + 50) // 100, 1, 255)
    return table


def coefficients(
    plane: NDArray[np.float32], usable: NDArray[np.bool_], grid: tuple[int, int] = (0, 0), most: int = MOST_BLOCKS
) -> NDArray[np.float32]:
    """(blocks, 8, 8) float32: the orthonormal discrete cosine transform of whole, usable blocks of 8 × 8 pixels.

    `plane`: (H, W) float32.
    `usable`: (H, W) bool: blocks with another pixel are left out.
    `grid`: (row, column) of the first block.
    `most`: Of more blocks so many are taken, evenly spread.
    """
    blocks = _blocks(plane, grid)
    kept = np.flatnonzero(_blocks(usable, grid).all(axis=(1, 2)))
    step = max(1, math.ceil(len(kept) / most))
    return transformed(blocks[kept[::step]], cosines())


def transformed(blocks: NDArray[np.float32], basis: NDArray[np.float32]) -> NDArray[np.float32]:
    """``basis @ block @ basis.T`` of each of (blocks, 8, 8)."""
    count, side = len(blocks), len(basis)
    for _ in range(2):
        # Columns first; turned, rows are columns. Rows of the product are as long as can be.
        turned = product(basis, blocks.transpose(1, 0, 2).reshape(side, count * side))
        blocks = turned.reshape(side, count, side).transpose(1, 2, 0)
    return np.ascontiguousarray(blocks)


@cache
def cosines() -> NDArray[np.float32]:
    """(8, 8) float32: the orthonormal cosine basis; a row for each frequency."""
    place, frequency = np.arange(8) + 0.5, np.arange(8)[:, None]
    basis = np.cos(np.pi / 8 * frequency * place) / 2
    basis[0] /= math.sqrt(2)
    return basis.astype(np.float32)


def unclipped(pixels: Image) -> NDArray[np.bool_]:
    """(H, W) bool: which of (H, W, 3) uint8 pixels are neither 0 nor 255 in any channel."""
    return np.asarray(((pixels > 0) & (pixels < 255)).all(axis=2))


def _luma(pixels: Image) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Luma as JPEG computes it, whole again as it was before its colours were put back; which pixels are unclipped."""
    return np.rint(luma_of(pixels)) - np.float32(128), unclipped(pixels)


def _blocks(plane: NDArray[Any], grid: tuple[int, int]) -> NDArray[Any]:
    plane = plane[grid[0] :, grid[1] :]
    height, width = (side // 8 for side in plane.shape)
    return plane[: height * 8, : width * 8].reshape(height, 8, width, 8).swapaxes(1, 2).reshape(-1, 8, 8)


@cache
def _tables() -> Table:
    return np.array([quality_table(quality) for quality in QUALITIES])


@cache
def _steps(row: int, column: int) -> tuple[Table, NDArray[np.int64]]:
    """The different steps of a frequency, and which of them each quality has."""
    return np.unique(_tables()[:, row, column], return_inverse=True)


def _grid(plane: NDArray[np.float32], usable: NDArray[np.bool_]) -> tuple[int, int]:
    """(row, column) of the first block, for the grid in which most coefficients are zero."""
    grids = list(np.ndindex(8, 8))
    zeros = []
    for grid in grids:
        blocks = coefficients(plane, usable, grid, _MOST_OF_A_GRID)
        zeros.append(float((np.abs(blocks[:, 1:, 1:]) < 0.5).mean()) if len(blocks) else 0.0)
    row, column = grids[int(np.argmax(zeros))]
    return row, column


def _likeliest(blocks: NDArray[np.float32]) -> int | None:
    """The quality whose steps explain the coefficients best; None where none explains them better than no steps."""
    evidence = np.zeros(len(QUALITIES))
    count = 0
    for row, column in _DETAIL:
        values = _values(blocks, row, column)
        count += values.size
        steps, place = _steps(row, column)
        # Of being multiples of each step with rounding errors, against being anything.
        rest = values - steps[:, None].astype(np.float32) * np.rint(values / steps[:, None].astype(np.float32))
        height = (1 - _STRAY) * (steps[:, None] / (_ROUNDING * math.sqrt(2 * math.pi)))
        density = height * exponential(-(rest**2) / (2 * _ROUNDING**2)) + _STRAY
        evidence += logarithm(density).sum(axis=1)[place]
    best = int(evidence.argmax())
    if evidence[best] < max(_LEAST_EVIDENCE, _LEAST_MEAN * count):
        return None
    return QUALITIES[best]


def _values(blocks: NDArray[np.float32], row: int, column: int) -> NDArray[np.float32]:
    """Different coefficients of a frequency; blocks that repeat, as in drawings, are no further evidence."""
    values = np.unique(np.round(blocks[:, row, column], 2))
    return values[np.abs(values) > _SMALLEST]


# How much detail of each fineness the blocks of a picture hold: what blur, sharpening, noise and JPEG change.

BANDS = ((1, 1), (2, 2), (3, 4), (5, 7), (8, 14))
"""First and last sum of horizontal and vertical frequency of each band, from coarse to fine."""

QUANTILES = (0.1, 0.5, 0.9)

_LEAST = 0.1  # Squared grey levels a coefficient, about what rounding to 8 bits adds.
_FEWEST_BLOCKS = 4

# Which blocks spectra are of: those with the least detail in so many bands from the coarsest on, one in so many.
FLATTEST = ((5, 24), (5, 6), (5, 2), (2, 12))
# Larger sums of frequencies count as this one: JPEG leaves so few of their coefficients that one alone jumps.
_FINEST = 11

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
    sums = np.minimum(_FREQUENCY.ravel(), _FINEST)
    chosen = np.equal.outer(sums, np.arange(1, _FINEST + 1)).astype(light.dtype)
    means = product((light**2).reshape(len(light), -1), chosen / chosen.sum(axis=0))
    spectra = [np.quantile(means, QUANTILES[0], axis=0)]
    for bands, one_in in FLATTEST:
        order = np.argsort(bright[:, :bands].mean(axis=1), kind="stable")
        spectra.append(means[order[: max(_FEWEST_BLOCKS, len(order) // one_in)]].mean(axis=0))
    # The energy of the flattest bright blocks less that of the flattest dark ones.
    lit, fine = light[:, 0, 0] > np.median(light[:, 0, 0]), bright[:, 2:].mean(axis=1)
    with_light = float(np.quantile(fine[lit], 0.25) - np.quantile(fine[~lit], 0.25)) if lit.any() else 0.0
    return np.concatenate([*levels, _log2(np.concatenate(spectra)), [with_light]])


def _bands(squares: NDArray[Any]) -> NDArray[np.float64]:
    """(blocks, bands): logarithms of the mean over each band's coefficients."""
    means = [squares[:, (first <= _FREQUENCY) & (last >= _FREQUENCY)].mean(axis=1) for first, last in BANDS]
    return _log2(np.stack(means, axis=1))


def _log2(squares: NDArray[Any]) -> NDArray[np.float64]:
    return logarithm(squares.astype(np.float64) + _LEAST) / math.log(2)
