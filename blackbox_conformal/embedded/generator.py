"""The embedded vendor's generator: one random x4 enlargement of a picture for a picture and a seed, on numpy alone."""

import hashlib
import io
from importlib import resources

import numpy as np
import numpy.typing as npt

from blackbox_conformal.embedded.convolution import bicubic_weights, convolve, stack_rows
from blackbox_conformal.errors import ImageError, UsageError

Picture = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]

SCALE = 4
SEEDS = 2**32
LAYERS = 4
HALO = LAYERS + 3  # reach of head, layers, gate and tail: one input pixel each
BASE_REACH = 2  # reach of the bicubic base in input pixels
STRIP_PIXELS = 40_000


class NoiseRows:
    """Standard normal noise of one draw: values for the whole picture, then rows handed out from top to bottom.

    Strips of a picture thus see the noise that the whole would see.

    Parameters
    ----------
    seed
        Names the stream (Philox, Salmon et al. 2011).
    first, width
        Index of the first row and number of pixels in a row.
    channels, shared
        Values for each pixel and for the whole picture.

    Attributes
    ----------
    shared
        (shared,) float32.
    """

    def __init__(self, seed: int, first: int, width: int, channels: int, shared: int) -> None:
        self._random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
        self.shared: Features = self._random.standard_normal(shared, dtype=np.float32)
        self._start = first
        self._rows: Features = np.empty((0, width, channels), np.float32)

    def between(self, first: int, last: int) -> Features:
        """Rows ``first`` to ``last`` (exclusive), (rows, width, channels); ``first`` must never go back."""
        kept = self._rows[first - self._start :]
        fresh = self._random.standard_normal((last - first - len(kept), *kept.shape[1:]), dtype=np.float32)
        self._rows = np.concatenate((kept, fresh)) if len(kept) else fresh
        self._start = first
        return self._rows


class Generator:
    """A convolutional net that adds random detail to the bicubic enlargement of a picture.

    Features of the picture gate textures made of Gaussian noise, so each seed is one draw from the net's distribution
    of plausible pictures. The same picture and seed give the same bytes on the same machine.

    Parameters
    ----------
    strip_pixels
        Input pixels worked on at once; bounds the memory (about 1 kB each) and changes no output by more
        than one grey level.

    Attributes
    ----------
    model
        ``embedded-x4@`` and the first 12 hexadecimal digits of the SHA-256 of the weights file.
    """

    def __init__(self, strip_pixels: int = STRIP_PIXELS) -> None:
        raw = resources.files(__package__).joinpath("weights.npz").read_bytes()
        self.model = f"embedded-x{SCALE}@{hashlib.sha256(raw).hexdigest()[:12]}"
        self._strip_pixels = strip_pixels
        with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
            weights = {name: stored[name].astype(np.float32) for name in stored.files}
        names = ("head", *(f"body_{layer}" for layer in range(LAYERS)), "gate", "noise", "tail")
        self._weights = {name: stack_rows(weights[f"{name}_weight"]) for name in names}
        self._biases = {name: weights[f"{name}_bias"] for name in names if name != "noise"}
        self._shared: Features = weights["shared"]
        self._channels = weights["noise_weight"].shape[2]
        self._base = stack_rows(bicubic_weights(SCALE))

    def upscale(self, picture: Picture, seed: int) -> Picture:
        """Draw one enlargement.

        Parameters
        ----------
        picture
            (H, W, 3) uint8 sRGB, any size from 1 x 1.
        seed
            0 to 2**32 - 1.

        Returns
        -------
        (4H, 4W, 3) uint8 sRGB, C-contiguous.

        Raises
        ------
        ImageError
            The picture has another shape or dtype, or no pixels.
        UsageError
            The seed is out of range.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ImageError(
                f"Expected a picture of shape (H, W, 3) and dtype uint8 with at least one pixel, "
                f"got {picture.shape} {picture.dtype}; convert it to 8-bit RGB first."
            )
        if not 0 <= seed < SEEDS:
            raise UsageError(f"Expected a seed from 0 to {SEEDS - 1}, got {seed}; choose one in that range.")
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
        """Enlarge rows ``top`` to ``bottom``; ``strip`` has HALO more rows on either side, in [0, 1].

        Gives (rows, width + 2 HALO, 3 x 4 x 4), whose outer HALO columns mean nothing.
        """
        hidden = self._convolve("head", strip - np.float32(0.5))
        for layer in range(LAYERS):
            added = self._convolve(f"body_{layer}", np.maximum(hidden, 0))
            added += hidden[1:-1]
            hidden = added
        features = np.maximum(hidden, 0, out=hidden)
        textures = self._convolve("gate", features)
        textures *= np.exp(noise.shared @ self._shared)
        textures *= convolve(noise.between(top - 2, bottom + 2), self._weights["noise"])
        detail = self._convolve("tail", np.concatenate((features[1:-1], textures), axis=-1))
        margin = HALO - BASE_REACH
        detail += convolve(strip[margin:-margin], self._base)
        return detail

    def _convolve(self, name: str, features: Features) -> Features:
        out = convolve(features, self._weights[name])
        out += self._biases[name]
        return out
