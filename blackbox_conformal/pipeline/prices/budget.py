"""The budget of a job, made once from the limits that were given and the calls that were agreed to.

It is enforced by `sampling`; the words in which a person is asked live in `cli`.
"""

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from blackbox_conformal.errors import BudgetError
from blackbox_conformal.pipeline.prices.spending import spending_on
from blackbox_conformal.sampling.limits import Limits


class Expected(Protocol):
    """What a plan and an estimate both say: calls, calls that may come on top, and the price, if it is known."""

    @property
    def calls(self) -> int: ...

    @property
    def again(self) -> int: ...

    @property
    def cost_usd(self) -> tuple[Decimal, Decimal] | None: ...


def agreed_limits(limits: Limits, expected: Expected, runs: Collection[Path], counted: frozenset[str]) -> Limits:
    """A person's yes to a number of calls is a yes to them and to no more, on top of earlier calls for these draws.

    Calls for unusable answers, which `--max-resample` and `--retry-ambiguous` allow, are among them.

    `counted` are the keys of the job's draws, for which a limit is that was given, too; `runs` are their folders.

    Raises
    ------
    BudgetError
        A limit that was given is known to be too small, so that money would be spent and nothing finished.
    """
    known = [spending_on(run, counted) for run in runs]
    spent, made = sum((one.spent_usd for one in known), Decimal(0)), sum(one.calls for one in known)
    most, most_calls = limits.max_cost_usd, limits.max_calls
    needed = Decimal(0) if expected.cost_usd is None else expected.cost_usd[0]
    if expected.calls and most is not None and spent + needed > most:
        raise BudgetError(
            f"the {expected.calls} calls that are to be made cost at least ${needed}, and --max-cost allows ${most}"
            f"{_of_which(spent)}, so nothing was sent. Raise it, or take fewer pictures or draws"
        )
    if expected.calls and most_calls is not None and made + expected.calls > most_calls:
        raise BudgetError(
            f"{expected.calls} calls are to be made, and --max-calls allows {most_calls}"
            f"{_of_which(made)}, so nothing was sent. Raise it, or take fewer pictures or draws"
        )
    if not limits.spending:
        limits = replace(limits, max_calls=made + expected.calls + expected.again)
    return replace(limits, counted=counted)


def _of_which(made: Decimal | int) -> str:
    """That some of a limit is used up, by earlier runs of the same job."""
    if not made:
        return ""
    return f" with {f'${made}' if isinstance(made, Decimal) else made} used for these draws before"
