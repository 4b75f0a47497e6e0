"""What a job may cost: what is known before a call is made, and the one budget that follows. Nothing is sent."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from blackbox_conformal.drawing.estimate import Estimate, KnownPrices, price_missing
from blackbox_conformal.drawing.ledger.places import has_ledger, reading
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.task import Task, draw_keys, idempotency_key, sent_to
from blackbox_conformal.drawing.work_item import FREE_REPEATS
from blackbox_conformal.errors import BudgetError, CredentialMissingError, LedgerError
from blackbox_conformal.study.spending import spending_on
from blackbox_conformal.support.text import dollars
from blackbox_conformal.vendor.adapter import EMPTY_ANSWER, Adapter, Draw, Send

AnyEstimate = TypeVar("AnyEstimate", bound=Estimate)


def refuse_unlimited(adapter: Adapter, limits: Limits, run: Path) -> None:
    """Refuse to spend money without a limit; what draws in the folder `run` were booked at counts as a price."""
    price = KnownPrices(adapter, run).of_any()
    if adapter.capabilities.local or (price is not None and price.high_usd == 0):
        return
    if not limits.budget.is_limited:
        raise BudgetError(
            f"drawing from {adapter.name} costs money: give max_cost (--max-cost) or max_calls (--max-calls)"
        )
    if limits.budget.limits_money and price is None:
        raise BudgetError(price_missing(adapter))


def total(first: AnyEstimate, *others: Estimate) -> AnyEstimate:
    """`first` with the calls, prices, times and room on disk of the `others` added; unknown where one is unknown."""
    estimates: list[Estimate] = [first, *others]
    prices = [estimate.cost_usd for estimate in estimates if estimate.cost_usd is not None]
    seconds = [estimate.seconds for estimate in estimates if estimate.seconds is not None]
    sizes = [estimate.disk_bytes for estimate in estimates if estimate.disk_bytes is not None]
    lowest, highest = (sum((price[end] for price in prices), Decimal(0)) for end in (0, 1))
    return replace(
        first,
        calls=sum(estimate.calls for estimate in estimates),
        cached=sum(estimate.cached for estimate in estimates),
        again=sum(estimate.again for estimate in estimates),
        passed_on=sum(estimate.passed_on for estimate in estimates),
        # One unknown price makes the sum unknown: adding only the others would understate it.
        cost_usd=(lowest, highest) if len(prices) == len(estimates) else None,
        seconds=sum(seconds) if len(seconds) == len(estimates) else None,
        disk_bytes=sum(sizes) if len(sizes) == len(estimates) else None,
    )


def agreed_limits(limits: Limits, expected: Estimate, runs: Collection[Path], scope: frozenset[str]) -> Limits:
    """A person's yes to a number of calls is a yes to them and to no more, on top of earlier calls for these draws.

    Calls for unusable answers, which `--max-resample` and `--retry-ambiguous` allow, are among them.

    `scope` holds the keys of the job's draws, which a limit is for; `runs` are their folders.
    """
    earlier = [spending_on(run, scope) for run in runs]
    spent = sum((spending.spent_usd for spending in earlier), Decimal(0))
    made = sum(spending.calls for spending in earlier)
    most, most_calls = limits.max_cost_usd, limits.max_calls
    needed = Decimal(0) if expected.cost_usd is None else expected.cost_usd[0]
    if expected.calls and most is not None and spent + needed > most:
        raise BudgetError(
            f"the {expected.calls} calls that are to be made cost at least {dollars(needed)}, and "
            f"--max-cost (max_cost) allows {dollars(most)}{_of_which(spent)}, so nothing was "
            "sent. Raise it, or take fewer pictures or draws"
        )
    if expected.calls and most_calls is not None and made + expected.calls > most_calls:
        raise BudgetError(
            f"{expected.calls} calls are to be made, and --max-calls (max_calls) allows {most_calls}"
            f"{_of_which(made)}, so nothing was sent. Raise it, or take fewer pictures or draws"
        )
    if not limits.budget.is_limited:
        # Calls at which the vendor fails for nothing are repeated within the same consent: they cost nothing.
        # Repeats that cost nothing belong to the same consent.
        most_calls = made + (expected.calls + expected.passed_on) * (1 + FREE_REPEATS) + expected.again
    return replace(limits, max_calls=most_calls, scope=scope)


def _of_which(made: Decimal | int) -> str:
    """That some of a limit is used up, by earlier runs of the same job."""
    if not made:
        return ""
    return f" with {dollars(made) if isinstance(made, Decimal) else made} used for these draws before"


_STEPS_BEFORE_SENDING = 8


def missing_key(adapter: Adapter, task: Task) -> CredentialMissingError | None:
    """What the adapter says of the key that its first request lacks; None when nothing lacks.

    The request is composed and thrown away: whether a key is needed may depend on the adapter's parameters. Whatever
    else is wrong with the request is told when it is sent.
    """
    if adapter.capabilities.local:
        return None
    if adapter.members:
        asked = ((vendor, sent_to(adapter, place, task, task.upload)) for place, vendor in enumerate(adapter.members))
        return next(filter(None, (missing_key(vendor, own) for vendor, own in asked)), None)
    # The key of a draw that is never sent.
    flow = adapter.draw(task.upload, Draw(task.index, task.seed, idempotency_key("sha256:composed")))
    try:
        step = next(flow)
        for _ in range(_STEPS_BEFORE_SENDING):
            if isinstance(step, Send):
                break
            step = flow.send(EMPTY_ANSWER)
    except CredentialMissingError as error:
        return error
    except Exception:  # noqa: BLE001 - a foreign adapter that was not opened may fail in any way
        return None
    finally:
        flow.close()
    return None


@dataclass(frozen=True, slots=True)
class StoredElsewhere:
    """`count` draws that `folder` holds, a run folder, and that the wanted one lacks."""

    folder: Path
    count: int


def stored_elsewhere(
    adapter: Adapter, tasks: Sequence[Task], run: Path, note: Callable[[str], object] = lambda text: None
) -> StoredElsewhere | None:
    """The run folder beside `run` that holds most of the draws that `run` lacks; None when no folder holds any.

    Ledgers are read only. One beside `run` that cannot be read is left out, and `note` says so.
    """
    if adapter.capabilities.local or not run.parent.is_dir():
        return None
    wanted = draw_keys(adapter, tasks) - _stored(run)
    beside = sorted(folder for folder in run.parent.glob("*") if has_ledger(folder))
    others = []
    for folder in beside:
        if folder.resolve() == run.resolve():
            continue
        try:
            others.append(StoredElsewhere(folder, len(wanted & _stored(folder))))
        except LedgerError as error:
            note(f"note: the run folder {folder} is left out: {error}")
    best = max(others, key=lambda other: other.count, default=None)
    return best if best is not None and best.count else None


def are_stored(adapter: Adapter, tasks: Sequence[Task], run: Path) -> bool:
    """Whether `run` holds the picture of every draw, so that nothing at all is asked of the vendor."""
    return adapter.capabilities.local or draw_keys(adapter, tasks) <= _stored(run)


def _stored(run: Path) -> set[str]:
    """Keys of the draws whose pictures `run` holds."""
    with reading(run, whole=False) as connection:
        if connection is None:
            return set()
        rows = connection.execute("SELECT task FROM attempt WHERE state IN ('stored', 'validated')")
        return {row["task"] for row in rows}
