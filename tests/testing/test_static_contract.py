"""The static contract: the reference adapters keep it, and each way of breaking it is found by its own check."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, Literal

import pytest
from pydantic import ConfigDict, Field, PrivateAttr
from support.altered import altered

from blackbox_conformal.errors import AdapterError, PayloadError, RefusedError, VendorError, VendorFailedError
from blackbox_conformal.study.stages.prepare import misfit, too_many_bytes
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor, text_field
from blackbox_conformal.testing.rehearsal import a_draw, an_upload, environment, rehearse
from blackbox_conformal.testing.static_contract import CHECKS, Subject, beyond, static_checks
from blackbox_conformal.vendor.adapter import (
    FREE,
    Accepted,
    Adapter,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Price,
    Quote,
    Send,
    Upload,
    Wait,
)
from blackbox_conformal.vendor.example import Example, example_of, says


def failed(kind: type[Adapter], example: Example | None = None) -> dict[str, str]:
    shown = example or example_of(kind)
    assert shown is not None
    with environment(shown):
        return {result.name: result.detail for result in static_checks(Subject(kind, shown)) if not result.passed}


@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_the_reference_adapters_keep_every_promise(kind):
    assert failed(kind) == {}


class Undescribed(SynchronousVendor):
    strength: float = 0.5


def quoting(price):
    """A way to tell this price whatever the vendor says."""

    def quote(self, upload):
        yield Send("GET", f"{self.url}/v1/price", purpose="quote")
        return price

    return quote


Shouting = altered("Shouting", SynchronousVendor, name="Fault_Synchronous")
Hazardous = altered(
    "Hazardous",
    SynchronousVendor,
    declares={"seed_range": None, "default_seed_hazard": True},
    _fields=lambda self, draw: {"scale": str(self.scale)},
)
Deaf = altered("Deaf", SynchronousVendor, declares={"price": FREE})
Dearer = altered("Dearer", SynchronousVendor, price_for=lambda *_: Price(Decimal(1), Decimal(2), "by size"))
Located = altered("Located", SynchronousVendor, transient=frozenset({"keyed"}))
Leaky = altered(
    "Leaky",
    SynchronousVendor,
    identity=lambda self: {**SynchronousVendor.identity(self), "key": self.credential().reveal()},
)
Seedless = altered("Seedless", SynchronousVendor, _fields=lambda self, _: {"scale": str(self.scale), "seed": "1337"})
Textual = altered(
    "Textual",
    SynchronousVendor,
    _headers=lambda self, draw=None: {"authorization": f"Bearer {self.credential().reveal()}"},
)
InAddress = altered(
    "InAddress",
    SynchronousVendor,
    _fields=lambda self, draw: {**SynchronousVendor._fields(self, draw), "api_key": self.credential()},
)
Thawed = altered("Thawed", SynchronousVendor, model_config=ConfigDict(frozen=False))
Stumbling = altered(
    "Stumbling",
    SynchronousVendor,
    explain=lambda self, answer, purpose: VendorError(json.loads(answer.body)["error"]["message"]),
)
Flattering = altered("Flattering", SynchronousVendor, quote=quoting(Decimal("0.01")))
Floating = altered("Floating", SynchronousVendor, quote=quoting(0.01))
Unasked = altered("Unasked", SynchronousVendor, quote=lambda self, upload: None)


class Falling(SynchronousVendor):  # Has a price for pictures that falls as they grow
    def price_for(self, width: int, height: int) -> Price:
        return Price(Decimal(0), Decimal(1) / width, "made up")

    @property
    def capabilities(self) -> Capabilities:
        price = Price(Decimal(0), self.price_usd or Decimal(1), "made up")
        return replace(super().capabilities, price=replace(price, high=Decimal(1)))


class Unreadable(SynchronousVendor):  # Takes a number that no command line can say
    kind: Literal[4] = Field(default=4, description="Kind.")


class Twice(SynchronousVendor):
    example: ClassVar[Example] = Example(
        parameters={},
        environment={},
        answers=SynchronousVendor.example.answers * 2,
        quotes=SynchronousVendor.example.quotes,
    )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        yield from super().draw(upload, draw)
        return (yield from super().draw(upload, draw))


class Forgetful(JobVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        for step in (flow := super().draw(upload, draw)):
            answer = yield step
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    return end.value
                answer = Answer(0, {}, b"") if isinstance(step, Accepted) else (yield step)
        raise AssertionError


class Resubmitting(JobVendor):
    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        yield Send("POST", f"{self.url}/v1/jobs/{job}/again", purpose="submit", headers=self._headers())
        return (yield from super().resume(upload, draw, job))


class Generous(JobVendor):
    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        for_ever = super().resume(upload, draw, job)
        step = next(for_ever)
        while True:
            if isinstance(step, Send) and step.purpose == "download":
                step = Send("GET", step.url, purpose="download", headers=self._headers(), public=True)
            answer = yield step
            try:
                step = for_ever.send(answer)
            except StopIteration as end:
                return end.value


class Elsewhere(SynchronousVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        flow = super().draw(upload, draw)
        send = next(flow)
        assert isinstance(send, Send)
        answer = yield Send("POST", "http://127.0.0.1:11/v1", purpose="submit", query=send.query, body=upload.png)
        yield Wait(0.0)
        return answer.body


class Blind(SynchronousVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/v1/upscale", purpose="submit", query=self._fields(draw), body=b"PNG")
        return answer.body


class TwoBodies(SynchronousVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send(
            "POST", f"{self.url}/v1", purpose="submit", json={"seed": draw.seed}, form=self._fields(draw)
        )
        return answer.body


class Counting(SynchronousVendor):
    _count: int = PrivateAttr(default=0)

    def _fields(self, draw: Draw) -> dict[str, str]:
        object.__setattr__(self, "__pydantic_private__", {"_count": self._count + 1})
        return {**super()._fields(draw), "count": str(self._count)}


class Trusting(JobVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/v1/jobs", purpose="submit", json=self._fields(draw))
        job = answer.json()["id"]
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))


class Unkeyed(SynchronousVendor):
    idempotent: bool = Field(default=True, description="Declared, and not sent.")

    def _headers(self, draw: Draw | None = None) -> dict[str, Any]:
        return {}


class Estimating(SynchronousVendor):
    def quote(self, upload: Upload) -> Quote:
        yield Accepted("estimate")
        return (yield from super().quote(upload))


class Credulous(SynchronousVendor):
    def quote(self, upload: Upload) -> Quote:
        answer = yield Send("GET", f"{self.url}/v1/price", purpose="quote")
        try:
            return Decimal(answer.json()["cost_usd"])
        except TypeError:
            raise PayloadError("expected a price") from None


class Shown(SynchronousVendor):
    def quote(self, upload: Upload) -> Quote:
        key = {"authorization": self.credential().reveal()}
        answer = yield Send("GET", f"{self.url}/v1/price", purpose="quote", headers=key)
        return Decimal(text_field(answer, "cost_usd"))


@pytest.mark.parametrize(
    ("kind", "check", "message"),
    [
        (Undescribed, "declares", "strength"),
        (Shouting, "declares", "lower case"),
        (Hazardous, "is capable", "default_seed_hazard"),
        (Deaf, "is capable", "price_usd"),
        (Dearer, "prices", "within capabilities.price"),
        (Falling, "prices", "of at least what a smaller picture costs"),
        (Unreadable, "takes text", "-p kind=4"),
        (Located, "identifies", "transient"),
        (Leaky, "identifies", "environment"),
        (Twice, "draws", "exactly one"),
        (Forgetful, "draws", "Accepted"),
        (Blind, "sends picture", "none has its bytes"),
        (Seedless, "varies", "two seeds"),
        (Unkeyed, "varies", "own key"),
        (Textual, "keeps secrets", "as text"),
        (Generous, "keeps secrets", "carries a key"),
        (InAddress, "keeps secrets", "in its address"),
        (Elsewhere, "sends well", "below"),
        (TwoBodies, "sends well", "kinds of body"),
        (Counting, "keeps no state", "runs beside"),
        (Thawed, "keeps no state", "frozen"),
        (Resubmitting, "resumes", "twice"),
        (Trusting, "survives nonsense", "KeyError"),
        (Stumbling, "explains", "fails on HTTP"),
        (Estimating, "quotes", "expected quote() to yield"),
        (Credulous, "quotes", "KeyError"),
        (Flattering, "quotes", "taken for a price"),
        (Floating, "quotes", "as a Decimal"),
        (Unasked, "quotes", "returns None"),
        (Shown, "quotes", "as text"),
    ],
)
def test_each_broken_promise_is_found(kind, check, message):
    found = failed(kind)
    assert message in found[check], found


def test_an_example_without_the_place_of_resuming_is_found():
    shown = JobVendor.example
    bare = replace(shown, polls=None)
    assert "polls" in failed(JobVendor, bare)["resumes"]


def test_every_check_has_an_adapter_that_breaks_it():
    broken = {"declares", "is capable", "identifies", "draws", "sends picture", "varies", "keeps secrets", "sends well"}
    broken |= {"keeps no state", "resumes", "survives nonsense", "explains", "quotes", "prices", "takes text", "fails"}
    broken |= {"refuses unfit", "pauses"}
    assert broken == {check.__name__.replace("_", " ") for check in CHECKS}


def test_an_example_that_ends_early_shows_the_request_that_has_no_answer():
    shown = JobVendor.example
    found = failed(JobVendor, replace(shown, answers=shown.answers[:2]))
    assert "then came another poll request, GET /v1/jobs/job-0: the answers before" in found["draws"]


def test_one_mistake_is_explained_once():
    shown = JobVendor.example
    found = failed(JobVendor, replace(shown, answers=(says('{"ident": 1}', 201), *shown.answers[1:])))
    assert "expected 'id' as text" in found["draws"]
    assert found["sends well"] == "the same as for 'draws'"


class NotASendFlow(SynchronousVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        yield "submit"
        return b""


class NotBytesFlow(SynchronousVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        yield Wait(0.0)
        return "picture"


class EndlessFlow(SynchronousVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        while True:
            yield Wait(0.0)


@pytest.mark.parametrize(
    ("kind", "message"), [(NotASendFlow, "Send, Wait"), (NotBytesFlow, "bytes"), (EndlessFlow, "to end")]
)
def test_flows_that_are_no_flows_are_adapter_errors(kind, message):
    adapter = kind(url="http://127.0.0.1:9")
    with pytest.raises(AdapterError, match=message):
        rehearse(adapter, adapter.draw(an_upload(adapter), a_draw(adapter)), ())


def test_a_text_is_read_only_from_an_object():
    for body in (b"[]", b'{"id": 3}'):
        with pytest.raises(VendorError, match="expected"):
            text_field(Answer(200, {}, body), "id")


FAILED = JobVendor.example.failures[0]
Unshown = altered("Unshown", JobVendor, shows={"failures": ()})
Boasting = altered("Boasting", SynchronousVendor, shows={"failures": (FAILED,)})
# The job of the picture fails.
Twin = altered("Twin", JobVendor, shows={"failures": ((JobVendor.example.answers[0], FAILED[1]),)})
# Nothing asks for the last answer.
Lingering = altered("Lingering", JobVendor, shows={"failures": ((*FAILED, JobVendor.example.answers[1]),)})
Boundless = altered("Boundless", SynchronousVendor, declares={"max_aspect": float("nan")})
Unkept = altered("Unkept", SynchronousVendor, declares={"min_side": 64, "max_side": 32})


class Blaming(JobVendor):  # Takes the vendor's failure for a refusal of the picture
    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        try:
            return (yield from super().resume(upload, draw, job))
        except VendorFailedError as error:
            raise RefusedError(str(error)) from None


@pytest.mark.parametrize(
    ("kind", "check", "message"),
    [
        (Unshown, "fails", "`failures` in the example"),
        (Boasting, "fails", "and of no other"),
        (Blaming, "fails", "VendorFailedError; got RefusedError"),
        (Twin, "fails", "of another job"),
        (Lingering, "fails", "expected 3 requests"),
        (Boundless, "refuses unfit", "max_aspect=nan"),
        (Unkept, "refuses unfit", "limits that a picture can keep"),
    ],
)
def test_each_broken_promise_is_found_by_its_own_check(kind, check, message):
    found = {result.name: result.detail for result in check_adapter(kind, faults=False) if not result.passed}
    assert set(found) == {check}
    assert message in found[check]


SIDES = {"min_side": 5, "max_side": 90, "min_output_side": 24, "max_output_side": 330, "max_aspect": 2.5}
LIMITED = Capabilities((4,), max_input_pixels=5000, max_output_pixels=70_000, max_upload_bytes=9000, **SIDES)


@pytest.mark.parametrize("limit", [name for name, _ in beyond(LIMITED, 4)])
def test_a_picture_beyond_a_limit_breaks_that_limit(limit):
    broken = dict(beyond(LIMITED, 4))[limit]
    alone = Capabilities((4,), **{limit: getattr(LIMITED, limit)})
    assert misfit(broken.width, broken.height, alone, 4) or too_many_bytes(broken, alone)


def test_every_limit_of_a_picture_has_one_beyond_it():
    limits = {name for name in Capabilities.__dataclass_fields__ if name.startswith(("min_", "max_"))}
    assert {name for name, _ in beyond(LIMITED, 4)} == limits - {"max_concurrency"}
