"""A parameter that may be a range: ``75``, or ``60-95``, from which each photograph gets a value of its own."""

import re
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

if TYPE_CHECKING:
    # Parameters of plug-ins are described without numpy.
    from blackbox_conformal.method.degradations.random_numbers import RandomNumbers

_NUMBER = r"[0-9]*\.?[0-9]+"

DECIMALS = 4  # Decimals of a drawn value, so that people can read it, and type it to make the same again.


class Range(NamedTuple):
    """The ends of a range, both included, perhaps of `whole` numbers only; a single number has equal ends."""

    low: float
    high: float
    whole: bool = False

    def drawn(self, random: "RandomNumbers") -> float:
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
        return self.low == self.high


def between(low: float, high: float, *, whole: bool = False) -> Any:
    """Return the type of a parameter from `low` to `high`, or a range, in whole numbers where `whole` says so."""

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
