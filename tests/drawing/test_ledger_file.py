"""Ledgers that money is not entrusted to are refused with the reason and left as they are."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from support import forked
from support.draws import want
from support.forked import Forked

from blackbox_conformal.drawing.ledger import run_lock
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.drawing.ledger.ledger_file import ledger_path, open_for_reading
from blackbox_conformal.drawing.ledger.queries import ledger_export, ledger_verify
from blackbox_conformal.drawing.ledger.sqlite_schema import APPLICATION_ID, VERSION, WITHOUT_PAYERS
from blackbox_conformal.errors import DiskFullError, LedgerError


@contextmanager
def full_disk(room: int = 0) -> Iterator[None]:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def touch(run: Path, statement: str) -> None:
    with closing(sqlite3.connect(ledger_path(run))) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    Ledger(tmp_path).close()
    return tmp_path


def test_a_fresh_ledger_is_durable_and_marked(run):
    ledger = Ledger(run)
    with closing(sqlite3.connect(ledger_path(run))) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
    ledger.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"not a ledger", "foreign"), (b"SQLite format 3\x00" + b"\xff" * 600, "left as")],
)
def test_files_that_are_no_ledger_stay_as_they_are(run, content, reason):
    (run / "samples").mkdir()
    ledger_path(run).write_bytes(content)
    with pytest.raises(LedgerError, match=reason):
        Ledger(run)
    with pytest.raises(LedgerError, match=reason):
        open_for_reading(run)
    assert ledger_path(run).read_bytes() == content


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (f"PRAGMA user_version = {VERSION + 1}", "newer version"),
        (f"PRAGMA user_version = {WITHOUT_PAYERS - 1}", "older version"),
        ("PRAGMA application_id = 7", "another program"),
    ],
)
def test_ledgers_of_other_versions_and_programs_are_refused(run, statement, reason):
    (run / "samples").mkdir()
    touch(run, statement)
    before = ledger_path(run).read_bytes()
    with pytest.raises(LedgerError, match=reason):
        Ledger(run)
    assert ledger_path(run).read_bytes() == before


def test_a_ledger_without_payers_is_read_as_it_is_and_brought_up_to_date_when_it_is_drawn_with(tmp_path):
    zipfile.ZipFile(Path(__file__).parents[1] / "kept" / "0.1.0.zip").extractall(tmp_path)
    run = tmp_path / "run"

    def version() -> int:
        with closing(sqlite3.connect(ledger_path(run))) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])

    before = list(ledger_export(run))
    assert not ledger_verify(run).problems
    assert version() == WITHOUT_PAYERS
    ledger = Ledger(run)
    number = ledger.reserve(replace(want("new"), payer="alice"), None, 1)
    ledger.close()
    assert version() == VERSION
    *after, new = ledger_export(run)
    assert (after, new["id"], new["payer"]) == (before, number, "alice")
    assert not ledger_verify(run).problems
    Ledger(run).close()


def test_a_changed_ledger_without_payers_and_a_folder_in_its_place_are_refused(tmp_path):
    zipfile.ZipFile(Path(__file__).parents[1] / "kept" / "0.1.0.zip").extractall(tmp_path)
    touch(tmp_path / "run", "UPDATE attempt SET cost_nanousd = 1 WHERE id = 1")
    ledger_path(tmp_path).mkdir()
    for run, said in ((tmp_path / "run", "not as it was written"), (tmp_path, "regular file")):
        with pytest.raises(LedgerError, match=said):
            Ledger(run)


def test_a_ledger_that_a_full_disk_kept_from_being_begun_is_begun_later(tmp_path):
    with full_disk(), pytest.raises(DiskFullError, match="make room and run the same command again"):
        Ledger(tmp_path)
    assert not ledger_path(tmp_path).exists()
    assert open_for_reading(tmp_path) is None
    Ledger(tmp_path).close()


@pytest.mark.parametrize("left", ["samples/ab/x.png", "inbox/1-x.png", "ledger.sqlite-wal"])
def test_a_lost_ledger_is_not_replaced(tmp_path, left):
    path = tmp_path / left
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"paid")
    with pytest.raises(LedgerError, match="restore"):
        Ledger(tmp_path)
    assert not ledger_path(tmp_path).exists()


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "virtiofs", "ceph"])
def test_network_disks_are_refused(tmp_path, monkeypatch, kind):
    table = tmp_path / "mountinfo"
    spaced = tmp_path / "a disk"
    spaced.mkdir()
    escaped = str(spaced).replace(" ", "\\040")
    table.write_text(f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:50 / {escaped} rw shared:1 - {kind} server:/x rw\n")
    monkeypatch.setattr(run_lock, "MOUNTINFO", table)
    with pytest.raises(LedgerError, match=kind):
        Ledger(spaced)
    assert not ledger_path(spaced).exists()
    Ledger(tmp_path).close()
    table.unlink()
    assert run_lock.file_system(spaced) is None, "a system without mount table is trusted"
    Ledger(spaced).close()


def test_a_second_owner_in_this_process_is_told_to_take_turns(tmp_path):
    ledger = Ledger(tmp_path)
    with pytest.raises(LedgerError, match="in use by another call in this same process; calls that share a run folder"):
        Ledger(tmp_path)
    ledger.close()
    Ledger(tmp_path).close()


def test_a_process_that_is_refused_costs_the_owner_nothing(tmp_path):
    """What the owner commits after it is on disk when the owner is killed."""
    script = (
        "import os, sys; from pathlib import Path;"
        "from blackbox_conformal.drawing.ledger.backends import Ledger;"
        "from blackbox_conformal.drawing.ledger.attempts import AttemptSpec;"
        "from blackbox_conformal.drawing.ledger.queries import ledger_sum;"
        "run = Path(sys.argv[1]); ledger = Ledger(run); ledger_sum(run);"
        "print('held', flush=True); sys.stdin.readline();"
        "ledger.plan([AttemptSpec('task', 0, 'i', 'http', 'u', 'picture', 0, 'key', 1, seed=1)]); os._exit(9)"
    )
    with Forked(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(LedgerError, match=f"process {owner.pid} on"):
            Ledger(tmp_path)
        owner.communicate("go on\n")
    with closing(sqlite3.connect(ledger_path(tmp_path))) as connection:
        assert connection.execute("SELECT task FROM attempt").fetchall() == [("task",)]


def test_a_dead_owner_on_this_machine_is_replaced_at_once(tmp_path):
    script = (
        "import os, sys; from pathlib import Path;"
        "from blackbox_conformal.drawing.ledger.backends import Ledger;"
        "Ledger(Path(sys.argv[1])); os._exit(9)"
    )
    assert forked.run([sys.executable, "-c", script, str(tmp_path)]).returncode == 9
    assert json.loads((tmp_path / "ledger.owner.json").read_text())["pid"] > 0
    Ledger(tmp_path).close()


@pytest.mark.parametrize("note", ["", "[]", '{"pid": 5}', '{"pid": "\\u001b[31m", "host": 7, "since": null}'])
def test_a_note_of_the_owner_that_says_nothing_frees_nobody(tmp_path, note):
    ledger = Ledger(tmp_path)
    (tmp_path / "ledger.owner.json").write_text(note)
    with pytest.raises(LedgerError, match="in use by") as caught:
        Ledger(tmp_path)
    assert "\x1b" not in str(caught.value)
    ledger.close()
    Ledger(tmp_path).close()


def test_an_owner_in_another_container_keeps_others_away_until_it_ends(tmp_path):
    script = (
        "import sys; from pathlib import Path; from blackbox_conformal.drawing.ledger.backends import Ledger;"
        "ledger = Ledger(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode != 0:
        pytest.skip("this system makes no process spaces for users")
    with subprocess.Popen(
        [*apart, sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(LedgerError, match="process 1 on"):
            Ledger(tmp_path)
        owner.communicate()
    Ledger(tmp_path).close()


def test_a_folder_is_given_up_on_a_full_disk(tmp_path):
    ledger = Ledger(tmp_path)
    with full_disk():
        ledger.close()
    Ledger(tmp_path).close()


def test_a_ledger_on_a_read_only_disk_is_read(tmp_path):
    Ledger(tmp_path).close()
    lock = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*apart, lock, "sh", str(tmp_path)], check=False, capture_output=True).returncode != 0
    ):
        pytest.skip("this system lets no user mount a folder")
    script = (
        "import sys; from pathlib import Path; from blackbox_conformal.drawing.ledger.queries import ledger_sum;"
        "print(ledger_sum(Path(sys.argv[1]))['attempts'])"
    )
    words = [*apart, f'{lock} && exec "$2" -c "$3" "$1"', "sh", str(tmp_path), sys.executable, script]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_reading_needs_no_ownership_and_creates_nothing(tmp_path):
    assert open_for_reading(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    ledger = Ledger(tmp_path)
    reader = open_for_reading(tmp_path)
    assert reader is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM attempt")
    reader.close()
    ledger.close()


@pytest.mark.parametrize("room", [0, 4096, 20_000, 40_000, 60_000])
def test_a_full_disk_is_told_as_such_wherever_it_shows(run, room):
    def fill() -> None:
        with closing(Ledger(run)) as ledger:
            while True:
                ledger.plan([AttemptSpec(str(time.monotonic()), 0, "i", "http", "u", "picture", 0, "key", 1, seed=1)])

    with full_disk(room), pytest.raises(DiskFullError) as told:
        fill()
    assert (told.value.exit_code, "rollback" in str(told.value)) == (6, False)
    Ledger(run).close()


def test_an_interrupt_while_the_ledger_is_opened_comes_through_and_gives_the_folder_up(run, monkeypatch):
    monkeypatch.setattr("blackbox_conformal.drawing.ledger.ledger_file.damage", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Ledger(run)
    monkeypatch.undo()
    Ledger(run).close()
