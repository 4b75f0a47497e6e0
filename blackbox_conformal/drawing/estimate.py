"""What a set of draws would cost, from the ledger and the adapter's price list; files are only read."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from blackbox_conformal.drawing.ledger.attempts import COLUMNS, Attempt, attempt_from
from blackbox_conformal.drawing.ledger.billed import AS_LISTED, Billed, billed
from blackbox_conformal.drawing.ledger.places import reading, store_of
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.ledger.states import WHOLE
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.local_draws import answer_of
from blackbox_conformal.drawing.money import to_nano, to_usd
from blackbox_conformal.drawing.next_step import Done, NextStep, Submit, next_step
from blackbox_conformal.drawing.task import Task, asked_of, sent_to, task_keys
from blackbox_conformal.errors import PayloadError
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.vendor.adapter import Adapter, Price, Upload
from blackbox_conformal.vendor.rates import least_seconds

_BOOKED = "as earlier draws were booked"
_BYTES_PER_PIXEL = 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run before it starts.

    Attributes
    ----------
    calls
        Submissions that would be made and billed.
    cached
        Draws that need none: stored, or to be fetched from a job that is paid already.
    cost_usd
        Lowest and highest price of the calls, by what the vendor quoted or else by `KnownPrices`; None when neither is
        known.
    seconds
        Time that the calls take at best at the strictest request rate, with one poll a job; None without a rate.
    again
        Submissions that may come on top at most, for draws whose answer proves unusable, where limits allow them.
    passed_on
        Submissions that may come on top at most since earlier members of a cascade may not suffice; the highest price
        is with them.
    disk_bytes
        Room that the answers will need, by what earlier answers needed or else by the size of the pictures; None when
        the pictures are not known.
    """

    calls: int
    cached: int
    cost_usd: tuple[Decimal, Decimal] | None
    seconds: float | None
    disk_bytes: int | None
    again: int = 0
    passed_on: int = 0


def has_jobs(adapter: Adapter) -> bool:
    """Whether the vendor answers a submission with a job, which is polled."""
    return type(adapter).resume is not Adapter.resume


def costs(calls: int, cost_usd: tuple[Decimal, Decimal] | None) -> bool:
    """Whether so many calls are to be made and cost something, or might, as their price is None."""
    return calls > 0 and cost_usd != (Decimal(0), Decimal(0))


class KnownPrices:
    """Prices of draws: those of the adapter's list, or as draws in a run folder were booked, where that is more."""

    def __init__(self, adapter: Adapter, run: Path) -> None:
        self._adapter = adapter
        self._members = [KnownPrices(member, run) for member in adapter.members]
        self._billed = Billed()
        # Local vendors cost nothing, so their ledger is not read.
        if not (adapter.capabilities.local or adapter.members):
            with reading(run) as connection:
                if connection is not None:
                    self._billed = billed(connection, digest_json(adapter.identity()))

    def of_any(self) -> Price | None:
        """Price of a draw, over all sizes of uploads; None when none is listed and none was booked."""
        if self._members:
            return _of_cascade([member.of_any() for member in self._members])
        return self._raised(self._adapter.capabilities.price)

    def of(self, upload: Upload) -> Price | None:
        """Price of a draw of this upload; None as for `of_any`."""
        if self._members:
            sent = [self._adapter.sent(place, upload) for place in range(len(self._members))]
            return _of_cascade(
                [member.of(part) for member, own in zip(self._members, sent, strict=True) for part in own]
            )
        return self._raised(self._adapter.price_for(upload.width, upload.height))

    def of_these(self, uploads: Sequence[Upload]) -> Price | None:
        """Price of a draw of the cheapest and of the dearest of these uploads; `of_any` where there are none."""
        by_size = {(upload.width, upload.height): upload for upload in uploads}
        prices = [price for upload in by_size.values() if (price := self.of(upload)) is not None]
        # A price that is known for some uploads only would understate the whole.
        if not uploads or len(prices) < len(by_size):
            return None if uploads else self.of_any()
        cheapest = min(prices, key=lambda price: price.low_usd)
        dearest = max(prices, key=lambda price: price.high_usd)
        # The dearest price list with the cheapest low end: the range over all uploads.
        return replace(dearest, low=cheapest.low)

    def _raised(self, listed: Price | None) -> Price | None:
        known, (least, most) = self._billed, self._billed.booked_nanousd
        if listed is None or not listed.high_usd:
            # Nothing is listed, so the bookings are all there is.
            return Price(to_usd(least or most), to_usd(most), _BOOKED) if most else listed
        if not known.highest.exceeds(AS_LISTED):
            return listed
        low, high = known.lowest.raised(to_nano(listed.low_usd)), known.highest.raised(to_nano(listed.high_usd))
        return Price(to_usd(min(low, high)), to_usd(high), _BOOKED)


def _of_cascade(prices: Sequence[Price | None]) -> Price | None:
    """From what the first member asks to what all ask together; None where the price of one is not known."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    most = sum((price.high_usd for price in known), Decimal(0))
    return Price(known[0].low_usd, most, "; ".join(dict.fromkeys(price.source for price in known)))


def price_missing(adapter: Adapter) -> str:
    """What to do where money is limited and the price of a draw is unknown."""
    asked = ", which plan --quote asks for" if type(adapter).quote is not Adapter.quote else ""
    stated = adapter.unpriced or "add -p price-usd=0.02 with your vendor's price (price_usd in Python)"
    stated += f"{asked}, or "
    return (
        f"--max-cost (max_cost in Python) needs the price of one call, and none is known for {adapter.name}: "
        f"{stated if 'price_usd' in type(adapter).model_fields else ''}give --max-calls (max_calls) instead"
    )


def estimate(
    adapter: Adapter,
    run: Path,
    limits: Limits,
    tasks: Sequence[Task],
    *,
    quoted: Mapping[tuple[int, int], Decimal] | None = None,
) -> Estimate:
    """Estimate drawing `tasks` into the run folder `run`, which need not exist.

    Parameters
    ----------
    quoted
        (width, height) of every upload among the tasks → US dollars a draw, as the vendor quoted it.
    """
    capabilities = adapter.capabilities
    if adapter.members:
        return _estimate_of_cascade(adapter, run, limits, tasks)
    if capabilities.local:
        return Estimate(0, len(tasks), (Decimal(0), Decimal(0)), 0.0, 0)
    steps, mean_size = _next_steps(adapter, run, limits, tasks)
    missing = [task for task, step in zip(tasks, steps, strict=True) if isinstance(step, Submit)]
    # Every draw that is not done may be submitted again, also one whose job is only fetched.
    unsure = sum(not isinstance(step, Done) for step in steps)
    calls, cost = len(missing), _cost(KnownPrices(adapter, run), missing)
    if quoted is not None:
        total = sum((quoted[task.upload.width, task.upload.height] for task in missing), Decimal(0))
        cost = (total, total)
    # Area grows with the square of the factor.
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
    """What the members take: the lowest price for draws that are sure to be wanted, the highest for all that may be."""
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
    """Draws that one member of a cascade has to make, by the digest of the picture, and those that it may have to."""

    by_picture: list[tuple[str, Task]]
    possible: list[Task]

    @property
    def sure(self) -> list[Task]:
        """Those that it has to make, each once: two pictures may have a tile in common."""
        return _each_once([task for _, task in self.by_picture])

    @property
    def all(self) -> list[Task]:
        """Both."""
        return _each_once([*self.sure, *self.possible])


def _each_once(tasks: Sequence[Task]) -> list[Task]:
    return list({(task.upload.digest, task.index): task for task in tasks}.values())


def wanted_of(adapter: Adapter, run: Path, limits: Limits, tasks: Sequence[Task]) -> list[MemberDraws]:
    """What each member of a cascade is asked for, as far as the answers that the run folder holds tell; reads only."""
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
            # Before the last member, which alone is sent tiles, each picture is sent once.
            answers = _answers(vendor, run, limits, [sent for _, sent in own], store)
            for (task, _), answer in zip(own, answers, strict=True):
                if answer is None:
                    unsure.append(task)
                elif uploads := adapter.passed_on(place, task.upload, answer):
                    sure.append((task, uploads))
    return wanted


def _answers(vendor: Adapter, run: Path, limits: Limits, tasks: Sequence[Task], store: Store) -> Iterator[bytes | None]:
    """The stored answer to each task: no bytes for a refusal, None where there is none yet or it cannot be read."""
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
    """Whether each draw has its answer already, a picture or a refusal, so that the vendor is not asked again."""
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
    """What is left to do for each draw, and the mean size of a stored answer."""
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
    """Lowest and highest price of these draws together; None when one is not known."""
    if not tasks:
        return None if known.of_any() is None else (Decimal(0), Decimal(0))
    by_size = {(task.upload.width, task.upload.height): known.of(task.upload) for task in tasks}
    prices = [price for task in tasks if (price := by_size[task.upload.width, task.upload.height]) is not None]
    if len(prices) < len(tasks):
        return None
    return sum((price.low_usd for price in prices), Decimal(0)), sum((price.high_usd for price in prices), Decimal(0))


def calls_again(limits: Limits) -> int:
    """Submissions of one draw that may come on top of the first, for answers that prove unusable."""
    return limits.max_resample + (limits.max_attempts - 1 if limits.retry_ambiguous else 0)


def _read(run: Path, keys: Sequence[str]) -> tuple[list[list[Attempt]], float | None]:
    """Attempts at each key, and the mean size of a stored answer."""
    by_key: dict[str, list[Attempt]] = {key: [] for key in keys}
    mean: float | None = None
    with reading(run) as connection:
        if connection is None:
            return [[] for _ in keys], None
        # One pass over all rows: asking for each key would take a query for each draw.
        for row in connection.execute(f"SELECT {COLUMNS} FROM attempt ORDER BY id"):
            if row["task"] in by_key:
                by_key[row["task"]].append(attempt_from(row))
        mean = connection.execute("SELECT AVG(size) FROM attempt WHERE state IN ('stored', 'validated')").fetchone()[0]
    return [by_key[key] for key in keys], mean
