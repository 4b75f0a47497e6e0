"""Noise of a sensor: one part grows with the light, the rest does not."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.parameter_range import Range, between
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers, normals
from blackbox_conformal.method.kernels.noise_field import add_noise
from blackbox_conformal.support.types import Image

MID_GREY = 128
BLOCK = 1 << 16
"""Pixels or values that are made noisy together, so that memory stays small; every multiple of four gives the same."""


class Noise(Degradation):
    """Adds independent normal noise, whose variance is a constant plus a share that grows with the signal.

    That is the Poisson-Gaussian model of a sensor (Foi, Trimeche, Katkovnik and Egiazarian 2008), with the Poisson part
    as a normal distribution of its variance. At grey level x the variance is
    ``sigma² · (1 - shot + shot · x / 128)``. Results are rounded and held to 0-255.

    Attributes
    ----------
    sigma
        Standard deviation in 8-bit levels at mid grey, 128, or a range.
    shot
        Share of the variance at mid grey that grows with the signal, 0 to 1, or a range. 0 is the same noise
        everywhere, 1 none in the dark.
    grey
        Whether the channels of a pixel get the same noise, rather than each its own.
    """

    main = "sigma"

    sigma: between(0, 128) = Field(examples=["10", "1-15"])  # type: ignore[valid-type]
    shot: between(0, 1) = Field(default=Range(0, 0), examples=["0.5", "0.2-0.9"])  # type: ignore[valid-type]
    grey: bool = Field(default=False, examples=[True])

    @property
    def random(self) -> bool:
        return True

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        """Compute in single precision, one operation at a time, so that every machine gives the same result."""
        values = np.ascontiguousarray(pixels).reshape(-1, 3 if self.grey else 1)
        noisy, deviations = np.empty_like(values), _deviations(self.sigma.low, self.shot.low)
        for start in range(0, len(values), BLOCK):
            block = slice(start, min(start + BLOCK, len(values)))
            places = random.places(block.stop - block.start)
            add_noise(values[block], places, normals(), deviations, noisy[block])
        return noisy.reshape(pixels.shape)


@lru_cache(maxsize=4)
def _deviations(sigma: float, shot: float) -> NDArray[np.float32]:
    """Return the standard deviation at each grey level."""
    level = np.arange(256, dtype=np.float64)
    return (sigma * np.sqrt((1 - shot) + shot * level / MID_GREY)).astype(np.float32)


PLUGIN = Noise
