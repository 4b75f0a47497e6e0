"""The steps of an adapter's own code, with what is wrong in it told as an error of this package."""

from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import AdapterError, BlackboxConformalError
from blackbox_conformal.support.text import clean, cleaned
from blackbox_conformal.vendor.adapter import Adapter, Draw, Flow


def adapter_steps(adapter: Adapter, task: Task, spec: AttemptSpec, job: str | None) -> Flow:
    """The adapter's steps of a draw, or from its job where that was accepted; returns the picture as bytes.

    Raises
    ------
    AdapterError
        The adapter's code failed, or returned something else. Other errors of this package pass, cleaned.
    """
    draw = Draw(task.index, task.seed, spec.idempotency_key)
    failure: BlackboxConformalError
    try:
        steps = adapter.draw(task.upload, draw) if job is None else adapter.resume(task.upload, draw, job)
        data: object = yield from steps
    except BlackboxConformalError as error:
        failure = cleaned(error)
    except Exception as error:  # noqa: BLE001 - see `adapter_bug`
        failure = adapter_bug(adapter, error)
    else:
        if isinstance(data, (bytes, bytearray, memoryview)):
            return bytes(data)
        failure = AdapterError(f"expected adapter {adapter.name} to return bytes; got {type(data).__name__}")
    raise failure


def adapter_bug(adapter: Adapter, error: Exception) -> AdapterError:
    """An error of the adapter's code as one of this package: what was paid for is recorded first."""
    text = f"{type(error).__name__}: {clean(str(error))}"
    return AdapterError(f"adapter {adapter.name} failed while reading an answer: {text}")
