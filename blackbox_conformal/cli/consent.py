"""Before anything is spent: the estimate, what is missing, what lies elsewhere, and the question.

What is spent lives in `sampling`.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli.console import Screen, limit_above, money
from blackbox_conformal.cli.keys import confirm_keys
from blackbox_conformal.errors import BudgetError

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter
    from blackbox_conformal.pipeline.job import Ask, Job
    from blackbox_conformal.pipeline.planning import Plan
    from blackbox_conformal.pipeline.stages.settings import Setup
    from blackbox_conformal.sampling.estimate import Estimate
    from blackbox_conformal.sampling.task import Task


def say_plan(screen: Screen, plan: "Plan") -> None:
    """The estimate, for people."""
    cost = "unknown" if plan.cost_usd is None else money(*plan.cost_usd)
    screen.note(
        f"{_calls(plan)}; price {cost}; "
        f"disk {plan.disk_bytes / 2**20:.0f} MiB, memory {plan.memory_bytes / 2**20:.0f} MiB"
        + ("" if plan.seconds is None else f"; about {plan.seconds:.0f} s at the allowed rate")
    )


def _calls(expected: "Plan | Estimate") -> str:
    """What is to be bought, what need not be, and what may have to be bought again."""
    again = f", and at most {expected.again} more for unusable answers" if expected.again else ""
    return f"{expected.calls} calls to make{again}, {expected.cached} draws stored"


def elsewhere(screen: Screen, adapter: "Adapter", tasks: "Sequence[Task]", run: Path) -> str | None:
    """What to say when draws that would be made lie in another run folder."""
    from blackbox_conformal.pipeline.prices.budget import stored_elsewhere

    found = stored_elsewhere(adapter, tasks, run, screen.note)
    if found is None:
        return None
    return (
        f"{found.count} of these {len(tasks)} draws are stored in {found.folder}, and draws are shared only within a "
        f"run folder; add --run {found.folder} to use them, or name another --run to buy them again"
    )


def look_before_drawing(
    screen: Screen, setup: "Setup", tasks: "Sequence[Task]", run: Path, calls: int, options: dict[str, Any]
) -> None:
    """Refuse what cannot succeed, and what need not be paid, before anyone is asked to pay; ask where keys go.

    Raises
    ------
    UsageError
        A key would go where the user did not send it; see `confirm_keys`.
    CredentialMissingError
        The key of a vendor is not set, and calls are to be made.
    BudgetError
        Draws that would be made lie in another run folder, and the user named none.
    """
    from blackbox_conformal.pipeline.prices.budget import are_stored, missing_key

    vendors = [one for one in (setup.adapter, setup.second) if one is not None]
    for vendor in vendors if calls else ():
        trouble = missing_key(vendor, tasks[0])
        if trouble is not None:
            raise trouble
    found = elsewhere(screen, setup.adapter, tasks, run) if calls else None
    price = setup.adapter.capabilities.price
    # A run folder that the user named says which draws are to be used.
    if found is not None and options["run"] is None and (price is None or price.high_usd > 0):
        raise BudgetError(found)
    if found is not None:
        screen.note(f"note: {found}")
    if calls or not are_stored(setup.adapter, tasks, run):
        confirm_keys(screen, vendors, options)


def spends(expected: "Plan | Estimate") -> bool:
    """Whether calls are to be made that cost something, or might."""
    from blackbox_conformal.sampling.estimate import costs

    return costs(expected.calls, expected.cost_usd)


def say_calls(screen: Screen, expected: "Plan | Estimate") -> None:
    """What the calls would cost, for people."""
    cost = "unknown" if expected.cost_usd is None else money(*expected.cost_usd)
    screen.note(f"{_calls(expected)}; price {cost}")


def asking(screen: Screen, options: dict[str, Any], say: "Callable[[Screen, Any], None] | None" = None) -> "Ask":
    """What a job asks with: looks before drawing, shows what it would cost with `say`, and asks.

    What is raised is raised as by `look_before_drawing` and `confirm_spending`.
    """

    def ask(job: "Job", expected: "Plan | Estimate") -> None:
        look_before_drawing(screen, job.setup, job.tasks, job.folder, expected.calls, options)
        confirm_spending(screen, expected, options, say or say_calls)

    return ask


def confirm_spending(
    screen: Screen, expected: Any, options: dict[str, Any], say: "Callable[[Screen, Any], None]"
) -> None:
    """Show the estimate with `say` and ask, unless nothing is spent or the user has said yes or set a limit.

    Raises
    ------
    BudgetError
        The answer is no, or there is no terminal to ask at.
    """
    if not spends(expected):
        return
    say(screen, expected)
    _ask(screen, expected, options)


def _ask(screen: Screen, expected: "Plan | Estimate", options: dict[str, Any]) -> None:
    """A person's yes, unless it was given before.

    Raises
    ------
    BudgetError
        The answer is no, or there is no terminal to ask at.
    """
    if options["yes"] or options["max_cost"] is not None:
        return
    if not sys.stdin.isatty():
        if expected.cost_usd is None:
            said = f"The price is unknown: add --yes --max-calls {expected.calls}, or -p price-usd=… and --max-cost"
        elif expected.cached:
            more = f"The estimate is {money(*expected.cost_usd)} more"
            said = f"{more}: add --yes, or --max-cost for all these draws, earlier ones included"
        else:
            most = limit_above(expected.cost_usd[1])
            said = f"The estimate is {money(*expected.cost_usd)}: add --max-cost {most}, or --yes"
        raise BudgetError(f"cannot ask for confirmation here, since there is no terminal. {said}")
    with screen.paused():
        agreed = click.confirm("Spend this?", err=True)
    if not agreed:
        raise BudgetError(
            "not agreed to, so nothing was sent and nothing was spent; --max-cost sets a limit beforehand"
        )
