"""What is to be done for each task of a run: what the ledger and the disk already hold decides.

Nothing is drawn or spent here; which course a draw takes is `decide`'s, what a draw is `drawing`'s.
"""

from collections.abc import Sequence
from typing import Any

from blackbox_conformal.errors import UsageError
from blackbox_conformal.sampling.ledger.attempts import Attempt
from blackbox_conformal.sampling.ledger.states import WHOLE, WITH_JOB
from blackbox_conformal.sampling.next_step import Done, Fetch, Submit, decide
from blackbox_conformal.sampling.run_context import RunContext
from blackbox_conformal.sampling.task import Task, task_keys
from blackbox_conformal.sampling.work_item import Job, wanted
from blackbox_conformal.text import clean


def jobs_for(engine: RunContext, identity: dict[str, Any], tasks: Sequence[Task]) -> list[Job]:
    """A job for each task, in order; what is to be bought has a row in the ledger.

    Raises
    ------
    UsageError
        One draw is asked for twice.
    ModelChangedError
        Stored draws came from a model that the run must not be mixed with, so that there is nothing to do.
    """
    keys = task_keys(identity, tasks)
    if len(set(keys)) != len(keys):
        raise UsageError("one draw is asked for twice; give each picture once, and each draw its own index")
    rows = engine.ledger.rows(keys)
    on_disk = frozenset(digest for digest, _ in engine.store.files())
    decisions = {
        key: decide(
            rows.get(key, ()),
            on_disk=on_disk,
            max_resample=engine.limits.max_resample,
            retry_ambiguous=engine.limits.retry_ambiguous,
            replayable=engine.idempotency_header is not None,
            now=engine.clock.wall(),
        )
        for key in keys
    }
    for task, key in zip(tasks, keys, strict=True):
        decision = decisions[key]
        if isinstance(decision, (Done, Fetch)) and decision.attempt.state in (*WHOLE, *WITH_JOB):
            _count_stored(engine, task, decision.attempt)
    names = {name: clean(name) for name in {task.upload.name for task in tasks}}
    wants = {
        key: wanted(engine, task, key, decision.generation, names[task.upload.name])
        for task, key in zip(tasks, keys, strict=True)
        if isinstance(decision := decisions[key], Submit)
    }
    planned = engine.ledger.plan(list(wants.values()))
    by_task = {key: number for (key, _), number in planned.items()}
    return [
        Job(
            task,
            key,
            decisions[key],
            sum(attempt.state == "invalid" for attempt in rows.get(key, ())),
            wants.get(key),
            by_task.get(key),
        )
        for task, key in zip(tasks, keys, strict=True)
    ]


def _count_stored(engine: RunContext, task: Task, attempt: Attempt) -> None:
    """A draw of an earlier session counts as one of this run does, before anything is bought."""
    trouble = engine.models.trouble(attempt.model, stored=True)
    if trouble is not None:
        raise trouble
    if attempt.state in WHOLE and attempt.digest is not None:
        engine.count(task, attempt.digest)
