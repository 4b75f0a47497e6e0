"""Holds prices of draws under way and of begun pictures, and waits for prices to be given back.

The ledger checks the budget in the transaction that reserves a price. Without room, a worker waits as long as a draw
under way may turn out cheaper than its price, and ends the run when none can.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.attempts import Attempt, AttemptSpec
from blackbox_conformal.drawing.ledger.money import NOBODY, AwaitedBillError, DearerError, Payer, Totals
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.pacing.rate_limiter import TurnTaking
from blackbox_conformal.drawing.run_control import Clock, RunControl, StoppedError
from blackbox_conformal.drawing.spending.prices import Prices
from blackbox_conformal.errors import BudgetError, IncompleteError
from blackbox_conformal.support.occupancy import Occupancy


class Admission:
    """A gate that admits pictures while the budget has room for their draws beside all begun ones; any thread may call.

    Without it, concurrent pictures would take each other's last draws, and none would be finished.
    """

    def __init__(self, ledger: AnyLedger) -> None:
        self._ledger = ledger
        self._begun: Occupancy[tuple[str | None, int, int]] = Occupancy()

    def room(self, price_nanousd: int, calls: int, payer: Payer = NOBODY) -> AbstractContextManager[None]:
        """Hold room for so many draws of this price together, on the account of `payer`, in the ``with`` block.

        Waits while begun pictures may still give room back.
        """
        wanted = (payer.name, price_nanousd, calls)
        return self._begun.taken(wanted, lambda begun: self._fits(*wanted, begun) and self._fits_payer(*wanted, begun))

    def _fits_payer(
        self, payer: str | None, price_nanousd: int, calls: int, begun: Sequence[tuple[str | None, int, int]]
    ) -> bool:
        check = self._ledger.check_payer
        if payer is None or check is None or not calls:
            return True
        totals = self._ledger.payers().get(payer, Totals())
        # Spent money is not given back.
        check(payer, totals.spent + price_nanousd)
        # Only pictures of the same payer can give room back, so only they are waited for.
        own = sum(price for name, price, _ in begun if name == payer)
        try:
            check(payer, totals.spent + totals.reserved + own + price_nanousd)
        except BudgetError:
            if not own:
                raise
            return False
        return True

    def _fits(
        self, payer: str | None, price_nanousd: int, calls: int, begun: Sequence[tuple[str | None, int, int]]
    ) -> bool:
        if not calls:
            return True
        budget, totals = self._ledger.budget, self._ledger.totals_in_scope()
        # Spent money is not given back.
        budget.check(Totals(totals.spent, of_day=totals.of_day), price_nanousd, calls)
        begun_nanousd, begun_calls = sum(price for _, price, _ in begun), sum(number for *_, number in begun)
        try:
            # Until it ends, a draw of a begun picture may count twice: as begun, and as held or spent.
            together = Totals(
                totals.spent + begun_nanousd, totals.reserved, totals.calls + begun_calls, totals.of_day + begun_nanousd
            )
            budget.check(together, price_nanousd, calls)
        except BudgetError:
            # Without a begun picture nothing can give room back, and waiting would never end.
            if not begun:
                raise
            return False
        return True


LEAST_FREE_BYTES = 64 * 1024 * 1024
_LOOK_AGAIN_S = 0.2


@dataclass
class Reservation:
    """The price of one submission, held until `Reservations.settle`."""

    attempt: int  # The ledger's row that holds it.
    price_nanousd: int
    sent: bool = False  # Whether the row already says that the submission is sent.
    alone: bool = False  # Whether others wait to learn the price of a picture of so many `pixels` (see `Prices.enter`).
    pixels: int = 0


@dataclass(kw_only=True, eq=False)
class Reservations:
    """The prices of submissions of one set of tasks, reserved one by one.

    One condition guards three counters: workers that ask the ledger for a price now, held prices, and settled prices.

    `planned`: The ledger's rows for submissions that were not begun, by task and generation.
    """

    ledger: AnyLedger
    prices: Prices
    turns: TurnTaking
    store: Store
    most_workers: int
    control: RunControl
    clock: Clock
    board: EventBoard
    planned: dict[tuple[str, int], int] = field(default_factory=dict, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _asking: int = field(default=0, init=False)
    _holding: int = field(default=0, init=False)
    _settlements: int = field(default=0, init=False)
    _space_until: float = field(default=-1.0, init=False)

    def plan(self, specs: Sequence[AttemptSpec]) -> None:
        self.planned = self.ledger.plan(specs)

    def reserve(self, spec: AttemptSpec) -> Reservation:
        """Reserve the price of a submission; wait while draws under way may still give some of theirs back.

        A planned submission with room, and no turn to wait for, is marked as sent in the same commit.
        """
        self._require_disk_space()
        alone = self.prices.enter(spec.pixels, self.control.stopping)
        try:
            return self._reserved(spec, alone)
        except BaseException:
            if alone:
                # Others wait for this draw: if it was never sent, the next one goes alone.
                self.prices.leave(spec.pixels, answered=False, billed=False)
            raise

    def _require_disk_space(self) -> None:
        # An answer that does not fit would be lost after it is paid for. One look a second is enough.
        now = self.clock.monotonic()
        if now < self._space_until:
            return
        self.store.require_folders()
        # Twice the largest answer so far, for all draws that may be under way at once.
        needed = LEAST_FREE_BYTES + 2 * self.store.largest_answer * self.most_workers
        free = self.store.free_bytes()
        if free < needed:
            self.control.fail(
                IncompleteError(
                    f"the disk of the run folder has {free >> 20} MiB left, and {needed >> 20} MiB are kept free for"
                    " paid answers; make room and run again"
                )
            )
            raise StoppedError
        self._space_until = now + 1.0

    def _reserved(self, spec: AttemptSpec, alone: bool) -> Reservation:
        ledger = self.ledger
        if self.control.stopping.is_set():
            raise StoppedError
        # Taken out, so that no other worker begins the same submission.
        planned = self.planned.pop((spec.task, spec.generation), None)
        if planned is not None:
            send = partial(ledger.reserve_and_mark_sent, spec, planned, alone=alone)
            if self.turns.is_free() and isinstance(held := self._ask(spec, send), int):
                return self._held(Reservation(planned, held, sent=True, alone=alone, pixels=spec.pixels))
            ledger.claim(planned)
        try:
            attempt, price = self._waited_for(spec, planned, alone)
        except StoppedError:
            if planned is not None:
                ledger.put_back(planned)
            raise
        return self._held(Reservation(attempt, price, alone=alone, pixels=spec.pixels))

    def _waited_for(self, spec: AttemptSpec, planned: int | None, alone: bool) -> tuple[int, int]:
        # Returns the row that holds the price, and the price.
        reserved: list[int] = []
        while not self.control.stopping.is_set():
            # Read before asking, so that no settlement between asking and waiting is missed.
            settlements = self._settlements
            held = self._ask(
                spec, lambda price: reserved.append(self.ledger.reserve(spec, planned, price, alone=alone))
            )
            if isinstance(held, int):
                return reserved[0], held
            self._wait_for_settlement(settlements, held)
        raise StoppedError

    def _ask(self, spec: AttemptSpec, ask: Callable[[int], None]) -> int | BudgetError:
        # Returns the reserved price, or the error if the budget has no room.
        held = 0
        with self._changed:
            self._asking += 1
        try:
            price = self._asked(spec, ask)
            held = 1
        except BudgetError as error:
            return error
        # One step for all three counters, so that a waiting worker never sees a moment at which none asks or holds.
        finally:
            with self._changed:
                self._asking -= 1
                self._holding += held
                self._changed.notify_all()
        return price

    def _asked(self, spec: AttemptSpec, ask: Callable[[int], None]) -> int:
        # Asks again after other processes learned more about the price.
        while True:
            price = self.prices.nanousd(spec)
            try:
                ask(price)
            except DearerError as dearer:
                self.prices.billed(dearer.listed, dearer.cost)
            except AwaitedBillError:
                if self.clock.sleep(_LOOK_AGAIN_S, self.control.stopping):
                    raise StoppedError from None
            else:
                return price

    def _wait_for_settlement(self, settlements: int, error: BudgetError) -> None:
        # Returns after another settlement; ends the run with `error` if none can come.
        with self._changed:
            # Only a settlement can make room. Another worker's failure is no reason to ask again: workers that wake
            # each other so would never find the moment at which none asks.
            while self._settlements == settlements and (self._holding or self._asking):
                if self.control.stopping.is_set():
                    raise StoppedError
                self._changed.wait(_LOOK_AGAIN_S)
            if self._settlements == settlements:
                # The message should say why a draw costs more than the list says.
                why = self.prices.explanation()
                self.control.fail(BudgetError(f"{error}; {why}") if why else error)
                self._changed.notify_all()
                raise StoppedError

    def resume(self, attempt: Attempt) -> Reservation:
        """Hold the price of an earlier attempt again, for its repetition under the same idempotency key."""
        with self._changed:
            self._holding += 1
        self.board.count(spent_nanousd=-attempt.cost_nanousd)
        return self._held(Reservation(attempt.id, attempt.cost_nanousd))

    def _held(self, reservation: Reservation) -> Reservation:
        self.board.count(reserved_nanousd=reservation.price_nanousd, in_flight=1)
        self.control.reserved.add(reservation.attempt)
        return reservation

    def settle(self, reservation: Reservation, cost_nanousd: int, *, answered: bool, billed: bool) -> None:
        """Book a held price at this cost; 0 gives it back.

        `answered`: the vendor gave a picture; `billed`: it told the picture's cost.
        """
        with self._changed:
            self._holding -= 1
            self._settlements += 1
            self._changed.notify_all()
        self.board.count(reserved_nanousd=-reservation.price_nanousd, spent_nanousd=cost_nanousd, in_flight=-1)
        if reservation.alone:
            self.prices.leave(reservation.pixels, answered=answered, billed=billed)
