"""Allowed values, in words and as a check, written once for options, keywords, settings files and limits."""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from blackbox_conformal.errors import UsageError

Number = TypeVar("Number", int, float, Decimal)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value, in `words`, as in "expected draws to be a whole number from 1 to 4096".

    `read` converts a text or Python value, raising an error of arithmetic, type or value. `metavar`: how help writes
    it. `choices`: the allowed words, if any. `range`: its ends in words, or "".
    """

    words: str
    read: Callable[[Any], Any]
    metavar: str = "TEXT"
    choices: tuple[str, ...] = ()
    range: str = ""

    def of(self, value: Any, name: str = "") -> Any:
        """Convert `value`; errors name the setting `name`."""
        try:
            return self.read(value)
        except (ArithmeticError, TypeError, ValueError):
            raise UsageError(f"expected {f'{name} to be ' if name else ''}{self.words}; got {value!r}") from None


def whole(low: int, high: int | None = None, metavar: str = "N") -> Kind:
    """Return the kind of whole numbers from `low` to `high`."""

    def read(value: Any) -> int:
        return within(int(value) if isinstance(value, str) else operator.index(_no_switch(value)), low, high)

    return Kind(f"a whole number {_range(low, high)}", read, metavar, range="" if high is None else _range(low, high))


def number(low: float, high: float | None = None, *, inside: bool = False, metavar: str = "NUMBER") -> Kind:
    """Return the kind of finite numbers from `low` to `high`; `inside`: neither end is allowed."""

    def read(value: Any) -> float:
        found = within(float(_no_switch(value)), low, high)
        if inside and found in (low, high):
            raise ValueError
        return found

    said = f"a number above {low:g}" + ("" if high is None else f" and below {high:g}")
    return Kind(said if inside else f"a number {_range(low, high)}", read, metavar)


def choice(*words: str) -> Kind:
    return Kind(" or ".join(words), lambda value: words[words.index(value)], "|".join(words), words)


def within(found: Number, low: float, high: float | None = None) -> Number:
    """Return `found` if it is a finite number from `low` to `high`."""
    if not math.isfinite(found) or found < low or (high is not None and found > high):
        raise ValueError
    return found


def _no_switch(value: Any) -> Any:
    # Python takes True and False for numbers.
    if isinstance(value, bool):
        raise TypeError
    return value


def _range(low: float, high: float | None) -> str:
    return f"of at least {low:g}" if high is None else f"from {low:g} to {high:g}"


_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}


def _bytes(value: Any) -> int:
    if not isinstance(value, str):
        return within(operator.index(_no_switch(value)), 0)
    amount = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([MG]i?B)", value.strip(), re.IGNORECASE)
    if amount is None:
        raise ValueError
    return int(Decimal(amount[1]) * _UNITS[amount[2].upper()])


ANYTHING = Kind("anything", lambda value: value)
SWITCH = Kind("True or False", bool, "")
USD = Kind(
    "an amount of US dollars such as 12.50, at least 0", lambda value: within(Decimal(str(_no_switch(value))), 0), "USD"
)
LEVEL = Kind("a level of at least 0, such as 0.1", lambda value: within(float(_no_switch(value)), 0), "LEVEL")
"""Levels from 0, because the guarantee decides whether 0 is a level."""
SHARE = number(0, 1, inside=True, metavar="SHARE")
SECONDS = number(0, inside=True, metavar="SECONDS")
COUNT = whole(0)
INTEGER = Kind(
    "a whole number", lambda value: int(value) if isinstance(value, str) else operator.index(_no_switch(value)), "N"
)
BYTES = Kind("an amount with its unit, MB, GB, MiB or GiB, such as 2GB, or in Python in bytes", _bytes, "AMOUNT")
WORKERS = Kind(
    "a whole number or 'auto', 1 to 256",
    lambda value: value if value == "auto" else whole(1, 256).read(value),
    "N|auto",
)


def several(kind: Kind, value: Any, name: str = "") -> tuple[Any, ...]:
    """Convert one value or a sequence of this kind; errors as `Kind.of`."""
    alone = isinstance(value, (str, bytes)) or not isinstance(value, Sequence | set | frozenset)
    return tuple(kind.of(each, name) for each in ((value,) if alone else value))
