"""The embedded vendor's colouriser: one random colouring of a grey picture for a picture and a seed, on numpy alone."""

import math

import numpy as np

from blackbox_conformal.embedded.chroma_features import LUMA, coloured, spread
from blackbox_conformal.embedded.convolution import convolve, stack_rows
from blackbox_conformal.embedded.model import Features, Picture, check_input, read_weights
from blackbox_conformal.embedded.noise_source import NoiseRows

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
