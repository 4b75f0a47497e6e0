"""An adapter's flow and its steps, driven by given answers without a network."""

import io
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from PIL import Image

from blackbox_conformal.errors import AdapterError, DeadlineError, VendorError
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.vendor.adapter import (
    EMPTY_ANSWER,
    Accepted,
    Adapter,
    Answer,
    Draw,
    Flow,
    Observed,
    Send,
    Step,
    Upload,
    Wait,
)
from blackbox_conformal.vendor.example import Example

MOST_STEPS = 1000


class UnexplainedError(VendorError):
    """A failed answer that neither the flow nor `explain` explained."""


@dataclass
class Rehearsal:
    """The steps of one flow, in order, and its picture, price or error (all None if the answers ran out)."""

    steps: list[Step] = field(default_factory=list)
    picture: bytes | None = None
    price: Decimal | None = None
    error: VendorError | None = None

    @property
    def sends(self) -> list[Send]:
        return [step for step in self.steps if isinstance(step, Send)]

    @property
    def submits(self) -> list[Send]:
        return [send for send in self.sends if send.purpose == "submit"]

    @property
    def submit(self) -> Send:
        (submit,) = self.submits
        return submit

    @property
    def waits(self) -> list[float]:
        """Return the waits of the flow in seconds, in order."""
        return [step.seconds for step in self.steps if isinstance(step, Wait)]

    @property
    def observed(self) -> list[Observed]:
        """Return the vendor's words besides the picture."""
        return [step for step in self.steps if isinstance(step, Observed)]

    @property
    def told_usd(self) -> Decimal | None:
        """Return the vendor's last word on the draw's cost."""
        return next((said.cost_usd for said in reversed(self.observed) if said.cost_usd is not None), None)

    @property
    def jobs(self) -> list[str]:
        return [step.job for step in self.steps if isinstance(step, Accepted)]


def rehearse(adapter: Adapter, flow: Flow, answers: Iterable[Answer] | Callable[[Send], Answer | None]) -> Rehearsal:
    """Run `flow` until it returns its picture or `answers` run out; a function answers each request, None ends."""
    rehearsal = Rehearsal()
    end = _run(rehearsal, adapter, flow, answers)
    if end is not None and not isinstance(end.value, bytes):
        raise AdapterError(f"expected draw() to return the picture's bytes; got {type(end.value).__name__}")
    rehearsal.picture = None if end is None else end.value
    return rehearsal


def rehearse_failure(adapter: Adapter, flow: Generator[Step, Answer, Any], answers: Iterable[Answer]) -> Rehearsal:
    """Run `flow` as `rehearse` does, and keep its final `VendorError`."""
    rehearsal = Rehearsal()
    try:
        _run(rehearsal, adapter, flow, answers)
    except VendorError as error:
        rehearsal.error = error
    return rehearsal


def cancellation(flow: Flow, answers: Sequence[Answer]) -> Send | None:
    """Return the request of a `flow` whose time is over after `answers`, while it waits or streams; None = nothing."""
    left = list(answers)
    try:
        step = next(flow)
        while left or not isinstance(step, Wait):
            if isinstance(step, Send) and not left:
                if not step.once:
                    return None
                break
            step = flow.send(left.pop(0) if isinstance(step, Send) else EMPTY_ANSWER)
        step = flow.throw(DeadlineError("its time is over"))
        return step if isinstance(step, Send) else None
    except (StopIteration, VendorError):
        return None
    finally:
        flow.close()


def rehearse_quote(adapter: Adapter, upload: Upload, answers: Iterable[Answer]) -> Rehearsal:
    """Run `quote` of `upload` until it returns its price or `answers` run out."""
    flow = adapter.quote(upload)
    if flow is None:
        raise AdapterError(f"adapter {adapter.name} has no quote")
    rehearsal = Rehearsal()
    end = _run(rehearsal, adapter, flow, answers)
    if end is not None and not (isinstance(end.value, Decimal) and end.value.is_finite() and end.value >= 0):
        raise AdapterError(f"expected quote() to return US dollars as a Decimal of at least 0; got {end.value!r}")
    rehearsal.price = None if end is None else end.value
    return rehearsal


def _run(
    rehearsal: Rehearsal,
    adapter: Adapter,
    flow: Generator[Step, Answer, Any],
    answers: Iterable[Answer] | Callable[[Send], Answer | None],
) -> StopIteration | None:
    # None if the answers ran out before the flow's end.
    in_order = iter(()) if callable(answers) else iter(answers)
    reply = EMPTY_ANSWER
    try:
        step = next(flow)
        while True:
            if not isinstance(step, Send | Wait | Accepted | Observed):
                raise AdapterError(f"expected Send, Wait, Accepted or Observed from an adapter; got {step!r}")
            rehearsal.steps.append(step)
            if len(rehearsal.steps) > MOST_STEPS:
                raise AdapterError(f"expected the flow to end; it went on after {MOST_STEPS} steps")
            reply = EMPTY_ANSWER
            if isinstance(step, Send):
                answer = answers(step) if callable(answers) else next(in_order, None)
                if answer is None:
                    flow.close()
                    return None
                good = 200 <= answer.status < 300 if step.accept is None else answer.status in step.accept
                if not good:
                    raise adapter.explain(answer, step.purpose) or UnexplainedError(
                        f"HTTP {answer.status} for {step.purpose}"
                    )
                reply = answer
            step = flow.send(reply)
    except StopIteration as end:
        return end


def built(kind: type[Adapter], example: Example, address: str) -> Adapter:
    """Build the example's adapter, pointed at `address`."""
    return kind(**{**example.parameters, example.address: address})


@contextmanager
def environment(example: Example) -> Iterator[None]:
    """Set the example's made-up variables for the ``with`` block."""
    before: dict[str, str | None] = {name: os.environ.get(name) for name in example.environment}
    os.environ.update(example.environment)
    try:
        yield
    finally:
        restore(before)


def restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def an_upload(adapter: Adapter, number: int = 0) -> Upload:
    """Make a small picture within the adapter's limits, another one for each `number`."""
    side = max(24, adapter.capabilities.min_side or 0)
    gradient = Image.linear_gradient("L").resize((side, side))
    picture = Image.merge("RGB", (gradient, gradient.rotate(90), Image.new("L", (side, side), 60 + number % 100)))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return Upload(f"example-{number}", f"sha256:{number:064x}", out.getvalue(), side, side)


def a_draw(adapter: Adapter, index: int = 0) -> Draw:
    """Make draw `index`, with a seed within the adapter's range and its own key."""
    span = adapter.capabilities.seed_range
    seed = None if span is None else min(span[1], span[0] + 7 + index)
    return Draw(index, seed, f"example-key-{index}-5f3a")


def scale_of(adapter: Adapter) -> int:
    scale = getattr(adapter, "scale", None)
    return scale if isinstance(scale, int) else adapter.capabilities.scale_factors[0]


def a_picture(adapter: Adapter, upload: Upload, seed: int = 0) -> bytes:
    """Make a picture that the adapter's vendor might return for `upload`."""
    return upscale(upload.png, scale_of(adapter), seed)
