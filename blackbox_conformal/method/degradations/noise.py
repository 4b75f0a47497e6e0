"""Noise of a sensor: one part grows with the light, the rest does not."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.parameter_range import Range, between
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers, normals
from blackbox_conformal.support.types import Image

MID_GREY = 128
BLOCK = 1 << 16
"""Pixels or values that are made noisy together, so that memory stays small; every multiple of four gives the same."""


class Noise(Degradation):
    """Adds independent normal noise, whose variance is a constant plus a share that grows with the signal.

    That is the Poisson-Gaussian model of a sensor (Foi, Trimeche, Katkovnik and Egiazarian 2008), with the Poisson part
    as a normal distribution of its variance. At grey level x the variance is
    ``sigma² · (1 - shot + shot · x / 128)``. Results are rounded and held to 0-255.

    `sigma`: Standard deviation in 8-bit levels at mid grey, 128, or a range.
    `shot`: Share of the variance at mid grey that grows with the signal, 0 to 1, or a range. 0 is the same noise
      everywhere, 1 none in the dark.
    `grey`: Whether the channels of a pixel get the same noise, rather than each its own.
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
        sigma, shot, level = self.sigma.low, self.shot.low, np.arange(256, dtype=np.float64)
        deviations = (sigma * np.sqrt((1 - shot) + shot * level / MID_GREY)).astype(np.float32)
        noisy = np.empty_like(values)
        for start in range(0, len(values), BLOCK):
            block = slice(start, min(start + BLOCK, len(values)))
            places = random.places(block.stop - block.start)
            noisy[block] = with_noise(values[block], places, normals(), deviations)
        return noisy.reshape(pixels.shape)


def with_noise(
    values: NDArray[np.uint8], places: NDArray[np.uint16], normals: NDArray[np.float32], deviations: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Return (N, C) values plus noise, rounded half to even and held to 0-255.

    `places`, (N,), says which of `normals` the C values of a row get; `deviations`, (256,), are those of each level.
    """
    noise = deviations[values] * normals[places][:, None]
    return np.clip(np.rint(values.astype(np.float32) + noise), 0, 255).astype(np.uint8)


PLUGIN = Noise
