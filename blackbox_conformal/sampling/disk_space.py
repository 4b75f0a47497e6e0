"""Whether the disk of the run folder has space for the answers that are under way."""

from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.ledger.sample_store import Store
from blackbox_conformal.sampling.run_control import RunControl, StoppedError

LEAST_FREE_BYTES = 64 * 1024 * 1024
_LOOK_AGAIN_S = 1.0


class DiskSpace:
    """Looked at before each submission, at most once a second."""

    def __init__(self, store: Store, most_workers: int, clock: Clock, control: RunControl) -> None:
        self._store = store
        self._most_workers = most_workers
        self._clock = clock
        self._control = control
        self._enough_until = -1.0

    def require(self) -> None:
        """Stop before a submission whose answer might not fit.

        Raises
        ------
        StoppedError
            There is no space, which stops the run.
        LedgerError
            The folders for answers were removed.
        """
        now = self._clock.monotonic()
        if now < self._enough_until:
            return
        self._store.require_folders()
        needed = LEAST_FREE_BYTES + 2 * self._store.largest_answer * self._most_workers
        free = self._store.free_bytes()
        if free < needed:
            self._control.fail(
                IncompleteError(
                    f"the disk of the run folder has {free >> 20} MiB left, and {needed >> 20} MiB are kept free for"
                    " paid answers; make room and run again"
                )
            )
            raise StoppedError
        self._enough_until = now + _LOOK_AGAIN_S
