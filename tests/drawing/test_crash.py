"""After a kill at any step, and with a ledger from an older copy, nothing paid is lost or paid again."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.draws import Drawn, at_once, draw, killed, limits, tasks
from support.postgres_server import PostgresServer, end_leases

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec, VendorReport
from blackbox_conformal.drawing.ledger.postgres.postgres_ledger import PostgresLedger
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.ledger.receipts import Receipt
from blackbox_conformal.drawing.owned_folder import OwnedFolder
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import LedgerError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

KINDS = {"once": SynchronousVendor, "jobs": JobVendor}

# Point: so-manieth call, submissions seen by the vendor at the kill, ambiguous draws afterwards.
KILLS = {"planned": (1, 0, 0), "intent": (3, 2, 0), "sent": (3, 2, 1), "departed": (3, 2, 1), "settled": (2, 2, 0)}
KILLS |= dict.fromkeys(("received", "kept", "stored", "receipt"), (3, 3, 0))
CALLS = [("once", point, *counts) for point, counts in KILLS.items()]
CALLS += [("jobs", point, *counts) for point, counts in KILLS.items() if point != "planned"]
CALLS += [("once", "answered", 3, 3, 1), ("jobs", "answered", 7, 3, 1), ("jobs", "answered", 8, 3, 0)]
CALLS += [("jobs", "accepted", 3, 3, 0), ("jobs", "ready", 3, 3, 0)]


@pytest.mark.parametrize(("kind", "point", "number", "submitted", "ambiguous"), CALLS)
def test_kill(tmp_path, monkeypatch, database, kind, point, number, submitted, ambiguous):
    run = tmp_path / "run"
    if database == "postgres":
        monkeypatch.setenv("LEDGER_OF_THE_CRASH", str(LEDGERS.of(run)))
    with FaultServer(polls=0) as server:
        killed(server.url, run, kind, point, number)
        if database == "postgres":
            # A process that is killed is taken for dead when its lease is over.
            end_leases(str(LEDGERS.of(run)))
        assert server.account.requests("submit") == submitted
        with Sampler(KINDS[kind](url=server.url), run, limits(), check=lambda data, task: None) as sampler:
            outcomes = list(sampler.draw(tasks(1, 4)))
            states = [one.state for one in outcomes]
            assert (states.count("ambiguous"), states.count("stored")) == (ambiguous, 4 - ambiguous)
            assert all(sampler.read(one) for one in outcomes if one.state == "stored")
        # The kill may have come between the ledger's "sent" and the first byte: then nothing was bought.
        bought = 4 - (ambiguous if point in ("sent", "departed") else 0)
        assert server.account.requests("submit") == bought
    sums = ledger_sum(run)
    assert (sums["stored"], sums["ambiguous"], sums["reserved_usd"]) == (4 - ambiguous, ambiguous, 0)
    assert (ledger_verify(run).problems, list((run / "inbox").iterdir())) == ((), [])


Copy = Callable[[Path], Callable[[], None]]


@pytest.fixture
def copied(database: str, request: pytest.FixtureRequest) -> Copy:
    """Copies the ledger of a run folder; what it gives puts the copy in the place of the ledger."""

    def of_file(run: Path) -> Callable[[], None]:
        copy = run.with_name(f"{run.name}.copy")
        shutil.copy(run / "ledger.sqlite", copy)

        def restore() -> None:
            shutil.copy(copy, run / "ledger.sqlite")
            (run / "ledger.commits").unlink()

        return restore

    def of_database(run: Path) -> Callable[[], None]:
        server: PostgresServer = request.getfixturevalue("postgres")
        address = LEDGERS.of(run)
        dump = server.dump(address.shown)
        return lambda: server.restore(address.shown, dump)

    return of_file if database == "sqlite" else of_database


def told_of(run: Path) -> set[tuple[Any, ...]]:
    return {(one.task, one.state, one.cost_nanousd, one.digest, one.job) for one in ledger_ls(run)}


@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_an_older_copy_buys_nothing_again_and_keeps_the_limit(tmp_path, copied, kind):
    run, told = tmp_path / "run", list[Event]()
    with FaultServer(polls=0) as server:
        vendor = kind(url=server.url)
        first = draw(vendor, run, tasks(1, 2))
        restore = copied(run)
        assert draw(vendor, run, tasks(1, 6)).states == ["stored"] * 6
        before = told_of(run)
        restore()
        again = draw(vendor, run, tasks(1, 9), max_cost_usd=Decimal("0.08"), concurrency=1, listener=told.append)
        assert (again.ended, server.account.paid, again.states) == ("BudgetError", 8, ["stored"] * 8)
        assert again.pictures.items() >= first.pictures.items()
        assert ledger_sum(run)["cost_usd"] == Decimal("0.08")
        assert told_of(run) >= before
        assert not ledger_verify(run).problems
        told.clear()
        assert draw(vendor, run, tasks(1, 8), listener=told.append).states == ["stored"] * 8
        assert server.account.paid == 8
    assert [event.text for event in told if event.kind == "remembered"] == []


@pytest.fixture
def forgetful(tmp_path: Path, copied: Copy) -> Iterator[Callable[..., Drawn]]:
    """Draws `number` draws, of which the ledger then knows the first `known`, and gives what was drawn."""
    with FaultServer(polls=0) as server:

        def drawn(number: int, known: int = 1, work: Sequence[Task] = tasks(1, 9), vendor: Any = None) -> Drawn:
            drawn.vendor = vendor or SynchronousVendor(url=server.url)
            draw(drawn.vendor, tmp_path / "run", work[:known], concurrency=1)
            restore = copied(tmp_path / "run")
            found = draw(drawn.vendor, tmp_path / "run", work[:number], concurrency=1)
            restore()
            return found

        drawn.server = server
        yield drawn


def test_it_is_told_once_what_was_forgotten(tmp_path, forgetful):
    told = list[Event]()
    forgetful(5, known=2)
    draw(forgetful.vendor, tmp_path / "run", tasks(1, 5), listener=told.append)
    assert forgetful.server.account.paid == 5
    (text,) = [event.text for event in told if event.kind == "remembered"]
    assert "it had forgotten 3 calls, which are counted again ($0.03), and their 3 answers are used again" in text


def test_what_was_spent_in_the_last_day_counts_again(tmp_path, forgetful):
    forgetful(4)
    drawn = draw(forgetful.vendor, tmp_path / "run", tasks(1, 6), max_cost_per_day_usd=Decimal("0.05"))
    assert (drawn.ended, forgetful.server.account.paid) == ("BudgetError", 5)


def test_calls_that_gave_no_picture_are_not_made_again_either(tmp_path, forgetful):
    forgetful.server.script = {"submit": [None, Fault("status", {"code": 422}), "reset-after-body", None]}
    drawn = forgetful(4)
    submitted = forgetful.server.account.requests("submit")
    again = draw(forgetful.vendor, tmp_path / "run", tasks(1, 4), concurrency=1)
    assert (again.states, forgetful.server.account.requests("submit")) == (drawn.states, submitted)
    assert "refused" in again.states
    assert not ledger_verify(tmp_path / "run").problems


def test_an_answer_that_is_damaged_is_neither_used_nor_bought_again(tmp_path, forgetful):
    run = tmp_path / "run"
    lost = next(one.digest for one in forgetful(3).outcomes if one.task.index == 2) or ""
    (path,) = (run / "samples").rglob(f"{lost.removeprefix('sha256:')}.*")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    again = draw(forgetful.vendor, run, tasks(1, 3))
    assert (again.states, forgetful.server.account.paid) == (["stored", "stored", "invalid"], 3)
    assert ledger_sum(run)["cost_usd"] == Decimal("0.03")


def test_a_receipt_that_is_damaged_ends_the_run_before_anything_is_paid(tmp_path, forgetful):
    forgetful(4)
    receipts = tmp_path / "run" / "receipts.jsonl"
    lines = receipts.read_bytes().splitlines(keepends=True)
    receipts.write_bytes(b"".join([*lines[:2], lines[2].replace(b"stored", b"Stored"), lines[3]]))
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"line 3 of .*receipts\.jsonl is damaged"):
            draw(forgetful.vendor, tmp_path / "run", tasks(1, 4))
    assert forgetful.server.account.paid == 4


def test_receipts_of_draws_without_a_seed_are_read_again(tmp_path, forgetful):
    seedless = [replace(task, seed=None) for task in tasks(1, 3)]
    forgetful(3, work=seedless, vendor=SynchronousVendor(url=forgetful.server.url, seedable=False))
    assert draw(forgetful.vendor, tmp_path / "run", seedless).states == ["stored"] * 3
    assert forgetful.server.account.paid == 3


@pytest.mark.parametrize("flipped", ["middle", "end"])
def test_a_damaged_receipt_counts_where_it_is_the_only_one_that_was_forgotten(tmp_path, forgetful, flipped):
    forgetful(4, known=3)
    path = tmp_path / "run" / "receipts.jsonl"
    receipts = bytearray(path.read_bytes())
    receipts[-100 if flipped == "middle" else -1] ^= 1
    path.write_bytes(receipts)
    if flipped == "middle":
        with pytest.raises(LedgerError, match=r"line 4 of .*receipts\.jsonl is damaged"):
            draw(forgetful.vendor, tmp_path / "run", tasks(1, 4))
    else:
        assert draw(forgetful.vendor, tmp_path / "run", tasks(1, 4)).states == ["stored"] * 4
    assert forgetful.server.account.paid == 4


def test_a_line_that_was_being_written_is_cut_off(tmp_path):
    with FaultServer(polls=0) as server:
        vendor = SynchronousVendor(url=server.url)
        draw(vendor, tmp_path, tasks(1, 2))
        whole = (tmp_path / "receipts.jsonl").read_bytes()
        (tmp_path / "receipts.jsonl").write_bytes(whole + whole[:100])
        draw(vendor, tmp_path, tasks(1, 3))
    lines = (tmp_path / "receipts.jsonl").read_bytes()
    assert lines.startswith(whole)
    assert all(Receipt.from_line(line) for line in lines.splitlines())
    assert len(lines.splitlines()) == 3


@pytest.mark.parametrize("point", ["received", "stored"])
def test_an_answer_of_a_process_that_was_killed_is_remembered_too(tmp_path, copied, database, monkeypatch, point):
    run = tmp_path / "run"
    OwnedFolder(run).close()
    restore = copied(run)
    if database == "postgres":
        monkeypatch.setenv("LEDGER_OF_THE_CRASH", str(LEDGERS.of(run)))
    with FaultServer(polls=0) as server:
        killed(server.url, run, "once", point, 3)
        if database == "postgres":
            end_leases(str(LEDGERS.of(run)))
        OwnedFolder(run).close()
        assert sorted(one.state for one in ledger_ls(run, ("stored", "validated", "ambiguous")))[-1] != "ambiguous"
        restore()
        with Sampler(SynchronousVendor(url=server.url), run, limits(), check=lambda data, task: None) as sampler:
            assert [one.state for one in sampler.draw(tasks(1, 3))] == ["stored"] * 3
        assert server.account.requests("submit") == 3


@pytest.mark.sqlite
def test_processes_that_come_at_once_remember_each_call_once(tmp_path, postgres):
    address = LEDGERS.name(postgres.new_database())
    with FaultServer(polls=0) as vendor:
        runs = [tmp_path / f"run-{number}" for number in range(3)]
        for run in runs:
            LEDGERS.place(run, address.shown)
        draw(SynchronousVendor(url=vendor.url), runs[0], tasks(1, 1))
        dump = postgres.dump(address.shown)
        draw(SynchronousVendor(url=vendor.url), runs[0], tasks(1, 40))
        for run in runs[1:]:  # All three know the same receipts and answers.
            shutil.copytree(runs[0], run)
        postgres.restore(address.shown, dump)
        drawn: list[Any] = []

        def again(run: Path) -> None:
            drawn.append(draw(SynchronousVendor(url=vendor.url), run, tasks(1, 40)))

        at_once(again, runs)
        assert ([one.states for one in drawn], vendor.account.paid) == ([["stored"] * 40] * 3, 40)
    assert ledger_sum(address)["cost_usd"] == Decimal("0.40")
    assert not ledger_verify(runs[0]).problems


@pytest.mark.sqlite
def test_a_draw_that_another_process_is_about_to_buy_again_ends_the_run(postgres):
    address = LEDGERS.name(postgres.new_database())
    one, other = PostgresLedger(address), PostgresLedger(address)
    spec = AttemptSpec("t0", 0, "identity", "tiny", "sha256:u", "p", 0, "key", 120)
    one.claim(one.plan([spec])["t0", 0])
    receipt = Receipt(spec, "stored", time.time(), 10, VendorReport(), digest="sha256:a", size=1)
    assert other.unknown([receipt.key]) == {receipt.key}
    with pytest.raises(LedgerError, match="another process is at a draw that is paid"):
        other.record([receipt])
    one.close()
    other.close()
    assert ledger_ls(address)[0].state in ("claimed", "planned")
