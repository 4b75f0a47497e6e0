"""A run folder and a vendor that are open: what they need is opened here, joined together, and closed."""

import contextlib
from decimal import Decimal
from functools import partial
from pathlib import Path

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.canonical import digest_json
from blackbox_conformal.errors import UsageError
from blackbox_conformal.files import make_private
from blackbox_conformal.rates import Rate
from blackbox_conformal.sampling.acceptance import Acceptance
from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.events import EventBoard
from blackbox_conformal.sampling.http.transport import Transport
from blackbox_conformal.sampling.inspecting import inspect_vendor
from blackbox_conformal.sampling.ledger.attempt_ledger import Ledger
from blackbox_conformal.sampling.ledger.sample_store import Store
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.sampling.pacing.rate_limiter import SharedRateLimiter, pace_file
from blackbox_conformal.sampling.pacing.retry import Retrier, RetryBudget
from blackbox_conformal.sampling.prices import Prices
from blackbox_conformal.sampling.reservations import Reservations
from blackbox_conformal.sampling.run_control import RunControl
from blackbox_conformal.sampling.turn_taking import TurnTaking
from blackbox_conformal.sampling.work_item import Processor


class OpenRun:
    """Owns the run folder, and settles on opening what an earlier session left.

    Raises
    ------
    UsageError
        The folder cannot be written.
    LedgerError
        The ledger is in use, damaged, newer, foreign, or on a network disk.
    """

    def __init__(self, adapter: Adapter, run: Path, limits: Limits, clock: Clock, board: EventBoard) -> None:
        self._identity, self._limits, self._clock, self._board = adapter.identity(), limits, clock, board
        self._abandoned = self._inspected = False
        try:
            make_private(run)
        except OSError as error:
            raise UsageError(f"expected a run folder that can be written; {run}: {error.strerror}") from None
        with contextlib.ExitStack() as stack:
            self._store = Store(run)
            stack.callback(self._store.flush)
            self._ledger = Ledger(run)
            stack.callback(self._ledger.close)
            self._store.prepare()
            _recover(self._ledger, self._store)
            self._adapter = adapter.open()
            stack.callback(self._adapter.close)
            capabilities = self._adapter.capabilities
            self._transport = Transport(
                self._adapter.base_url, capabilities.result_hosts, limits, self._adapter.token_url
            )
            stack.callback(self._close_transport)
            self._rate_limiter = SharedRateLimiter(
                self._adapter, limits.rates or (), clock, pace_file(), partial(board.tell, "pace")
            )
            stack.callback(self._rate_limiter.close)
            self._breaker = CircuitBreaker(
                clock.monotonic,
                probe_timeout_s=limits.answer_timeout_s + 30.0,
                announce=self._rate_limiter.announce_pause,
            )
            self._ledger.limit(limits.budget)
            # A vendor that billed more than its table says is expected to do so again.
            billed = self._ledger.billed(digest_json(self._identity))
            source = "" if capabilities.price is None else capabilities.price.source
            self._prices = Prices(billed, source, limited=limits.max_cost_usd is not None, board=board)
            self._stack = stack.pop_all()

    @property
    def rates(self) -> tuple[Rate, ...]:
        """How many requests may go in a time."""
        return self._rate_limiter.rates

    @property
    def most_workers(self) -> int:
        """The largest number of draws that may ever be under way at once."""
        return self._limits.most_workers

    def begin(self, control: RunControl, acceptance: Acceptance) -> Processor:
        """What draws one set of tasks."""
        limits, clock, board = self._limits, self._clock, self._board
        concurrency = AdaptiveConcurrency(limits.first_workers, limits.most_workers, clock.monotonic)
        turns = TurnTaking(self._breaker, self._rate_limiter, concurrency, limits, clock, board)
        budget = RetryBudget(limits.most_workers)
        reservations = Reservations(
            ledger=self._ledger,
            prices=self._prices,
            turns=turns,
            store=self._store,
            most_workers=limits.most_workers,
            control=control,
            clock=clock,
            board=board,
        )
        return Processor(
            adapter=self._adapter,
            identity=self._identity,
            limits=limits,
            ledger=self._ledger,
            store=self._store,
            transport=self._transport,
            reservations=reservations,
            turns=turns,
            concurrency=concurrency,
            retrier=Retrier(limits, clock, control, self._breaker, concurrency, budget, board),
            acceptance=acceptance,
            control=control,
            clock=clock,
            board=board,
        )

    def inspect(self) -> None:
        """Read what the vendor publishes of itself, once; errors as `inspect_vendor`."""
        if not self._inspected:
            told = inspect_vendor(self._adapter, self._limits)
            self._inspected = True
            if told is not None:
                self._board.tell("inspected", told)

    def flush(self) -> None:
        """Return once the names of all samples are durable."""
        self._store.flush()

    def spent_usd(self) -> tuple[Decimal, Decimal]:
        """Dollars spent and reserved, as the limit on money counts them: those of other jobs are left out."""
        spent, reserved, _ = self._ledger.totals()
        return spent, reserved

    def abandon(self) -> None:
        """Leave the connections open when closing: threads that nobody waits for may still use them."""
        self._abandoned = True

    def close(self) -> None:
        """Record what is done, and give the folder up."""
        self._stack.close()

    def _close_transport(self) -> None:
        if not self._abandoned:
            self._transport.close()


def _recover(ledger: Ledger, store: Store) -> None:
    """Take over what a session that died left: jobs and answers in the inbox first, then everything half done."""
    for attempt, job, report in store.jobs():
        ledger.adopt_job(attempt, job, report)
        store.forget_job(attempt)
    for arrival in store.arrivals():
        ledger.adopt(arrival.attempt, arrival.digest, arrival.size, arrival.report)
        store.settle(arrival)
    store.flush()
    ledger.recover()
