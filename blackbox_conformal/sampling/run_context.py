"""What all workers of a run share, and the few steps that concern everybody: budget, pace, disk space.

One draw's course lives in `conversation` and `drawing`; threads and order in `sampler`.
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.errors import BlackboxConformalError, BudgetError, IncompleteError
from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.events import EventBoard
from blackbox_conformal.sampling.expected_models import ExpectedModels
from blackbox_conformal.sampling.http.transport import Transport
from blackbox_conformal.sampling.ledger.allowance import Allowance, Sums
from blackbox_conformal.sampling.ledger.attempt_ledger import Ledger
from blackbox_conformal.sampling.ledger.attempts import AttemptSpec
from blackbox_conformal.sampling.ledger.sample_store import Store
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.money import to_nano, to_usd
from blackbox_conformal.sampling.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.sampling.pacing.rate_limiter import SharedRateLimiter, pace_file
from blackbox_conformal.sampling.pacing.retry import Retrier, RetryBudget
from blackbox_conformal.sampling.prices import Prices
from blackbox_conformal.sampling.run_control import RunControl, StoppedError
from blackbox_conformal.sampling.task import Task

LEAST_FREE_BYTES = 64 * 1024 * 1024


@dataclass
class RunContext:
    """One run folder at work; `control`, `models` and `retrier` are new for each set of tasks."""

    adapter: Adapter
    identity: str
    limits: Limits
    ledger: Ledger
    store: Store
    transport: Transport
    board: EventBoard
    clock: Clock
    check: Callable[[bytes, Task], None] | None
    control: RunControl
    calibrated: Collection[str] = ()
    counted: Callable[[Task, str], None] | None = None

    def __post_init__(self) -> None:
        capabilities = self.adapter.capabilities
        self.idempotency_header = capabilities.idempotency_header
        most, counted = self.limits.max_cost_usd, self.limits.counted
        self._allowance = Allowance(
            None if most is None else to_nano(most),
            self.limits.max_calls,
            Sums() if counted is None else self.ledger.sums_of_others(counted),
        )
        self.rate_limiter = SharedRateLimiter(
            self.adapter,
            self.limits.requests_per_second,
            self.clock,
            pace_file(),
            lambda why: self.board.tell("pace", why),
        )
        self.breaker = CircuitBreaker(
            self.clock.monotonic,
            probe_timeout_s=self.limits.attempt_timeout_s + 30.0,
            announce=self.rate_limiter.announce_pause,
        )
        self._settled = threading.Condition()
        self._trying = self._holding = self._settlements = 0
        # A vendor that billed more than its table says is expected to do so again.
        self.prices = Prices(
            capabilities.price, *self.ledger.billed(self.identity), limited=most is not None, board=self.board
        )
        self._largest = 0
        self._room_until = -1.0
        self.renew(self.control)

    def renew(self, control: RunControl) -> None:
        """Begin a new set of tasks."""
        self.control = control
        self.models = ExpectedModels(self.calibrated)
        self.concurrency = AdaptiveConcurrency(
            self.limits.first_workers, self.limits.most_workers, self.clock.monotonic
        )
        budget = RetryBudget(self.limits.most_workers)
        self.retrier = Retrier(self.limits, self.clock, control, self.breaker, self.concurrency, budget, self.board)

    def reserve(self, want: AttemptSpec, planned: int | None, price_nanousd: int) -> int:
        """Reserve the price of a submission; waits while others under way may still give some of theirs back.

        Raises
        ------
        StoppedError
            The limit is reached and nothing under way can change that, which stops the run; or it was stopped before.
        """
        if planned is not None:
            self.ledger.claim(planned)
        while not self.control.stopping.is_set():
            with self._settled:
                self._trying += 1
                seen = self._settlements
            failure: BudgetError | None = None
            held = 0
            try:
                attempt = self.ledger.reserve(want, planned, price_nanousd, self._allowance)
                held = 1
            except BudgetError as error:
                failure = error
            finally:
                with self._settled:
                    self._trying -= 1
                    self._holding += held
                    self._settled.notify_all()
            if failure is None:
                self._count_hold(price_nanousd)
                return attempt
            with self._settled:
                # Only a settlement can make room. Another worker's failure is no reason to try again: workers that
                # wake each other so would never find the moment at which nobody tries.
                while self._settlements == seen and (self._holding or self._trying):
                    if self.control.stopping.is_set():
                        raise StoppedError
                    self._settled.wait(0.2)
                if self._settlements == seen:
                    why = self.prices.explanation()
                    self.control.fail(BudgetError(f"{failure}; {why}") if why else failure)
                    self._settled.notify_all()
                    break
        raise StoppedError

    def depart(self, want: AttemptSpec, planned: int, price_nanousd: int) -> bool:
        """Reserve the price and record the sending in one commit, when there is no turn to wait for.

        False when there is one, or when the price cannot be reserved: then `reserve` and `wait_turn` are to follow.

        Raises
        ------
        StoppedError
            The run was stopped before.
        """
        if self.control.stopping.is_set():
            raise StoppedError
        self._heed_others()
        if self.limits.requests_per_second is not None or not self.breaker.is_closed():
            return False
        held = 0
        with self._settled:
            self._trying += 1
        try:
            self.ledger.depart(want, planned, price_nanousd, self._allowance)
            held = 1
        except BudgetError:
            pass
        finally:
            with self._settled:
                self._trying -= 1
                self._holding += held
                self._settled.notify_all()
        if held:
            self._count_hold(price_nanousd)
        return held == 1

    def hold(self, price_nanousd: int) -> None:
        """A price is reserved again, for a submission that is repeated."""
        with self._settled:
            self._holding += 1
        self._count_hold(price_nanousd)

    def _count_hold(self, price_nanousd: int) -> None:
        self.board.count(reserved_nanousd=price_nanousd, in_flight=1)

    def settle(self, price_nanousd: int, cost_nanousd: int) -> None:
        """A reserved price was booked at this cost; 0 when it was given back."""
        with self._settled:
            self._holding -= 1
            self._settlements += 1
            self._settled.notify_all()
        self.board.count(reserved_nanousd=-price_nanousd, spent_nanousd=cost_nanousd, in_flight=-1)

    def wait_turn(self, wake: threading.Event, gated: bool = True) -> None:
        """Wait for the shared pause (unless not `gated`: a host of its own) and for a turn at the request rate.

        Raises
        ------
        StoppedError
            `wake` was set first.
        """
        if wake.is_set():
            raise StoppedError
        if gated:
            self._pass_gate(wake)
        seconds = self.rate_limiter.reserve()
        if seconds > 0:
            if self.clock.sleep(seconds, wake):
                self.rate_limiter.cancel()
                self.breaker.abandon_probe()
                raise StoppedError
            if gated:
                # The vendor may have asked for a pause meanwhile.
                self._pass_gate(wake)

    def _pass_gate(self, wake: threading.Event) -> None:
        worker = threading.get_ident()
        self._heed_others()
        while (seconds := self.breaker.delay(worker)) > 0:
            if self.clock.sleep(seconds, wake):
                raise StoppedError
            self._heed_others()

    def _heed_others(self) -> None:
        """Join a pause that the vendor asked of another process with the same key."""
        seconds = self.rate_limiter.new_pause()
        if 0.0 < seconds <= self.limits.max_retry_after_s:
            self.concurrency.record_throttle()
            if self.breaker.open(seconds):
                self.board.tell(
                    "throttled", f"the vendor put off another process of yours; everyone pauses for {seconds:.1f} s"
                )

    def count(self, task: Task, digest: str) -> None:
        """Tell of a draw that counts, the digest of whose file this is; an error that is raised then ends the run."""
        if self.counted is None:
            return
        try:
            self.counted(task, digest)
        except BlackboxConformalError as error:
            self.control.fail(error)

    def answered(self, size: int) -> None:
        """The vendor answered as it should: a pause, if there was one, is over."""
        self._largest = max(self._largest, size)
        if self.breaker.record_success():
            self.board.tell("recovered", "the vendor answers again")

    def spent_usd(self) -> tuple[Decimal, Decimal]:
        """Dollars spent and reserved, as the limit on money counts them: those of other jobs are left out."""
        spent, reserved, _ = self.ledger.totals()
        return spent - to_usd(self._allowance.others.nanousd), reserved

    def require_room(self) -> None:
        """Stop before a submission whose answer might not fit on the disk; looks once a second.

        Raises
        ------
        StoppedError
            There is no room, which stops the run.
        LedgerError
            The folders for answers were removed.
        """
        now = self.clock.monotonic()
        if now < self._room_until:
            return
        self.store.require_folders()
        needed = LEAST_FREE_BYTES + 2 * self._largest * self.limits.most_workers
        free = self.store.free_bytes()
        if free < needed:
            self.control.fail(
                IncompleteError(
                    f"the disk of the run folder has {free >> 20} MiB left, and {needed >> 20} MiB are kept free for"
                    " paid answers; make room and run again"
                )
            )
            raise StoppedError
        self._room_until = now + 1.0

    def admit(self, model: str | None) -> None:
        """Stop the run when a draw came from a model that it must not be mixed with; that draw does not count.

        Raises
        ------
        StoppedError
            It did.
        """
        trouble = self.models.trouble(model)
        if trouble is not None:
            self.board.tell("model-changed", str(trouble))
            self.control.fail(trouble)
            raise StoppedError
