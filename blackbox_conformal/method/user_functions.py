"""Functions that a program has defined under a name and a version, for scores and metrics of its own.

Kept in memory only: a file never says which code to run.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blackbox_conformal.errors import MapError, UsageError

Function = Callable[..., ArrayLike]


class UserFunctions:
    """Functions by name and version; `what` is ``score`` or ``metric``, `where` the function that defines one."""

    def __init__(self, what: str, where: str) -> None:
        self._what = what
        self._where = where
        self._functions: dict[tuple[str, ...], Function] = {}

    def define(self, key: tuple[str, ...], function: Function) -> None:
        """Remember `function` under its name, version and so on."""
        if not callable(function):
            raise UsageError(f"expected a function for {self._what} {key[0]}; got {type(function).__name__}")
        defined = self._functions.get(key)
        if defined is not None and not _same(defined, function):
            raise UsageError(
                f"expected one function for {self._what} {key[0]} version {key[1]}; this program has defined another. "
                "Give another name or raise the version"
            )
        self._functions[key] = function

    def function(self, key: tuple[str, ...]) -> Function:
        """Return the function of that name and version."""
        defined = self._functions.get(key)
        if defined is None:
            raise UsageError(
                f"expected a function for {self._what} {key[0]} version {key[1]}; this program has defined none. "
                f"Call {self._where} with that name and version first"
            )
        return defined

    def checked(self, answer: ArrayLike, shape: tuple[int, ...], name: str, largest: float) -> NDArray[Any]:
        """Return `answer` as an array of `shape` with values in [0, largest]."""
        values = np.asarray(answer)
        if values.shape != shape or values.dtype.kind not in "fiub":
            raise MapError(
                f"expected {self._what} {name} to answer numbers of shape {shape}; got {values.dtype} {values.shape}"
            )
        # NaN compares false, so it is wrong too.
        wrong = ~((values >= 0) & (values <= largest))
        if wrong.any():
            row, column = (int(place) for place in np.unravel_index(int(np.argmax(wrong)), shape))
            raise MapError(
                f"expected {self._what} {name} to answer values in [0, {largest:g}]; got "
                f"{float(values[row, column])!r} at row {row}, column {column} ({int(wrong.sum())} such pixels). "
                "Correct the function or declare a larger bound"
            )
        return values


def _same(first: Any, second: Any) -> bool:
    """Whether both are one function, or equal code without bound values, such as a notebook cell that ran twice."""
    if first is second:
        return True
    bound = [getattr(first, part, first) for part in ("__defaults__", "__kwdefaults__", "__closure__")]
    return bound == [None] * 3 and getattr(first, "__code__", first) == getattr(second, "__code__", second)
