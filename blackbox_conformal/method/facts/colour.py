"""How colours differ: as a whole, by cell, and transforms that have a name."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.facts.sent_pair import Place, Planes, SentPair, largest
from blackbox_conformal.method.facts.statistics import CONTEXT, FactMeasure

_LEAST_APART = 4.0  # Levels, root mean square, below which a difference has no name.
_EXPLAINED = 0.35  # A transform has its name where it leaves less than this share of the difference, root mean square.


def colour(pair: SentPair) -> Iterator[FactMeasure]:
    """Yield how far colours lie from the input's."""
    red, green, blue = (float(value) for value in pair.apart.mean((0, 1), dtype=np.float64))
    channels = {"channels": [round(value, 2) for value in (red, green, blue)]}
    yield FactMeasure("colour.brightness", (2 * red + 5 * green + blue) / 8, values=channels)
    yield FactMeasure("colour.red-green", red - green, values=channels)
    yield FactMeasure("colour.blue-green", blue - green, values=channels)
    sent, apart = (pair.cells(planes).reshape(-1, 3).astype(np.float64) for planes in (pair.sent, pair.apart))
    bright, change = sent @ _LUMA, apart @ _LUMA
    spread = max(float(bright.std()), 1.0)
    slope = float(((bright - bright.mean()) * change).mean()) / spread**2
    yield FactMeasure("colour.contrast", slope * spread, values={"gain": round(1 + slope, 3)})
    rest = apart - _fitted(sent, apart)
    shape = tuple(len(starts) for starts in pair.starts)
    for name, sizes in (("colour.cell", np.abs(rest @ _LUMA)), ("colour.cell-cast", np.ptp(rest, 1))):
        row, column = largest(sizes.reshape(shape))
        own = {"channels": [round(float(value), 2) for value in rest.reshape(*shape, 3)[row, column]]}
        yield FactMeasure(name, float(sizes.max()), pair.place(row, column), own)
    # Of parts of a quarter of the picture and more: differences of objects cancel there.
    side = max(1, min(shape) // 3)
    areas = np.lib.stride_tricks.sliding_window_view(rest.reshape(*shape, 3), (side, side), (0, 1)).mean((3, 4))
    sizes = np.maximum(np.abs(areas @ _LUMA), np.ptp(areas, 2))
    row, column = largest(sizes)
    first, last = pair.place(row, column), pair.place(row + side - 1, column + side - 1)
    place = Place(first.top, first.left, last.top + last.height - first.top, last.left + last.width - first.left)
    own = {"channels": [round(float(value), 2) for value in areas[row, column]]}
    yield FactMeasure("colour.area", float(sizes.max()), place, own)
    red, green, blue = (sent.T - 128) / 64
    products = (red, green, blue, red * red, green * green, blue * blue, red * green, red * blue, green * blue)
    for name, value in zip(
        CONTEXT, (*(values.mean() for values in products), *_texture(pair), np.log2(len(sent)) / 4), strict=True
    ):
        yield FactMeasure(name, float(value))


_LUMA = np.array([2, 5, 1]) / 8


def _fitted(sent: NDArray[np.float64], apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what of each cell's difference follows from its colour alone, robustly: the whole picture's own change."""
    design = np.column_stack([np.ones(len(sent)), (sent - sent.mean(0)) / 64])
    trust = np.ones(len(sent))
    for _ in range(4):
        # A small ridge: cells of one colour say nothing of others.
        weighted = design * trust[:, None]
        gram = weighted.T @ design + np.diag([1e-6, 1.0, 1.0, 1.0])
        fitted = design @ np.linalg.solve(gram, weighted.T @ apart)
        size = np.sqrt(np.square(apart - fitted).sum(1))
        trust = 1 / (1 + np.square(size / max(0.1, 2 * float(np.median(size)))))
    return fitted


def named_transform(pair: SentPair) -> str | None:
    """Name the transform of colours that explains the difference of the whole picture; None: none of `_TRANSFORMS`."""
    step = max(1, min(pair.small.shape[:2]) // 64)
    rows, columns = (length // step * step for length in pair.small.shape[:2])
    sent, answered = (
        planes[:rows, :columns].reshape(rows // step, step, columns // step, step, 3).mean((1, 3))
        for planes in (pair.sent, pair.reduced)
    )
    apart = _rms(answered - sent)
    rests = {name: _rms(answered - change(sent)) for name, change in _TRANSFORMS.items()}
    best = min(rests, key=lambda name: rests[name])
    return best if apart > _LEAST_APART and rests[best] < _EXPLAINED * apart else None


def _rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values), dtype=np.float64)))


def _to_linear(levels: Planes) -> NDArray[np.floating]:
    share = levels / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) * 255


def _from_linear(levels: Planes) -> NDArray[np.floating]:
    share = levels / 255
    return np.where(share <= 0.0031308, share * 12.92, 1.055 * share ** (1 / 2.4) - 0.055) * 255


def _grey(levels: Planes) -> NDArray[np.floating]:
    return np.repeat((levels @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], 3, 2)


_TRANSFORMS: dict[str, Callable[[Planes], NDArray[np.floating]]] = {
    "linear light where sRGB was sent (too dark)": _to_linear,
    "sRGB encoded twice (too light)": _from_linear,
    "gamma 1.2": lambda levels: (levels / 255) ** 1.2 * 255,
    "gamma 1/1.2": lambda levels: (levels / 255) ** (1 / 1.2) * 255,
    "gamma 1.5": lambda levels: (levels / 255) ** 1.5 * 255,
    "gamma 1/1.5": lambda levels: (levels / 255) ** (1 / 1.5) * 255,
    "red and blue swapped (BGR for RGB)": lambda levels: levels[..., ::-1],
    "red and green swapped": lambda levels: levels[..., [1, 0, 2]],
    "green and blue swapped": lambda levels: levels[..., [0, 2, 1]],
    "channels turned round (GBR)": lambda levels: levels[..., [1, 2, 0]],
    "channels turned round (BRG)": lambda levels: levels[..., [2, 0, 1]],
    "greyscale": _grey,
    "a negative": lambda levels: 255 - levels,
    "limited range (16 to 235)": lambda levels: 16 + levels * (219 / 255),
    "range stretched from 16 to 235": lambda levels: np.clip((levels - 16) * (255 / 219), 0, 255),
}


def _texture(pair: SentPair) -> tuple[float, float]:
    """Return the logarithm of the step from pixel to pixel of the input, and its ratio to the step over two pixels."""
    plane = pair.luma[0]
    near, far = (1 + float(np.square(plane[step:] - plane[:-step]).mean(dtype=np.float64)) for step in (1, 2))
    return float(np.log(near)) / 2, float(np.log(near / far))
