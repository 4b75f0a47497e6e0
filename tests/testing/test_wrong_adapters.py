"""Adapters with mistakes that cost money, a guarantee or a secret: `adapters check` finds each one."""

import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from blackbox_conformal.errors import AdapterError, RefusedError, TryLaterError, VendorError, VendorFailedError
from blackbox_conformal.study.plugins import adapter_class
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.testing.rehearsal import environment
from blackbox_conformal.testing.static_contract import Subject, static_checks
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Draw, Flow, Observed, Purpose, Send, Upload, Wait
from blackbox_conformal.vendor.example import Example, example_of


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


class Breathless(JobVendor):
    """Polls without a pause."""

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        return (yield from steps_of(super().resume(upload, draw, job), lambda s: None if isinstance(s, Wait) else s))


class Restless(JobVendor):
    """Polls after no time at all."""

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        flow = super().resume(upload, draw, job)
        return (yield from steps_of(flow, lambda step: Wait(0.0) if isinstance(step, Wait) else step))


class Naming(SynchronousVendor):
    """Sends the name of the user's file."""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        flow = super().draw(upload, draw)
        return (
            yield from steps_of(
                flow, lambda s: replace(s, query={**s.query, "title": upload.name}) if isinstance(s, Send) else s
            )
        )


class Lossy(SynchronousVendor):
    """Asks for JPEG, and says that nothing is lost."""

    def _fields(self, draw: Draw) -> dict[str, str]:
        return {**super()._fields(draw), "output_format": "JPEG"}


class Cheap(SynchronousVendor):
    """Its table is ten times below what the example's vendor tells."""

    @property
    def capabilities(self) -> Capabilities:
        able = super().capabilities
        tenth = replace(able.price, low=able.price.low / 10, high=able.price.high / 10)
        return able if self.price_usd != Decimal("0.01") else replace(able, price=tenth)


class Sworn(SynchronousVendor):
    evidence: ClassVar = "I tried it"


class ShortKey(SynchronousVendor):
    """Its example's key is too short to be looked for, so that nothing tells that it stands in the address."""

    example: ClassVar[Example] = replace(SynchronousVendor.example, environment={"FAULT_VENDOR_KEY": "made-up"})

    def _fields(self, draw: Draw) -> dict[str, str]:
        return {**super()._fields(draw), "key": self.credential().reveal()}


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


class Hopeful(SynchronousVendor):
    """Takes every failing server for a failure that cost nothing."""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        try:
            return (yield from super().draw(upload, draw))
        except VendorFailedError:
            yield Observed(cost_usd=Decimal(0))
            raise

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return VendorFailedError("it failed") if answer.status >= 500 else super().explain(answer, purpose)


class Eager(SynchronousVendor):
    """Takes every failing server for one that asks to wait."""

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return TryLaterError("busy", retry_after=0.0) if answer.status >= 500 else super().explain(answer, purpose)


class Accusing(SynchronousVendor):
    """Takes every failing server for a refusal of the picture."""

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return RefusedError("no") if answer.status >= 500 else super().explain(answer, purpose)


OPEN = {"a failed submission may be billed", "a submission cut off by a gateway may be billed"}


class Refunded(JobVendor):
    """Says that its vendor bills no failures, and books the price that was told before one."""

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
