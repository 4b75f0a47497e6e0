"""What one draw costs: the price table until the vendor bills, then what it billed.

While only a table says what a draw costs and money is limited, one draw goes alone. A vendor that bills more than its
table then exceeds the limit by that draw at most.
"""

import math
import threading

from blackbox_conformal.adapter import Price
from blackbox_conformal.sampling.events import EventBoard
from blackbox_conformal.sampling.money import to_nano, to_usd
from blackbox_conformal.sampling.run_control import StoppedError


class Prices:
    """Prices of one vendor procedure in one run.

    Parameters
    ----------
    table
        The adapter's price; None = unknown.
    billed_nanousd, billed_pixels
        The highest price that the ledger has booked for a draw, and the largest upload that was answered; 0 = none.
    limited
        Whether money is limited.

    Attributes
    ----------
    nanousd
        What is reserved for the next draw: the highest of the table's and all booked prices.
    """

    def __init__(
        self, table: Price | None, billed_nanousd: int, billed_pixels: int, *, limited: bool, board: EventBoard
    ) -> None:
        self._table = table
        self._table_nanousd = 0 if table is None else to_nano(table.high_usd)
        self.nanousd = max(self._table_nanousd, billed_nanousd)
        self._known_pixels: float = billed_pixels if limited else math.inf
        self._alone = self._told = False
        self._board = board
        self._changed = threading.Condition()

    def enter(self, pixels: int, stopping: threading.Event) -> bool:
        """Wait until a draw of an upload of so many pixels may be bought; True when it goes alone.

        A draw goes alone while no upload as large was answered, since many vendors bill by size. Others that are as
        large wait until `leave` is called for it.

        Raises
        ------
        StoppedError
            The run was stopped first.
        """
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
                self._known_pixels = math.inf
            self._changed.notify_all()

    def billed(self, cost_nanousd: int) -> None:
        """Reserve from now on what the vendor billed, if that is more; one event says that it is above the table."""
        with self._changed:
            self.nanousd = max(self.nanousd, cost_nanousd)
            tell = self._table is not None and cost_nanousd > self._table_nanousd and not self._told
            self._told = self._told or tell
        if tell:
            self._board.tell("price-differs", f"{self.explanation()}; limits count what is billed")

    def explanation(self) -> str:
        """That the vendor bills more than its table says; "" when it does not."""
        if self._table is None or self.nanousd <= self._table_nanousd:
            return ""
        return (
            f"the vendor billed {to_usd(self.nanousd)} USD for a draw, more than the {self._table.high_usd} USD of the "
            f"price table ({self._table.source})"
        )
