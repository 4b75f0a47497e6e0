"""What one draw costs: the price table until the vendor bills, then what it billed.

While only a table says what a draw costs and money is limited, one draw goes alone, of all processes that share the
ledger. A vendor that bills more than its table then exceeds the limit by that draw at most.
"""

import math
import threading

from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.billed import AS_LISTED, Bill, Billed
from blackbox_conformal.drawing.money import to_usd
from blackbox_conformal.drawing.run_control import StoppedError


class Prices:
    """Prices of one vendor procedure in one run.

    Parameters
    ----------
    billed
        What the ledger says that the vendor billed so far.
    source
        Where the price list comes from.
    limited
        Whether money is limited.
    """

    def __init__(self, billed: Billed, source: str, *, limited: bool, board: EventBoard) -> None:
        self._source = source
        self._highest = billed.highest
        self._unlisted_nanousd = billed.booked_nanousd[1]
        # Without a limit no draw has to go alone, so every size counts as known.
        self._known_pixels: float = billed.pixels if limited else math.inf
        self._alone = self._told = False
        self._board = board
        self._changed = threading.Condition()

    def nanousd(self, spec: AttemptSpec) -> int:
        """What is reserved for a draw: its listed price, raised as far as the vendor ever billed above its list.

        A draw without a listed price is expected to cost as much as the dearest one so far.
        """
        if not spec.listed_nanousd:
            return self._unlisted_nanousd
        return self._highest.raised(spec.listed_nanousd)

    def enter(self, pixels: int, stopping: threading.Event) -> bool:
        """Wait until a draw of an upload of so many pixels may be bought; True when it goes alone.

        A draw goes alone while no upload as large was answered, since many vendors bill by size. Others that are as
        large wait until `leave` is called for it.
        """
        # Read without the lock: the size that is known only grows.
        if pixels <= self._known_pixels:
            return False
        with self._changed:
            while pixels > self._known_pixels:
                if stopping.is_set():
                    raise StoppedError
                if not self._alone:
                    self._alone = True
                    return True
                self._changed.wait(0.2)
        return False

    def leave(self, pixels: int, *, answered: bool, billed: bool) -> None:
        """The draw that went alone has ended. A vendor that answers it without a bill is taken never to send one."""
        with self._changed:
            self._alone = False
            if billed:
                self._known_pixels = max(self._known_pixels, pixels)
            elif answered:
                # A vendor that gives a picture and no bill never sends one, so waiting for it would never end.
                self._known_pixels = math.inf
            self._changed.notify_all()

    def billed(self, listed_nanousd: int | None, cost_nanousd: int) -> None:
        """Expect from now on what the vendor bills, if that is more, and tell once that it is above its list."""
        tell = False
        with self._changed:
            if not listed_nanousd:
                self._unlisted_nanousd = max(self._unlisted_nanousd, cost_nanousd)
            # By proportion: a dear large picture need not mean that the list is wrong.
            elif Bill(cost_nanousd, listed_nanousd).exceeds(self._highest):
                self._highest = Bill(cost_nanousd, listed_nanousd)
                tell, self._told = not self._told, True
        # Outside the lock, as the listener is foreign code.
        if tell:
            self._board.tell("price-differs", f"{self.explanation()}; limits count what is billed")

    def explanation(self) -> str:
        """That the vendor bills more than its table says; "" when it does not."""
        bill = self._highest
        if not bill.exceeds(AS_LISTED):
            return ""
        return (
            f"the vendor billed {to_usd(bill.cost)} USD for a draw, more than the {to_usd(bill.listed)} USD of the "
            f"price table ({self._source})"
        )
