"""Values in words: expected and given values, and numbers rounded to the safe side."""

import math
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from blackbox_conformal.errors import UsageError

LONGEST_VALUE = 80

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "string": "text",
    "dict": "keys with values",
    "model": "keys with values",
    "list": "a list",
    "tuple": "a list",
    "path": "a path",
}
"""First word of the library's name for an error → the expected value."""

_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def complaint(problem: ErrorDetails, field: FieldInfo | None = None) -> str:
    """Write ``expected …; got …`` for one problem; `field`, if known, tells the whole range and the meaning of text."""
    if problem["type"] == "missing":
        return "it is required"
    if problem["type"] in ("value_error", "assertion_error"):
        error = problem.get("ctx", {}).get("error", problem["msg"])
        # Our own error is complete; one about several values has all of them as input.
        whole = isinstance(error, UsageError) or "got " in str(error) or not problem["loc"]
        return str(error) if whole else f"{error} (got {shown(problem['input'])})"
    return f"expected {_expected(problem, field)}; got {shown(problem['input'])}"


def exactly(number: float) -> str:
    """Write a number as it was typed, with all its digits: ``0.1``, ``0.9999999``."""
    short = f"{number:g}"
    return short if float(short) == number else f"{Decimal(repr(float(number))):f}"


def complement(share: float) -> str:
    """Write 1 less a share, exactly: ``0.9999999`` of 1e-7."""
    return f"{(1 - Decimal(repr(float(share)))).normalize():f}"


def percent(share: float | str) -> str:
    """Write a share in percent, with all its digits, and without the sign."""
    return f"{(100 * Decimal(share if isinstance(share, str) else repr(float(share)))).normalize():f}"


def share(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    if 0 < value < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 <= value < 1 else f"{100 * value:.1f} %"


def expected(value: float, error: float) -> str:
    """Write an expected share and its likely range, for people."""
    low, high = max(0.0, value - error), min(1.0, value + error)
    return f"{100 * value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def at_most(number: float, digits: int = 3, *, level: float = math.inf) -> str:
    """Write a finite upper bound, rounded up to significant digits.

    More digits are shown if a bound not above `level` would look above it.
    """
    text = _rounded(number, digits, ROUND_CEILING)
    return text if not number <= level < float(text) else at_most(number, digits + 1, level=level)


def at_least(number: float, digits: int = 3, *, level: float = -math.inf) -> str:
    """Write a finite lower bound, rounded down to significant digits.

    More digits are shown if a bound above `level` would look as if it were not.
    """
    text = _rounded(number, digits, ROUND_FLOOR)
    return text if not float(text) <= level < number else at_least(number, digits + 1, level=level)


def between(ends: tuple[float, float], digits: int = 3) -> str:
    """Write a finite interval, rounded outwards."""
    return f"{at_least(ends[0], digits)} to {at_most(ends[1], digits)}"


def _rounded(number: float, digits: int, rounding: str) -> str:
    exact = Decimal(repr(float(number)))
    rounded = Context(prec=digits, rounding=rounding).create_decimal(exact)
    return f"{rounded:f}" if -5 <= rounded.adjusted() < 12 else str(rounded)


def option_words(parameters: Mapping[str, str], option: str = "-p") -> list[str]:
    """Write vendor parameters as they are typed after `option`, word by word."""
    return [word for name, value in parameters.items() for word in (option, f"{as_typed(name)}={value}")]


def as_typed(name: str) -> str:
    """Write a parameter's name as people type it."""
    return name.replace("_", "-")


def shown(value: Any) -> str:
    """Write `value` as Python does, in at most `LONGEST_VALUE` characters."""
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _expected(problem: ErrorDetails, field: FieldInfo | None) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    limits = {name: context[name] for name in _LIMITS if name in context}
    if limits:
        return _range(limits | _bounds(field))
    if kind == "literal_error":
        return "one of " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
    if kind == "string_pattern_mismatch":
        described = field.description if field is not None else None
        return described.rstrip(".") if described else f"text that matches {context['pattern']}"
    if kind in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "something that is not empty"
    if "min_length" in context:
        return f"a length of at least {context['min_length']}"
    if "max_length" in context:
        return f"a length of at most {context['max_length']}"
    first = kind.partition("_")[0]
    return _KINDS.get(first, problem["msg"][:1].lower() + problem["msg"][1:])


def _bounds(field: FieldInfo | None) -> dict[str, Any]:
    metadata = [] if field is None else field.metadata
    return {name: getattr(limit, name) for limit in metadata for name in _LIMITS if hasattr(limit, name)}


def _range(limits: dict[str, Any]) -> str:
    return "a number of " + " and ".join(f"{words} {limits[name]}" for name, words in _LIMITS.items() if name in limits)
