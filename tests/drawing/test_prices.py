"""What is reserved for a draw, and how far a vendor can go that bills more than its price table says."""

import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from support.draws import an_upload, check, draw, limits, tasks

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import estimate
from blackbox_conformal.drawing.task import Task, task_keys
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.fault_vendor import Account, FaultVendor
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.adapter import Price

SLOW = {"submit": Fault("slow-start", {"seconds": 0.1})}


@pytest.mark.parametrize("concurrency", [8, 32, "auto"])
@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_a_bill_above_the_table_exceeds_the_limit_by_one_draw_at_most(tmp_path, kind, concurrency):
    most = Decimal("0.08")
    with FaultServer(SLOW, reported_price="0.10") as server:
        adapter = kind(url=server.url)
        drawn = draw(adapter, tmp_path / "run", tasks(4, 8), concurrency=concurrency, max_cost_usd=most)
        assert isinstance(drawn.error, BudgetError)
        assert server.account.paid == 1
        assert "0.1 spent and 0 reserved of 0.08 allowed" in drawn.text
        assert "the vendor billed 0.1 USD for a draw, more than the 0.01 USD of the price table" in drawn.text
        more = draw(adapter, tmp_path / "run", tasks(4, 8), concurrency=concurrency, max_cost_usd=Decimal("0.55"))
        # What the ledger holds is reserved from the start.
        assert isinstance(more.error, BudgetError)
        assert server.account.paid == 5


class BillsBySize(FaultVendor):
    """Bills a cent for every 40 pixels of an upload."""

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
    assert isinstance(drawn.error, BudgetError)
    by_side = {4: Decimal("0.01"), 8: Decimal("0.02"), 80: Decimal("0.20")}
    spent = sum(outcome.cost_usd for outcome in drawn.outcomes)
    assert spent == sum(by_side[outcome.task.upload.width] for outcome in drawn.outcomes)
    assert spent <= Decimal("0.35") + Decimal("0.20")
    assert sum(outcome.task.upload.width == 80 for outcome in drawn.outcomes) <= 1


def test_the_first_draw_goes_alone_and_the_others_together(tmp_path):
    waiting = threading.Barrier(7, timeout=20)

    class Together(FaultVendor):
        """Answers seven submissions after the first only when all of them are there."""

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
    assert isinstance(short.error, BudgetError)
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
    assert isinstance(drawn.error, BudgetError)
    assert account.paid == 1
