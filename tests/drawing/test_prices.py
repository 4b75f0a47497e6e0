"""What is reserved for a draw and booked, also at vendors that bill by size or more than their table says."""

import base64
import itertools
import json
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.draws import Drawn, an_upload, check, draw, limits, tasks
from support.recording_server import RecordingServer

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import estimate
from blackbox_conformal.drawing.spending.prices import require_price
from blackbox_conformal.drawing.task import Task, task_keys
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.fault_vendor import Account, FaultVendor
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.adapter import Adapter, Price, Upload

SLOW = {"submit": Fault("slow-start", {"seconds": 0.1})}


@pytest.mark.parametrize("concurrency", [8, 32, "auto"])
@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_a_bill_above_the_table_exceeds_the_limit_by_one_draw_at_most(tmp_path, kind, concurrency):
    most = Decimal("0.08")
    with FaultServer(SLOW, reported_price="0.10") as server:
        adapter = kind(url=server.url)
        drawn = draw(adapter, tmp_path / "run", tasks(4, 8), concurrency=concurrency, max_cost_usd=most)
        assert (drawn.ended, server.account.paid) == ("BudgetError", 1)
        assert "0.1 spent and 0 reserved of 0.08 allowed" in drawn.text
        assert "the vendor billed 0.1 USD for a draw, more than the 0.01 USD of the price table" in drawn.text
        more = draw(adapter, tmp_path / "run", tasks(4, 8), concurrency=concurrency, max_cost_usd=Decimal("0.55"))
        # What the ledger holds is reserved from the start.
        assert (more.ended, server.account.paid) == ("BudgetError", 5)


class BillsBySize(FaultVendor):
    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        width, height = int.from_bytes(body[16:20], "big"), int.from_bytes(body[20:24], "big")
        return super().respond(head, body, port, marks).with_headers(X_Cost_USD=f"{width * height / 4000:.2f}")


def test_a_vendor_that_bills_by_size_exceeds_the_limit_by_one_draw_at_most(tmp_path):
    work = [
        Task(an_upload(number, width=side, height=10), index, 8 * number + index)
        for number, side in enumerate((4, 8, 80))
        for index in range(8)
    ]
    account = Account(Decimal("0.01"))
    with FaultServer(SLOW, account=account, vendor=BillsBySize(account)) as server:
        adapter = SynchronousVendor(url=server.url)
        drawn = draw(adapter, tmp_path / "run", work, concurrency=32, max_cost_usd=Decimal("0.35"))
    assert drawn.ended == "BudgetError"
    by_side = {4: Decimal("0.01"), 8: Decimal("0.02"), 80: Decimal("0.20")}
    spent = sum(outcome.cost_usd for outcome in drawn.outcomes)
    assert spent == sum(by_side[outcome.task.upload.width] for outcome in drawn.outcomes)
    assert spent <= Decimal("0.35") + Decimal("0.20")
    assert sum(outcome.task.upload.width == 80 for outcome in drawn.outcomes) <= 1


def test_the_first_draw_goes_alone_and_the_others_together(tmp_path):
    waiting = threading.Barrier(7, timeout=20)

    class Together(FaultVendor):
        def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
            if self.account.requests("submit") > 1:
                waiting.wait()
            return super().respond(head, body, port, marks)

    account = Account(Decimal("0.01"))
    with FaultServer(account=account, vendor=Together(account)) as server:
        adapter = SynchronousVendor(url=server.url)
        drawn = draw(adapter, tmp_path / "run", tasks(1, 8), concurrency=8, max_cost_usd=Decimal("0.08"))
    assert drawn.error is None
    assert drawn.states == ["stored"] * 8


def test_a_vendor_that_tells_no_price_is_trusted_to_its_table_after_one_answer(tmp_path):
    waiting = threading.Barrier(7, timeout=20)

    class Silent(FaultVendor):
        """Tells no price, and answers larger pictures only when seven of them are there."""

        def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
            if int.from_bytes(body[16:20], "big") > 12:
                waiting.wait()
            answer = super().respond(head, body, port, marks)
            return Response(answer.status, {"Content-Type": "image/png"}, answer.body)

    account = Account(Decimal("0.01"))
    with FaultServer(account=account, vendor=Silent(account)) as server:
        adapter = SynchronousVendor(url=server.url)
        larger = [Task(an_upload(1, width=24), index, index) for index in range(7)]
        limit = limits(concurrency=8, max_cost_usd=Decimal("0.08"))
        with Sampler(adapter, tmp_path / "run", limit, check=check) as sampler:
            found = [*sampler.draw(tasks()), *sampler.draw(larger)]
    assert [outcome.state for outcome in found] == ["stored"] * 8


def test_the_counters_count_what_the_limit_counts(tmp_path, vendor):
    seen: list[Event] = []
    assert draw(vendor, tmp_path / "run", tasks(3, 4)).error is None
    work = tasks(4, 4)
    keys = frozenset(task_keys(vendor.identity(), work[8:]))
    drawn = draw(vendor, tmp_path / "run", work[8:], max_cost_usd=Decimal("0.08"), scope=keys, listener=seen.append)
    assert drawn.error is None
    # Eight draws lie in the folder that are another job's; four of this job's were stored before.
    assert seen[0].counters.spent == Decimal("0.04")
    assert seen[-1].counters.spent == Decimal("0.08") == seen[-1].counters.budget


class PricedBySize(SynchronousVendor):
    """Lists what `BillsBySize` bills, or half of it."""

    name: ClassVar[str] = "priced-by-size"
    discount: int = 1

    def price_for(self, width: int, height: int) -> Price:
        usd = Decimal(width * height) / 4000 / self.discount
        return Price(usd, usd, "a cent for every 40 pixels")


def sized(*sides: int) -> list[Task]:
    return [Task(an_upload(number, width=side, height=10), 0, number) for number, side in enumerate(sides)]


def test_what_is_reserved_and_estimated_depends_on_the_size(tmp_path):
    account = Account(Decimal("0.01"))
    work = sized(80, 4, 8, 12, 16)
    with FaultServer(SLOW, account=account, vendor=BillsBySize(account)) as server:
        adapter = PricedBySize(url=server.url)
        total = Decimal("0.30")
        assert estimate(adapter, tmp_path / "run", limits(), work).cost_usd == (total, total)
        drawn = draw(adapter, tmp_path / "run", work, concurrency=8, max_cost_usd=total)
        assert (drawn.error, drawn.states) == (None, ["stored"] * 5)
        short = draw(adapter, tmp_path / "short", work, concurrency=8, max_cost_usd=Decimal("0.29"))
    assert short.ended == "BudgetError"
    assert sum(outcome.cost_usd for outcome in short.outcomes) <= Decimal("0.29")


def test_a_list_that_is_too_low_is_raised_in_proportion(tmp_path):
    account = Account(Decimal("0.01"))
    with FaultServer(SLOW, account=account, vendor=BillsBySize(account)) as server:
        adapter = PricedBySize(url=server.url, discount=2)
        first = draw(adapter, tmp_path / "run", sized(8), max_cost_usd=Decimal("1"))
        assert first.outcomes[0].cost_usd == Decimal("0.02")
        larger = sized(8, 80)[1:]
        assert estimate(adapter, tmp_path / "run", limits(), larger).cost_usd == (Decimal("0.2"), Decimal("0.2"))
        drawn = draw(adapter, tmp_path / "run", larger, max_cost_usd=Decimal("0.21"))
    assert (drawn.ended, account.paid) == ("BudgetError", 1)


PICTURES = itertools.count()


@pytest.fixture(autouse=True)
def _made_up_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "TOPAZ_API_KEY", "FREEPIK_API_KEY", "REPLICATE_API_TOKEN"):
        monkeypatch.setenv(name, "made-up-key")


def a_picture() -> str:
    """A data link to bytes that no other answer has; nobody decodes them here."""
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG %d" % next(PICTURES)).decode()


def says(value: Any, **headers: str) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(value).encode()).with_headers(**headers)


def bought(adapter: Adapter, run: Path, draws: int, size: tuple[int, int], **limits: Any) -> Drawn:
    given = an_upload()
    upload = Upload(given.name, given.digest, given.png, *size)
    work = [Task(upload, index, index + 1) for index in range(draws)]
    return draw(adapter, run, work, look=lambda content, task: None, **limits)


def fal(**headers: str) -> Callable[[Head], Response]:

    def answer(head: Head) -> Response:
        if head.method == "POST":
            return says({"request_id": f"r{next(PICTURES)}"})
        if head.path.endswith("/status"):
            return says({"status": "COMPLETED"})
        return says({"image": {"url": a_picture()}}, **headers)

    return answer


def test_a_small_picture_of_fal_topaz_costs_its_lowest_price(tmp_path):
    with RecordingServer(fal()) as server:
        adapter = load_adapter("fal", url=server.url, model="fal-ai/topaz/upscale/image", scale=4)
        drawn = bought(adapter, tmp_path / "run", 8, (64, 48), max_cost_usd=Decimal(2))
    assert (drawn.error, drawn.states) == (None, ["stored"] * 8)
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.08")] * 8


def test_the_units_that_fal_counts_are_its_bill(tmp_path):
    with RecordingServer(fal(**{"X-Fal-Billable-Units": "2.5"})) as server:
        parameters = {"url": server.url, "model": "fal-ai/clarity-upscaler", "scale": 4}
        drawn = bought(load_adapter("fal", **parameters), tmp_path / "run", 1, (640, 480))
        given = bought(load_adapter("fal", **parameters, usd_per_unit="0.02"), tmp_path / "given", 1, (640, 480))
        topaz = load_adapter("fal", **parameters | {"model": "fal-ai/topaz/upscale/image"})
        listed = bought(topaz, tmp_path / "listed", 1, (640, 480))
    prices = [Decimal("0.075"), Decimal("0.05"), Decimal("0.08")]
    assert [each.outcomes[0].cost_usd for each in (drawn, given, listed)] == prices


def test_the_seconds_that_replicate_tells_are_its_bill(tmp_path):
    def answer(head: Head) -> Response:
        if head.method == "POST":
            return says({"id": "p1", "status": "starting"})
        if "/models/" in head.path:
            return says({"latest_version": {"id": "ab" * 32}})
        return says({"id": "p1", "status": "succeeded", "output": a_picture(), "metrics": {"predict_time": 11.2}})

    with RecordingServer(answer) as server:
        parameters = {"url": server.url, "model": "csslc/ccsr", "price_usd": "0.05"}
        drawn = bought(load_adapter("replicate", **parameters), tmp_path / "run", 1, (640, 480))
        exact = load_adapter("replicate", **parameters, usd_per_second="0.001400")
        told = bought(exact, tmp_path / "told", 1, (640, 480), max_cost_usd=Decimal(1))
    assert [each.outcomes[0].cost_usd for each in (drawn, told)] == [Decimal("0.05"), Decimal("0.01568")]


def topaz(credits_each: int) -> Callable[[Head], Response]:

    def answer(head: Head) -> Response:
        if head.method == "POST":
            return says({"process_id": f"p{next(PICTURES)}"})
        if "/download/" in head.path:
            return says({"download_url": a_picture()})
        return says({"status": "Completed", "credits": credits_each})

    return answer


@pytest.mark.parametrize("concurrency", [1, 4, 10, "auto"])
def test_topaz_bloom_never_exceeds_the_limit_at_any_concurrency(tmp_path, concurrency):
    with RecordingServer(topaz(9)) as server:
        adapter = load_adapter("topaz", url=server.url, model="Bloom 2", scale=4, usd_per_credit="0.10")
        most = Decimal(5)
        drawn = bought(adapter, tmp_path / "run", 10, (1024, 1024), max_cost_usd=most, concurrency=concurrency)
        # Nine credits are known beforehand: no draw is bought to learn of them.
        nothing = bought(adapter, tmp_path / "nothing", 1, (1024, 1024), max_cost_usd=Decimal("0.89"))
    assert drawn.ended == "BudgetError"
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.90")] * 5
    assert (nothing.outcomes, type(nothing.error)) == ([], BudgetError)


def test_magnific_books_a_small_picture_at_its_two_steps(tmp_path):
    def answer(head: Head) -> Response:
        if head.method == "POST":
            return says({"data": {"task_id": f"t{next(PICTURES)}", "status": "CREATED"}})
        return says({"data": {"task_id": "t", "status": "COMPLETED", "generated": [a_picture()]}})

    with RecordingServer(answer) as server:
        adapter = load_adapter("magnific", url=server.url, mode="precision", scale=4)
        limit = {"max_cost_usd": Decimal(20)}
        drawn = bought(adapter, tmp_path / "run", 8, (64, 48), **limit)
        cheaper = adapter.model_copy(update={"usd_per_eur": Decimal("1.17")})
        other = bought(cheaper, tmp_path / "other", 1, (64, 48), **limit)
    assert (drawn.error, drawn.states) == (None, ["stored"] * 8)
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.34034")] * 8
    assert other.outcomes[0].cost_usd == Decimal("0.33462")


def test_a_missing_price_that_the_vendor_tells_on_request_is_said_to_be_there():
    with pytest.raises(BudgetError, match=r"with your vendor's price \(price_usd in Python\), or give --max-calls"):
        require_price(load_adapter("replicate", model="csslc/ccsr"), None)
    with pytest.raises(BudgetError, match=r"\(price_usd in Python\), which plan --quote asks for, or give"):
        require_price(load_adapter("ideogram-v2"), None)
