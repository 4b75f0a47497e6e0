"""What a degradation is: one step of the way from a photograph to an input, with its ranges and random numbers."""

import hashlib
import re
from functools import cache
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator

from blackbox_conformal.support.catalog import Plugin
from blackbox_conformal.support.types import Image

_NORMALS = 1 << 16


class RandomNumbers:
    """A stream of numbers that follows from `key` alone, on every machine and with every version of numpy.

    An input that is made again must be the same to the byte, or its paid draws would be bought again. So only the raw
    words of numpy's Philox (Salmon et al. 2011) are used, which are part of its definition.
    """

    def __init__(self, *key: str | int) -> None:
        text = "blackbox-conformal degradation " + " ".join(map(str, key))
        self._words = np.random.Philox(key=int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * ((int(self._words.random_raw()) >> 11) / 2**53)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def places(self, count: int) -> NDArray[np.uint16]:
        """Return so many whole numbers from 0 to 65,535, each equally likely: places in `normals`."""
        words = self._words.random_raw(-(-count // 4)).astype("<u8", copy=False)
        return words.view("<u2")[:count].astype(np.uint16, copy=False)


@cache
def normals() -> NDArray[np.float32]:
    """Return quantiles of the normal distribution, rounded so that the last bit of a logarithm makes no difference."""
    quantile = NormalDist().inv_cdf
    return np.array([round(quantile((k + 0.5) / _NORMALS), 6) for k in range(_NORMALS)], np.float32)


_NUMBER = r"[0-9]*\.?[0-9]+"


DECIMALS = 4
"""Decimals of a drawn value, so that people can read it, and type it to make the same again."""


class Range(NamedTuple):
    """The ends of a range, both included, perhaps of `whole` numbers only; a single number has equal ends."""

    low: float
    high: float
    whole: bool = False

    def drawn(self, random: RandomNumbers) -> float:
        """Draw a value, each equally likely; a single number takes no random number."""
        if self.fixed:
            return self.low
        if self.whole:
            return float(random.whole(int(self.low), int(self.high)))
        return min(max(round(random.uniform(self.low, self.high), DECIMALS), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low:.12g}" if self.fixed else f"{self.low:.12g}-{self.high:.12g}"

    @property
    def fixed(self) -> bool:
        """Whether it is a single number."""
        return self.low == self.high


def between(low: float, high: float, *, whole: bool = False) -> Any:
    """Return the type of a parameter from `low` to `high`, or a range of it, in whole numbers where `whole` says so."""

    def check(ends: Range) -> Range:
        if not low <= ends.low <= ends.high <= high:
            raise ValueError(f"expected {low:g} to {high:g}, or a range of it such as {low:g}-{high:g}; got {ends}")
        if whole and any(end != int(end) for end in ends):
            raise ValueError(f"expected a whole number; got {ends}")
        return ends._replace(whole=whole)

    return Annotated[Range, BeforeValidator(_ends), AfterValidator(check), PlainSerializer(str)]


def _ends(value: Any) -> Range:
    if isinstance(value, str):
        match = re.fullmatch(rf"({_NUMBER})(?:-({_NUMBER}))?", value.strip())
        if match is None:
            raise ValueError(f"expected a number or a range such as 60-95; got {value!r}")
        return Range(float(match[1]), float(match[2] or match[1]))
    if isinstance(value, int | float):
        return Range(float(value), float(value))
    low, high = value[:2]
    return Range(float(low), float(high))


class Degradation(Plugin):
    """A step with its parameters; a file `degradations/NAME.py` defines one subclass and calls it PLUGIN.

    Parameters that may be a range have the type that `between` gives; each photograph draws a value of its own.
    What else a photograph draws is left to `drawn`, where it can be told in words, or to `apply`.

    Attributes
    ----------
    chance
        How likely a photograph undergoes the step, 0 to 1.
    main
        The parameter whose name may be left out, as in ``jpeg:75``; "" where there is none.
    linear
        True where the step is a linear map of the pixels up to rounding, which is the same for every photograph.
    loses_colours
        True where the picture comes out grey, so that its colours are left to the vendor.
    file_format
        The lossy format, as Pillow calls it, in which the step saves the picture; "" where it saves nothing.
    given
        True where inputs come with their photographs, so that none are made.
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

    Attributes
    ----------
    chain
        What it stands for.
    chance
        Always 1: the steps have chances of their own.
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
