"""The small convolutional network of the score `learned`, and the feature maps that it sees."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.kernels.cells import cell_statistics
from blackbox_conformal.method.kernels.distance import lab_l1, lab_planes, rgb_l1
from blackbox_conformal.method.kernels.elementary import logarithm
from blackbox_conformal.method.kernels.layers import convolved
from blackbox_conformal.method.kernels.windows import gaussian
from blackbox_conformal.method.scores._weights_file import WeightsFile, channels_in, weights_file
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Image, Map

Features = npt.NDArray[np.float32]

# Feature maps of the score `learned`: what each cell, the block of one pixel of the input, says of its error.

FLOORS = {
    "gap": 0.004,
    "largest_gap": 0.004,
    "gradient": 0.004,
    "curvature": 0.004,
    "colour_gradient": 0.004,
    "plain_gradient": 0.002,
    "deviation": 0.002,
    "plain_deviation": 0.001,
    "lab_gap": 0.002,
    "largest_lab_gap": 0.002,
    "residual": 0.004,
    "input_gradient": 0.002,
    "input_curvature": 0.002,
    "input_checkerboard": 0.002,
    "input_deviation": 0.001,
    "input_colour_gradient": 0.004,
}
"""Features of which the logarithm is taken, in this order, and what is added to each first: about one grey level."""

LINEAR = ("brighter", "coherence", "clipped", "residual_brightness", "lightness", "a", "b")
NAMES = (*FLOORS, *LINEAR)


def features(context: Context, low: Image) -> Features:
    """All feature maps of a picture whose input is `low`, (h, w, 3) uint8: (23, h, w) float32, ordered as `NAMES`."""
    plain = bicubic_up(low, context.scale)
    cells = cell_statistics(context.delivered, plain, context.scale)
    lab_gap = _blocks(lab_l1(plain, context.delivered), context.scale)
    reduced = context.reduced()
    lightness, a, b = lab_planes(low)
    found = {
        **dict(zip(_CELL_NAMES, cells, strict=True)),
        "lab_gap": lab_gap.mean(axis=(1, 3), dtype=np.float32),
        "largest_lab_gap": lab_gap.max(axis=(1, 3)),
        "residual": rgb_l1(reduced, low),
        "residual_brightness": _brightness(reduced) - _brightness(low),
        **_input_features(low),
        "lightness": lightness,
        "a": a,
        "b": b,
    }
    out = np.empty((len(NAMES), *low.shape[:2]), np.float32)
    for plane, name in zip(out, NAMES, strict=True):
        if name in FLOORS:
            # Errors and gaps grow by factors; the floor keeps the logarithm finite where there are none.
            plane[:] = logarithm(found[name] + np.float32(FLOORS[name]))
        else:
            plane[:] = found[name]
    return out


_CELL_NAMES = (
    *("gap", "largest_gap", "brighter", "gradient", "curvature", "colour_gradient", "plain_gradient"),
    *("deviation", "plain_deviation", "coherence", "clipped"),
)


def _input_features(low: Image) -> dict[str, Map]:
    """How much the input changes around each of its pixels; beyond the border the nearest pixel repeats."""
    bright = np.pad(_brightness(low), 1, mode="edge")
    middle, right, left = bright[1:-1, 1:-1], bright[1:-1, 2:], bright[1:-1, :-2]
    down, up = bright[2:, 1:-1], bright[:-2, 1:-1]
    corners = bright[:-2, :-2] + bright[:-2, 2:] + bright[2:, :-2] + bright[2:, 2:]
    cross = right + left + down + up
    # Red and blue, each less green: grey differences drop out.
    colours = np.pad(low[:, :, ::2].astype(np.int16) - low[:, :, 1:2], ((0, 1), (0, 1), (0, 0)), mode="edge")
    colour = np.abs(colours[:-1, 1:] - colours[:-1, :-1]) + np.abs(colours[1:, :-1] - colours[:-1, :-1])
    mean = (middle + cross + corners) / np.float32(9)
    squares = sum((bright[y : y + low.shape[0], x : x + low.shape[1]] - mean) ** 2 for y in range(3) for x in range(3))
    return {
        "input_gradient": (np.abs(right - left) + np.abs(down - up)) / np.float32(2),
        "input_curvature": np.abs(4 * middle - cross),
        "input_checkerboard": np.abs(4 * middle - 2 * cross + corners) / np.float32(4),
        "input_deviation": np.sqrt(squares / np.float32(9)),
        "input_colour_gradient": colour.sum(axis=2, dtype=np.float32) / np.float32(255),
    }


def _brightness(pixels: Image) -> Map:
    """(2 R + 5 G + B) / 8, white = 1: (H, W) float32."""
    total: Map = (pixels.astype(np.int32) @ np.array([2, 5, 1], np.int32)).astype(np.float32) / np.float32(2040)
    return total


def _blocks(values: Map, scale: int) -> npt.NDArray[np.float32]:
    """(h, scale, w, scale)."""
    height, width = values.shape
    return values.reshape(height // scale, scale, width // scale, scale)


OWN_FILE = "learned_weights.npz"
# Three layers see 7 cells in each direction with few weights (dilated convolutions).
DILATIONS = (1, 2, 4)
# e^20 and its inverse stay far within single precision.
LARGEST_LOG_PRICE = np.float32(20)


def log_multipliers(weights: Mapping[str, Features], features: Features) -> Map:
    """The logarithm of the multiplier at which each cell joins the mask: (F, h, w) float32 to (h, w) float32.

    `weights`: As `shapes` says.
    """
    # What the picture is like as a whole shifts every channel.
    mean = features.mean(axis=(1, 2), dtype=np.float64)
    shift = (weights["head_bias"] + (weights["picture"] * mean).sum(axis=1)).astype(np.float32)
    hidden = convolved(features, weights["head"][:, :, None, None], shift, 1)
    # Residual layers: each adds to what was found before.
    for k, dilation in enumerate(DILATIONS):
        body, biases = weights[f"body_{k}"], weights[f"body_{k}_bias"]
        hidden = convolved(hidden, body, biases, dilation, rectified=True, residual=True)
    # The last layer sees the features themselves, too, so that a linear score is within its reach.
    active = np.concatenate((np.maximum(hidden, 0, out=hidden), features))
    last = np.concatenate((weights["tail"], weights["skip"]), axis=1)[:, :, None, None]
    return spread(convolved(active, last, weights["tail_bias"], 1)[0])


def spread(values: Map) -> Map:
    """What a cell takes on of its neighbours' log multipliers, (h, w) float32, since errors spread, too.

    They are averaged by a Gaussian of 0.7 cells, and then each cell gets the largest of the 3 × 3 around it.
    """
    values = gaussian(np.clip(values, -LARGEST_LOG_PRICE, LARGEST_LOG_PRICE), 0.7)
    return _largest_of_neighbours(values)


def shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each layer, for as many channels as the first one has."""
    channels, features = channels_in(arrays, "head"), len(NAMES)
    found: dict[str, tuple[int, ...]] = {"head": (channels, features), "head_bias": (channels,)}
    found |= {"picture": (channels, features), "tail": (1, channels), "tail_bias": (1,), "skip": (1, features)}
    for k in range(len(DILATIONS)):
        found |= {f"body_{k}": (channels, channels, 3, 3), f"body_{k}_bias": (channels,)}
    return found


def own_network() -> WeightsFile:
    """This package's own weights."""
    return weights_file(resources.files(__package__).joinpath(OWN_FILE).read_bytes(), shapes)


def _largest_of_neighbours(values: Map) -> Map:
    # The nearest cell repeats, so that the border gets no smaller neighbours.
    padded = np.pad(values, 1, mode="edge")
    rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    largest: Map = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return largest
