"""Keyword arguments that one function hands on to another: a slip is told by the name that the user called.

Nothing is called here.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from blackbox_conformal.errors import UsageError


def refuse_unknown(name: str, own: Callable[..., Any], given: Iterable[str], further: Callable[..., Any]) -> None:
    """Refuse a keyword that neither `own`, which is known as `name`, nor `further` takes.

    Raises
    ------
    UsageError
        There is one; the message names what is near it, or else all there are.
    """
    taken = {
        key
        for function in (own, further)
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    for key in given:
        if key not in taken:
            near = difflib.get_close_matches(key, taken, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(sorted(taken))}"
            raise UsageError(f"{name} takes no parameter {key!r}; {hint}")
