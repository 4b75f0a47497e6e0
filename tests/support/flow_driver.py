"""Drives an adapter's steps against answers given in order, without a network, and keeps what was asked.

The rules of the contract that need no engine are checked on the way: secrets are `Secret`, one kind of body, a job
is accepted before anything is asked about it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from blackbox_conformal.adapter import Accepted, Adapter, Answer, Draw, Flow, Observed, Send, Upload, Wait
from blackbox_conformal.errors import VendorError
from blackbox_conformal.example import Example, example_of
from blackbox_conformal.plugins import adapter_class, adapter_names
from blackbox_conformal.secrets import Secret

ADDRESS = "http://127.0.0.1:9"
PICTURE = b"\x89PNG\r\n\x1a\nthe finished picture"
EMPTY = Answer(0, {}, b"")


@dataclass
class Exchange:
    """What one flow asked, waited for and said."""

    sends: list[Send] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    observed: list[Observed] = field(default_factory=list)
    picture: bytes = b""

    @property
    def submit(self) -> Send:
        """The one request that is billed."""
        (submit,) = (send for send in self.sends if send.purpose == "submit")
        return submit


class StatusError(AssertionError):
    """An answer that neither the flow nor `explain` made anything of."""


class OutOfAnswersError(AssertionError):
    """The flow asked for more than the vendor had to say."""


class UnusedAnswersError(AssertionError):
    """The flow ended before it had asked for every answer."""

    def __init__(self, count: int, picture: bytes) -> None:
        super().__init__(f"{count} answers were never asked for")
        self.picture = picture


def upload(width: int = 16, height: int = 12) -> Upload:
    """A small picture; its bytes are a PNG signature and nothing else."""
    return Upload("cat", "sha256:" + "0" * 64, b"\x89PNG\r\n\x1a\n" + bytes(24), width, height)


def a_draw(index: int = 0, *, seed: int | None = None) -> Draw:
    """Draw `index`, with its own seed and key."""
    return Draw(index, 1000 + index if seed is None else seed, f"key-of-draw-{index}")


def drive(adapter: Adapter, flow: Flow, answers: Iterable[Answer]) -> Exchange:
    """Run `flow` to its end; every answer must be used, in order."""
    exchange = Exchange()
    remaining: Iterator[Answer] = iter(answers)
    reply = EMPTY
    try:
        step = next(flow)
        while True:
            if isinstance(step, Send):
                check(step)
                exchange.sends.append(step)
                arrived = next(remaining, None)
                if arrived is None:
                    raise OutOfAnswersError(f"no answer left for {step.method} {step.url}")
                reply = arrived
                accepted = 200 <= reply.status < 300 if step.accept is None else reply.status in step.accept
                if not accepted:
                    error = adapter.explain(reply, step.purpose)
                    raise error or StatusError(f"HTTP {reply.status} for {step.purpose}")
            else:
                reply = EMPTY
                if isinstance(step, Wait):
                    exchange.waits.append(step.seconds)
                elif isinstance(step, Accepted):
                    exchange.jobs.append(step.job)
                else:
                    exchange.observed.append(step)
            step = flow.send(reply)
    except StopIteration as end:
        exchange.picture = end.value
    left = list(remaining)
    if left:
        raise UnusedAnswersError(len(left), exchange.picture)
    return exchange


def check(send: Send) -> None:
    """The rules that hold for every request."""
    bodies = (send.json is not None, bool(send.files) or send.form is not None, send.body is not None)
    assert sum(bodies) <= 1, "more than one kind of body"
    assert send.url.startswith(("http://", "https://"))
    assert not (send.public and any(isinstance(value, Secret) for value in send.headers.values()))
    for name, value in send.headers.items():
        assert name == name.lower(), f"header {name} is not lower-case"
        if name in ("authorization", "api-key", "api_token", "x-api-key") or name.endswith("-api-key"):
            assert isinstance(value, Secret), f"{name} holds a secret as text"
    if send.json is not None:
        json.dumps(send.json, allow_nan=False)


def failure(adapter: Adapter, flow: Flow, *answers: Answer) -> VendorError:
    """The vendor error that `flow` ends with."""
    try:
        drive(adapter, flow, answers)
    except VendorError as error:
        return error
    raise AssertionError("expected a vendor error; the flow ended with a picture")


def modules() -> list[str]:
    """Every shipped adapter that shows an example."""
    return [name.replace("-", "_") for name in adapter_names() if example_of(adapter_class(name)) is not None]


def example(module: str) -> tuple[type[Adapter], Example]:
    """The adapter class and the example of one file or recipe."""
    kind = adapter_class(module)
    shown = example_of(kind)
    assert shown is not None
    return kind, shown


def built(module: str, **parameters: Any) -> Adapter:
    """The adapter of one file's example, with `parameters` over the example's."""
    kind, shown = example(module)
    return kind(**{**shown.parameters, shown.address: ADDRESS, **parameters})


def seeded(adapter: Adapter, index: int = 0) -> Draw:
    """Draw `index` with a seed that the adapter's vendor takes."""
    span = adapter.capabilities.seed_range
    return Draw(index, None if span is None else span[0] + index, f"key-of-draw-{index}")


def answers_of(module: str) -> tuple[Answer, ...]:
    """The answers of one file's example."""
    return example(module)[1].filled(PICTURE, ADDRESS)


def replay(module: str, index: int = 0, **parameters: Any) -> Exchange:
    """Draw `index` against the answers of the example."""
    adapter = built(module, **parameters)
    return drive(adapter, adapter.draw(upload(), seeded(adapter, index)), answers_of(module))


def refused(module: str, *answers: Answer, **parameters: Any) -> VendorError:
    """The error that a draw ends with when the vendor gives `answers`."""
    return refused_by(built(module, **parameters), *answers)


def refused_by(adapter: Adapter, *answers: Answer) -> VendorError:
    """The error that a draw of `adapter` ends with when the vendor gives `answers`."""
    return failure(adapter, adapter.draw(upload(), seeded(adapter)), *answers)


def resumed(module: str, job: str, *answers: Answer, **parameters: Any) -> Exchange:
    """`resume` of `job` against `answers`."""
    adapter = built(module, **parameters)
    return drive(adapter, adapter.resume(upload(), seeded(adapter), job), answers)


def unresumed(module: str, job: str, *answers: Answer, **parameters: Any) -> VendorError:
    """The error that `resume` of `job` ends with when the vendor gives `answers`."""
    adapter = built(module, **parameters)
    return failure(adapter, adapter.resume(upload(), seeded(adapter), job), *answers)


def key_of(send: Send, header: str) -> str:
    """The secret in a header, as the vendor sees it."""
    value = send.headers[header]
    assert isinstance(value, Secret)
    return value.reveal()
