"""Questions to a run folder, and putting its samples in order."""

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from support.draws import limits, tasks

from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.drawing.ledger.queries import (
    cache_export,
    cache_ls,
    cache_prune,
    cache_verify,
    csv_cell,
    ledger_export,
    ledger_ls,
    ledger_sum,
    ledger_verify,
)
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import LedgerError, PayloadError, UsageError
from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    with FaultServer({"submit": [None, None, "close-without-answer"]}, price_usd="0.25") as server:
        adapter = SynchronousVendor(url=server.url, price_usd="0.25")
        with Sampler(adapter, folder, limits(concurrency=1)) as sampler:
            list(sampler.draw(tasks(2, 2)))
    return folder


def alter(run: Path, statement: str) -> None:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


def test_ls_and_sum(run, tmp_path):
    assert [row.state for row in ledger_ls(run)] == ["stored", "stored", "ambiguous", "stored"]
    assert [row.draw for row in ledger_ls(run, ("stored",), limit=2)] == [1, 1]
    summed = {"attempts": 4, "paid": 3, "ambiguous": 1, "stored": 3, "unpriced": 0, "cost_usd": Decimal(1)}
    assert (ledger_sum(run), ledger_sum(tmp_path)["attempts"]) == ({**summed, "reserved_usd": 0}, 0)
    with pytest.raises(LedgerError, match="--run"):
        ledger_ls(tmp_path)


def test_export_is_plain_json_with_exact_money(run):
    rows = json.loads(json.dumps(list(ledger_export(run))))
    assert (len(rows), rows[0]["cost_usd"]) == (4, "0.25")
    assert rows[0]["sent_at"].endswith("+00:00")
    assert rows[2]["error_class"] == "M"


def test_no_cell_is_a_formula():
    for text in ("=1+1", "+1", "-1", "@x", "\t=1", "\r=1"):
        assert csv_cell(text) == "'" + text
    assert [csv_cell(value) for value in ("p0", 3, -3, None, 1.5)] == ["p0", "3", "-3", "", "1.5"]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE total SET spent_nanousd = spent_nanousd - 1", "total of spent"),
        ("UPDATE total SET calls = 9", "total of calls is 9"),
        ("UPDATE attempt SET cost_nanousd = 5 WHERE id = 1", "total of spent"),
        ("UPDATE attempt SET reserved_nanousd = 5 WHERE id = 1", "holds a reserved price"),
        ("UPDATE attempt SET state = 'planned' WHERE id = 1", "is booked at a price"),
        ("UPDATE attempt SET state = 'accepted' WHERE id = 1", "names no job"),
        ("UPDATE attempt SET digest = NULL WHERE id = 1", "names no bytes"),
        ("UPDATE attempt SET sent_at = NULL WHERE id = 1", "never sent"),
        ("UPDATE attempt SET digest = 'sha256:00' WHERE id = 1", "gone"),
        ("UPDATE attempt SET task = (SELECT task FROM attempt WHERE id = 2) WHERE id = 1", "same draw"),
    ],
)
@pytest.mark.sqlite
def test_verify_finds_what_was_altered(run, statement, problem):
    alter(run, statement)
    assert any(problem in found for found in ledger_verify(run).problems)


@pytest.mark.sqlite
def test_verify_finds_a_text_that_damage_made_bytes(run):
    """One bit of a record's header makes the text of a digest, 71 characters, a blob; a table's types are not asked."""
    file = run / "ledger.sqlite"
    content = file.read_bytes()
    assert b"\x81\x1b" in content
    file.write_bytes(content.replace(b"\x81\x1b", b"\x81\x1a"))
    assert any("names no bytes" in problem for problem in ledger_verify(run).problems)


def test_verify_finds_nothing_wrong_with_a_good_run_hashes_every_sample_and_moves_none(run):
    found = ledger_verify(run)
    assert (found.attempts, found.samples, found.problems) == (4, 3, ())
    path = cache_ls(run)[0].path
    path.write_bytes(b"rot")
    for problems in (ledger_verify(run).problems, cache_verify(run)):
        assert any("altered" in problem for problem in problems)
    assert path.read_bytes() == b"rot"


@pytest.mark.sqlite
def test_prune_removes_only_what_nobody_paid_for(run):
    orphan = run / "samples" / "ab" / ("ab" + "0" * 62 + ".png")
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(PNG_SIGNATURE)
    (run / "quarantine").mkdir()
    (run / "quarantine" / "x.bin").write_bytes(b"x")
    assert {kept.attempts for kept in cache_ls(run)} == {(1,), (2,), (4,), ()}
    doomed = [orphan, run / "quarantine" / "x.bin"]
    assert cache_prune(run, dry_run=True) == doomed
    assert orphan.exists()
    ledger = Ledger(run)
    with pytest.raises(LedgerError, match="in use"):
        cache_prune(run)
    ledger.close()
    assert cache_prune(run) == doomed
    assert not any(path.exists() for path in doomed)
    assert (len(cache_ls(run)), cache_verify(run)) == (3, [])


def test_export_copies_under_names_for_people(run, tmp_path):
    copies = cache_export(run, tmp_path / "out")
    assert [path.name[:13] for path in copies] == ["picture-0-000", "picture-0-001", "picture-1-001"]
    assert all(path.read_bytes().startswith(PNG_SIGNATURE) for path in copies)
    with pytest.raises(UsageError, match="empty folder"):
        cache_export(run, tmp_path / "out")
    cache_ls(run)[0].path.write_bytes(b"rot")
    with pytest.raises(PayloadError, match="altered"):
        cache_export(run, tmp_path / "other")
