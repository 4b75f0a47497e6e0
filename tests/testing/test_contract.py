"""The whole contract: reference and shipped adapters keep it; what costs money, a guarantee or a secret is found."""

import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from pydantic import Field
from support.altered import altered

from blackbox_adapters.gradio import EXAMPLE as OF_GRADIO
from blackbox_adapters.gradio import Gradio
from blackbox_conformal.drawing.open_run import OpenRun
from blackbox_conformal.drawing.pacing.rate_limiter import SharedRateLimiter
from blackbox_conformal.errors import (
    AdapterError,
    DeadlineError,
    JobCancelledError,
    MaybeSentError,
    RefusedError,
    TryLaterError,
    UsageError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.study.plugins import adapter_class, adapter_names, describe
from blackbox_conformal.testing.contract import PROMISES, SCENES, at_once, check_adapter, declared_checks
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.testing.rehearsal import environment
from blackbox_conformal.testing.static_contract import ADDRESS, CHECKS, Subject, static_checks
from blackbox_conformal.vendor.adapter import (
    Adapter,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Inspection,
    Observed,
    Purpose,
    Quote,
    Rate,
    Send,
    Upload,
    Wait,
)
from blackbox_conformal.vendor.example import Example, example_of, says, shows

FAILURE, PAUSE, AT_ONCE, RATES, COST, OVERDUE = (promise.name for promise in PROMISES)
SHOWN = [name for name in adapter_names() if example_of(adapter_class(name)) is not None]


def failed(kind: type[Adapter]) -> set[str]:
    return {result.name for result in check_adapter(kind) if not result.passed}


STATIC = [check.__name__.replace("_", " ") for check in CHECKS]
BOTH = [scenario.name for scenario in SCENES if scenario.purpose in ("submit", "quote")]
ANY = [scenario.name for scenario in SCENES]
OF_JOBS = (FAILURE, COST, OVERDUE)


@pytest.mark.parametrize(
    ("kind", "promises"), [(SynchronousVendor, [*STATIC, *BOTH, COST]), (JobVendor, [*STATIC, *ANY, *OF_JOBS])]
)
def test_the_reference_adapters_keep_every_promise_that_applies_to_them(kind, promises):
    results = check_adapter(kind)
    assert [result.detail for result in results if not result.passed] == []
    assert [result.name for result in results] == promises


Idempotent = altered("Idempotent", SynchronousVendor, shows={"parameters": {"idempotent": True}, "environment": {}})


def test_an_idempotent_adapter_keeps_the_whole_contract():
    assert failed(Idempotent) == set()


class Inquiring(SynchronousVendor):
    """Reads what the vendor publishes before the first draw; the recorded exchange has no answer to that."""

    def inspect(self) -> Inspection:
        yield Send("GET", f"{self.url}/v1/schema", purpose="lookup", accept=frozenset({200, 404}))
        return None


def test_a_look_beforehand_is_not_taken_for_a_redirection_that_was_followed():
    assert failed(Inquiring) == set()


Stubborn = altered("Stubborn", SynchronousVendor, explain=lambda *_: TryLaterError("try again", retry_after=0.0))


def test_an_adapter_that_asks_again_after_a_refusal_is_found():
    found = failed(Stubborn)
    told = {"a refused key stops the run", "a refused picture is not sent again", "a wrong address stops the run"}
    assert told <= found


Impatient = altered(
    "Impatient",
    SynchronousVendor,
    explain=lambda _, answer, __: TryLaterError("busy", retry_after=0.0) if answer.status == 429 else None,
)


def test_an_adapter_that_comes_back_too_early_is_found():
    assert failed(Impatient) == {"a rate limit is waited for as long as told"}


class Insistent(SynchronousVendor):  # Submits again by itself when no answer came
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        try:
            return (yield from super().draw(upload, draw))
        except MaybeSentError:
            return (yield from super().draw(upload, draw))


def test_an_adapter_that_submits_again_by_itself_is_found_and_stopped():
    results = {result.name: result for result in check_adapter(Insistent)}
    lost = results["a lost answer is not paid twice"]
    assert not lost.passed
    assert "1 submissions, 1 billed" in lost.detail


def test_the_fault_part_waits_for_the_static_part():
    results = check_adapter(altered("Unseeded", SynchronousVendor, _fields=lambda *_: {"scale": "4", "seed": "1337"}))
    assert [result.name for result in results] == STATIC
    assert [result.name for result in results if not result.passed] == ["varies"]


def test_adapters_are_checked_by_name_and_path():
    path = "blackbox_conformal.testing.reference_adapters:SynchronousVendor"
    assert all(result.passed for result in check_adapter(path, faults=False))
    with pytest.raises(UsageError, match="no-such-vendor"):
        check_adapter("no-such-vendor")


Silent = altered("Silent", SynchronousVendor, example=None)
Here = altered("Here", Silent, capabilities=property(lambda _: Capabilities(scale_factors=(4,), local=True)))


def test_an_adapter_without_an_example_is_told_what_to_add():
    with pytest.raises(AdapterError, match="EXAMPLE"):
        check_adapter(Silent)


def test_a_local_adapter_has_no_wire_contract():
    with pytest.raises(UsageError, match=r"^fault-synchronous has no wire contract to check"):
        check_adapter(Here)
    with pytest.raises(UsageError, match="folder has no wire contract"):
        check_adapter("folder")
    with pytest.raises(UsageError, match="function has no wire contract"):
        check_adapter("function")


class Greedy(SynchronousVendor):  # Is billed for telling a price
    def quote(self, upload: Upload) -> Quote:
        yield Send("POST", f"{self.url}/v1/upscale", purpose="submit", headers=self._headers(), body=upload.png)
        return (yield from super().quote(upload))


def test_a_quote_that_is_billed_is_found():
    shown = replace(SynchronousVendor.example, quotes=(shows(), *SynchronousVendor.example.quotes))
    failed = {result.name: result.detail for result in check_adapter(Greedy, shown) if not result.passed}
    assert "purpose quote" in failed["quotes"]


def test_an_example_that_does_not_fit_its_adapter_is_an_error():
    with pytest.raises(AdapterError, match="own example"):
        check_adapter(SynchronousVendor, Example(parameters={"strength": 1}, answers=()))


@pytest.mark.parametrize("name", SHOWN)
def test_shipped_adapters_keep_the_static_contract(name):
    assert [result for result in check_adapter(name, faults=False) if not result.passed] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SHOWN if not describe(name)["capabilities"]["retired"]])
def test_shipped_adapters_keep_the_whole_contract(name):
    assert [result for result in check_adapter(name) if not result.passed] == []


def steps_of(flow: Flow, change: Any) -> Flow:
    """The steps of `flow`, each as `change` makes it; None leaves it out."""
    answer = Answer(0, {}, b"")
    try:
        step = next(flow)
        while True:
            changed = change(step)
            answer = Answer(0, {}, b"") if changed is None else (yield changed)
            step = flow.send(answer)
    except StopIteration as end:
        return end.value


class Breathless(JobVendor):  # Polls without a pause
    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        return (yield from steps_of(super().resume(upload, draw, job), lambda s: None if isinstance(s, Wait) else s))


class Restless(JobVendor):  # Polls after no time at all
    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        flow = super().resume(upload, draw, job)
        return (yield from steps_of(flow, lambda step: Wait(0.0) if isinstance(step, Wait) else step))


class Naming(SynchronousVendor):  # Sends the name of the user's file
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        flow = super().draw(upload, draw)
        return (
            yield from steps_of(
                flow, lambda s: replace(s, query={**s.query, "title": upload.name}) if isinstance(s, Send) else s
            )
        )


Lossy = altered(
    "Lossy",
    SynchronousVendor,
    _fields=lambda self, draw: {**SynchronousVendor._fields(self, draw), "output_format": "JPEG"},
)


class Cheap(SynchronousVendor):  # Its table is ten times below what the example's vendor tells
    @property
    def capabilities(self) -> Capabilities:
        able = super().capabilities
        tenth = replace(able.price, low=able.price.low / 10, high=able.price.high / 10)
        return able if self.price_usd != Decimal("0.01") else replace(able, price=tenth)


Sworn = altered("Sworn", SynchronousVendor, evidence="I tried it")
# Its example's key is too short to be looked for, so that nothing tells that it stands in the address.
ShortKey = altered(
    "ShortKey",
    SynchronousVendor,
    shows={"environment": {"FAULT_VENDOR_KEY": "made-up"}},
    _fields=lambda self, draw: {**SynchronousVendor._fields(self, draw), "key": self.credential().reveal()},
)


@pytest.mark.parametrize(
    ("kind", "check", "said"),
    [
        (Breathless, "pauses", "expected Wait(seconds) between two polls of a job"),
        (Restless, "pauses", "expected Wait of more than 0 seconds"),
        (Naming, "sends well", "names the user's file"),
        (Lossy, "sends well", "asks for jpeg; ask for PNG, or declare lossless_output=False"),
        (Cheap, "prices", "expected a price of at least the 0.01 USD"),
        (Sworn, "declares", "expected evidence to be one of openapi, real-server, client"),
        (ShortKey, "keeps secrets", "expected a made-up FAULT_VENDOR_KEY of at least 8 letters"),
    ],
)
def test_a_mistake_is_found_without_a_socket(kind, check, said):
    shown = example_of(kind)
    assert shown is not None
    with environment(shown):
        found = {each.name: each.detail for each in static_checks(Subject(kind, shown)) if not each.passed}
    first, *others = found.items()
    assert (first[0], said in first[1]) == (check, True), found
    assert all(detail == f"the same as for {check!r}" for _, detail in others), found


def taken_for(error):
    """A way to take every failing server for this."""
    return lambda self, answer, purpose: (
        error if answer.status >= 500 else super(type(self), self).explain(answer, purpose)
    )


Eager = altered("Eager", SynchronousVendor, explain=taken_for(TryLaterError("busy", retry_after=0.0)))
Accusing = altered("Accusing", SynchronousVendor, explain=taken_for(RefusedError("no")))


class Hopeful(SynchronousVendor):  # Takes every failing server for a failure that cost nothing
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        try:
            return (yield from super().draw(upload, draw))
        except VendorFailedError:
            yield Observed(cost_usd=Decimal(0))
            raise

    explain = taken_for(VendorFailedError("it failed"))


OPEN = {"a failed submission may be billed", "a submission cut off by a gateway may be billed"}


class Refunded(JobVendor):  # Says that its vendor bills no failures, and books the price that was told before one
    example: ClassVar[Example] = replace(
        JobVendor.example, parameters={**JobVendor.example.parameters, "failures_billed": False}
    )

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        yield Observed(cost_usd=Decimal("0.01"))
        return (yield from super().resume(upload, draw, job))


@pytest.mark.parametrize(
    ("kind", "names", "said"),
    [
        (Hopeful, OPEN, "failed; "),
        (Eager, OPEN, "submissions"),
        (Accusing, OPEN, "refused"),
        (
            Refunded,
            {"a failure of the vendor is booked as declared and asked again"},
            "expected failure 0 to cost nothing, as failures_billed=False says; 0.01 USD are told for it",
        ),
    ],
)
def test_a_mistake_is_found_by_drawing(kind, names, said):
    found = {each.name: each.detail for each in check_adapter(kind) if not each.passed}
    assert set(found) == names
    assert all(said in detail for detail in found.values()), found


PLAIN = '''
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

class Shown(SynchronousVendor):
    """Shows its example without ClassVar."""

    example = SynchronousVendor.example
'''


def test_an_example_on_the_class_needs_no_annotation(tmp_path, monkeypatch):
    (tmp_path / "shown_plainly.py").write_text(PLAIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    kind = adapter_class("shown_plainly:Shown")
    assert example_of(kind) is SynchronousVendor.example
    assert all(result.passed for result in check_adapter(kind, faults=False))
    sys.modules.pop("shown_plainly")


PICKED = '''
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.vendor.example import Example, shows

class Direct(Adapter):
    """Derives from the base class itself."""

    name = "direct"
    example = Example({}, (shows(),))
'''


def test_nor_does_that_of_a_class_that_derives_from_adapter(tmp_path, monkeypatch):
    (tmp_path / "shown_directly.py").write_text(PICKED, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AdapterError, match="does not define base_url, capabilities, draw"):
        adapter_class("shown_directly:Direct")
    sys.modules.pop("shown_directly")


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
