"""The log of a watch file: whatever is edited, dropped, added or moved is noticed, and whose signature counts."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.report_material import make_calibration
from support.watched_file import CHANGED, live, visit

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError, FileFormatError, SuspendedError
from blackbox_conformal.watching import watch_file
from blackbox_conformal.watching.concluding import accept
from blackbox_conformal.watching.watch_file import WatchFile, watch_path
from blackbox_conformal.watching.watch_states import holds, refuse_suspended, standing_of, state_of

LAB, STRANGER = SigningKey.new("Laboratory X"), SigningKey.new("Laboratory X")


def execute(path: Path, script: str) -> None:
    with closing(sqlite3.connect(watch_path(path))) as connection:
        connection.executescript(script)


@pytest.fixture(params=[True, False], ids=["signed", "unsigned"])
def signed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def calibration(tmp_path: Path, signed: bool) -> Calibration:
    made = make_calibration(n=5, hostile=False)
    made = made.signed(LAB) if signed else made
    made.save(tmp_path / "calibration.json")
    return made


@pytest.fixture
def path(calibration: Calibration, signed: bool, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A calibration's file beside which a watch made two visits and saw two pictures; its ties are always the same."""
    monkeypatch.setattr(watch_file, "secrets", SimpleNamespace(token_hex=lambda count: "5" * 2 * count))
    assert calibration.file is not None
    with WatchFile(watch_path(calibration.file), key=LAB if signed else None) as file:
        for number in range(2):
            visit(file, calibration)
            live(file, calibration, number)
    return calibration.file


def test_a_whole_file_says_how_far_it_reaches_and_who_vouches(path, calibration, signed):
    standing = standing_of(path, calibration)
    assert (standing.head.entries, standing.head.state) == (5, "watched"), "a watch, two visits, two pictures"
    if signed:
        assert f"signed by {LAB.key}" in standing.words
        assert standing.words.endswith("the key that signed the calibration")
    else:
        assert standing.words.endswith("not signed, so no key vouches for it")
    read = refuse_suspended(path, calibration)
    assert (read.note, read.head) == (None, standing.head)
    assert holds(path, standing.head)
    assert not holds(path, standing.head.model_copy(update={"chain": "sha256:" + "0" * 64}))


HARM = {
    "a verdict is edited": "UPDATE visit SET verdict = 'cannot tell' WHERE number = 1",
    "a feature is edited": "UPDATE feature SET value = value + 1e-9",
    "a loss is edited": "UPDATE photograph SET loss = 0",
    "evidence is edited": "UPDATE wealth SET log_highest = 0 WHERE visit = 1",
    "a finding is dropped": "DELETE FROM finding WHERE visit = 2",
    "a canary is another picture": "UPDATE canary SET png = x'00'",
    "the level is edited": "UPDATE watch SET level = 0.5",
    "whether the vendor repeats itself is edited": "UPDATE watch SET repeats_itself = 0",
    "the watch is ended": "UPDATE watch SET ended_at = begun_at",
    "a picture is edited": "UPDATE live_rank SET p_value = 0.5",
    "bets are edited": "UPDATE live_wealth SET log_highest = 0",
    "a picture is dropped": "DELETE FROM live_rank WHERE live = 2; DELETE FROM live WHERE id = 2",
    "a picture is added": "INSERT INTO live SELECT 9, watch, 'x', at, NULL, statistics, answers FROM live LIMIT 1",
    "a visit is added": "INSERT INTO visit VALUES (9, 1, 9, 'now', 'now', 'same')",
    "a state is added": "INSERT INTO state (calibration, at, state, reason) SELECT calibration, begun_at, 'void', 'why'"
    " FROM watch",
    "the newest entry is dropped": "DELETE FROM log WHERE number = 5",
    "an entry between is dropped": "DELETE FROM log WHERE number = 3",
    "every entry is dropped": "DELETE FROM log",
    "two entries change places": "UPDATE log SET number = 9 WHERE number = 3;"
    " UPDATE log SET number = 3 WHERE number = 4; UPDATE log SET number = 4 WHERE number = 9",
    "the log is moved up": "UPDATE log SET number = number + 1 WHERE number = 5",
    "the log says another state": "UPDATE log SET state = 'accepted' WHERE number = 5",
    "the log says another time": "UPDATE log SET at = '2020-01-01T00:00:00+00:00' WHERE number = 5",
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_what_is_edited_dropped_added_or_moved_is_noticed(path, calibration, harm):
    execute(path, harm)
    with pytest.raises(FileFormatError, match="it was changed since: "):
        refuse_suspended(path, calibration)


def test_a_verdict_that_is_not_the_newest_is_looked_at_when_the_whole_file_is(path, calibration):
    execute(path, HARM["a verdict is edited"])
    assert refuse_suspended(path, calibration, whole=False) is not None
    with pytest.raises(FileFormatError):
        refuse_suspended(path, calibration)


def written_anew(path: Path, harm: str = "") -> None:
    """What somebody without the key can do: change rows, and write the log to match."""
    execute(path, f"{harm}; DROP TABLE log; PRAGMA user_version = 2;")
    with WatchFile(watch_path(path)):
        pass


def stripped(path: Path) -> None:
    execute(path, "UPDATE log SET signature = NULL")


def other_key(path: Path, key: SigningKey = STRANGER) -> None:
    calibration = Calibration.load(path)
    with WatchFile(watch_path(path), key=key) as file:
        file.sign(calibration.digest)
    execute(path, "UPDATE log SET signature = NULL WHERE number < 5")


def by_an_earlier_version(path: Path) -> None:
    execute(path, "DROP TABLE log; PRAGMA user_version = 2;")


def unsigned_visit(path: Path) -> None:
    with WatchFile(watch_path(path)) as file:
        visit(file, Calibration.load(path))


def unsigned_acceptance(path: Path) -> None:
    calibration = Calibration.load(path)
    with WatchFile(watch_path(path), key=LAB) as file:
        visit(file, calibration, CHANGED)
    with WatchFile(watch_path(path)) as file:
        accept(file, calibration.digest, "why not")


def unsigned_watch(path: Path) -> None:
    """The vendor is said to vary in an entry that needs no signature by itself."""
    execute(path, "UPDATE watch SET repeats_itself = 0")
    with WatchFile(watch_path(path)) as file:
        live(file, Calibration.load(path), 40)


@pytest.mark.parametrize("signed", [True], indirect=True)
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (written_anew, "it is not signed, so no key vouches for it"),
        (stripped, "it is not signed, so no key vouches for it"),
        (other_key, f"it is signed by {STRANGER.key}"),
        (by_an_earlier_version, "an earlier version wrote it, and signed nothing"),
        (unsigned_visit, "entry 6, a visit, is not, and none after it"),
        (unsigned_acceptance, "entry 8, a state, is not, and none after it"),
        (unsigned_watch, "what follows entry 5 is not"),
    ],
    # The key is another one in each process of a parallel run, which must name the tests alike.
    ids=lambda value: getattr(value, "__name__", "said"),
)
def test_the_watch_of_a_signed_calibration_counts_where_its_key_signed_it(path, calibration, harm, said):
    harm(path)
    for read in (refuse_suspended, state_of, standing_of):
        with pytest.raises(CheckFailedError, match="expected the watch of a signed calibration") as found:
            read(path, calibration)
        assert said in str(found.value)
        assert f"blackbox-conformal sign {path} --sign-with FILE" in str(found.value)


@pytest.mark.parametrize("signed", [True], indirect=True)
def test_a_key_that_is_trusted_counts_too(path, calibration):
    other_key(path)
    standing = standing_of(path, calibration, [STRANGER.key])
    assert "a key that you trust" in standing.words


@pytest.mark.parametrize("signed", [True], indirect=True)
def test_a_head_of_another_calibration_is_none_of_this_one(path, calibration):
    """Its laboratory signed both, and each watch lies in the same file."""
    other = make_calibration(n=6, hostile=False).signed(LAB)
    with WatchFile(watch_path(path), key=LAB) as file:
        for number in range(2):
            visit(file, other)
            live(file, other, number)
    assert refuse_suspended(path, calibration) is not None
    assert refuse_suspended(path, other) is not None
    with closing(sqlite3.connect(watch_path(path))) as connection:
        connection.executescript(
            "UPDATE log SET signature = (SELECT signature FROM log AS of WHERE of.number = log.number"
            f" AND of.calibration = '{other.digest}') WHERE calibration = '{calibration.digest}'"
        )
    with pytest.raises(CheckFailedError, match="entry 5 of the watch: its signature is broken"):
        refuse_suspended(path, calibration)


@pytest.mark.parametrize("signed", [True], indirect=True)
@pytest.mark.parametrize("value", ["{}", "[]", "nonsense", '{"format": 3}', "null"])
def test_a_signature_that_is_none_is_told_of(path, calibration, value):
    with closing(sqlite3.connect(watch_path(path))) as connection:
        connection.execute("UPDATE log SET signature = ?", (value,))
        connection.commit()
    with pytest.raises(FileFormatError, match="it was changed since"):
        refuse_suspended(path, calibration)


@pytest.mark.parametrize("signed", [True], indirect=True)
def test_pictures_without_the_key_can_raise_an_alarm_and_end_none(path, calibration):
    with WatchFile(watch_path(path)) as file:
        for number in range(10, 13):
            live(file, calibration, number)
        standing = file.check(calibration)
        assert standing.words.endswith("; what follows entry 5 is not signed")
        for number in range(20, 40):
            live(file, calibration, number, shift=9.0)
    with pytest.raises(SuspendedError, match="answers: the"):
        refuse_suspended(path, calibration)
    with WatchFile(watch_path(path), key=LAB) as file:
        accept(file, calibration.digest, "the new model was looked at")
    read = refuse_suspended(path, calibration)
    assert "the new model was looked at" in (read.note or "")


def test_a_file_of_an_earlier_version_gets_a_log_of_all_it_holds(path, calibration, signed):
    by_an_earlier_version(path)
    plain = replace(calibration, signature=None)
    assert refuse_suspended(path, plain) is None
    with WatchFile(watch_path(path), key=LAB if signed else None) as file:
        standing = file.check(plain)
        assert (standing.head.entries, standing.vouched) == (5, 0)
        file.sign(calibration.digest)
    assert refuse_suspended(path, calibration) is not None


def test_what_an_earlier_version_won_by_bets_of_single_canaries_is_no_evidence_any_more(path, calibration, signed):
    key = LAB if signed else None
    execute(path, "UPDATE feature SET p_value = 0.001; DROP TABLE log; PRAGMA user_version = 2;")
    with WatchFile(watch_path(path), key=key) as file:
        watch = file.current(calibration.digest)
        assert watch is not None
        assert file.evidence(watch) == []
        visit(file, calibration)
        assert file.evidence(watch) == [0.1]


def test_a_file_of_version_3_keeps_its_log(path, calibration, signed):
    with closing(sqlite3.connect(watch_path(path))) as connection:
        connection.execute("PRAGMA user_version = 3")
    before = standing_of(path, calibration)
    with WatchFile(watch_path(path)) as file:
        standing = file.check(calibration)
    assert (standing, standing.head.entries) == (before, 5)
    with closing(sqlite3.connect(watch_path(path))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (5,), "an earlier version refuses it from now on"


def test_a_rollback_to_an_older_whole_file_shows_beside_what_was_issued_since(path, calibration, signed):
    older = watch_path(path).read_bytes()
    with WatchFile(watch_path(path), key=LAB if signed else None) as file:
        visit(file, calibration)
    later = standing_of(path, calibration)
    assert later is not None
    watch_path(path).write_bytes(older)
    assert refuse_suspended(path, calibration) is not None, "an older whole file is a whole file"
    assert not holds(path, later.head)
    # Another visit makes as many entries, and not the same ones.
    with WatchFile(watch_path(path), key=LAB if signed else None) as file:
        visit(file, calibration, CHANGED)
    assert not holds(path, later.head)


def test_every_column_of_every_row_takes_part(path, calibration):
    """Each value that a concluded visit, picture or watch has, changed by itself."""
    whole = watch_path(path).read_bytes()
    with closing(sqlite3.connect(watch_path(path))) as connection:
        tables = ["watch", "canary", "visit", "draw", "feature", "wealth", "photograph", "finding", "live", "live_rank"]
        columns = [(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]
    unnoticed: list[Any] = []
    for table, column in columns:
        watch_path(path).write_bytes(whole)
        with closing(sqlite3.connect(watch_path(path))) as connection:
            try:
                kinds = "WHEN 'null' THEN 1 WHEN 'text' THEN 'x' WHEN 'blob' THEN x'00' ELSE 1000"
                other = f"CASE typeof({column}) {kinds} END"
                connection.execute(
                    f"UPDATE {table} SET {column} = {other} WHERE rowid = (SELECT max(rowid) FROM {table})"
                )
            except sqlite3.IntegrityError:
                continue
            connection.commit()
        try:
            refuse_suspended(path, calibration)
        except BlackboxConformalError:
            continue
        unnoticed.append((table, column))
    assert unnoticed == []


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ("UPDATE draw SET cost_usd = 'much'", "cost_usd: expected a number; got 'much'"),
        ("UPDATE draw SET seed = 'seven'", "seed: expected a whole number; got 'seven'"),
        ("UPDATE draw SET width = X'00ff'", "width: expected a whole number"),
        ("UPDATE feature SET value = 'warm'", "features.lightness: expected a number; got 'warm'"),
        ("UPDATE watch SET live = 'perhaps'", "live: expected true or false"),
        ("UPDATE canary SET height = 'high'", "height: expected a whole number"),
        ("UPDATE finding SET verdict = 'good'", "verdict: expected one of same"),
        ("UPDATE photograph SET loss = 'none'", "loss: expected a number"),
    ],
)
def test_rows_of_other_kinds_of_values_are_refused_with_what_to_do(path, calibration, edit, says):
    execute(path, edit)

    def read_all(file: WatchFile) -> None:
        watch = file.current(calibration.digest)
        assert watch is not None
        for planned in file.visits(watch):
            file.findings(planned.id)
        file.photographs(watch)
        file.canaries(watch)

    with WatchFile(watch_path(path)) as file, pytest.raises(FileFormatError, match=says) as raised:
        read_all(file)
    assert "Restore a copy" in str(raised.value)
