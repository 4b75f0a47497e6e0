"""Limits that many processes with one ledger hold together: of a job, of the ledger, of a day."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from support.draws import Drawn, draw, tasks, want

from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.backends import set_limit
from blackbox_conformal.drawing.ledger.money import Budget
from blackbox_conformal.drawing.ledger.postgres.postgres_ledger import PostgresLedger
from blackbox_conformal.drawing.ledger.queries import ledger_verify
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

PRICE = 250_000_000


def test_a_limit_is_one_for_all_who_give_the_same_job(address):
    ledgers = [PostgresLedger(address) for _ in range(3)]
    scope = frozenset(f"t{number}" for number in range(40))
    elsewhere = ledgers[0].reserve(want("elsewhere"), None, 7 * PRICE)
    ledgers[0].sent(elsewhere)
    for ledger in ledgers:
        ledger.limit(Budget(max_cost_usd=Decimal("2.5"), scope=scope))
    made: list[int] = []

    def buy(number: int) -> None:
        with contextlib.suppress(BudgetError):
            made.append(ledgers[number % 3].reserve(want(f"t{number}"), None, PRICE))

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(buy, range(40)))
    assert len(made) == 10
    assert {ledger.totals() for ledger in ledgers} == {(Decimal(0), Decimal("2.5"), 10)}
    for ledger in ledgers:
        ledger.close()
    assert ledger_verify(address).problems == ()


def test_a_limit_of_the_ledger_is_one_for_all_jobs(address):
    """It is set while two jobs with budgets of their own go on, and both keep to it at once."""
    first, second = PostgresLedger(address), PostgresLedger(address)
    with contextlib.closing(first), contextlib.closing(second):
        for ledger, job in ((first, "a"), (second, "b")):
            ledger.limit(Budget(max_cost_usd=Decimal(100), scope=frozenset(f"{job}{number}" for number in range(9))))
        first.reserve(want("a0"), None, PRICE)
        set_limit(address, Decimal("1.00"))
        second.reserve(want("b0"), None, PRICE)
        first.reserve(want("a1"), None, PRICE)
        with pytest.raises(BudgetError, match="an unknown amount"):
            second.reserve(replace(want("b1"), priced=False), None, 0)
        number = second.reserve(want("b1"), None, PRICE)
        for ledger in (first, second):
            with pytest.raises(BudgetError, match=r"0\.25 USD, with 0 spent and 1 reserved of 1 that everything"):
                ledger.reserve(want("a2"), None, PRICE)
        # What is given back makes room for whoever comes first.
        second.end(number, "cancelled", VendorReport())
        first.reserve(want("a2"), None, PRICE)
        set_limit(address, None)
        second.reserve(want("b2"), None, PRICE)


def test_a_limit_of_a_day_counts_what_others_spent(address):
    one, other = PostgresLedger(address), PostgresLedger(address)
    for ledger in (one, other):
        ledger.limit(Budget(max_cost_per_day_usd=Decimal("0.6"), scope=frozenset()))
    number = one.reserve(want(), None, PRICE)
    one.sent(number)
    one.stored(number, VendorReport(), "sha256:a", 3)
    other.reserve(want("t1"), None, PRICE)
    with pytest.raises(BudgetError, match=r"0.5 spent in the last 24 hours"):
        one.reserve(want("t2"), None, PRICE)
    with psycopg.connect(address.shown) as connection:
        connection.execute("UPDATE blackbox_conformal.booked_by_minute SET minute = minute - 1442")
    one.reserve(want("t2"), None, PRICE)
    one.close()
    other.close()


@pytest.mark.parametrize(("processes", "bill", "paid"), [(3, "20", 1), (5, "5", 1), (3, "0.50", 3), (5, "1.00", 1)])
@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_a_bill_above_the_table_exceeds_the_limit_of_all_by_one_draw(tmp_path, address, kind, processes, bill, paid):
    slow = {"submit": Fault("slow-start", {"seconds": 0.3})}
    drawn: list[Drawn] = []
    with FaultServer(slow, price_usd=bill) as server:

        def one(number: int) -> None:
            run = tmp_path / f"run-{number}"
            LEDGERS.place(run, address.shown)
            work = tasks(8, 12)
            vendor = kind(url=server.url, price_usd="0.02")
            drawn.append(draw(vendor, run, work, concurrency=8, max_cost_usd=Decimal("1.92")))

        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(one, range(processes)))
        assert server.account.paid == paid
    assert all(isinstance(one.error, BudgetError) for one in drawn)
    assert (len(drawn), ledger_verify(address).problems) == (processes, ())


def test_a_limit_of_the_ledger_is_exceeded_by_one_draw_at_most_where_no_job_has_one(tmp_path, address):
    PostgresLedger(address).close()
    set_limit(address, Decimal("1.92"))
    with FaultServer({"submit": Fault("slow-start", {"seconds": 0.2})}, price_usd="20") as server:
        LEDGERS.place(tmp_path / "run", address.shown)
        vendor = SynchronousVendor(url=server.url, price_usd="0.02")
        drawn = draw(vendor, tmp_path / "run", tasks(8, 4), concurrency=8)
        assert isinstance(drawn.error, BudgetError)
        assert server.account.paid == 1
