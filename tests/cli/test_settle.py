"""`ledger settle`: what a vendor's invoice says of calls that may have been billed is booked, once."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.draws import draw, tasks
from support.postgres_server import PostgresServer

from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.task import idempotency_key
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

WORK = tasks(6)


@pytest.fixture(params=["sqlite", "postgres"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder, with its ledger in it or in a database."""
    place = tmp_path / "run"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        LEDGERS.place(place, server.new_database())
    return place


def interrupted(folder: Path, server: FaultServer) -> list[Attempt]:
    """Six draws, of which three were answered, and the answers to the last three did not arrive."""
    vendor = SynchronousVendor(url=server.url)
    draw(vendor, folder, WORK[:3], concurrency=1)
    server.script = {"submit": "close-without-answer"}
    drawn = draw(vendor, folder, WORK, concurrency=1)
    server.script = None
    assert sorted(drawn.states) == ["ambiguous"] * 3 + ["stored"] * 3
    return ledger_ls(folder)


def an_invoice(path: Path, *lines: Sequence[Any], headings: str = "request_id,created_at,amount_usd") -> Path:
    path.write_text("\n".join([headings, *(",".join(map(str, line)) for line in lines), ""]), encoding="utf-8")
    return path


def at(attempt: Attempt, later_s: float = 2.0) -> str:
    assert attempt.sent_at is not None
    return datetime.fromtimestamp(attempt.sent_at + later_s, UTC).isoformat()


def settle(invoice: Path, folder: Path, *more: str) -> int:
    return run(["ledger", "settle", str(invoice), "--run", str(folder), *more])


def books(folder: Path) -> tuple[list[str], str]:
    assert ledger_verify(folder).problems == ()
    return [one.state for one in ledger_ls(folder)], str(ledger_sum(folder)["cost_usd"])


def test_ambiguous_calls_end_as_the_invoice_says_and_only_once(folder, tmp_path, capsys):
    with FaultServer(polls=0) as server:
        *answered, first, second, _ = interrupted(folder, server)
        assert books(folder)[1] == "0.06"
        invoice = an_invoice(
            tmp_path / "invoice.csv",
            *((one.request_id or one.job, at(one), "0.01") for one in answered),
            ("unknown-1", at(first), "0.03"),
            (idempotency_key(second.task, second.generation), at(second), "0.00"),
            ("theirs", "2020-01-01", "5.00"),
        )
        period = ["--from", at(first)[:10], "--until", at(first)[:10]]
        before = books(folder)
        assert settle(invoice, folder, *period) == 0
        said = capsys.readouterr().out
        for part in ("5 calls (matched by", "idempotency key: 1", "time: ", "1 call, $0.01 booked", "--write"):
            assert part in said
        assert books(folder) == before
        assert settle(invoice, folder, *period, "--write") == 0
        assert "1 call as billed, $0.03; 2 as not billed, $0.02 given back" in capsys.readouterr().out
        after = books(folder)
        assert after == (["validated"] * 3 + ["expired", "failed", "failed"], "0.06")
        assert settle(invoice, folder, *period, "--write") == 0
        assert "no call is ambiguous, so nothing was changed" in capsys.readouterr().out
        assert books(folder) == after
        # What was not billed is asked for again, within the limit that has its money back; what was billed is not.
        drawn = draw(SynchronousVendor(url=server.url), folder, WORK, max_cost_usd=Decimal("0.10"))
        assert drawn.states == ["stored"] * 3 + ["expired", "stored", "stored"]
        assert books(folder)[1] == "0.08"


@pytest.mark.parametrize(("listed", "states"), [(6, ["expired"] * 3), (4, ["expired", "failed", "failed"])])
def test_without_ids_and_times_calls_are_counted(tmp_path, capsys, listed, states):
    with FaultServer(polls=0) as server:
        interrupted(folder := tmp_path / "run", server)
    invoice = an_invoice(tmp_path / "invoice.csv", (listed, f"${listed * 0.01:.2f}"), headings="Quantity,Amount (USD)")
    assert settle(invoice, folder, "--write") == 2
    assert "--from 2026-11-01 --until 2026-11-30" in capsys.readouterr().err
    assert settle(invoice, folder, "--write", "--from", "2020-01-01", "--until", "2100-01-01") == 0
    assert f"count: {listed}" in capsys.readouterr().out
    assert books(folder) == (["validated"] * 3 + states, f"{listed * 0.01:.2f}".rstrip("0"))


def test_times_of_another_zone_do_not_make_calls_free_and_calls_after_the_invoice_stay(tmp_path):
    with FaultServer(polls=0) as server:
        attempts = interrupted(folder := tmp_path / "run", server)
    shifted = an_invoice(
        tmp_path / "shifted.csv", *((at(one, 9 * 3600)[:19], 0.01) for one in attempts), headings="date,cost"
    )
    assert settle(shifted, folder, "--from", "2020-01-01", "--until", "2100-01-01", "--write") == 0
    assert books(folder) == (["validated"] * 3 + ["expired"] * 3, "0.06")
    early = tmp_path / "early"
    with FaultServer(polls=0) as server:
        attempts = interrupted(early, server)
    short = an_invoice(
        tmp_path / "short.csv", *((one.request_id or one.job, at(one, 0), "0.01") for one in attempts[:3])
    )
    assert settle(short, early, "--write") == 0
    assert books(early) == (["validated"] * 3 + ["ambiguous"] * 3, "0.06")


def test_an_answer_that_turns_up_after_all_is_kept_and_booked(folder, tmp_path):
    """The answers of three draws lie in the inbox of a machine that could not record them, and are brought back."""
    with FaultServer(polls=0) as server:
        attempts = interrupted(folder, server)
        other = tmp_path / "other"
        draw(SynchronousVendor(url=server.url), other, WORK)
        billed, free = attempts[3], attempts[4]
        invoice = an_invoice(tmp_path / "i.csv", (idempotency_key(billed.task, 0), at(billed), "0.02"))
        period = ["--from", at(billed)[:10], "--until", at(billed)[:10]]
        assert settle(invoice, folder, *period, "--write") == 0
        assert books(folder)[0][3:] == ["expired", "failed", "failed"]
        for late, found in zip((billed, free), ledger_ls(other)[3:5], strict=True):
            content = next((other / "samples").rglob(f"{str(found.digest).removeprefix('sha256:')}*")).read_bytes()
            Store(folder).receive(late.id, content)
        sent = server.account.paid
        drawn = draw(SynchronousVendor(url=server.url), folder, WORK[:5])
        assert (drawn.states, server.account.paid) == (["stored"] * 5, sent)
        assert books(folder) == (["validated"] * 5 + ["failed"], "0.06")


def test_a_ledger_restored_from_an_older_copy_learns_what_was_settled(tmp_path):
    folder = tmp_path / "run"
    with FaultServer(polls=0) as server:
        attempts = interrupted(folder, server)
        shutil.copy(folder / "ledger.sqlite", tmp_path / "copy")
        invoice = an_invoice(tmp_path / "i.csv", *((one.request_id or one.job, at(one), 0.01) for one in attempts[:4]))
        assert settle(invoice, folder, "--from", "2020-01-01", "--until", "2100-01-01", "--write") == 0
        after = books(folder)
        for _ in range(2):
            shutil.copy(tmp_path / "copy", folder / "ledger.sqlite")
            (folder / "ledger.commits").unlink()
            assert run(["ledger", "remember", "--run", str(folder)]) == 0
            assert books(folder) == after


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("request_id,cost\na,1.00 EUR", (), "in EUR"),
        ("request_id,cost\na,€1.00", (), "in EUR"),
        ("request_id,amount_gbp\na,1.00", (), "in GBP"),
        ("request_id,Cost (£)\na,1.00", (), "in GBP"),
        ("request_id,cost,currency\na,1.00,USD\nb,1.00,CHF", (), "line 3 of"),
        ("request_id,cost\na,0,02", (), "3 cells"),
        ("request_id;cost\na;0,02", (), "an amount of US dollars such as 1234.50"),
        ("request_id,cost,price\na,1,2", (), "--column cost='cost'"),
        ("request_id,paid\na,1", (), "--column cost=NAME"),
        ("request_id,cost\na,1", ("--column", "cost=paid"), "to name one column"),
        ("request_id,cost\na,1", ("--column", "price=paid"), "KIND=HEADING"),
        ("date,cost\n11/03/2026,1", (), "expected times such as"),
        ("date,cost\n2026-11-03,1\nTotal,1", (), "line 3 of"),
        ("date,cost\n2026-11-03,1\n,1", (), "neither id nor time"),
        ("date,cost\n2026-11-03,-1", (), "no credit"),
        ("request_id,cost,quantity\na,1,2.5", (), "whole number of calls"),
        ("request_id,cost\na,1\na,-2", (), "less than nothing"),
        ('request_id,cost\n"a,1', (), "expected a CSV file"),
        ("request_id,cost\n", (), "lists calls"),
        ("", (), "is empty"),
        (b"request_id,cost\n\xff,1", (), "UTF-8"),
    ],
)
def test_an_invoice_that_cannot_be_read_in_one_way_is_refused_in_a_sentence(tmp_path, capsys, content, options, said):
    with FaultServer(polls=0) as server:
        draw(SynchronousVendor(url=server.url), folder := tmp_path / "run", WORK[:1])
    invoice = tmp_path / "invoice.csv"
    invoice.write_bytes(content.encode() if isinstance(content, str) else content)
    assert settle(invoice, folder, *options) == 2
    assert said in capsys.readouterr().err


def test_a_charge_and_its_credit_are_one_call_and_a_wrong_price_is_told(tmp_path, capsys):
    with FaultServer(polls=0) as server:
        draw(SynchronousVendor(url=server.url), folder := tmp_path / "run", WORK[:3])
    first, second, _ = ((one.request_id or one.job) for one in ledger_ls(folder))
    lines = ((first, "0.05"), (first, "-0.04"), (second, "0.03"))
    assert settle(an_invoice(tmp_path / "i.csv", *lines, headings="\ufeffRequest ID,Total Cost"), folder) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "at another cost 1 call" in said
    assert "only in the ledger 1 call, $0.01 booked" in said
