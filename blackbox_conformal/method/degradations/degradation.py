"""What a degradation is: one step of the way from a photograph to an input."""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_validator

from blackbox_conformal.method.degradations.parameter_range import Range
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.support.catalog import Plugin
from blackbox_conformal.support.types import Image


class Degradation(Plugin):
    """A step with its parameters; a file `degradations/NAME.py` defines one subclass and calls it PLUGIN.

    Parameters that may be a range have the type that `between` gives; each photograph draws a value of its own.
    What else a photograph draws is left to `drawn`, where it can be told in words, or to `apply`.

    `chance`: How likely a photograph undergoes the step, 0 to 1.
    `main`: The parameter whose name may be left out, as in ``jpeg:75``; "" where there is none.
    `linear`: True where the step is a linear map of the pixels up to rounding, which is the same for every photograph.
    `loses_colours`: True where the picture comes out grey, so that its colours are left to the vendor.
    `file_format`: The lossy format, as Pillow calls it, in which the step saves the picture; "" where it saves nothing.
    `given`: True where inputs come with their photographs, so that none are made.
    """

    model_config = ConfigDict(validate_default=True)

    main: ClassVar[str] = ""
    linear: ClassVar[bool] = False
    loses_colours: ClassVar[bool] = False
    file_format: ClassVar[str] = ""
    given: ClassVar[bool] = False

    chance: float = Field(default=1.0, gt=0, le=1)

    def apply(self, pixels: Image, random: RandomNumbers, size: tuple[int, int]) -> Image:
        """Return `pixels`, (H, W, 3) uint8, after this step: uint8, too, and the same for equal arguments.

        `drawn` has left a single number, `low`, in each range. `random` gives numbers for this step of this photograph.
        `size` is (height, width) that the whole chain ends with; only steps that resize need it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply(pixels, random, size)")

    def drawn(self, random: RandomNumbers) -> Self:
        """Return the step as one photograph undergoes it: with a single number for each range."""
        ranges = {name: value for name, value in self if isinstance(value, Range)}
        numbers = {name: (ends.drawn(random), ends.whole) for name, ends in ranges.items()}
        return self.model_copy(
            update={"chance": 1.0, **{name: Range(value, value, whole) for name, (value, whole) in numbers.items()}}
        )

    @property
    def random(self) -> bool:
        """Whether two photographs of equal pixels could become different inputs."""
        return self.chance < 1 or any(isinstance(value, Range) and not value.fixed for _, value in self)

    @property
    def resizes(self) -> bool:
        """Whether the step can change the size."""
        return False

    def along_axis(self, length: int) -> NDArray[np.float64] | None:
        """Return the linear map of a line, (new length, length), where the step is just that; else None.

        It must be applied along rows and along columns, with its result rounded to 8 bits or finer after each, and with
        at least 22 bits of each tap. If a tap is negative, rows must come first and both results be clipped.
        ``bound_from=input`` is for chains of such steps.
        """
        return None

    def hidden(self, pixels: Image) -> NDArray[np.bool_] | None:
        """Return where an input, (h, w, 3) uint8, whose last step this is shows nothing of the photograph: (h, w).

        Returns None where the step hides nothing, or the input does not show where.
        """
        return None

    @property
    def expansion(self) -> str:
        """Return the chain that the step stands for, where it is a name for one; else empty."""
        return ""

    def facts(self) -> dict[str, str]:
        if self.expansion:
            return {"stands for": self.expansion}
        typed = f"{self.plugin_name()}:{self.main.upper()}, short for {self.main}={self.main.upper()}"
        facts = {"linear": "yes" if self.linear else "no", "random": "yes" if self.random else "no"}
        return {**({"typed": typed} if self.main else {}), **facts}


class Preset(Degradation):
    """A name that stands for a chain or a mixture; a calibration keeps the steps, not the name.

    `chain`: What it stands for.
    `chance`: Always 1: the steps have chances of their own.
    """

    chain: ClassVar[str]

    @field_validator("chance")
    @classmethod
    def _always(cls, chance: float) -> float:
        if chance != 1:
            raise ValueError("expected no chance, since the name stands for several steps; leave it out")
        return chance

    @property
    def expansion(self) -> str:
        return self.chain
