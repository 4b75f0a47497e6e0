"""What each payer may spend, and all of them in a day: checked where a price is reserved."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.draws import draw, tasks, want

from blackbox_conformal.drawing.ledger import backends
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec, VendorReport
from blackbox_conformal.drawing.ledger.backends import Ledger, open_ledger
from blackbox_conformal.drawing.ledger.money import Totals
from blackbox_conformal.drawing.ledger.queries import ledger_export, ledger_verify
from blackbox_conformal.errors import BudgetError, LedgerError
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

PRICE = 250_000_000


def of(payer: str, name: str, request: str = "r") -> AttemptSpec:
    return replace(want(name), payer=payer, request=request)


def limited(run: Path, most_nanousd: int) -> AnyLedger:

    def check(payer: str, nanousd: int) -> None:
        if nanousd > most_nanousd:
            raise BudgetError(f"{payer} may not spend {nanousd}")

    ledger = open_ledger(run)
    ledger.check_payer = check
    return ledger


def test_threads_cannot_spend_more_together_than_their_payer_may(tmp_path):
    made: list[str] = []
    with closing(limited(tmp_path, 5 * PRICE)) as ledger:

        def buy(number: int) -> None:
            payer = f"payer-{number % 2}"
            with suppress(BudgetError):
                ledger.reserve(of(payer, f"t{number}"), None, PRICE)
                made.append(payer)

        with ThreadPoolExecutor(40) as pool:
            list(pool.map(buy, range(40)))
        assert sorted(made) == ["payer-0"] * 5 + ["payer-1"] * 5
        assert ledger.payers() == dict.fromkeys(("payer-0", "payer-1"), Totals(0, 5 * PRICE, 5))
    assert not ledger_verify(tmp_path).problems


def test_what_was_under_way_when_a_process_ended_counts_for_its_payer(tmp_path):
    ledger = limited(tmp_path, 2 * PRICE)
    ledger.sent(ledger.reserve(of("alice", "a"), None, PRICE))
    number = ledger.reserve(of("alice", "b", "other"), None, PRICE)
    with pytest.raises(BudgetError, match="alice"):
        ledger.reserve(of("alice", "c"), None, PRICE)
    ledger.sent(number)
    ledger.end(number, "refused", VendorReport())
    ledger.reserve(of("bob", "c"), None, PRICE)
    ledger.close()
    with closing(limited(tmp_path, 2 * PRICE)) as ledger:
        ledger.recover()
        assert ledger.payers() == {"alice": Totals(PRICE, 0, 2), "bob": Totals(0, 0, 0)}
        assert ledger.totals_of_request("r") == Totals(PRICE, 0, 1)
        assert ledger.totals_of_request("other") == Totals(0, 0, 1)
        ledger.reserve(of("alice", "d"), None, PRICE)
        with pytest.raises(BudgetError, match="alice"):
            ledger.reserve(of("alice", "e"), None, PRICE)
    assert not ledger_verify(tmp_path).problems


def test_what_was_planned_for_one_and_made_for_another_is_paid_by_who_made_it(tmp_path):
    with closing(limited(tmp_path, PRICE)) as ledger:
        planned = ledger.plan([of("alice", "a")])["a", 0]
        assert ledger.payers() == {}
        spec = replace(of("bob", "a", "of bob"), member=1)
        ledger.reserve_and_mark_sent(spec, planned, PRICE)
        ledger.stored(planned, VendorReport(), "sha256:a", 3, valid=True)
        assert (ledger.payers(), ledger.receipt(planned).spec) == ({"bob": Totals(PRICE, 0, 1)}, spec)
    (row,) = ledger_export(tmp_path)
    assert (row["payer"], row["request"], row["member"]) == ("bob", "of bob", 1)


def test_a_ledger_that_was_restored_knows_again_who_paid(tmp_path):
    with closing(open_ledger(tmp_path)) as ledger:
        number = ledger.reserve(of("alice", "a"), None, PRICE)
        ledger.sent(number)
        ledger.stored(number, VendorReport(), "sha256:a", 3, valid=True)
        receipt = replace(ledger.receipt(number), price_nanousd=PRICE, state="stored")
    line = type(receipt).from_line(receipt.to_line())
    assert line == receipt
    for planned in (False, True):
        with closing(Ledger(tmp_path / f"restored-{planned}")) as ledger:
            if planned:
                ledger.plan([want("a")])
            assert (ledger.record([receipt]), ledger.payers()) == ([receipt], {"alice": Totals(PRICE, 0, 1)})


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE payer SET spent_nanousd = 0", "account of the payer 'alice'"),
        ("DELETE FROM payer", "account of the payer 'alice'"),
        ("UPDATE attempt SET payer = 'bob'", "not as it was written"),
        ("UPDATE attempt SET payer = NULL, request = 'alice'", "not as it was written"),
        ("UPDATE attempt SET member = 1", "not as it was written"),
    ],
)
def test_an_account_that_was_changed_is_refused(tmp_path, statement, said):
    with closing(Ledger(tmp_path)) as ledger:
        ledger.sent(ledger.reserve(replace(of("alice", "a"), request=None), None, PRICE))
        ledger.recover()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(LedgerError, match=said):
        Ledger(tmp_path)


def drawn(vendor: SynchronousVendor, run: Path, first: int, number: int, **more: Any) -> int:
    work = tasks(first + number)[first:]
    return draw(vendor, run, work, look=None, max_cost_per_day_usd=Decimal("0.03"), **more).states.count("stored")


def test_a_day_has_a_limit_whoever_draws(tmp_path, vendor, server):
    assert (drawn(vendor, tmp_path, 0, 2), drawn(vendor, tmp_path, 2, 8)) == (2, 1)
    assert (drawn(vendor, tmp_path, 10, 1), server.account.paid) == (0, 3)


@pytest.mark.parametrize(("hours", "room"), [(23.9, 0), (24.1, 3)])
@pytest.mark.sqlite
def test_what_is_older_than_a_day_makes_room(tmp_path, monkeypatch, hours, room, vendor):
    assert drawn(vendor, tmp_path, 0, 4) == 3
    now = time.time
    monkeypatch.setattr(backends.time, "time", lambda: now() + hours * 3600)
    assert drawn(vendor, tmp_path, 10, 4) == room


@pytest.mark.sqlite
def test_a_limit_in_all_and_one_of_a_day_hold_together(tmp_path, monkeypatch, vendor):
    assert drawn(vendor, tmp_path, 0, 4, max_cost_usd=Decimal("0.04")) == 3
    now = time.time
    monkeypatch.setattr(backends.time, "time", lambda: now() + 25 * 3600)
    assert drawn(vendor, tmp_path, 10, 4, max_cost_usd=Decimal("0.04")) == 1


def test_what_a_draw_gives_back_makes_room(tmp_path, vendor, server):
    """A refusal is billed at nothing, so the price that it held is free again."""
    server.script = {"submit": ["status:code=422", "status:code=422"]}
    assert drawn(vendor, tmp_path, 0, 5) == 3
