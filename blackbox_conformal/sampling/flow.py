"""Drives an adapter's generator: each step is carried out, its answer or its error handed back.

What a step does lives in `conversation`.
"""

import contextlib

from blackbox_conformal.adapter import Answer, Flow, Send, Step
from blackbox_conformal.errors import AdapterError, BlackboxConformalError, VendorError
from blackbox_conformal.sampling.conversation import Conversation, DeadlineError
from blackbox_conformal.sampling.run_control import StoppedError
from blackbox_conformal.text import clean, cleaned


def drive(flow: Flow, conversation: Conversation) -> bytes:
    """Run `flow` to its end and return the picture's bytes.

    An error of a request is raised inside the generator, which may look the job up, or cancel a job that is overdue;
    most let it pass. After an overdue job nothing but a cancellation is carried out.

    Raises
    ------
    VendorError
        As the adapter or the request raised it.
    AdapterError
        The adapter broke its contract.
    StoppedError
        The run was stopped.
    """
    answer: Answer | None = None
    error: VendorError | None = None
    failure: BlackboxConformalError
    try:
        while True:
            try:
                step = next(flow) if answer is None and error is None else _resume(flow, answer, error)
            except StopIteration as end:
                return _picture(end.value, conversation)
            overdue = error if isinstance(error, DeadlineError) else None
            if overdue is not None:
                if isinstance(step, Send) and step.purpose == "cancel":
                    conversation.cancel(step)
                raise overdue
            answer, error = None, None
            try:
                answer = conversation.carry_out(step)
            except VendorError as caught:
                error = caught
    except VendorError as caught:
        failure = cleaned(caught)
    except (BlackboxConformalError, StoppedError):
        raise
    except Exception as caught:  # noqa: BLE001 - an adapter's bug must not cost the picture that was paid for
        failure = AdapterError(
            f"adapter {conversation.want.adapter} failed while reading an answer: {type(caught).__name__}:"
            f" {clean(str(caught))}"
        )
    finally:
        with contextlib.suppress(Exception):
            flow.close()
    raise failure


def _resume(flow: Flow, answer: Answer | None, error: VendorError | None) -> Step:
    if error is not None:
        return flow.throw(error)
    if answer is None:
        raise AdapterError("a step was left without an answer")
    return flow.send(answer)


def _picture(value: object, conversation: Conversation) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise AdapterError(f"expected adapter {conversation.want.adapter} to return bytes; got {type(value).__name__}")
    return bytes(value)
