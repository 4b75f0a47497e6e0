"""What calls at an unknown price cost is said to be unknown, not nothing."""

import json
from decimal import Decimal
from pathlib import Path

from support.command_line import called
from support.draws import limits, tasks

from blackbox_conformal.cli.console import bill, spent
from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


def bought(run: Path, price: str | None, told: str | None) -> None:
    with FaultServer(reported_price=told) as server:
        adapter = SynchronousVendor(url=server.url, price_usd=price)
        with Sampler(adapter, run, limits(), check=lambda data, task: None) as sampler:
            assert len(list(sampler.draw(tasks(1, 4)))) == 4


def ledger(folder: Path, *words: str) -> str:
    return called("ledger", *words, folder=folder, code=0).stdout


def summed(folder: Path, *words: str) -> str:
    return ledger(folder, "sum", *words)


def test_a_sum_with_calls_at_an_unknown_price_is_unknown(tmp_path):
    bought(tmp_path / "runs" / "a", None, None)
    assert ledger_sum(tmp_path / "runs" / "a")["unpriced"] == 4
    assert "unknown: 4 calls were made at an unknown price; nothing is known" in " ".join(summed(tmp_path).split())
    bought(tmp_path / "runs" / "b", "0.25", None)
    assert "4 calls were made at an unknown price; $1.00 for the others" in " ".join(summed(tmp_path).split())
    found = json.loads(summed(tmp_path, "--json"))
    assert (found["cost_usd"], found["unpriced"]) == (None, 4)


def test_prices_that_are_known_or_told_are_summed(tmp_path):
    for name, price, told, cost in (("a", "0", None, 0), ("b", None, "0", 0), ("c", None, "0.05", "0.2")):
        bought(tmp_path / name, price, told)
        sums = ledger_sum(tmp_path / name)
        assert (sums["unpriced"], sums["cost_usd"]) == (0, Decimal(cost))


def test_calls_at_an_unknown_price_are_listed_as_unknown(tmp_path):
    bought(tmp_path / "runs" / "a", None, None)
    lines = [line for line in ledger(tmp_path, "ls").splitlines() if "validated" in line]
    assert [line.split()[-1] for line in lines] == ["unknown"] * 4
    assert [row["cost_usd"] for row in json.loads(ledger(tmp_path, "ls", "--json"))] == [None] * 4
    bought(tmp_path / "runs" / "b", None, "0.25")
    bought(tmp_path / "runs" / "c", "0", None)
    for name, cost in (("b", "0.25"), ("c", "0")):
        assert f"${cost}" in ledger(tmp_path, "ls", "--run", f"runs/{name}")
        rows = json.loads(ledger(tmp_path, "ls", "--run", f"runs/{name}", "--json"))
        assert [row["cost_usd"] for row in rows] == [cost] * 4


def test_what_was_spent_is_unknown_only_where_calls_were_made():
    unknown, known = (SynchronousVendor(url="http://127.0.0.1:1", price_usd=price) for price in (None, "0.1"))
    assert spent(bill(Decimal(0), 3, unknown, None)) == "spent: unknown, as the vendor's price is"
    assert spent(bill(Decimal(0), 0, unknown, None)) == "$0.00 spent"
    assert spent(bill(Decimal("0.3"), 3, unknown)) == "$0.30 spent"
    assert spent(bill(Decimal(0), 3, known)) == "$0.00 spent"
