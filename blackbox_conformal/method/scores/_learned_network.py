"""The small convolutional network of the score `learned`: its file of weights, and what it makes of feature maps."""

import base64
import functools
import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.images.duplicates import SIDE
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.kernels.cells import cell_statistics
from blackbox_conformal.method.kernels.distance import lab_l1, lab_planes, rgb_l1
from blackbox_conformal.method.kernels.elementary import logarithm
from blackbox_conformal.method.kernels.layers import convolved
from blackbox_conformal.method.kernels.windows import gaussian
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
MOST_CHANNELS, LARGEST_WEIGHT = 64, 1000.0
"""Weights within these bounds cannot lead beyond single precision."""

# Many times what a network of this shape needs, and too little to fill the memory.
MOST_BYTES = 8_000_000

TAUGHT = "taught"
"""The array of the photographs that weights were learned from: a row is the digest of one and its thumbnail."""

DIGEST_BYTES = 32
# e^20 and its inverse stay far within single precision.
LARGEST_LOG_PRICE = np.float32(20)


@dataclass(frozen=True)
class Network:
    """Layers of a network on feature maps."""

    content: bytes  # The file that it was read from.
    digest: str  # ``sha256:`` and the digest of that.
    # By name: ``head`` (C, F), ``head_bias`` (C,), ``picture`` (C, F), for each of three layers k ``body_k`` (C, C, 3,
    # 3) and ``body_k_bias`` (C,), ``tail`` (1, C), ``tail_bias`` (1,) and ``skip`` (1, F), for F features and C
    # channels.
    arrays: dict[str, Features]
    # The photographs that the weights were learned from; none where the file does not say.
    taught_by: tuple[KnownPhotograph, ...] = ()

    def log_multipliers(self, features: Features) -> Map:
        """The logarithm of the multiplier at which each cell joins the mask: (F, h, w) float32 to (h, w) float32."""
        weights = self.arrays
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


def written(arrays: dict[str, Features], taught_by: Sequence[KnownPhotograph] = ()) -> bytes:
    """The file of these weights, and of the photographs that taught them; the same give the same bytes."""
    content = io.BytesIO()
    stored: dict[str, npt.NDArray[Any]] = {name: values.astype(np.float32) for name, values in arrays.items()}
    if taught_by:
        rows = [
            bytes.fromhex(one.truth.removeprefix("sha256:")) + one.as_sketch.thumbnail.tobytes() for one in taught_by
        ]
        stored[TAUGHT] = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    np.savez_compressed(content, **stored)  # type: ignore[arg-type]
    return content.getvalue()


def _taught_by(rows: Any) -> tuple[KnownPhotograph, ...]:
    """The photographs of an array as `written` makes it; none where there is no array."""
    if rows is None:
        return ()
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != DIGEST_BYTES + SIDE * SIDE * 3:
        raise _unfit("photographs of a digest and a thumbnail each", f"{rows.shape} {rows.dtype}")
    return tuple(
        KnownPhotograph(
            truth=f"sha256:{row[:DIGEST_BYTES].tobytes().hex()}",
            sketch=base64.b64encode(row[DIGEST_BYTES:].tobytes()).decode(),
        )
        for row in rows
    )


def spread(values: Map) -> Map:
    """What a cell takes on of its neighbours' log multipliers, (h, w) float32, since errors spread, too.

    They are averaged by a Gaussian of 0.7 cells, and then each cell gets the largest of the 3 × 3 around it.
    """
    values = gaussian(np.clip(values, -LARGEST_LOG_PRICE, LARGEST_LOG_PRICE), 0.7)
    return _largest_of_neighbours(values)


def own_network() -> Network:
    return network_of(resources.files(__package__).joinpath(OWN_FILE).read_bytes())


def network_in(file: Path) -> Network:
    """The network in a file of the user's."""
    try:
        with file.open("rb") as opened:
            # One byte more than allowed shows that a file is too large, without reading it whole.
            raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise FileFormatError(
            f"expected weights of the score learned in {file}; got {error.strerror}. Give a file that "
            "`tune --learn` wrote"
        ) from None
    return network_of(raw)


@functools.lru_cache(maxsize=4)
def network_of(raw: bytes) -> Network:
    """The network of the content of a file; errors as for `network_in`."""
    arrays = _read(raw)
    taught_by = _taught_by(arrays.pop(TAUGHT, None))
    return Network(raw, f"sha256:{hashlib.sha256(raw).hexdigest()}", _checked(arrays), taught_by)


def _read(raw: bytes) -> dict[str, Any]:
    """The arrays of an npz file, which says itself how large they are before they are unpacked."""
    try:
        # A small archive may unpack to any size, so its own figures are summed first.
        unpacked = sum(part.file_size for part in zipfile.ZipFile(io.BytesIO(raw)).infolist())
        if max(len(raw), unpacked) > MOST_BYTES:
            raise _unfit(f"a file of at most {MOST_BYTES} bytes, unpacked as well", "more")
        with zipfile.ZipFile(io.BytesIO(raw)) as stored:
            return {part.removesuffix(".npy"): _array(stored.read(part)) for part in stored.namelist()}
    # A damaged archive raises whatever its parts raise.
    except (OSError, ValueError, TypeError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _unfit("an npz file", f"{type(error).__name__}: {error}") from None


def _array(content: bytes) -> Any:
    """One array. numpy would ask for as much memory as its header says, so that is compared with the bytes first."""
    header = io.BytesIO(content)
    version = np.lib.format.read_magic(header)
    if version != (1, 0):
        raise ValueError("an array of another version of the format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    if dtype.hasobject:
        raise ValueError("Python objects, which may hold code")
    if math.prod(shape) * dtype.itemsize != len(content) - header.tell():
        raise ValueError("an array whose shape is not that of its content")
    return np.load(io.BytesIO(content), allow_pickle=False)


def _checked(arrays: dict[str, Any]) -> dict[str, Features]:
    head = arrays.get("head")
    channels = len(head) if isinstance(head, np.ndarray) and head.ndim == 2 else 0
    if not 1 <= channels <= MOST_CHANNELS:
        raise _unfit(f"an array head of 1 to {MOST_CHANNELS} rows", "none" if head is None else f"shape {head.shape}")
    shapes: dict[str, tuple[int, ...]] = {"head": (channels, len(NAMES)), "head_bias": (channels,)}
    shapes |= {"picture": (channels, len(NAMES)), "tail": (1, channels), "tail_bias": (1,), "skip": (1, len(NAMES))}
    for k in range(len(DILATIONS)):
        shapes |= {f"body_{k}": (channels, channels, 3, 3), f"body_{k}_bias": (channels,)}
    # Missing and further arrays are refused alike: the file is another network's.
    if set(arrays) != set(shapes):
        raise _unfit(f"the arrays {', '.join(sorted(shapes))}", ", ".join(sorted(arrays)) or "none")
    for name, shape in shapes.items():
        values = arrays[name]
        if values.shape != shape or values.dtype != np.float32:
            raise _unfit(f"{name} of shape {shape} and dtype float32", f"{values.shape} {values.dtype}")
        # Also refuses NaN, which fails every comparison.
        if not (np.abs(values) <= LARGEST_WEIGHT).all():
            raise _unfit(f"{name} within ±{LARGEST_WEIGHT:g}", "other values")
    return arrays


def _unfit(expected: str, got: str) -> FileFormatError:
    return FileFormatError(
        f"expected the weights of a score learned to be {expected}; got {got}. Give a file that "
        "`tune --learn` or examples/train_learned_score.py wrote, whole"
    )


def _largest_of_neighbours(values: Map) -> Map:
    # The nearest cell repeats, so that the border gets no smaller neighbours.
    padded = np.pad(values, 1, mode="edge")
    rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    largest: Map = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return largest
