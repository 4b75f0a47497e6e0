"""The embedded vendor's generator: one random x4 enlargement of a picture for a picture and a seed, on numpy alone."""

import numpy as np

from blackbox_conformal.embedded.convolution import bicubic_weights, convolve, stack_rows
from blackbox_conformal.embedded.model import Features, Picture, check_input, read_weights
from blackbox_conformal.embedded.noise_source import NoiseRows

SCALE = 4
LAYERS = 4
HALO = LAYERS + 3  # reach of head, layers, gate and tail: one input pixel each
BASE_REACH = 2  # reach of the bicubic base in input pixels
STRIP_PIXELS = 40_000


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
        digest, weights = read_weights("weights.npz")
        self.model = f"embedded-x{SCALE}@{digest}"
        self._strip_pixels = strip_pixels
        names = ("head", *(f"body_{layer}" for layer in range(LAYERS)), "gate", "noise", "tail")
        self._weights = {name: stack_rows(weights[f"{name}_weight"]) for name in names}
        self._biases = {name: weights[f"{name}_bias"] for name in names if name != "noise"}
        self._shared: Features = weights["shared"]
        self._channels = weights["noise_weight"].shape[2]
        self._base = stack_rows(bicubic_weights(SCALE))

    def perturbed(self, share: float, seed: int = 0) -> "Generator":
        """A generator that keeps its name, each of its weights changed at random by about `share` of its size.

        It is the vendor that changes without a word, for demonstrations and tests.
        """
        changed, random = Generator(self._strip_pixels), np.random.default_rng(seed)
        for name, weights in self._weights.items():
            changed._weights[name] = weights * (1 + share * random.standard_normal(weights.shape).astype(np.float32))
        return changed

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
