"""Estimates the cost of draws before the first call; sends nothing and only reads files."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeVar

from blackbox_conformal.drawing.ledger.attempts import COLUMNS, Attempt, attempt_from
from blackbox_conformal.drawing.ledger.backends import has_ledger, reading, store_of
from blackbox_conformal.drawing.ledger.money import Totals, to_nano
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.ledger.states import WHOLE
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.local_draws import answer_of
from blackbox_conformal.drawing.next_step import FREE_REPEATS, Done, NextStep, Submit, next_step
from blackbox_conformal.drawing.spending.prices import KnownPrices
from blackbox_conformal.drawing.spending.spent import spending_on
from blackbox_conformal.drawing.task import Task, asked_of, draw_keys, idempotency_key, sent_to, task_keys
from blackbox_conformal.errors import BudgetError, CredentialMissingError, LedgerError, PayloadError
from blackbox_conformal.vendor.adapter import EMPTY_ANSWER, Adapter, Draw, Send
from blackbox_conformal.vendor.rates import least_seconds

_BYTES_PER_PIXEL = 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run before it starts."""

    calls: int  # Submissions that would be made and billed.
    cached: int  # Draws that need no submission: stored, or with a job that is already paid.
    # Lowest and highest price of the calls, as quoted or by `KnownPrices`; None if neither is known.
    cost_usd: tuple[Decimal, Decimal] | None
    # Least time of the calls at the strictest request rate, with one poll a job; None without a rate.
    seconds: float | None
    # Room for the answers, by earlier answers or else by the pictures' size; None if the pictures are not known.
    disk_bytes: int | None
    again: int = 0  # Further submissions at most, for unusable answers, if limits allow them.
    # Further submissions at most, if answers of earlier members of a cascade do not suffice; in the highest price.
    passed_on: int = 0


def has_jobs(adapter: Adapter) -> bool:
    """Tell whether the vendor answers a submission with a job, which is polled."""
    return type(adapter).resume is not Adapter.resume


def costs(calls: int, cost_usd: tuple[Decimal, Decimal] | None) -> bool:
    """Tell whether so many calls cost something, or might, if their price is None."""
    return calls > 0 and cost_usd != (Decimal(0), Decimal(0))


def estimate(
    adapter: Adapter,
    run: Path,
    limits: Limits,
    tasks: Sequence[Task],
    *,
    quoted: Mapping[tuple[int, int], Decimal] | None = None,
) -> Estimate:
    """Estimate drawing `tasks` into the run folder `run`, which need not exist.

    `quoted`: (width, height) of every upload → US dollars a draw, as the vendor quoted it.
    """
    capabilities = adapter.capabilities
    if adapter.members:
        return _estimate_of_cascade(adapter, run, limits, tasks)
    if capabilities.local:
        return Estimate(0, len(tasks), (Decimal(0), Decimal(0)), 0.0, 0)
    steps, mean_size = _next_steps(adapter, run, limits, tasks)
    missing = [task for task, step in zip(tasks, steps, strict=True) if isinstance(step, Submit)]
    # Every unfinished draw may be submitted again, even one whose job is only fetched.
    unsure = sum(not isinstance(step, Done) for step in steps)
    calls, cost = len(missing), _cost(KnownPrices(adapter, run), missing)
    if quoted is not None:
        total = sum((quoted[task.upload.width, task.upload.height] for task in missing), Decimal(0))
        cost = (total, total)
    enlarged = max(capabilities.scale_factors, default=1) ** 2 * _BYTES_PER_PIXEL
    sizes = sum(mean_size or task.upload.width * task.upload.height * enlarged for task in missing)
    return Estimate(
        calls=calls,
        cached=len(tasks) - calls,
        cost_usd=cost,
        seconds=least_seconds(limits.for_vendor(capabilities).rates or (), calls, calls if has_jobs(adapter) else 0),
        disk_bytes=round(sizes),
        again=unsure * calls_again(limits),
    )


def _estimate_of_cascade(adapter: Adapter, run: Path, limits: Limits, tasks: Sequence[Task]) -> Estimate:
    # The lowest price counts the sure draws, the highest all possible ones.
    wanted = wanted_of(adapter, run, limits, tasks)
    sure = [estimate(vendor, run, limits, own.sure) for vendor, own in zip(adapter.members, wanted, strict=True)]
    most = [estimate(vendor, run, limits, own.all) for vendor, own in zip(adapter.members, wanted, strict=True)]
    lowest = [one.cost_usd[0] for one in sure if one.cost_usd is not None]
    highest = [one.cost_usd[1] for one in most if one.cost_usd is not None]
    priced = len(lowest) == len(highest) == len(most)
    seconds = [one.seconds for one in most if one.seconds is not None]
    calls, at_most = (sum(one.calls for one in each) for each in (sure, most))
    return Estimate(
        calls=calls,
        cached=sum(one.cached for one in sure),
        cost_usd=(sum(lowest, Decimal(0)), sum(highest, Decimal(0))) if priced else None,
        seconds=sum(seconds) if len(seconds) == len(most) else None,
        disk_bytes=sum(one.disk_bytes or 0 for one in most),
        again=sum(one.again for one in most),
        passed_on=at_most - calls,
    )


class MemberDraws(NamedTuple):
    """Draws of one member of a cascade: sure ones, by digest of the picture, and possible ones."""

    by_picture: list[tuple[str, Task]]
    possible: list[Task]

    @property
    def sure(self) -> list[Task]:
        """Return the sure draws, each once: two pictures may share a tile."""
        return _each_once([task for _, task in self.by_picture])

    @property
    def all(self) -> list[Task]:
        return _each_once([*self.sure, *self.possible])


def _each_once(tasks: Sequence[Task]) -> list[Task]:
    return list({(task.upload.digest, task.index): task for task in tasks}.values())


def wanted_of(adapter: Adapter, run: Path, limits: Limits, tasks: Sequence[Task]) -> list[MemberDraws]:
    """Return the draws of each member of a cascade, as far as the folder's answers tell."""
    wanted = [MemberDraws([], []) for _ in adapter.members]
    sure = [(task, adapter.sent(0, task.upload)) for task in tasks]
    unsure: list[Task] = []
    with closing(store_of(run)) as store:
        for place, vendor in enumerate(adapter.members):
            own = [(task, sent_to(adapter, place, task, upload)) for task, uploads in sure for upload in uploads]
            wanted[place].by_picture.extend((task.upload.digest, sent) for task, sent in own)
            wanted[place].possible.extend(asked_of(adapter, unsure)[place][1])
            if place == len(wanted) - 1:
                break
            sure = []
            # Only the last member is sent tiles; each earlier one gets every picture once.
            answers = _answers(vendor, run, limits, [sent for _, sent in own], store)
            for (task, _), answer in zip(own, answers, strict=True):
                if answer is None:
                    unsure.append(task)
                elif uploads := adapter.passed_on(place, task.upload, answer):
                    sure.append((task, uploads))
    return wanted


def _answers(vendor: Adapter, run: Path, limits: Limits, tasks: Sequence[Task], store: Store) -> Iterator[bytes | None]:
    # Yields empty bytes for a refusal, None without a readable answer.
    if vendor.capabilities.local:
        yield from (answer_of(vendor, task) for task in tasks)
        return
    for step in _next_steps(vendor, run, limits, tasks)[0]:
        attempt = step.attempt if isinstance(step, Done) else None
        if attempt is None or attempt.state not in (*WHOLE, "refused"):
            yield None
        elif attempt.state == "refused" or attempt.digest is None:
            yield b""
        else:
            try:
                yield store.read(attempt.digest)
            except PayloadError:
                yield None


def answered(adapter: Adapter, run: Path, limits: Limits, tasks: Sequence[Task]) -> list[bool]:
    """Tell for each draw whether it has its answer, a picture or a refusal."""
    if adapter.capabilities.local:
        return [True for _ in tasks]
    if adapter.members:
        missing = {
            picture
            for vendor, own in zip(adapter.members, wanted_of(adapter, run, limits, tasks), strict=True)
            for (picture, _), there in zip(
                own.by_picture, answered(vendor, run, limits, [task for _, task in own.by_picture]), strict=True
            )
            if not there
        }
        return [task.upload.digest not in missing for task in tasks]
    return [isinstance(step, Done) for step in _next_steps(adapter, run, limits, tasks)[0]]


def _next_steps(
    adapter: Adapter, run: Path, limits: Limits, tasks: Sequence[Task]
) -> tuple[list[NextStep], float | None]:
    attempts_by_task, mean_size = _read(run, task_keys(adapter.identity(), tasks))
    stored = {attempt.digest for attempts in attempts_by_task for attempt in attempts if attempt.state in WHOLE}
    with closing(store_of(run)) as store:
        now, on_disk = time.time(), store.among({digest for digest in stored if digest is not None})
    replayable = adapter.capabilities.idempotency_header is not None
    steps = [
        next_step(attempts, limits, on_disk=on_disk, replayable=replayable, now=now) for attempts in attempts_by_task
    ]
    return steps, mean_size


def _cost(known: KnownPrices, tasks: Sequence[Task]) -> tuple[Decimal, Decimal] | None:
    if not tasks:
        return None if known.of_any() is None else (Decimal(0), Decimal(0))
    by_size = {(task.upload.width, task.upload.height): known.of(task.upload) for task in tasks}
    prices = [price for task in tasks if (price := by_size[task.upload.width, task.upload.height]) is not None]
    if len(prices) < len(tasks):
        return None
    return sum((price.low_usd for price in prices), Decimal(0)), sum((price.high_usd for price in prices), Decimal(0))


def calls_again(limits: Limits) -> int:
    """Return how many submissions of one draw may follow the first, for unusable answers."""
    return limits.max_resample + (limits.max_attempts - 1 if limits.retry_ambiguous else 0)


def _read(run: Path, keys: Sequence[str]) -> tuple[list[list[Attempt]], float | None]:
    by_key: dict[str, list[Attempt]] = {key: [] for key in keys}
    mean: float | None = None
    with reading(run) as connection:
        if connection is None:
            return [[] for _ in keys], None
        # One pass over all rows, instead of a query for each draw.
        for row in connection.execute(f"SELECT {COLUMNS} FROM attempt ORDER BY id"):
            if row["task"] in by_key:
                by_key[row["task"]].append(attempt_from(row))
        mean = connection.execute("SELECT AVG(size) FROM attempt WHERE state IN ('stored', 'validated')").fetchone()[0]
    return [by_key[key] for key in keys], mean


AnyEstimate = TypeVar("AnyEstimate", bound=Estimate)


def total(first: AnyEstimate, *others: Estimate) -> AnyEstimate:
    """Add the `others` to `first`; an unknown value of one is unknown for all."""
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
    """Make a person's yes to a number of calls the limit, on top of earlier calls for these draws.

    The limit includes calls for unusable answers, which `--max-resample` and `--retry-ambiguous` allow. A limit that is
    known to be too small is refused.

    `runs`, `scope`: The run folders of the job's draws, and the draws' keys.
    """
    earlier = [spending_on(run, scope) for run in runs]
    spent = sum((spending.spent_usd for spending in earlier), Decimal(0))
    made = sum(spending.calls for spending in earlier)
    if expected.calls:
        needed = Decimal(0) if expected.cost_usd is None else expected.cost_usd[0]
        # The limit of a day ends the run when it is reached, and the next day goes on.
        budget, totals = replace(limits.budget, max_cost_per_day_usd=None), Totals(to_nano(spent), calls=made)
        try:
            budget.check(totals, to_nano(needed), expected.calls, bound="at least")
        except BudgetError as error:
            raise BudgetError(f"{error}, or take fewer pictures or draws; nothing was sent") from None
    if limits.budget.is_limited:
        return replace(limits, scope=scope)
    # The same consent covers repeated calls after failures of the vendor that cost nothing.
    most_calls = made + (expected.calls + expected.passed_on) * (1 + FREE_REPEATS) + expected.again
    return replace(limits, max_calls=most_calls, scope=scope)


_STEPS_BEFORE_SENDING = 8


def missing_key(adapter: Adapter, task: Task) -> CredentialMissingError | None:
    """Return the adapter's error about a key that its first request lacks, or None.

    The request is composed and thrown away: the adapter's parameters may decide whether a key is needed. Sending
    reports
    other faults.
    """
    if adapter.capabilities.local:
        return None
    if adapter.members:
        asked = ((vendor, sent_to(adapter, place, task, task.upload)) for place, vendor in enumerate(adapter.members))
        return next(filter(None, (missing_key(vendor, own) for vendor, own in asked)), None)
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
    """`count` draws that the run folder `folder` holds and the wanted one lacks."""

    folder: Path
    count: int


def stored_elsewhere(
    adapter: Adapter, tasks: Sequence[Task], run: Path, note: Callable[[str], object] = lambda text: None
) -> StoredElsewhere | None:
    """Return the run folder beside `run` that holds most of the draws that `run` lacks, or None.

    Ledgers are only read; an unreadable one is left out, and `note` is told.
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
    """Tell whether `run` holds the picture of every draw, so that the vendor is asked nothing."""
    return adapter.capabilities.local or draw_keys(adapter, tasks) <= _stored(run)


def _stored(run: Path) -> set[str]:
    with reading(run, whole=False) as connection:
        if connection is None:
            return set()
        rows = connection.execute("SELECT task FROM attempt WHERE state IN ('stored', 'validated')")
        return {row["task"] for row in rows}
