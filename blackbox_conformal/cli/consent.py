"""Before anything is spent: the estimate, what is missing, what lies elsewhere, and the question.

What is spent lives in `sampling`.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from blackbox_conformal.cli.console import Screen, money
from blackbox_conformal.errors import BudgetError

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter
    from blackbox_conformal.pipeline.plan import Plan
    from blackbox_conformal.pipeline.stages.prepare import Prepared
    from blackbox_conformal.pipeline.stages.settings import Setup
    from blackbox_conformal.sampling.estimate import Estimate
    from blackbox_conformal.sampling.limits import Limits
    from blackbox_conformal.sampling.task import Task

PlanType = TypeVar("PlanType", "Plan", "Estimate")


def say_plan(screen: Screen, plan: "Plan") -> None:
    """The estimate, for people."""
    cost = "unknown" if plan.cost_usd is None else money(*plan.cost_usd)
    screen.note(
        f"{plan.calls} calls to make, {plan.cached} draws stored; price {cost}; "
        f"disk {plan.disk_bytes / 2**20:.0f} MiB, memory {plan.memory_bytes / 2**20:.0f} MiB"
        + ("" if plan.seconds is None else f"; about {plan.seconds:.0f} s at the allowed rate")
    )


def tell_elsewhere(screen: Screen, adapter: "Adapter", tasks: "Sequence[Task]", run: Path) -> None:
    """Say when draws that would be made lie in another run folder."""
    from blackbox_conformal.pipeline.prices.at_stake import stored_elsewhere

    found = stored_elsewhere(adapter, tasks, run)
    if found is not None:
        screen.note(
            f"note: {found.count} of these {len(tasks)} draws are stored in {found.folder}, and draws are shared only "
            f"within a run folder; add --run {found.folder} to use them"
        )


def look_before_drawing(screen: Screen, setup: "Setup", tasks: "Sequence[Task]", run: Path, calls: int) -> None:
    """Refuse what cannot succeed, and say what need not be paid, before anyone is asked to pay.

    Raises
    ------
    CredentialMissingError
        The key of a vendor is not set, and calls are to be made.
    """
    from blackbox_conformal.pipeline.prices.at_stake import missing_key

    if not calls:
        return
    for vendor in filter(None, (setup.adapter, setup.second)):
        trouble = missing_key(vendor, tasks[0])
        if trouble is not None:
            raise trouble
    tell_elsewhere(screen, setup.adapter, tasks, run)


def with_second(
    expected: "PlanType", setup: "Setup", pictures: "Sequence[Prepared]", run: Path, limits: "Limits", seed: int
) -> "PlanType":
    """A plan or estimate for `pictures` together with the calls of the second vendor, where a score needs one."""
    from blackbox_conformal.pipeline.stages.second import second_tasks
    from blackbox_conformal.sampling.estimate import estimate

    if setup.second is None:
        return expected
    other = estimate(setup.second, run, limits, list(second_tasks(setup, pictures, seed).values()))
    first, second = expected.cost_usd, other.cost_usd
    return replace(
        expected,
        calls=expected.calls + other.calls,
        cached=expected.cached + other.cached,
        cost_usd=None if first is None or second is None else (first[0] + second[0], first[1] + second[1]),
    )


def confirm_spending(screen: Screen, plan: "Plan", options: dict[str, Any]) -> None:
    """Show the estimate and ask, unless nothing is spent or the user has said yes or set a limit.

    Raises
    ------
    BudgetError
        The answer is no, or there is no terminal to ask at.
    """
    if plan.calls == 0 or plan.cost_usd == (Decimal(0), Decimal(0)):
        return
    say_plan(screen, plan)
    _ask(screen, options)


def confirm_draws(
    screen: Screen, adapter: "Adapter", calibration: Any, sources: Sequence[Any], options: dict[str, Any]
) -> int:
    """Ask before spending on draws of pictures that are masked (name and source) or audited (paths).

    Returns
    -------
    int
        The calls that were agreed to.

    Raises
    ------
    BudgetError
        The answer is no, or there is no terminal to ask at.
    CredentialMissingError
        The vendor's key is not set, and calls are to be made.
    """
    from blackbox_conformal.cli import session
    from blackbox_conformal.pipeline.stages.prepare import prepare_input, prepare_photographs
    from blackbox_conformal.pipeline.stages.settings import set_up_as
    from blackbox_conformal.sampling.estimate import estimate

    second = session.open_second_vendor(options, calibration.procedure.second_opinion)
    setup = set_up_as(adapter, calibration.procedure, second)
    memory, seed = options.get("memory"), options["seed"]
    if sources and isinstance(sources[0], tuple):
        pictures = [prepare_input(source, name, setup, seed, memory_bytes=memory) for name, source in sources]
    else:
        pictures = prepare_photographs(list(sources), setup, seed, screen.step, memory_bytes=memory)
    if _are_seen(pictures, calibration):
        # What follows refuses them; nobody need agree to a price first.
        return 0
    unique = {picture.input_digest: picture for picture in pictures}
    distinct = list(unique.values())
    tasks = [task for picture in distinct for task in picture.tasks]
    run, limits = session.folder_of(options, calibration.procedure), session.build_limits(options)
    expected = with_second(estimate(adapter, run, limits, tasks), setup, distinct, run, limits, seed)
    look_before_drawing(screen, setup, tasks, run, expected.calls)
    confirm_calls(screen, expected, options)
    return expected.calls


def confirm_calls(screen: Screen, expected: "Estimate", options: dict[str, Any]) -> None:
    """Show what the calls would cost and ask, unless nothing is spent or the user has said yes or set a limit.

    Raises
    ------
    BudgetError
        The answer is no, or there is no terminal to ask at.
    """
    if expected.calls == 0 or expected.cost_usd == (Decimal(0), Decimal(0)):
        return
    cost = "unknown" if expected.cost_usd is None else money(*expected.cost_usd)
    screen.note(f"{expected.calls} calls to make, {expected.cached} draws stored; price {cost}")
    _ask(screen, options)


def _are_seen(pictures: "Sequence[Prepared]", calibration: Any) -> bool:
    """Whether a picture was used for calibration, for which nothing is guaranteed; a set-up has none."""
    images = getattr(calibration, "images", ())
    inputs = {image.input for image in images}
    truths = {image.truth for image in images}
    tuning = set(getattr(calibration, "tuning", ()))
    return any(
        one.input_digest in (inputs | truths if one.truth_digest is None else inputs)
        or one.truth_digest in truths | tuning
        for one in pictures
    )


def _ask(screen: Screen, options: dict[str, Any]) -> None:
    """A person's yes, unless it was given before.

    Raises
    ------
    BudgetError
        The answer is no, or there is no terminal to ask at.
    """
    if options["yes"] or options["max_cost"] is not None:
        return
    if not sys.stdin.isatty():
        raise BudgetError("this would spend money and there is no terminal to ask at: give --yes or --max-cost")
    with screen.paused():
        agreed = click.confirm("Spend this?", err=True)
    if not agreed:
        raise BudgetError(
            "not agreed to, so nothing was sent and nothing was spent; --max-cost sets a limit beforehand"
        )


def limits_after_consent(limits: "Limits", calls: int, run: Path) -> "Limits":
    """A person's yes to a number of calls is a yes to them and to no more; calls of earlier runs are counted on top."""
    from blackbox_conformal.sampling.record.ledgerfile import ledger_path
    from blackbox_conformal.sampling.record.queries import ledger_ls
    from blackbox_conformal.sampling.record.states import COUNTED

    if limits.max_calls is not None or limits.max_cost_usd is not None:
        return limits
    earlier = len(ledger_ls(run, COUNTED)) if ledger_path(run).exists() else 0
    return replace(limits, max_calls=earlier + calls)
