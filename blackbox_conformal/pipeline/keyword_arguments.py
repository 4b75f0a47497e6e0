"""What is given from Python in keyword arguments: slips told by the name that the user called, and limits on money.

Nothing is called here.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from blackbox_conformal.errors import UsageError
from blackbox_conformal.sampling.limits import Limits


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


def limits_of(max_cost: float | str | Decimal | None, max_calls: int | None) -> Limits:
    """The limits that two numbers set; `max_cost` in US dollars.

    Raises
    ------
    UsageError
        One of the two is no number, or below 0.
    """
    try:
        cost = None if max_cost is None else Decimal(str(max_cost))
    except InvalidOperation:
        raise UsageError(f"expected max_cost to be an amount of US dollars such as 12.50; got {max_cost!r}") from None
    if max_calls is not None and (isinstance(max_calls, bool) or not isinstance(max_calls, int)):
        raise UsageError(f"expected max_calls to be a whole number of at least 0; got {max_calls!r}")
    return Limits(max_cost_usd=cost, max_calls=max_calls)
