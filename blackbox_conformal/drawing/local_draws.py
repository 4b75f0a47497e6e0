"""Draws from local adapters, which cost nothing and have no ledger.

Their bytes are not stored: reading an outcome runs the adapter again.
"""

from decimal import Decimal

from blackbox_conformal.drawing.acceptance import Acceptance
from blackbox_conformal.drawing.task import Outcome, OutcomeState, Task, idempotency_key, sent_to, task_key
from blackbox_conformal.errors import AdapterError, NotSentError, PayloadError, RefusedError, RunRefusedError
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import clean, cleaned
from blackbox_conformal.vendor.adapter import EMPTY_ANSWER, Adapter, Draw, Observed, Send, Wait


class LocalDraws:
    """Draws from a local adapter; its outcomes count as cached."""

    def __init__(self, adapter: Adapter, acceptance: Acceptance) -> None:
        self._adapter = adapter.open()
        self._acceptance = acceptance

    def close(self) -> None:
        self._adapter.close()

    def draw(self, task: Task) -> Outcome:
        try:
            data, model = _run(self._adapter, task)
        except RunRefusedError:
            raise
        except (RefusedError, NotSentError) as failure:
            state: OutcomeState = "refused" if isinstance(failure, RefusedError) else "missing"
            return Outcome(task, state, True, None, Decimal(0), None, cleaned(failure))
        changed = self._acceptance.model_error(model) if self._acceptance.calibrated else None
        if changed is not None:
            raise changed
        error = self._acceptance.picture_error(data, task)
        state = "stored" if error is None else "invalid"
        return Outcome(task, state, True, digest_bytes(data), Decimal(0), model, error)

    def read(self, outcome: Outcome) -> bytes:
        return read_again(self._adapter, outcome)


def read_again(adapter: Adapter, outcome: Outcome) -> bytes:
    """Return the bytes of a local outcome; in a cascade, from the member that answered."""
    task = outcome.task
    if adapter.members:
        task, adapter = sent_to(adapter, outcome.member, task, task.upload), adapter.members[outcome.member]
    data, _ = _run(adapter, task)
    if digest_bytes(data) != outcome.digest:
        name = clean(outcome.task.upload.name)
        raise PayloadError(f"draw {outcome.task.index} of {name} changed while it was used")
    return data


def answer_of(adapter: Adapter, task: Task) -> bytes | None:
    """Return a local adapter's bytes for a task: empty if it refuses the picture, None if it has none."""
    try:
        return _run(adapter, task)[0]
    except RefusedError:
        return b""
    except NotSentError:
        return None


def _run(adapter: Adapter, task: Task) -> tuple[bytes, str | None]:
    key = idempotency_key(task_key(adapter.identity(), task))
    flow = adapter.draw(task.upload, Draw(task.index, task.seed, key))
    model: str | None = None
    try:
        step = next(flow)
        while True:
            if isinstance(step, Send):
                raise AdapterError(f"adapter {adapter.name} calls itself local and wants to send a request")
            if isinstance(step, Observed):
                model = step.model or model
            elif not isinstance(step, Wait):
                raise AdapterError(f"adapter {adapter.name} is local and yielded {type(step).__name__}")
            step = flow.send(EMPTY_ANSWER)
    except StopIteration as end:
        data: object = end.value
    finally:
        flow.close()
    if not isinstance(data, bytes):
        raise AdapterError(f"expected adapter {adapter.name} to return bytes; got {type(data).__name__}")
    return data, model
