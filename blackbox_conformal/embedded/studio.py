"""Draws pictures for the embedded vendor's orders, a few at a time, and keeps answers under idempotency keys."""

import io
import math
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from blackbox_conformal.embedded.convolution import convolve, stack_rows
from blackbox_conformal.embedded.denoiser import Denoiser
from blackbox_conformal.embedded.generator import SCALE, Generator
from blackbox_conformal.embedded.model import Features, Picture, check_input, read_weights
from blackbox_conformal.embedded.noise_source import NoiseRows
from blackbox_conformal.embedded.requests import RefusalError, StudioOrder

# The embedded vendor's colouriser: one random colouring of a grey picture for a picture and a seed, on numpy alone.

# Chroma of pixels from that of cells, and colours from luma and chroma (ITU-R BT.601, full range, as in JPEG).

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Red, green and blue minus luma, for Cb and for Cr; either row leaves luma as it is.
COLOURS = np.array(
    [[0, -0.114 * 1.772 / 0.587, 1.772], [1.402, -0.299 * 1.402 / 0.587, 0]],
    np.float32,
)
NEAR = 0.7  # standard deviation in cells of the weight of distance
ALIKE = 0.08  # standard deviation of the weight of a difference in luma
LEAST = (
    1e-3  # weight of a difference in luma that is larger than all: a pixel unlike every cell near it has colour, too
)


def spread(chroma: Features, brightness: Features, luma: Features, top: int, cell: int) -> Features:
    """Give pixels the chroma of the nine cells around them, weighted by nearness and likeness.

    Joint bilateral upsampling (Kopf, Cohen, Lischinski & Uyttendaele 2007): colours end where the picture has edges.

    Parameters
    ----------
    chroma
        (rows, columns, 2) of all cells.
    brightness
        (rows, columns) mean luma of all cells.
    luma
        (height, width) of the pixels from row ``top``, a multiple of ``cell``.
    cell
        Side of a cell in pixels.

    Returns
    -------
    (height, width, 2)
    """
    height, width = luma.shape
    rows, columns = -(-height // cell), -(-width // cell)
    first = top // cell
    padded = np.pad(luma, ((0, rows * cell - height), (0, columns * cell - width)), mode="edge")
    pixels = padded.reshape(rows, cell, columns, cell)
    centre = (np.arange(cell, dtype=np.float32) + np.float32(0.5)) / cell - np.float32(0.5)
    total = np.zeros((*pixels.shape, 2), np.float32)
    weights = np.zeros(pixels.shape, np.float32)
    for down in (-1, 0, 1):
        y = np.clip(np.arange(first + down, first + down + rows), 0, len(chroma) - 1)
        for right in (-1, 0, 1):
            x = np.clip(np.arange(right, right + columns), 0, chroma.shape[1] - 1)
            unlike = (pixels - brightness[np.ix_(y, x)][:, None, :, None]) / np.float32(ALIKE)
            weight = np.exp(unlike * unlike * np.float32(-0.5)) + np.float32(LEAST)
            weight *= np.exp(((centre - down) / NEAR) ** 2 / -2).astype(np.float32)[:, None, None]
            weight *= np.exp(((centre - right) / NEAR) ** 2 / -2).astype(np.float32)
            weights += weight
            total += weight[..., None] * chroma[np.ix_(y, x)][:, None, :, None]
    total /= weights[..., None]
    return total.reshape(rows * cell, columns * cell, 2)[:height, :width]


def coloured(luma: Features, chroma: Features) -> Picture:
    """Give 8-bit colours of this luma; chroma that no colour of this luma has is brought nearer to grey.

    Parameters
    ----------
    luma
        (height, width) in [0, 1].
    chroma
        (height, width, 2): Cb and Cr in [-0.5, 0.5].

    Returns
    -------
    (height, width, 3) uint8.
    """
    offsets = chroma @ COLOURS
    room = np.where(offsets > 0, 1 - luma[..., None], luma[..., None])
    share = np.min(room / np.maximum(np.abs(offsets), np.float32(1e-6)), axis=-1, keepdims=True)
    offsets *= np.minimum(share, 1)
    offsets += luma[..., None]
    offsets *= 255
    np.rint(offsets, out=offsets)
    return np.asarray(np.clip(offsets, 0, 255), np.uint8)


CELL = 4  # side in pixels of a cell, for which the net gives one chroma
LEVELS = 4  # the net works on cells and on squares of 2, 4 and 8 cells
SQUARE = CELL * 2 ** (LEVELS - 1)
PATCH = 32  # side in squares of a patch, over which noise varies; smaller ones would show as spots
UNIT = 0.1  # of the net's chroma, as a part of the range of Cb and Cr
STRIP_PIXELS = 200_000


class Colouriser:
    """A convolutional net that draws the chroma of a picture from its luma.

    The net sees squares of 32 pixels and the average of the whole picture, and gives a chroma for each cell of 4 x 4
    pixels; the chroma of a pixel is that of the cells around it that are as bright as the pixel. Luma stays the
    picture's. Each seed is one draw from the net's distribution of plausible colourings; the same picture and seed
    give the same bytes on the same machine.

    Parameters
    ----------
    strip_pixels
        Pixels whose chroma is worked out at once; bounds the memory and changes no output. The net takes the picture
        as a whole, which needs about 100 bytes for a pixel.

    Attributes
    ----------
    model
        ``embedded-colour@`` and the first 12 hexadecimal digits of the SHA-256 of the weights file.
    """

    def __init__(self, strip_pixels: int = STRIP_PIXELS) -> None:
        digest, weights = read_weights("colour_weights.npz")
        self.model = f"embedded-colour@{digest}"
        self._strip_pixels = strip_pixels
        # Matrices of convolutions have four axes: two of the kernel, inputs and outputs.
        self._weights = {name: stack_rows(array) if array.ndim == 4 else array for name, array in weights.items()}
        self._channels = weights["noise_weight"].shape[2]

    def colourise(self, picture: Picture, seed: int) -> Picture:
        """Draw one colouring.

        Parameters
        ----------
        picture
            (H, W, 3) uint8 sRGB, any size from 1 x 1; of a picture in colour only the luma (ITU-R BT.601) is used.
        seed
            0 to 2**32 - 1.

        Returns
        -------
        (H, W, 3) uint8 sRGB, C-contiguous; its luma is the picture's up to the rounding of three colours to 8 bits.

        Raises
        ------
        ImageError
            The picture has another shape or dtype, or no pixels.
        UsageError
            The seed is out of range.
        """
        check_input(picture, seed)
        height, width = picture.shape[:2]
        luma = picture @ (LUMA / np.float32(255))
        margins = ((0, -height % SQUARE), (0, -width % SQUARE))
        blocks = np.pad(luma, margins, mode="symmetric").reshape(-1, CELL, (width + margins[1][1]) // CELL, CELL)
        cells = np.ascontiguousarray(blocks.transpose(0, 2, 1, 3)).reshape(*blocks.shape[0:3:2], CELL * CELL)
        chroma = self._draw(cells, seed)
        out = np.empty((height, width, 3), np.uint8)
        step = max(1, self._strip_pixels // (width * CELL)) * CELL
        brightness = cells.mean(axis=-1)
        for top in range(0, height, step):
            strip = luma[top : top + step]
            out[top : top + step] = coloured(strip, spread(chroma, brightness, strip, top, CELL))
        return out

    def _draw(self, cells: Features, seed: int) -> Features:
        """Draw the chroma (rows, columns, 2) of cells (rows, columns, 16) of luma in [0, 1]."""
        hidden = self._convolve("head", (cells - np.float32(0.5)) * 4)
        levels = []
        for level in range(LEVELS):
            if level:
                hidden = self._convolve(f"down_{level - 1}", _halved(np.maximum(hidden, 0)))
            hidden += self._convolve(f"same_{level}", np.maximum(hidden, 0))
            levels.append(hidden)
        whole = np.maximum(hidden, 0).mean(axis=(0, 1)) @ self._weights["whole_weight"]
        hidden = levels.pop() + (whole + self._weights["whole_bias"])
        rows, columns = hidden.shape[:2]
        noise = NoiseRows(seed, 0, columns // PATCH + 2, self._channels, len(self._weights["shared"]))
        patches = noise.between(0, rows // PATCH + 2)
        for _ in range(int(math.log2(PATCH))):
            patches = _doubled(patches)
        # From the middle of the first patch on, so that noise varies on small pictures, too.
        patches = patches[PATCH // 2 : PATCH // 2 + rows, PATCH // 2 : PATCH // 2 + columns]
        palette = self._convolve("noise", patches) + noise.shared @ self._weights["shared"]
        hidden += self._convolve("gate", np.maximum(hidden, 0)) * palette
        hidden += self._convolve("mix", np.maximum(hidden, 0))
        for level in reversed(range(LEVELS - 1)):
            hidden = _doubled(self._convolve(f"up_{level}", np.maximum(hidden, 0)))
            hidden += levels.pop()
        hidden += self._convolve("blend", np.maximum(hidden, 0))
        return self._convolve("tail", np.maximum(hidden, 0)) * np.float32(UNIT)

    def _convolve(self, name: str, features: Features) -> Features:
        """Convolve as `convolve`, but to the same size: beyond the border the border's features repeat."""
        padded = np.pad(features, ((1, 1), (1, 1), (0, 0)), mode="edge")
        out = convolve(padded, self._weights[f"{name}_weight"])[:, 1:-1]
        bias = self._weights.get(f"{name}_bias")
        return np.ascontiguousarray(out) if bias is None else out + bias


def _halved(features: Features) -> Features:
    """Average squares of 2 x 2: (2 rows, 2 columns, channels) to (rows, columns, channels)."""
    rows, columns, channels = features.shape
    return np.asarray(features.reshape(rows // 2, 2, columns // 2, 2, channels).mean(axis=(1, 3)), np.float32)


def _doubled(features: Features) -> Features:
    """Enlarge by 2 with linear interpolation: (rows, columns, channels) to (2 rows, 2 columns, channels)."""
    for axis in (0, 1):
        margin = [(1, 1) if axis == side else (0, 0) for side in range(3)]
        padded = np.pad(features, margin, mode="edge")
        before, after = (np.take(padded, range(first, first + features.shape[axis]), axis) for first in (0, 2))
        pair = (
            features * np.float32(0.75) + before * np.float32(0.25),
            features * np.float32(0.75) + after * np.float32(0.25),
        )
        shape = [2 * length if axis == side else length for side, length in enumerate(features.shape)]
        features = np.stack(pair, axis=axis + 1).reshape(shape)
    return features


KEPT_ANSWERS = 512
KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class OfferedTask:
    """What the vendor does with a picture: the model's name, the magnification, and the model's drawing of a seed."""

    model: str
    scale: int
    draw: Callable[[Picture, int], Picture]


@dataclass(frozen=True)
class StudioAnswer:
    """A drawn picture as PNG bytes, its seed and model, and the identifier of the request that had it drawn."""

    png: bytes
    seed: int
    model: str
    request_id: str
    digest: str
    replayed: bool = False


@dataclass
class _Slot:
    """The answer under one idempotency key; its lock is held while the first request is being served."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    answer: StudioAnswer | None = None


class Studio:
    """Serves orders; safe to call from many threads.

    Attributes
    ----------
    generator
        The network of ``upscale``.
    tasks
        By name: ``upscale``, ``colourise`` and ``denoise``.
    drawn
        Number of pictures drawn, which is what a vendor would bill; replays do not count.
    """

    def __init__(self) -> None:
        generator, colouriser, denoiser = Generator(), Colouriser(), Denoiser()
        self.generator = generator
        self.tasks = {
            "upscale": OfferedTask(generator.model, SCALE, generator.upscale),
            "colourise": OfferedTask(colouriser.model, 1, colouriser.colourise),
            "denoise": OfferedTask(denoiser.model, 1, denoiser.denoise),
        }
        self.drawn = 0
        self._places = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._kept_bytes = 0

    def serve(self, order: StudioOrder, key: str | None) -> StudioAnswer:
        """Draw the picture, or give the stored answer if ``key`` was used before for the same order.

        Raises
        ------
        RefusalError
            422: the key was used for another task, picture or seed.
        """
        if key is None:
            return self._draw(order)
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
        with slot.lock:
            if slot.answer is None:
                slot.answer = self._draw(order)
                self._keep(slot.answer)
                return slot.answer
            if slot.answer.digest != order.digest:
                raise RefusalError(
                    422, "idempotency_conflict", "This Idempotency-Key was used for another task, picture or seed."
                )
            return replace(slot.answer, replayed=True)

    def _draw(self, order: StudioOrder) -> StudioAnswer:
        task = self.tasks[order.task]
        with self._places:
            picture = task.draw(order.picture, order.seed)
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG", compress_level=1)
        with self._lock:
            self.drawn += 1
        return StudioAnswer(file.getvalue(), order.seed, task.model, f"req_{uuid.uuid4().hex}", order.digest)

    def _keep(self, answer: StudioAnswer) -> None:
        """Count a new answer and forget the oldest ones, never one that is being drawn, beyond the bounds."""
        with self._lock:
            self._kept_bytes += len(answer.png)
            finished = [key for key, slot in self._slots.items() if slot.answer is not None]
            for key in finished[:-1]:
                if len(self._slots) <= KEPT_ANSWERS and self._kept_bytes <= KEPT_BYTES:
                    break
                forgotten = self._slots.pop(key).answer
                self._kept_bytes -= len(forgotten.png) if forgotten else 0
