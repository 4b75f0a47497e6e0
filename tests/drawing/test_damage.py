"""A ledger in which anything has changed is refused, or nothing that it says has changed."""

import random
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blackbox_conformal.drawing.ledger.attempts import Attempt, AttemptSpec, VendorReport
from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.drawing.ledger.queries import ledger_export, ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.next_step import NextStep, next_step
from blackbox_conformal.errors import LedgerError

ROWS = 72


def key(number: int) -> str:
    return f"sha256:{number:064x}"


def want(number: int) -> AttemptSpec:
    name, payer = f"picture-{number // 8}", (None, "alice", "bob")[number % 3]
    spec = AttemptSpec(key(number), 0, key(7), "http", key(9), name, number % 8, f"key-{number}", 4096, seed=number)
    return replace(spec, payer=payer, request=payer and f"request-{number}", member=number % 2)


def draw(ledger: Ledger, number: int, planned: int) -> None:
    seen = VendorReport(20_000_000, "acme-v1", f"req-{number}", number)
    ledger.reserve_and_mark_sent(want(number), planned, 20_000_000)
    way = number % 6
    if way == 0:
        ledger.end(planned, "ambiguous", VendorReport(), error_class="M", error="the connection was lost")
    elif way == 1:
        ledger.accepted(planned, f"job-{number}", seen)
    elif way == 2:
        ledger.end(planned, "refused", VendorReport(), error_class="A", error="not this picture", code="400")
    else:
        ledger.stored(planned, seen, key(number + 1_000_000), 40_000)
        ledger.validated(planned)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose ledger holds attempts of every kind; beside it ``killed``, with a WAL file still."""
    run = tmp_path_factory.mktemp("written")
    (run / "samples").mkdir()
    ledger = Ledger(run)
    planned = ledger.plan([want(number) for number in range(ROWS)])
    for number in range(ROWS - 20):
        draw(ledger, number, planned[key(number), 0])
    killed = shutil.copytree(run, run.with_name("killed"))
    (killed / "ledger.sqlite-shm").unlink()
    ledger.close()
    assert not (run / "ledger.sqlite-wal").exists()
    assert (killed / "ledger.sqlite-wal").stat().st_size > 100_000
    return run


def choice(attempts: list[Attempt]) -> NextStep:
    on_disk = frozenset(attempt.digest for attempt in attempts if attempt.digest is not None)
    return next_step(attempts, Limits(), on_disk=on_disk, replayable=False, now=time.time())


def what_it_says(run: Path) -> dict[str, Any]:
    """Everything that is read of a ledger: by the estimate, by commands, and by a run that goes on with it."""
    export = list(ledger_export(run))
    found = {"ls": ledger_ls(run), "sum": ledger_sum(run), "export": export}
    keys = [key(number) for number in range(ROWS)]
    ledger = Ledger(run)
    try:
        rows = ledger.rows(keys)
        totals = ledger.totals()
        billed, payers = ledger.billed(key(7)), ledger.payers()
    finally:
        ledger.close()
    found |= {"rows": rows, "next": {one: choice(rows.get(one, [])) for one in keys}}
    return {**found, "totals": totals, "billed": billed, "payers": payers}


Damage = Callable[[bytearray, random.Random], None]


def harm(written: Path, folder: Path, damage: Damage, count: int, seed: int, name: str = "ledger.sqlite") -> Any:
    """Damage copies of the ledger; how many were refused, and how many said what they had said before."""
    chooser = random.Random(seed)
    content = (written / name).read_bytes()
    shutil.copytree(written, folder / "whole")
    expected = what_it_says(folder / "whole")
    tally: Counter[str] = Counter()
    run = folder / "run"
    for _ in range(count):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(written, run)
        altered = bytearray(content)
        damage(altered, chooser)
        (run / name).write_bytes(altered)
        try:
            found = what_it_says(run)
        except LedgerError:
            tally["refused"] += 1
        else:
            assert found == expected
            tally["as before"] += 1
        try:
            tally["verified"] += not ledger_verify(run).problems
        except LedgerError:
            tally["not verified"] += 1
    return tally


def flip_a_bit(content: bytearray, chooser: random.Random) -> None:
    bit = chooser.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8


def scribble(content: bytearray, chooser: random.Random) -> None:
    """Random bytes in some places, as a broken disk or a hostile hand leaves them; the first page among them often."""
    for _ in range(chooser.randint(1, 8)):
        start = chooser.randrange(4096 if chooser.random() < 0.3 else len(content))
        size = min(chooser.choice([1, 2, 4, 16, 100]), len(content) - start)
        content[start : start + size] = chooser.randbytes(size)


@pytest.mark.parametrize("damage", [flip_a_bit, scribble])
def test_damage_is_refused_or_changes_nothing(written, tmp_path, damage):
    tally = harm(written, tmp_path, damage, 150, 1)
    assert tally["refused"] > 50, tally


def test_damage_to_the_wal_file_of_a_killed_run_is_refused_or_changes_nothing(written, tmp_path):
    tally = harm(written.with_name("killed"), tmp_path, flip_a_bit, 150, 3, "ledger.sqlite-wal")
    assert tally["refused"] > 20, tally


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("damage", [flip_a_bit, scribble])
def test_damage_in_two_thousand_places_is_refused_or_changes_nothing(written, tmp_path, damage):
    tally = harm(written, tmp_path, damage, 2000, 2)
    print(damage.__name__, dict(tally))
    assert tally["refused"] > 1000, tally


@pytest.mark.parametrize("digest", ["sha256:**", "sha256:/etc/passwd", "sha256:\0", ""])
def test_verifying_names_a_row_whose_digest_is_none(written, tmp_path, digest):
    run = shutil.copytree(written, tmp_path / "run")
    with closing(sqlite3.connect(run / "ledger.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE attempt SET digest = ? WHERE id = 4", (digest,))
    problems = ledger_verify(run).problems
    assert problems[0] == "attempt 4 is not as it was written"
    assert f"attempt 4: expected the stored sample {digest} in {run / 'samples'}; the file is gone" in problems
