"""Read and write files of weights that a score learned, which may come from a stranger."""

import base64
import functools
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.images.duplicates import SIDE
from blackbox_conformal.support.canonical import digest_bytes

Arrays = dict[str, npt.NDArray[np.float32]]
Shapes = Callable[[Mapping[str, Any]], dict[str, tuple[int, ...]]]
"""Gives the shape of each array by name, of which some follow from the arrays given."""

MOST_CHANNELS, LARGEST_WEIGHT = 64, 1000.0
"""Weights within these bounds cannot lead beyond single precision."""

MOST_BYTES = 8_000_000
"""Many times what a network needs, and too little to fill the memory."""

TAUGHT = "taught"
"""The array of the photographs that weights were learned from: a row is the digest of one and its thumbnail."""

DIGEST_BYTES = 32


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """The checked content of a file of weights."""

    content: bytes
    digest: str  # ``sha256:`` and the digest of the content.
    arrays: Arrays
    # The photographs that the weights were learned from; none where the file does not say.
    taught_by: tuple[KnownPhotograph, ...] = ()


def weights_file(given: Path | bytes, shapes: Shapes) -> WeightsFile:
    """Return what a file, or its content, holds. Raise `FileFormatError` where that is not what `shapes` says."""
    return _weights_in(given if isinstance(given, bytes) else _content(given), shapes)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            # One byte more than allowed shows that a file is too large, without reading it whole.
            return opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise FileFormatError(
            f"expected weights of a score in {file}; got {error.strerror}. Give a file that `tune --learn` wrote"
        ) from None


@functools.lru_cache(maxsize=8)
def _weights_in(raw: bytes, shapes: Shapes) -> WeightsFile:
    arrays = _read(raw)
    taught_by = _taught_by(arrays.pop(TAUGHT, None))
    _check(arrays, shapes(arrays))
    return WeightsFile(raw, digest_bytes(raw), arrays, taught_by)


def written(arrays: Mapping[str, npt.NDArray[Any]], taught_by: Sequence[KnownPhotograph] = ()) -> bytes:
    """Return the file of these weights, and of the photographs that taught them; the same give the same bytes."""
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
    """Return the photographs of an array as `written` makes it; none where there is no array."""
    if rows is None:
        return ()
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != DIGEST_BYTES + SIDE * SIDE * 3:
        raise unfit("photographs of a digest and a thumbnail each", f"{rows.shape} {rows.dtype}")
    return tuple(
        KnownPhotograph(
            truth=f"sha256:{row[:DIGEST_BYTES].tobytes().hex()}",
            sketch=base64.b64encode(row[DIGEST_BYTES:].tobytes()).decode(),
        )
        for row in rows
    )


def _read(raw: bytes) -> dict[str, Any]:
    """Return the arrays of an npz file, which says itself how large they are before they are unpacked."""
    try:
        # A small archive may unpack to any size, so its own figures are summed first.
        unpacked = sum(part.file_size for part in zipfile.ZipFile(io.BytesIO(raw)).infolist())
        if max(len(raw), unpacked) > MOST_BYTES:
            raise unfit(f"a file of at most {MOST_BYTES} bytes, unpacked as well", "more")
        with zipfile.ZipFile(io.BytesIO(raw)) as stored:
            return {part.removesuffix(".npy"): _array(stored.read(part)) for part in stored.namelist()}
    # A damaged archive raises whatever its parts raise.
    except (OSError, ValueError, TypeError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise unfit("an npz file", f"{type(error).__name__}: {error}") from None


def _array(content: bytes) -> Any:
    """Return one array."""
    # numpy would ask for as much memory as its header says, so that is compared with the bytes first.
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


def _check(arrays: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    # Missing and further arrays are refused alike: the file is another network's.
    if set(arrays) != set(shapes):
        raise unfit(f"the arrays {', '.join(sorted(shapes))}", ", ".join(sorted(arrays)) or "none")
    for name, shape in shapes.items():
        values = arrays[name]
        if values.shape != shape or values.dtype != np.float32:
            raise unfit(f"{name} of shape {shape} and dtype float32", f"{values.shape} {values.dtype}")
        # Also refuses NaN, which fails every comparison.
        if not (np.abs(values) <= LARGEST_WEIGHT).all():
            raise unfit(f"{name} within ±{LARGEST_WEIGHT:g}", "other values")


def channels_in(arrays: Mapping[str, Any], first: str) -> int:
    """Return the number of rows of the first layer, from which other shapes follow."""
    layer = arrays.get(first)
    channels = len(layer) if isinstance(layer, np.ndarray) and layer.ndim == 2 else 0
    if not 1 <= channels <= MOST_CHANNELS:
        got = f"shape {layer.shape}" if isinstance(layer, np.ndarray) else "none"
        raise unfit(f"an array {first} of 1 to {MOST_CHANNELS} rows", got)
    return channels


def unfit(expected: str, got: str) -> FileFormatError:
    """Return the error of a file of other weights."""
    return FileFormatError(
        f"expected the weights of a score to be {expected}; got {got}. Give a file that `tune --learn` wrote for that "
        "score, whole"
    )
