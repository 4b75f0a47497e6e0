"""Owns an open run folder: its ledger and samples, with leftovers of earlier processes settled."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.backends import open_ledger, store_of
from blackbox_conformal.drawing.ledger.ledger_file import mark_path, marked_commits
from blackbox_conformal.drawing.ledger.money import to_usd
from blackbox_conformal.drawing.ledger.run_lock import RunLock
from blackbox_conformal.drawing.pacing.rate_limiter import SharedRateLimiter, pace_file
from blackbox_conformal.drawing.run_control import Clock
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.files import make_private
from blackbox_conformal.support.text import dollars
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.vendor.rates import Rate


class OwnedFolder:
    """A run folder that no other process may use until `close`; several vendors may draw into it at once.

    `remembered`: Paid calls that the ledger had forgotten, in words; "" if it knows all that lies beside it.
    """

    def __init__(self, run: Path) -> None:
        try:
            make_private(run)
        except OSError as error:
            raise UsageError(f"expected a run folder that can be written; {run}: {error.strerror}") from None
        self._address = LEDGERS.of(run)
        with contextlib.ExitStack() as stack:
            if self._address is not None:
                # A shared ledger does not belong to one process, but the folder with its inbox does.
                stack.callback(RunLock(run).release)
            self.store = store_of(run)
            stack.callback(self.store.close)
            stack.callback(self.store.flush)
            self.ledger = open_ledger(run)
            stack.callback(self.ledger.close)
            self.store.prepare()
            # Jobs and answers in the inbox are taken over first, then everything half done.
            self._adopt()
            self.ledger.recover()
            missed = self._missed(run)
            self.remembered = self._remember() or missed
            self.ledger.watch(self._adopt)
            self._stack = stack.pop_all()

    def close(self) -> None:
        self._stack.close()

    def rate_limiter(
        self, adapter: Adapter, rates: Sequence[Rate], clock: Clock, tell: Callable[[str], None]
    ) -> SharedRateLimiter:
        """Return the turns and pauses of a vendor's account, shared by all users of this ledger or of this machine."""
        if self._address is None:
            return SharedRateLimiter(adapter, rates, clock, pace_file(), tell)
        from blackbox_conformal.drawing.pacing.postgres_rate_limiter import PostgresRateLimiter

        return PostgresRateLimiter(adapter, rates, clock, self._address)

    def _adopt(self) -> None:
        ledger, store = self.ledger, self.store
        # Jobs first: an answer in the inbox may belong to one of these jobs.
        for attempt, job, report in store.jobs(ledger.may_adopt):
            ledger.adopt_job(attempt, job, report)
            # Only once the ledger has it: if it were forgotten before, a crash would lose the job.
            store.forget_job(attempt)
        for arrival in store.arrivals(ledger.may_adopt):
            if ledger.adopt(arrival.attempt, arrival.digest, arrival.size, arrival.report):
                store.keep_receipt(ledger.receipt(arrival.attempt))
            # It leaves the inbox only when the ledger knows it.
            store.settle(arrival)
        store.flush()

    def _missed(self, run: Path) -> str:
        # Others may have written the entries that a shared ledger lost since this folder was opened last.
        seen, commits = marked_commits(run), self.ledger.commits()
        if self._address is not None:
            with contextlib.suppress(OSError):  # Then nothing is compared the next time.
                mark_path(run).write_text(str(commits), encoding="ascii")
        if commits >= seen:
            return ""
        return (
            f"the ledger seems to be an older copy of itself: it knows {commits} commits, and knew {seen} when {run}"
            " was opened last. What lies here is counted. Run `blackbox-conformal ledger remember` for every run folder"
            " on the other machines, or what they paid for may be paid again"
        )

    def _remember(self) -> str:
        # A ledger that was restored from an older copy learns its lost entries again.
        ledger, store = self.ledger, self.store
        calls = answers = nanousd = unpriced = 0
        for receipts in store.unknown_to(ledger.unknown):
            store.share({receipt.digest for receipt in receipts if receipt.digest is not None})
            recorded = ledger.record(receipts)
            calls += len(recorded)
            answers += sum(receipt.state == "stored" for receipt in recorded)
            nanousd += sum(receipt.cost_nanousd for receipt in recorded)
            unpriced += sum(not (receipt.spec.priced or receipt.cost_nanousd) for receipt in recorded)
        if not calls:
            return ""
        unknown = f", and {unpriced} of them at an unknown price" if unpriced else ""
        return (
            f"the ledger seems to be older than what lies beside it: it had forgotten {calls} calls, which are counted"
            f" again ({dollars(to_usd(nanousd))}{unknown}), and their {answers} answers are used again. Calls that"
            " were never answered may be missing: compare with the vendor's invoice (`ledger settle`)"
        )
