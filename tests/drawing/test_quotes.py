"""Prices asked of the vendor itself: once a size, free, repeated when it fails, and what a plan makes of them."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from blackbox_conformal.drawing.free_requests import ask_quotes
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.spending.estimate import estimate
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import (
    AccountRefusedError,
    AdapterError,
    IncompleteError,
    JobError,
    NotSentError,
    PayloadError,
    UsageError,
)
from blackbox_conformal.method.images.duplicates import sketch
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.plan.planning import plan_job
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import member, set_up
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor, text_field
from blackbox_conformal.testing.rehearsal import an_upload
from blackbox_conformal.vendor.adapter import Quote, Send, Upload, Wait

QUICK = Limits(max_attempts=3, attempt_timeout_s=2.0)


class BySize(JobVendor):
    def quote(self, upload: Upload) -> Quote:
        yield from super().quote(upload)
        return Decimal(upload.width * upload.height) / 1000


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(price_usd="0.07") as running:
        yield running


def uploads(*sizes: tuple[int, int]) -> list[Upload]:
    picture = an_upload(JobVendor(url="http://127.0.0.1:9"))
    return [replace(picture, name=f"p{i}", width=width, height=height) for i, (width, height) in enumerate(sizes)]


def test_each_size_is_asked_for_once_and_nothing_is_billed(server):
    seen: list[tuple[str, int, int]] = []
    found = ask_quotes(
        JobVendor(url=server.url),
        uploads((20, 10), (10, 20), (20, 10)),
        QUICK,
        lambda what, done, total: seen.append((what, done, total)),
    )
    assert found == {(20, 10): Decimal("0.07"), (10, 20): Decimal("0.07")}
    assert (server.account.requests("quote"), server.account.requests("submit"), server.account.paid) == (2, 0, 0)
    assert seen == [("quotes", 1, 2), ("quotes", 2, 2)]
    assert "width=20&height=10" in server.account.recorded[0].target


@pytest.mark.parametrize(
    "faults", [["status:code=429,retry-after=0"], ["close-without-answer", "status:code=503"], ["status:code=500"]]
)
def test_a_failed_question_is_asked_again(server, faults):
    server.script = lambda situation: faults[situation.number] if situation.number < len(faults) else None
    assert ask_quotes(SynchronousVendor(url=server.url), uploads((8, 8)), QUICK) == {(8, 8): Decimal("0.07")}
    assert server.account.requests("quote") == 1 + len(faults)


def test_a_vendor_that_never_answers_is_given_up(server):
    server.script = lambda situation: "status:code=500"
    with pytest.raises(JobError, match="HTTP 500"):
        ask_quotes(SynchronousVendor(url=server.url), uploads((8, 8)), QUICK)
    assert server.account.requests("quote") == QUICK.max_attempts
    with pytest.raises(NotSentError):
        ask_quotes(SynchronousVendor(url="http://127.0.0.1:9"), uploads((8, 8)), replace(QUICK, max_attempts=1))


SAID = {"status:code=429,retry-after=30": "HTTP 429", "status:code=429": "HTTP 429"}
SAID |= dict.fromkeys(("never-answers", "drip-headers"), "no whole answer")


@pytest.mark.parametrize(("fault", "said"), SAID.items())
def test_no_price_is_waited_for_longer_than_a_person_would(server, fault, said):
    server.script = lambda situation: fault
    with pytest.raises(IncompleteError, match=f"no price within 0.2 s .*{said}.*leave --quote out"):
        ask_quotes(SynchronousVendor(url=server.url), uploads((8, 8)), Limits(max_attempts=1000), patience_s=0.2)
    assert server.account.paid == 0


def test_patience_is_counted_anew_for_each_size(server):
    server.script = lambda situation: "slow-start:seconds=0.2"
    found = ask_quotes(SynchronousVendor(url=server.url), uploads((8, 8), (9, 9), (10, 10)), QUICK, patience_s=0.5)
    assert len(found) == 3


class Slow(SynchronousVendor):
    def quote(self, upload: Upload) -> Quote:
        while True:
            yield from super().quote(upload)
            yield Wait(0.05)


def test_an_adapter_that_never_has_its_price_is_left(server):
    with pytest.raises(IncompleteError, match=r"no price within 0.3 s; ask again later"):
        ask_quotes(Slow(url=server.url), uploads((8, 8)), QUICK, patience_s=0.3)
    assert server.account.requests("quote") > 1


@pytest.mark.parametrize("fault", ["captive-portal", "json-error", "declared-huge", "status:code=200,message=free"])
def test_an_answer_that_holds_no_price_is_an_error(server, fault):
    server.script = lambda situation: fault
    with pytest.raises(PayloadError):
        ask_quotes(SynchronousVendor(url=server.url), uploads((8, 8)), replace(QUICK, max_answer_bytes=10_000))
    assert server.account.requests("quote") == 1


def test_a_refused_key_is_told_at_once(server):
    server.script = lambda situation: "status:code=401"
    with pytest.raises(AccountRefusedError):
        ask_quotes(SynchronousVendor(url=server.url), uploads((8, 8), (9, 9)), QUICK)
    assert server.account.requests("quote") == 1


class Dumb(SynchronousVendor):
    def quote(self, upload: Upload) -> Any:
        return None


class Paid(SynchronousVendor):
    def quote(self, upload: Upload) -> Quote:
        answer = yield Send("POST", f"{self.url}/v1/upscale", purpose="submit", body=upload.png)
        return Decimal(text_field(answer, "cost_usd"))


class Vague(SynchronousVendor):
    def quote(self, upload: Upload) -> Quote:
        yield from super().quote(upload)
        return Decimal("NaN")


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [(Dumb, UsageError, "--quote"), (Paid, AdapterError, "billed"), (Vague, PayloadError, "NaN")],
)
def test_what_is_no_price_is_none(server, kind, error, message):
    with pytest.raises(error, match=message):
        ask_quotes(kind(url=server.url), uploads((8, 8)), QUICK)  # type: ignore[call-arg]
    assert (server.account.requests("submit"), server.account.paid) == (0, 0)


def test_a_plan_counts_what_was_quoted_for_each_size(server, tmp_path):
    adapter = BySize(url=server.url)
    setup = set_up(adapter, scale=4, draws=3)
    pictures = []
    for one in uploads((20, 10), (30, 10)):
        looks, draws = sketch(read_image(one.png).pixels, one.digest), tuple(Task(one, k, k) for k in range(3))
        pictures.append(Prepared(one.name, None, None, one.digest, looks, (40, 40), draws, ()))
    tasks = [task for picture in pictures for task in picture.tasks]
    quoted = ask_quotes(adapter, [task.upload for task in tasks], QUICK)
    assert quoted == {(20, 10): Decimal("0.2"), (30, 10): Decimal("0.3")}
    total = Decimal("0.2") * 3 + Decimal("0.3") * 3
    assert estimate(adapter, tmp_path, QUICK, tasks, quoted=quoted).cost_usd == (total, total)
    job = Job(setup, pictures, Terms(tmp_path))
    found = plan_job(job, member("guarantees", "expected"), quoted=quoted)
    assert (found.cost_usd, found.usd_a_photograph) == ((total, total), (Decimal("0.6"), Decimal("0.9")))
    assert found.price_source == "quoted by the vendor"
    listed = plan_job(job, member("guarantees", "expected"))
    assert listed.cost_usd == (Decimal("0.06"), Decimal("0.06"))
    assert listed.price_source == "the fault server's price list"
