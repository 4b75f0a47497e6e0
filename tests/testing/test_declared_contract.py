"""What an adapter says of its vendor: the sampler does it, and adapters that say something else are found out."""

from dataclasses import replace
from decimal import Decimal
from typing import ClassVar

import pytest
from pydantic import Field
from support.altered import altered

from blackbox_adapters.gradio import EXAMPLE as OF_GRADIO
from blackbox_adapters.gradio import Gradio
from blackbox_conformal.drawing.open_run import OpenRun
from blackbox_conformal.drawing.pacing.rate_limiter import SharedRateLimiter
from blackbox_conformal.errors import (
    DeadlineError,
    JobCancelledError,
    RefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.testing.contract import PROMISES, at_once, declared_checks
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.testing.rehearsal import environment
from blackbox_conformal.testing.static_contract import ADDRESS, Subject, static_checks
from blackbox_conformal.vendor.adapter import (
    Adapter,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Purpose,
    Rate,
    Send,
    Upload,
)
from blackbox_conformal.vendor.example import Example, example_of, says

FAILURE, PAUSE, AT_ONCE, RATES, COST, OVERDUE = (promise.name for promise in PROMISES)
LATER = (1.0, says('{"error": "busy", "seconds": 1}', 429))


class Waiting(SynchronousVendor):  # Reads in the answer how long to wait
    example: ClassVar[Example] = replace(SynchronousVendor.example, pauses=(LATER,))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        if answer.status == 429 and b"seconds" in answer.body:
            return TryLaterError("busy", retry_after=self.seconds(float(answer.json()["seconds"])))
        return None

    def seconds(self, told: float) -> float | None:
        return told


def also(kind, **parameters):
    """Its example with further parameters."""
    return {"parameters": {**kind.example.parameters, **parameters}}


# Its vendor answers a repeated key from store, but not with what asked to wait.
Keyed = altered("Keyed", Waiting, shows=also(Waiting, idempotent=True))
Limited = altered("Limited", SynchronousVendor, declares={"rates": (Rate(3, 1.0, "submit"),), "max_concurrency": 1})
Hourly = altered("Hourly", SynchronousVendor, declares={"rates": (Rate(50, 3600.0), Rate(9, 60.0, "poll"))})
FreeOfCharge = altered("FreeOfCharge", JobVendor, shows=also(JobVendor, failures_billed=False))
Cancelling = altered("Cancelling", JobVendor, shows=also(JobVendor, cancels=True))


class Unpriced(JobVendor):
    price_usd: Decimal | None = Field(default=None, description="Price to declare; None declares none.")


@pytest.mark.parametrize(
    ("kind", "promises"),
    [
        (Waiting, {PAUSE, COST}),
        (Keyed, {PAUSE, COST}),
        (Limited, {AT_ONCE, RATES, COST}),
        (Hourly, {RATES, COST}),
        (FreeOfCharge, {FAILURE, COST, OVERDUE}),
        (Unpriced, {FAILURE, COST, OVERDUE}),
        (Cancelling, {FAILURE, COST, OVERDUE}),
    ],
)
def test_what_is_declared_is_done(kind, promises):
    assert broken(kind) == ({}, promises)


def broken(kind: type[Adapter]) -> tuple[dict[str, str], set[str]]:
    """What is said of each promise that is broken, and the names of the declared promises that were looked at."""
    shown = example_of(kind)
    assert shown is not None
    with environment(shown):
        subject = Subject(kind, shown)
        static, declared = static_checks(subject), at_once(declared_checks(subject))
    found = {result.name: result.detail for result in (*static, *declared) if not result.passed}
    return found, {result.name for result in declared}


def is_drawn(adapter: SynchronousVendor | JobVendor) -> bool:
    """Whether the sampler draws with the adapter, at a server; else it is looked at by itself."""
    return adapter.url != ADDRESS


class Undecided(JobVendor):  # Takes a failure of the vendor for a refusal of the picture once the sampler asks
    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        try:
            return (yield from super().resume(upload, draw, job))
        except VendorFailedError as error:
            raise (RefusedError(str(error)) if is_drawn(self) else error) from None


class Overcharged(JobVendor):  # Tells a cost of a failure that its vendor does not tell
    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        try:
            return (yield from super().resume(upload, draw, job))
        except VendorFailedError:
            if is_drawn(self):
                yield Observed(cost_usd=Decimal("0.5"))
            raise


class Hasty(Waiting):  # Reads the seconds as milliseconds
    def seconds(self, told: float) -> float:
        return told / 1000


class Crowding(Limited):  # Declares how many draws may run at once, and not to the sampler
    @property
    def capabilities(self) -> Capabilities:
        declared = super().capabilities
        return replace(declared, max_concurrency=None, rates=()) if is_drawn(self) else replace(declared, rates=())


class Racing(Limited):  # Declares a rate, and not to the sampler
    @property
    def capabilities(self) -> Capabilities:
        declared = replace(super().capabilities, max_concurrency=None)
        return replace(declared, rates=()) if is_drawn(self) else declared


class InCents(SynchronousVendor):  # Takes a cost in dollars for one in cents
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        picture = yield from super().draw(upload, draw)
        yield Observed(cost_usd=Decimal("0.0001"))
        return picture


# One says that it cancels, and does not; the other the reverse.
Abandoning = altered("Abandoning", JobVendor, declares={"cancels": True})
Meddling = altered("Meddling", Cancelling, declares={"cancels": False})


class Mislabelled(Abandoning):  # Cancels by a request of another purpose, which the sampler does not send any more
    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        try:
            return (yield from super().resume(upload, draw, job))
        except DeadlineError:
            yield Send("POST", f"{self.url}/v1/jobs/{job}/cancel", purpose="lookup", headers=self._headers())
            raise


class Hoping(Gradio):  # Says that an overdue call is dropped with its stream, and has the next run look for it
    example: ClassVar[Example] = OF_GRADIO

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        try:
            return (yield from super().draw(upload, draw))
        except JobCancelledError:
            raise DeadlineError("late") from None

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        try:
            return (yield from super().resume(upload, draw, job))
        except JobCancelledError:
            raise DeadlineError("late") from None


@pytest.mark.parametrize(
    ("kind", "promise", "message"),
    [
        (Hoping, OVERDUE, "expected no run to look again for a job that is cancelled"),
        (Undecided, FAILURE, "expected failure 0 to end failed and then stored; got refused"),
        (Overcharged, FAILURE, "expected failure 0 to be booked at 0.01 USD; got 0.5"),
        (Hasty, PAUSE, "expected no submission in the 1 s"),
        (Crowding, AT_ONCE, "expected at most 1 draws at once; the engine makes up to 32"),
        (Racing, RATES, "expected the sampler to keep the rates"),
        (InCents, COST, "expected 0.01 USD in the ledger; got 0.0001"),
        (Abandoning, OVERDUE, "expected 1 requests to cancel an overdue job; got 0"),
        (Meddling, OVERDUE, "expected 0 requests to cancel an overdue job; got 1"),
        (Mislabelled, OVERDUE, "expected 1 requests to cancel an overdue job; got 0"),
    ],
)
def test_an_adapter_that_says_something_else_breaks_that_promise_alone(kind, promise, message):
    found, _ = broken(kind)
    assert set(found) == {promise}, found
    assert message in found[promise]


def test_a_limiter_that_lets_too_many_through_is_found(monkeypatch):
    monkeypatch.setattr(SharedRateLimiter, "take", lambda limiter, purpose: 0.0)
    assert broken(Limited)[0] == {RATES: "expected at most 3/second submit; got more"}


Spacious = altered("Spacious", SynchronousVendor, declares={"max_concurrency": 200})


def test_many_draws_at_once_are_read_from_the_engine_and_not_all_made():
    assert broken(Spacious) == ({}, {AT_ONCE, COST})


def test_more_submissions_at_once_than_workers_are_found(monkeypatch):
    monkeypatch.setattr(OpenRun, "most_workers", 1)
    assert set(broken(Crowding)[0]) == {AT_ONCE}
