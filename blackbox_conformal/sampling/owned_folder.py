"""A run folder that is open and owned: its ledger and samples, where nothing is half done any more."""

import contextlib
from pathlib import Path

from blackbox_conformal.errors import UsageError
from blackbox_conformal.files import make_private
from blackbox_conformal.sampling.ledger.places import open_ledger, store_of


class OwnedFolder:
    """A run folder that nobody else may use until `close`; several vendors may draw into it at once.

    Raises
    ------
    UsageError
        The folder cannot be written.
    LedgerError
        The ledger is in use, damaged, newer, foreign, or on a network disk.
    """

    def __init__(self, run: Path) -> None:
        try:
            make_private(run)
        except OSError as error:
            raise UsageError(f"expected a run folder that can be written; {run}: {error.strerror}") from None
        with contextlib.ExitStack() as stack:
            self.store = store_of(run)
            stack.callback(self.store.flush)
            self.ledger = open_ledger(run)
            stack.callback(self.ledger.close)
            self.store.prepare()
            self._recover()
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Record what is done, and give the folder up."""
        self._stack.close()

    def _recover(self) -> None:
        """Take over what an owner that died left: jobs and answers in the inbox first, then everything half done."""
        ledger, store = self.ledger, self.store
        for attempt, job, report in store.jobs():
            ledger.adopt_job(attempt, job, report)
            store.forget_job(attempt)
        for arrival in store.arrivals():
            ledger.adopt(arrival.attempt, arrival.digest, arrival.size, arrival.report)
            store.settle(arrival)
        store.flush()
        ledger.recover()
