"""Of which kind a photograph is: how much texture it has, how bright it is, and how large it is."""

from typing import Annotated, Self

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from blackbox_conformal.method.images.input_statistics.octaves import log_energies
from blackbox_conformal.method.images.input_statistics.planes import FRACTION, Planes
from blackbox_conformal.support.types import Image


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class InputKind:
    """What the input of a photograph, the picture that the vendor is sent, is like.

    These are not among the statistics by which inputs are told to be of another kind: they tell scenes apart, and not
    how inputs came about.

    Attributes
    ----------
    texture
        Base-2 logarithm of the mean squared difference between neighbouring pixels, in squared grey levels.
    brightness
        Mean brightness, 0 to 255.
    pixels
        Number of pixels.
    """

    texture: Annotated[float, Field(ge=-2, le=16)]
    brightness: Annotated[float, Field(ge=0, le=255)]
    pixels: Annotated[int, Field(ge=1)]

    @classmethod
    def of(cls, pixels: Image) -> Self:
        """The kind of one input, (h, w, 3) uint8; the same on every machine."""
        planes = Planes.of(pixels)
        energies = log_energies([planes.brightness])
        brightness = float(planes.brightness.sum(dtype=np.int64)) / (FRACTION * planes.brightness.size)
        return cls(energies[0] if energies else -2.0, min(brightness, 255.0), pixels.shape[0] * pixels.shape[1])
