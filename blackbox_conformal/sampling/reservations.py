"""The prices that draws under way hold, and the waiting for what they may give back.

The ledger checks the budget in the transaction that reserves a price. When it has no room for another one, a worker
waits here as long as a draw under way may turn out cheaper than its price, and ends the run when none can.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from blackbox_conformal.errors import BudgetError
from blackbox_conformal.sampling.disk_space import DiskSpace
from blackbox_conformal.sampling.events import EventBoard
from blackbox_conformal.sampling.ledger.allowance import Allowance
from blackbox_conformal.sampling.ledger.attempt_ledger import Ledger
from blackbox_conformal.sampling.ledger.attempts import Attempt, AttemptSpec
from blackbox_conformal.sampling.prices import Prices
from blackbox_conformal.sampling.run_control import RunControl, StoppedError

_LOOK_AGAIN_S = 0.2


@dataclass
class Reservation:
    """The price of one submission, held until `Reservations.settle`.

    Attributes
    ----------
    attempt
        The ledger's row that holds it.
    price_nanousd
        The price, in nano-dollars.
    sent
        Whether the row says already that the submission is sent.
    alone
        Whether others wait to learn from this draw what a picture of so many `pixels` costs (see `Prices.enter`).
    """

    attempt: int
    price_nanousd: int
    sent: bool = False
    alone: bool = False
    pixels: int = 0
    settled: bool = False


class Reservations:
    """Reserves the price of each submission of one set of tasks."""

    def __init__(
        self,
        ledger: Ledger,
        allowance: Allowance,
        prices: Prices,
        disk: DiskSpace,
        control: RunControl,
        board: EventBoard,
    ) -> None:
        self._ledger = ledger
        self._allowance = allowance
        self._prices = prices
        self._disk = disk
        self._control = control
        self._board = board
        # One condition guards three counters, and is notified whenever one of them changes:
        # workers that ask the ledger for a price at this moment, prices that are held, and prices that were settled.
        self._changed = threading.Condition()
        self._asking = self._holding = self._settlements = 0

    def reserve(self, spec: AttemptSpec, planned: int | None, may_send_now: Callable[[], bool]) -> Reservation:
        """Reserve the price of a submission; waits while draws under way may still give some of theirs back.

        Parameters
        ----------
        planned
            The ledger's row for it, if there is one already.
        may_send_now
            Asked once the price is known. When it says yes, the row is taken to ``sent`` in the same commit, if the
            budget has room at once.

        Raises
        ------
        StoppedError
            The limit is reached and nothing under way can change that, or the disk is full, which stops the run; or
            the run was stopped before.
        """
        self._disk.require()
        alone = self._prices.enter(spec.pixels, self._control.stopping)
        try:
            return self._reserved(spec, planned, may_send_now, alone)
        except BaseException:
            if alone:
                self._prices.leave(spec.pixels, answered=False, billed=False)
            raise

    def _reserved(
        self, spec: AttemptSpec, planned: int | None, may_send_now: Callable[[], bool], alone: bool
    ) -> Reservation:
        ledger, allowance, price = self._ledger, self._allowance, self._prices.nanousd
        if self._control.stopping.is_set():
            raise StoppedError
        if planned is not None:
            if may_send_now() and self._ask(lambda: ledger.depart(spec, planned, price, allowance)) is None:
                return self._held(Reservation(planned, price, sent=True, alone=alone, pixels=spec.pixels))
            ledger.claim(planned)
        reserved: list[int] = []
        while not self._control.stopping.is_set():
            settlements = self._settlements
            error = self._ask(lambda: reserved.append(ledger.reserve(spec, planned, price, allowance)))
            if error is None:
                return self._held(Reservation(reserved[0], price, alone=alone, pixels=spec.pixels))
            self._wait_for_settlement(settlements, error)
        raise StoppedError

    def expect(self, billed_nanousd: int) -> None:
        """Reserve from now on what the vendor billed for a draw, if that is more."""
        self._prices.billed(billed_nanousd)

    def _ask(self, ask: Callable[[], None]) -> BudgetError | None:
        """Ask the ledger for a price; its error when the budget has no room."""
        held = 0
        with self._changed:
            self._asking += 1
        try:
            ask()
            held = 1
        except BudgetError as error:
            return error
        finally:
            with self._changed:
                self._asking -= 1
                self._holding += held
                self._changed.notify_all()
        return None

    def _wait_for_settlement(self, settlements: int, error: BudgetError) -> None:
        """Return once there were more than so many settlements; end the run with `error` when there will be none."""
        with self._changed:
            # Only a settlement can make room. Another worker's failure is no reason to ask again: workers that wake
            # each other so would never find the moment at which nobody asks.
            while self._settlements == settlements and (self._holding or self._asking):
                if self._control.stopping.is_set():
                    raise StoppedError
                self._changed.wait(_LOOK_AGAIN_S)
            if self._settlements == settlements:
                why = self._prices.explanation()
                self._control.fail(BudgetError(f"{error}; {why}") if why else error)
                self._changed.notify_all()
                raise StoppedError

    def resume(self, attempt: Attempt) -> Reservation:
        """Hold the price of an earlier attempt again, whose submission is repeated under its idempotency key."""
        with self._changed:
            self._holding += 1
        self._board.count(spent_nanousd=-attempt.cost_nanousd)
        return self._held(Reservation(attempt.id, attempt.cost_nanousd))

    def _held(self, reservation: Reservation) -> Reservation:
        self._board.count(reserved_nanousd=reservation.price_nanousd, in_flight=1)
        return reservation

    def settle(self, reservation: Reservation, cost_nanousd: int, *, answered: bool, billed: bool) -> None:
        """Book a held price at this cost; 0 when it is given back. Settling twice does no harm.

        `answered`: the vendor gave a picture; `billed`: it said what that costs.
        """
        if reservation.settled:
            return
        reservation.settled = True
        with self._changed:
            self._holding -= 1
            self._settlements += 1
            self._changed.notify_all()
        self._board.count(reserved_nanousd=-reservation.price_nanousd, spent_nanousd=cost_nanousd, in_flight=-1)
        if reservation.alone:
            self._prices.leave(reservation.pixels, answered=answered, billed=billed)
