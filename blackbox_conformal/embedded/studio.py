"""The embedded vendor: its models, and the studio that draws with them for orders, a few at a time."""

import hashlib
import io
import math
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from PIL import Image

from blackbox_conformal.embedded.requests import SEEDS, NoiseRows, RefusalError, StudioOrder
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.images.jpeg_traces import transformed
from blackbox_conformal.method.images.picture import luma_of
from blackbox_conformal.method.kernels.elementary import exponential, product
from blackbox_conformal.method.kernels.layers import convolved
from blackbox_conformal.support.weights import arrays_in

# Shared by the models: a file of weights, a name with the file's digest, and refusals.

Picture = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]


def read_weights(file: str) -> tuple[str, dict[str, Features]]:
    """Read a file of weights that lies beside this module.

    Returns: The first 12 hexadecimal digits of the file's SHA-256, and the arrays by name.
    """
    raw = resources.files(__package__).joinpath(file).read_bytes()
    return hashlib.sha256(raw).hexdigest()[:12], arrays_in(raw)


def check_input(picture: Picture, seed: int) -> None:
    """Refuse pictures and seeds that no model takes.

    `picture`: Expected as (H, W, 3) uint8 sRGB, any size from 1 x 1.
    `seed`: Expected from 0 to 2**32 - 1.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ImageError(
            f"Expected a picture of shape (H, W, 3) and dtype uint8 with at least one pixel, "
            f"got {picture.shape} {picture.dtype}; convert it to 8-bit RGB first."
        )
    if not 0 <= seed < SEEDS:
        raise UsageError(f"Expected a seed from 0 to {SEEDS - 1}, got {seed}; choose one in that range.")


# The embedded vendor's denoiser, which takes small cosine waves of a picture for noise.

SIDE = 8  # of a block, in pixels
STEP = 2  # pixels between two places of the grid of blocks
REJECTED = 2.7  # noise levels below which a wave is taken for noise
TO_LEVEL = 1 / 0.6745  # from the median of absolute normal numbers to their standard deviation


def _cosines(count: int) -> Features:
    # The orthonormal discrete cosine transform, (count, count); its first row is the mean.
    order, place = np.mgrid[:count, :count]
    waves = np.cos(np.pi * order * (2 * place + 1) / (2 * count)) * np.sqrt(2 / count)
    waves[0] /= np.sqrt(2)
    cosines: Features = waves.astype(np.float32)
    return cosines


BLOCK, UNCORRELATED = _cosines(SIDE), _cosines(3)


class Denoiser:
    """A denoiser that thresholds blocks of 8 x 8 pixels (Yu and Sapiro 2011).

    Colours are decorrelated. Each block of each plane becomes a sum of cosine waves; waves weaker than 2.7 noise levels
    are left out, except the block's mean. The results for 16 places of the grid of blocks are averaged. Nothing is
    random: the same picture gives the same bytes on every machine, whatever the seed.
    """

    model = "embedded-denoise@1"

    def denoise(self, picture: Picture, seed: int) -> Picture:
        """Return the picture, (H, W, 3) uint8, without its noise; `seed` changes nothing. Errors as `check_input`."""
        check_input(picture, seed)
        planes = np.moveaxis(_mixed(picture, UNCORRELATED), 2, 0)
        clean = np.stack([_without_noise(plane, REJECTED * noise_level(plane)) for plane in planes], axis=2)
        picture = np.clip(np.rint(_mixed(clean, UNCORRELATED.T)), 0, 255).astype(np.uint8)
        return picture


def noise_level(plane: Features) -> float:
    """Estimate the standard deviation of a plane's noise, (H, W), from neighbours (Donoho and Johnstone 1994)."""
    diagonal = (plane[1:, 1:] - plane[1:, :-1] - plane[:-1, 1:] + plane[:-1, :-1]) / 2
    return float(np.median(np.abs(diagonal))) * TO_LEVEL if diagonal.size else 0.0


def _without_noise(plane: Features, threshold: float) -> Features:
    # The mean over all places of the grid, which begins up to seven pixels outside the picture.
    (height, width), places = plane.shape, range(0, SIDE, STEP)
    tall, wide = (-(-(side + SIDE) // SIDE) * SIDE for side in (height, width))
    padded = np.pad(plane, ((SIDE, tall - height), (SIDE, wide - width)), mode="symmetric")
    total = np.zeros_like(padded)
    for top in places:
        for left in places:
            part = (slice(top, top + tall), slice(left, left + wide))
            total[part] += _thresholded(padded[part], threshold)
    total /= len(places) ** 2
    return total[SIDE : SIDE + height, SIDE : SIDE + width]


def _thresholded(part: Features, threshold: float) -> Features:
    height, width = part.shape
    waves = transformed(part.reshape(-1, SIDE, width // SIDE, SIDE).swapaxes(1, 2).reshape(-1, SIDE, SIDE), BLOCK)
    small = np.abs(waves) < threshold
    small[:, 0, 0] = False
    waves[small] = 0
    rebuilt = transformed(waves, BLOCK.T).reshape(-1, width // SIDE, SIDE, SIDE)
    return rebuilt.swapaxes(1, 2).reshape(height, width)


# The embedded vendor's generator: one random x4 enlargement for a picture and a seed.

SCALE = 4
LAYERS = 4
HALO = LAYERS + 3  # reach of head, layers, gate and tail: one input pixel each
BASE_REACH = 2  # reach of the bicubic base in input pixels
INPUT_STRIP = 40_000


class Generator:
    """A convolutional net that adds random detail to the bicubic enlargement of a picture.

    Features of the picture gate textures made of Gaussian noise, so each seed is one draw from the net's distribution
    of plausible pictures. The same picture and seed give the same bytes on every machine.

    `strip_pixels`: Input pixels worked on at once; bounds the memory (about 1 kB each) and changes no output by more
      than one grey level.
    `model`: ``embedded-x4@`` and the first 12 hexadecimal digits of the SHA-256 of the weights file.
    """

    def __init__(self, strip_pixels: int = INPUT_STRIP) -> None:
        digest, weights = read_weights("weights.npz")
        self.model = f"embedded-x{SCALE}@{digest}"
        self._strip_pixels = strip_pixels
        names = ("head", *(f"body_{layer}" for layer in range(LAYERS)), "gate", "noise", "tail")
        self._weights = {name: by_outputs(weights[f"{name}_weight"]) for name in names}
        self._biases = {name: weights[f"{name}_bias"] for name in names if name != "noise"}
        self._shared: Features = weights["shared"]
        self._channels = weights["noise_weight"].shape[2]

    def perturbed(self, share: float, seed: int = 0) -> "Generator":
        """Return a generator of the same name with each weight changed at random by about `share` of its size.

        It plays the vendor that changes without a word, for demonstrations and tests.
        """
        changed, random = Generator(self._strip_pixels), np.random.default_rng(seed)
        for name, weights in self._weights.items():
            changed._weights[name] = weights * (1 + share * random.standard_normal(weights.shape).astype(np.float32))
        return changed

    def upscale(self, picture: Picture, seed: int) -> Picture:
        """Draw one enlargement.

        `picture`: (H, W, 3) uint8 sRGB, any size from 1 x 1.
        `seed`: 0 to 2**32 - 1.
        Returns: (4H, 4W, 3) uint8 sRGB, C-contiguous.
        """
        check_input(picture, seed)
        height, width = picture.shape[:2]
        # Mirrored with the border pixel repeated: mirroring about its centre costs a decibel along the border.
        padded = np.pad(picture, ((HALO, HALO), (HALO, HALO), (0, 0)), mode="symmetric")
        wide = width + 2 * HALO
        noise = NoiseRows(seed, -2, wide, self._channels, len(self._shared))
        out = np.empty((height, SCALE, width, SCALE, 3), np.uint8)
        step = max(2 * HALO, self._strip_pixels // wide)
        for top in range(0, height, step):
            bottom = min(top + step, height)
            strip = padded[top : bottom + 2 * HALO].astype(np.float32)
            strip *= np.float32(1 / 255)
            grey = self._strip(strip, noise, top, bottom)
            grey *= 255
            np.rint(grey, out=grey)
            np.clip(grey, 0, 255, out=grey)
            blocks = grey[:, HALO : HALO + width].astype(np.uint8).reshape(bottom - top, width, 3, SCALE, SCALE)
            out[top:bottom] = blocks.transpose(0, 3, 1, 4, 2)
        return out.reshape(height * SCALE, width * SCALE, 3)

    def _strip(self, strip: Features, noise: NoiseRows, top: int, bottom: int) -> Features:
        # `strip` has HALO more rows on either side, in [0, 1]. The result, (rows, width + 2 HALO, 3 x 4 x 4), has outer
        # HALO columns without meaning.
        hidden = self._convolve("head", strip - np.float32(0.5))
        for layer in range(LAYERS):
            added = self._convolve(f"body_{layer}", np.maximum(hidden, 0))
            added += hidden[1:-1]
            hidden = added
        features = np.maximum(hidden, 0, out=hidden)
        textures = self._convolve("gate", features)
        textures *= exponential(product(noise.shared[None], self._shared)).astype(np.float32)
        textures *= convolve(noise.between(top - 2, bottom + 2), self._weights["noise"])
        detail = self._convolve("tail", np.concatenate((features[1:-1], textures), axis=-1))
        margin = HALO - BASE_REACH
        detail += bicubic(strip[margin:-margin], SCALE)
        return detail

    def _convolve(self, name: str, features: Features) -> Features:
        out = convolve(features, self._weights[name])
        out += self._biases[name]
        return out


# Real-ESRGAN's small network for photographs (Wang et al. 2021); its licence lies beside its weights.

CONVOLUTIONS = 34  # each reaches one input pixel, and all but the last have a slope for negative values


class RealEsrganNetwork:
    """The GAN `realesr-general-x4v3`: sharp, and inventive like paid services. Nothing is random.

    `model`: ``realesr-general-x4v3@`` and the first 12 hexadecimal digits of the SHA-256 of the weights file.
    """

    strip_pixels = INPUT_STRIP

    def __init__(self) -> None:
        digest, self._weights = read_weights("real_esrgan_weights.npz")
        self.model = f"realesr-general-x4v3@{digest}"
        self._kernels = [by_outputs(self._weights[f"weight_{number}"]) for number in range(CONVOLUTIONS)]

    def upscale(self, picture: Picture, seed: int) -> Picture:
        """Return the picture, (H, W, 3) uint8, four times as large; `seed` changes nothing. Errors as `check_input`."""
        check_input(picture, seed)
        strips, step = [], max(CONVOLUTIONS, self.strip_pixels // picture.shape[1])
        for top in range(0, len(picture), step):
            first = max(0, top - CONVOLUTIONS)
            strip = self._strip(picture[first : top + step + CONVOLUTIONS].astype(np.float32) / np.float32(255))
            strips.append(strip[(top - first) * SCALE :][: step * SCALE])
        return np.concatenate(strips)

    def _strip(self, strip: Features) -> Picture:
        # Every convolution takes pixels beyond the sides for 0.
        features = np.ascontiguousarray(strip.transpose(2, 0, 1))
        for number, kernel in enumerate(self._kernels):
            features = convolved(features, kernel, self._weights[f"bias_{number}"], 1)
            if number < CONVOLUTIONS - 1:
                slopes = self._weights[f"slope_{number}"][:, None, None]
                features = np.where(features > 0, features, features * slopes)
        rows, width = strip.shape[:2]
        grey = features.reshape(3, SCALE, SCALE, rows, width) + strip.transpose(2, 0, 1)[:, None, None]
        blocks: Picture = np.clip(np.rint(grey * 255), 0, 255).astype(np.uint8)
        return blocks.transpose(3, 1, 4, 2, 0).reshape(rows * SCALE, width * SCALE, 3)


# The embedded vendor's colouriser: one random colouring for a grey picture and a seed.

# Chroma of pixels from chroma of cells, and colours from luma and chroma (ITU-R BT.601, full range, as in JPEG).

# Red, green and blue minus luma, for Cb and for Cr; either row leaves luma as it is.
COLOURS = np.array([[0, -0.114 * 1.772 / 0.587, 1.772], [1.402, -0.299 * 1.402 / 0.587, 0]], np.float32)
NEAR = 0.7  # standard deviation in cells of the weight of distance
ALIKE = 0.08  # standard deviation of the weight of a difference in luma
LEAST = (
    1e-3  # weight of a difference in luma that is larger than all: a pixel unlike every cell near it has colour, too
)


def spread(chroma: Features, brightness: Features, luma: Features, top: int, cell: int) -> Features:
    """Give pixels the chroma of the nine cells around them, weighted by nearness and likeness.

    Joint bilateral upsampling (Kopf, Cohen, Lischinski & Uyttendaele 2007): colours end where the picture has edges.

    `chroma`: (rows, columns, 2) of all cells.
    `brightness`: (rows, columns) mean luma of all cells.
    `luma`: (height, width) of the pixels from row ``top``, a multiple of ``cell``.
    `cell`: Side of a cell in pixels.
    Returns: (height, width, 2)
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
            weight = exponential(unlike * unlike * np.float32(-0.5)).astype(np.float32) + np.float32(LEAST)
            weight *= exponential(((centre - down) / NEAR) ** 2 / -2).astype(np.float32)[:, None, None]
            weight *= exponential(((centre - right) / NEAR) ** 2 / -2).astype(np.float32)
            weights += weight
            total += weight[..., None] * chroma[np.ix_(y, x)][:, None, :, None]
    total /= weights[..., None]
    return total.reshape(rows * cell, columns * cell, 2)[:height, :width]


def coloured(luma: Features, chroma: Features) -> Picture:
    """Give 8-bit colours of this luma; chroma that no colour of this luma has moves nearer to grey.

    `luma`: (height, width) in [0, 1].
    `chroma`: (height, width, 2): Cb and Cr in [-0.5, 0.5].
    Returns: (height, width, 3) uint8.
    """
    offsets = _mixed(chroma, COLOURS.T)
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

    The net sees squares of 32 pixels and the average of the whole picture, and gives each cell of 4 x 4 pixels a
    chroma; a pixel takes its chroma from the cells around it that are as bright. Luma stays the picture's. Each seed is
    one draw from the net's distribution of plausible colourings; the same picture and seed give the same bytes on every
    machine.

    `strip_pixels`: Pixels whose chroma is worked out at once; bounds the memory and changes no output. The net takes
      the whole picture, at about 100 bytes a pixel.
    `model`: ``embedded-colour@`` and the first 12 hexadecimal digits of the SHA-256 of the weights file.
    """

    def __init__(self, strip_pixels: int = STRIP_PIXELS) -> None:
        digest, weights = read_weights("colour_weights.npz")
        self.model = f"embedded-colour@{digest}"
        self._strip_pixels = strip_pixels
        # Matrices of convolutions have four axes: two of the kernel, inputs and outputs.
        self._weights = {name: by_outputs(array) if array.ndim == 4 else array for name, array in weights.items()}
        self._channels = weights["noise_weight"].shape[2]

    def colourise(self, picture: Picture, seed: int) -> Picture:
        """Draw one colouring.

        `picture`: (H, W, 3) uint8 sRGB, any size from 1 x 1; of colours only the luma (ITU-R BT.601) is used.
        `seed`: 0 to 2**32 - 1.
        Returns: (H, W, 3) uint8 sRGB, C-contiguous; its luma is the picture's up to the rounding of three colours to 8
          bits.
        """
        check_input(picture, seed)
        height, width = picture.shape[:2]
        luma = luma_of(picture) / np.float32(255)
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
        # From (rows, columns, 16) luma in [0, 1] of cells to (rows, columns, 2).
        hidden = self._convolve("head", (cells - np.float32(0.5)) * 4)
        levels = []
        for level in range(LEVELS):
            if level:
                hidden = self._convolve(f"down_{level - 1}", _halved(np.maximum(hidden, 0)))
            hidden += self._convolve(f"same_{level}", np.maximum(hidden, 0))
            levels.append(hidden)
        whole = product(np.maximum(hidden, 0).mean(axis=(0, 1))[None], self._weights["whole_weight"])
        hidden = levels.pop() + (whole + self._weights["whole_bias"])
        rows, columns = hidden.shape[:2]
        noise = NoiseRows(seed, 0, columns // PATCH + 2, self._channels, len(self._weights["shared"]))
        patches = noise.between(0, rows // PATCH + 2)
        for _ in range(int(math.log2(PATCH))):
            patches = _doubled(patches)
        # From the middle of the first patch on, so that noise varies on small pictures, too.
        patches = patches[PATCH // 2 : PATCH // 2 + rows, PATCH // 2 : PATCH // 2 + columns]
        palette = self._convolve("noise", patches) + product(noise.shared[None], self._weights["shared"])
        hidden += self._convolve("gate", np.maximum(hidden, 0)) * palette
        hidden += self._convolve("mix", np.maximum(hidden, 0))
        for level in reversed(range(LEVELS - 1)):
            hidden = _doubled(self._convolve(f"up_{level}", np.maximum(hidden, 0)))
            hidden += levels.pop()
        hidden += self._convolve("blend", np.maximum(hidden, 0))
        return self._convolve("tail", np.maximum(hidden, 0)) * np.float32(UNIT)

    def _convolve(self, name: str, features: Features) -> Features:
        # To the same size: beyond the border the border's features repeat.
        padded = np.pad(features, ((1, 1), (1, 1), (0, 0)), mode="edge")
        out = convolve(padded, self._weights[f"{name}_weight"])[:, 1:-1]
        bias = self._weights.get(f"{name}_bias")
        return np.ascontiguousarray(out) if bias is None else out + bias


def _halved(features: Features) -> Features:
    rows, columns, channels = features.shape
    return np.asarray(features.reshape(rows // 2, 2, columns // 2, 2, channels).mean(axis=(1, 3)), np.float32)


def _doubled(features: Features) -> Features:
    # By linear interpolation.
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
    """A task of the vendor: the model's name, the magnification, and the model's drawing of a seed."""

    model: str
    scale: int
    draw: Callable[[Picture, int], Picture]


@dataclass(frozen=True)
class StudioAnswer:
    """A drawn picture as PNG bytes, its seed and model, and the id of the request that had it drawn."""

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
    """A server of orders, for any thread.

    `generator`: The network of ``upscale``.
    `tasks`: By the end of a request's address, after ``/v1/``.
    `drawn`: Number of drawn pictures, which a vendor would bill; replays do not count.
    """

    def __init__(self) -> None:
        generator, gan, colouriser, denoiser = Generator(), RealEsrganNetwork(), Colouriser(), Denoiser()
        self.generator = generator
        self.tasks = {
            "upscale": OfferedTask(generator.model, SCALE, generator.upscale),
            "upscale/realesr-general-x4v3": OfferedTask(gan.model, SCALE, gan.upscale),
            "colourise": OfferedTask(colouriser.model, 1, colouriser.colourise),
            "denoise": OfferedTask(denoiser.model, 1, denoiser.denoise),
        }
        self.drawn = 0
        self._places = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._kept_bytes = 0

    def serve(self, order: StudioOrder, key: str | None) -> StudioAnswer:
        """Draw the picture, or return the stored answer if ``key`` was used before for the same order."""
        if key is None:
            return self._draw(order)
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
        with slot.lock:
            if slot.answer is None:
                slot.answer = self._draw(order)
                with self._lock:
                    self._kept_bytes += len(slot.answer.png)
                    finished = [other for other, one in self._slots.items() if one.answer is not None]
                    # Beyond the bounds the oldest answers go, but never one that is being drawn.
                    for other in finished[:-1]:
                        if len(self._slots) <= KEPT_ANSWERS and self._kept_bytes <= KEPT_BYTES:
                            break
                        forgotten = self._slots.pop(other).answer
                        self._kept_bytes -= len(forgotten.png) if forgotten else 0
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


# Convolution of channels-last features, products of colours, and bicubic enlargement, the same on every processor.


def by_outputs(weights: Features) -> Features:
    """Turn weights (k, k, inputs, outputs) into (outputs, inputs, k, k), as `convolved` takes them."""
    return np.ascontiguousarray(weights.transpose(3, 2, 0, 1), np.float32)


def convolve(features: Features, weights: Features) -> Features:
    """Convolve (rows, width, inputs) with 3 x 3 weights of `by_outputs` to (rows - 2, width, outputs).

    The outer columns on either side of the result mean nothing.
    """
    planes = np.ascontiguousarray(features.transpose(2, 0, 1))
    found = convolved(planes, weights, np.zeros(len(weights), np.float32), 1)
    return np.ascontiguousarray(found[:, 1:-1].transpose(1, 2, 0))


def _mixed(values: npt.NDArray[np.float32] | Picture, matrix: Features) -> Features:
    # ``matrix @ value`` of each of (H, W, values).
    planes = product(matrix, values.reshape(-1, values.shape[2]).T.astype(np.float32))
    return planes.T.reshape(*values.shape[:2], len(matrix))


def bicubic(strip: Features, scale: int) -> Features:
    """Enlarge by Keys' cubic convolution (1981, a = -0.5): (rows + 4, width, 3) to (rows, width, 3 x scale x scale).

    Value ``(c * scale + p) * scale + q`` is colour c of the enlarged pixel in row p, column q of the block that
    replaces a pixel; pixel centres are aligned, as in Pillow. The two outer columns mean nothing.
    """
    taps = np.zeros((scale, 5), np.float32)
    for phase in range(scale):
        distance = np.abs(np.arange(-2, 3) - ((phase + 0.5) / scale - 0.5))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        taps[phase] = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    rows, width = len(strip) - 4, strip.shape[1]
    above = np.stack([strip[k : k + rows] for k in range(5)]).reshape(5, -1)
    down = np.pad(product(taps, above).reshape(scale, rows, width, 3), ((0, 0), (0, 0), (2, 2), (0, 0)))
    beside = np.stack([down[:, :, k : k + width] for k in range(5)]).reshape(5, -1)
    enlarged = product(taps, beside).reshape(scale, scale, rows, width, 3)
    return np.ascontiguousarray(enlarged.transpose(2, 3, 4, 1, 0)).reshape(rows, width, -1)


@cache
def _enlargers() -> tuple[Generator, RealEsrganNetwork]:
    return Generator(), RealEsrganNetwork()


def free_enlargements(picture: Picture, scale: int) -> Iterator[tuple[str, Picture]]:
    """Give the names and enlargements of (H, W, 3) uint8 by the networks that enlarge by `scale`; no call is made."""
    for network in _enlargers() if scale == SCALE else ():
        yield network.model, network.upscale(picture, 0)
