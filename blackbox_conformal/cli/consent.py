"""Before anything is spent: the estimate, what is missing, which draws lie elsewhere, and the question."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli.config_file import LIMITS, is_of_project, origin_of
from blackbox_conformal.cli.console import Screen, limit_above
from blackbox_conformal.cli.keys import CHOOSERS, confirm_keys
from blackbox_conformal.cli.options import SpendingOptions
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.support.text import counted, mebibytes, money

if TYPE_CHECKING:
    from blackbox_conformal.drawing.estimate import Estimate
    from blackbox_conformal.drawing.task import Task
    from blackbox_conformal.study.job import Job
    from blackbox_conformal.study.stages.settings import Setup
    from blackbox_conformal.vendor.adapter import Adapter


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks a person before a job spends anything; a job calls it with what it would cost.

    Attributes
    ----------
    fresh
        New draws are wanted, so that other run folders are not searched for them.
    """

    screen: Screen
    options: SpendingOptions
    fresh: bool = False

    def __call__(self, job: "Job", expected: "Estimate") -> None:
        """Look before drawing, show what it would cost, and ask; errors as `look` and `confirm`."""
        self.look(job.setup, job.tasks, job.folder, expected)
        self.confirm(expected)

    def look(self, setup: "Setup", tasks: "Sequence[Task]", run: Path, expected: "Estimate") -> None:
        """Refuse what cannot succeed and what need not be paid for; ask where keys go."""
        from blackbox_conformal.study.budget import are_stored, missing_key

        calls = expected.calls
        vendors = [vendor for vendor in (setup.adapter, setup.second) if vendor is not None]
        for vendor in vendors if calls else ():
            error = missing_key(vendor, tasks[0])
            if error is not None:
                raise error
        looked = calls and not self.fresh
        elsewhere = stored_elsewhere(self.screen, setup.adapter, tasks, run, expected.cost_usd) if looked else None
        if elsewhere is not None:
            # A run folder is typed for many reasons, so that it alone is no yes to paying twice.
            if spends(expected) and not (self.options.run is not None and self.options.yes):
                raise BudgetError(elsewhere)
            self.screen.note(f"note: {elsewhere}")
        if calls or not are_stored(setup.adapter, tasks, run):
            confirm_keys(self.screen, vendors, self.options)

    def confirm(self, expected: "Estimate") -> None:
        """Show the estimate and ask, unless nothing is spent or the user has said yes or set a limit to the cost.

        A project's settings file says neither, nor that a call costs nothing.
        """
        if not (spends(expected) or (expected.calls and _is_priced_by_project())):
            return
        _say_estimate(self.screen, expected)
        if self.options.yes or (self.options.max_cost is not None and not is_of_project("max_cost")):
            return
        if not sys.stdin.isatty():
            raise BudgetError(
                f"cannot ask for confirmation here, since there is no terminal. {_how_to_agree(expected)}"
            )
        with self.screen.paused():
            agreed = click.confirm("Spend this?", err=True)
        if not agreed:
            raise BudgetError(
                "not agreed to, so nothing was sent and nothing was spent; --max-cost sets a limit beforehand"
            )


def refuse_limit_of_project() -> None:
    """Refuse to spend unasked under limits that a project's settings file alone sets."""
    values = click.get_current_context().params
    given = [name for limit in LIMITS if values.get(name := limit.replace("-", "_")) is not None]
    if given and all(map(is_of_project, given)):
        raise BudgetError(
            f"expected a limit from you, since {origin_of(given[0])} can lower one and agrees to none. Type --max-cost "
            "USD, --max-cost-per-day USD or --max-calls NUMBER"
        )


def _is_priced_by_project() -> bool:
    values = click.get_current_context().params
    return any("price" in str(values.get(name)) for name in CHOOSERS if is_of_project(name))


def spends(expected: "Estimate") -> bool:
    """Whether calls are to be made that cost something, or might."""
    from blackbox_conformal.drawing.estimate import costs

    return costs(expected.calls, expected.cost_usd)


def stored_elsewhere(
    screen: Screen,
    adapter: "Adapter",
    tasks: "Sequence[Task]",
    run: Path,
    cost_usd: tuple[Decimal, Decimal] | None,
) -> str | None:
    """What to say when draws that would be made lie in another run folder; `cost_usd`: of making them in `run`."""
    from blackbox_conformal.cli.next_steps import again
    from blackbox_conformal.study.budget import stored_elsewhere

    other = stored_elsewhere(adapter, tasks, run, screen.note)
    if other is None:
        return None
    line = shlex.join(["blackbox-conformal", *again({"run"}), "--run", str(other.folder)])
    cost = "at an unknown price" if cost_usd is None else f"for {money(*cost_usd)}"
    return (
        f"{other.count} of these {len(tasks)} draws are stored in {other.folder}, and draws are shared only within a "
        f"run folder, here {run}. To use them: {line} (to draw all that {run} lacks {cost}, which buys them again, add "
        f"--run {shlex.quote(str(run))} --yes)"
    )


def _say_estimate(screen: Screen, expected: "Estimate") -> None:
    """What is to be bought, what may have to be bought again, its price, and what a plan says besides."""
    from blackbox_conformal.study.plan.planning import Plan

    again = f", and at most {expected.again} more for answers that are asked for again" if expected.again else ""
    price = "unknown" if expected.cost_usd is None else money(*expected.cost_usd)
    if expected.passed_on:
        again = f", and at most {expected.passed_on} more to later vendors of the cascade{again}"
    text = f"{counted(expected.calls, 'call')} to make{again}, {expected.cached} draws stored; price {price}"
    if isinstance(expected, Plan):
        text += f" in US dollars: {expected.price_rule}" if expected.cost_usd is None and expected.price_rule else ""
        text += f"; disk {mebibytes(expected.disk_bytes)}, memory {mebibytes(expected.memory_bytes)}"
        text += "" if expected.seconds is None else f"; about {expected.seconds:.0f} s at the allowed rate"
    screen.note(text)


def _how_to_agree(expected: "Estimate") -> str:
    if expected.cost_usd is None:
        return f"The price is unknown: add --yes --max-calls {expected.calls}, or -p price-usd=… and --max-cost"
    if expected.cached:
        more = money(*expected.cost_usd)
        return f"The estimate is {more} more: add --yes, or --max-cost for all these draws, earlier ones included"
    return f"The estimate is {money(*expected.cost_usd)}: add --max-cost {limit_above(expected.cost_usd[1])}, or --yes"
