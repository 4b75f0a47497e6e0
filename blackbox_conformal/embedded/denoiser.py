"""The embedded vendor's denoiser: small cosine waves of a picture are taken for noise, on numpy alone."""

import numpy as np
import numpy.typing as npt

from blackbox_conformal.embedded.model import Features, Picture, check_input

SIDE = 8  # of a block, in pixels
STEP = 2  # pixels between two places of the grid of blocks
REJECTED = 2.7  # noise levels below which a wave is taken for noise
TO_LEVEL = 1 / 0.6745  # from the median of absolute normal numbers to their standard deviation


def _cosines(count: int) -> Features:
    """The orthonormal discrete cosine transform of `count` values, (count, count); its first row is their mean."""
    order, place = np.mgrid[:count, :count]
    waves = np.cos(np.pi * order * (2 * place + 1) / (2 * count)) * np.sqrt(2 / count)
    waves[0] /= np.sqrt(2)
    cosines: Features = waves.astype(np.float32)
    return cosines


BLOCK, COLOURS = _cosines(SIDE), _cosines(3)


class Denoiser:
    """Removes noise by thresholding in blocks of 8 x 8 pixels (Yu and Sapiro 2011).

    Colours are decorrelated. Each block of each plane is written as a sum of cosine waves, and waves that are weaker
    than 2.7 noise levels are left out, but for the block's mean. That is done for 16 places of the grid of blocks,
    whose results are averaged. Nothing is random: the same picture gives the same bytes on the same machine,
    whatever the seed.

    Attributes
    ----------
    model
        ``embedded-denoise@1``.
    """

    model = "embedded-denoise@1"

    def denoise(self, picture: Picture, seed: int) -> Picture:
        """The picture, (H, W, 3) uint8, without its noise; `seed` changes nothing. Errors as `check_input`."""
        check_input(picture, seed)
        planes = np.moveaxis(picture.astype(np.float32) @ COLOURS.T, 2, 0)
        clean = np.stack([_without_noise(plane, REJECTED * noise_level(plane)) for plane in planes], axis=2)
        picture = np.clip(np.rint(clean @ COLOURS), 0, 255).astype(np.uint8)
        return picture


def noise_level(plane: Features) -> float:
    """Standard deviation of a plane's noise, (H, W): from differences of neighbours (Donoho and Johnstone 1994)."""
    diagonal = (plane[1:, 1:] - plane[1:, :-1] - plane[:-1, 1:] + plane[:-1, :-1]) / 2
    return float(np.median(np.abs(diagonal))) * TO_LEVEL if diagonal.size else 0.0


def _without_noise(plane: Features, threshold: float) -> Features:
    """The mean over all places of the grid, which begins up to seven pixels outside the picture."""
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
    """Whole blocks without their small waves."""
    height, width = part.shape
    rows = BLOCK @ part.reshape(-1, SIDE, width)
    waves = rows.reshape(-1, SIDE) @ BLOCK.T
    small: npt.NDArray[np.bool_] = np.abs(waves) < threshold
    small.reshape(-1, SIDE, width // SIDE, SIDE)[:, 0, :, 0] = False
    waves[small] = 0
    rebuilt: Features = np.matmul(BLOCK.T, np.matmul(waves, BLOCK).reshape(-1, SIDE, width))
    return rebuilt.reshape(height, width)
