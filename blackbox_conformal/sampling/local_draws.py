"""Draws from this machine's disk: adapters that make no call, cost nothing and leave no trace in a ledger.

Their bytes stay where they are: reading an outcome runs the adapter again.
"""

from collections.abc import Callable
from decimal import Decimal

from blackbox_conformal.adapter import Adapter, Answer, Draw, Observed, Send, Wait
from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.errors import (
    AdapterError,
    BlackboxConformalError,
    NotSentError,
    PayloadError,
    RefusedError,
    RunRefusedError,
)
from blackbox_conformal.sampling.task import Outcome, OutcomeState, Task, idempotency_key, task_key
from blackbox_conformal.text import clean

_EMPTY = Answer(0, {}, b"")


def _run(adapter: Adapter, task: Task) -> tuple[bytes, str | None]:
    """The draw's bytes and the model it is said to come from."""
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
            step = flow.send(_EMPTY)
    except StopIteration as end:
        data: object = end.value
    finally:
        flow.close()
    if not isinstance(data, bytes):
        raise AdapterError(f"expected adapter {adapter.name} to return bytes; got {type(data).__name__}")
    return data, model


def draw_here(adapter: Adapter, task: Task, check: Callable[[bytes, Task], None] | None) -> Outcome:
    """The outcome of a local draw: free, and cached by nature."""
    try:
        data, model = _run(adapter, task)
    except RunRefusedError:
        raise
    except RefusedError as refusal:
        return Outcome(task, "refused", True, None, Decimal(0), None, RefusedError(clean(str(refusal))))
    except NotSentError as missing:
        return Outcome(task, "missing", True, None, Decimal(0), None, NotSentError(clean(str(missing))))
    digest = digest_bytes(data)
    failure: PayloadError | None = None
    if check is not None:
        try:
            check(data, task)
        except BlackboxConformalError as error:
            failure = PayloadError(clean(str(error)))
    state: OutcomeState = "stored" if failure is None else "invalid"
    return Outcome(task, state, True, digest, Decimal(0), model, failure)


def read_here(adapter: Adapter, outcome: Outcome) -> bytes:
    """The bytes of a local outcome, read again.

    Raises
    ------
    PayloadError
        They have changed since.
    """
    data, _ = _run(adapter, outcome.task)
    if digest_bytes(data) != outcome.digest:
        raise PayloadError(f"draw {outcome.task.index} of {clean(outcome.task.upload.name)} changed while it was used")
    return data
