"""The whole contract: reference adapters and shipped ones keep it, adapters that cost money are found out."""

from dataclasses import replace
from typing import ClassVar

import pytest

from blackbox_conformal.errors import AdapterError, MaybeSentError, TryLaterError, UsageError, VendorError
from blackbox_conformal.study.plugins import adapter_class, adapter_names, describe
from blackbox_conformal.testing.contract import PROMISES, SCENES, check_adapter
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.testing.static_contract import CHECKS
from blackbox_conformal.vendor.adapter import (
    Adapter,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Inspection,
    Purpose,
    Quote,
    Send,
    Upload,
)
from blackbox_conformal.vendor.example import Example, example_of, shows

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


class Idempotent(SynchronousVendor):
    example: ClassVar[Example] = Example(
        parameters={"idempotent": True},
        environment={},
        answers=SynchronousVendor.example.answers,
        quotes=SynchronousVendor.example.quotes,
    )


def test_an_idempotent_adapter_keeps_the_whole_contract():
    assert failed(Idempotent) == set()


class Inquiring(SynchronousVendor):
    """Reads what the vendor publishes before the first draw; the recorded exchange has no answer to that."""

    def inspect(self) -> Inspection:
        yield Send("GET", f"{self.url}/v1/schema", purpose="lookup", accept=frozenset({200, 404}))
        return None


def test_a_look_beforehand_is_not_taken_for_a_redirection_that_was_followed():
    assert failed(Inquiring) == set()


class Stubborn(SynchronousVendor):
    """Takes every refusal for a reason to try again."""

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return TryLaterError("try again", retry_after=0.0)


def test_an_adapter_that_asks_again_after_a_refusal_is_found():
    found = failed(Stubborn)
    told = {"a refused key stops the run", "a refused picture is not sent again", "a wrong address stops the run"}
    assert told <= found


class Impatient(SynchronousVendor):
    """Does not read how long a rate limit lasts."""

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return TryLaterError("busy", retry_after=0.0) if answer.status == 429 else None


def test_an_adapter_that_comes_back_too_early_is_found():
    assert failed(Impatient) == {"a rate limit is waited for as long as told"}


class Insistent(SynchronousVendor):
    """Submits again by itself when no answer came."""

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
    class Unseeded(SynchronousVendor):
        def _fields(self, draw: Draw) -> dict[str, str]:
            return {"scale": "4", "seed": "1337"}

    results = check_adapter(Unseeded)
    assert [result.name for result in results] == STATIC
    assert [result.name for result in results if not result.passed] == ["varies"]


def test_adapters_are_checked_by_name_and_path():
    path = "blackbox_conformal.testing.reference_adapters:SynchronousVendor"
    assert all(result.passed for result in check_adapter(path, faults=False))
    with pytest.raises(UsageError, match="no-such-vendor"):
        check_adapter("no-such-vendor")


class Silent(SynchronousVendor):
    example: ClassVar[Example | None] = None


def test_an_adapter_without_an_example_is_told_what_to_add():
    with pytest.raises(AdapterError, match="EXAMPLE"):
        check_adapter(Silent)


class Here(Silent):
    """Reads draws from this machine's disk."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(scale_factors=(4,), local=True)


def test_a_local_adapter_has_no_wire_contract():
    with pytest.raises(UsageError, match=r"^fault-synchronous has no wire contract to check"):
        check_adapter(Here)
    with pytest.raises(UsageError, match="folder has no wire contract"):
        check_adapter("folder")
    with pytest.raises(UsageError, match="function has no wire contract"):
        check_adapter("function")


class Greedy(SynchronousVendor):
    """Is billed for telling a price."""

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
