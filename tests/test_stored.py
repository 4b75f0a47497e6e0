"""Stored documents: what is written is read, and whatever a stranger puts in its place is one error that says which."""

import json
import math
from dataclasses import dataclass

import pytest

from blackbox_conformal.documents.stored import Stored
from blackbox_conformal.errors import FileFormatError


@dataclass(frozen=True, slots=True)
class Inner:
    shares: tuple[float, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Outer:
    n: int
    inner: Inner | None = None


STORED = Stored(Outer, "thing", 2, anew="Make it again", limit=1000)
GIVEN = Outer(3, Inner((0.1, 1 / 3, math.inf, -math.inf), "é\u2028"))
CONTENT = {"format": "blackbox-conformal thing", "version": 2, "n": 3}


def test_what_is_written_is_read(tmp_path):
    path = STORED.write(GIVEN, tmp_path / "thing.json")
    assert STORED.read(path) == GIVEN
    assert json.loads(path.read_text())["format"] == "blackbox-conformal thing"
    (read,) = STORED.read(STORED.write(Outer(1, Inner((math.nan,))), path)).inner.shares
    assert math.isnan(read)


def test_the_fields_alone_are_enough():
    assert STORED.parse(json.dumps(CONTENT).encode(), "x") == Outer(3)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "expected JSON"),
        (b"\xff\xfe", "expected JSON"),
        (b"[" * 100_000, "RecursionError"),
        (b'{"n": 1, "n": 2}', "a key stands twice"),
        (b'{"n": NaN}', "NaN, which is no number"),
        (b'{"n": 1e999}', "1e999, which is no number"),
        (b'{"n": ' + b"9" * 5000 + b"}", "expected JSON"),
        (b"[]", "another file"),
        (json.dumps({**CONTENT, "format": "thing"}).encode(), "expected a blackbox-conformal thing"),
        (json.dumps({**CONTENT, "version": 3}).encode(), "Upgrade blackbox-conformal"),
        (json.dumps({**CONTENT, "version": 1}).encode(), "format 1; this version reads 2"),
        (json.dumps({**CONTENT, "version": "2"}).encode(), "format '2'"),
        (json.dumps({**CONTENT, "version": 2.0}).encode(), "format 2.0"),
        (json.dumps({**CONTENT, "version": None}).encode(), "format None"),
        (json.dumps({**CONTENT, "n": "many"}).encode(), "damaged thing file: n: expected a whole number; got 'many'"),
        (json.dumps({**CONTENT, "unknown": 1}).encode(), "damaged thing file: unknown"),
        (json.dumps({**CONTENT, "inner": {"shares": [], "unknown": 1}}).encode(), r"inner\.unknown"),
        (json.dumps({**CONTENT, "inner": {"shares": [10**400]}}).encode(), r"inner\.shares\.0: expected a number"),
        (json.dumps({**CONTENT, "inner": [1]}).encode(), "damaged thing file: inner"),
        (json.dumps({key: CONTENT[key] for key in ("format", "version")}).encode(), "n: it is required"),
    ],
)
def test_anything_else_is_one_error_that_names_the_file_and_what_to_do(data, says):
    with pytest.raises(FileFormatError, match=says) as raised:
        STORED.parse(data, "folder/thing.json")
    assert str(raised.value).startswith("folder/thing.json: ")
    assert "Make it again" in str(raised.value) or "Upgrade" in str(raised.value)


def test_a_large_file_is_not_read_and_a_missing_one_is_named(tmp_path):
    (tmp_path / "thing.json").write_bytes(b" " * 1001)
    with pytest.raises(FileFormatError, match=r"expected a thing file below 1000 bytes; it is larger\. Make it again"):
        STORED.read(tmp_path / "thing.json")
    with pytest.raises(FileFormatError, match=r"none\.json: expected a readable thing file; No such file"):
        STORED.read(tmp_path / "none.json")
