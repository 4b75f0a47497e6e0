"""What one of a run's threads does: takes tasks in order until there are none, or the run is stopped.

Threads are started and joined by `sampler`; what happens to a single draw lives in `drawing`.
"""

import queue
from collections import deque

from blackbox_conformal.errors import BudgetError
from blackbox_conformal.sampling.next_step import Done, Fetch
from blackbox_conformal.sampling.run_context import RunContext
from blackbox_conformal.sampling.run_control import RunControl, StoppedError
from blackbox_conformal.sampling.task import Outcome
from blackbox_conformal.sampling.work_item import Job, make


def work(
    engine: RunContext, control: RunControl, jobs: "deque[Job]", arrived: "queue.SimpleQueue[Outcome | None]"
) -> None:
    """One worker: takes tasks in order until there are none, or the run is stopped."""
    try:
        while True:
            try:
                job = jobs.popleft()
            except IndexError:
                return
            outcome = _one(engine, control, job)
            if outcome is not None:
                arrived.put(outcome)
    except BaseException as error:  # noqa: BLE001 - raised by draw() in the caller's thread
        control.fail(error)
        control.leave()
    finally:
        arrived.put(None)


def _one(engine: RunContext, control: RunControl, job: Job) -> Outcome | None:
    """The outcome of one task; None when the run was stopped before."""
    free = isinstance(job.decision, (Done, Fetch))

    def given_up() -> bool:
        # What is paid already is still fetched when only the money has run out.
        stopped = control.stopping.is_set() and not (free and isinstance(control.error, BudgetError))
        return stopped or control.leaving.is_set()

    if given_up():
        return None
    try:
        if isinstance(job.decision, Done):
            return make(engine, job)
        if not engine.concurrency.acquire(given_up):
            return None
        try:
            return make(engine, job)
        finally:
            engine.concurrency.release()
    except StoppedError:
        return None
