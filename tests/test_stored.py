"""Stored documents: what is written is read, and whatever a stranger puts in its place is one error that says which."""

import json
import math
from dataclasses import dataclass, replace

import pytest

from blackbox_conformal.documents.signature import Signature, SigningKey
from blackbox_conformal.documents.stored import Stored, StoredPaper
from blackbox_conformal.errors import CheckFailedError, FileFormatError
from blackbox_conformal.support.canonical import digest_json


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


@dataclass(frozen=True)
class Paper:
    n: float
    names: tuple[str, ...] = ()
    signature: Signature | None = None

    @property
    def digest(self):
        return PAPERS.digest(self)


PAPERS = StoredPaper(Paper, "paper", 1, anew="Make it again")
KEY = SigningKey.new("Laboratory X")


def paper_content(paper):
    return json.loads(PAPERS.paper_text(paper))


def redigested(content):
    content.pop("digest", None)
    signature = content.pop("signature", None)
    signed = {} if signature is None else {"signature": signature}
    return json.dumps({**content, "digest": digest_json(content), **signed}).encode()


def test_a_signed_paper_comes_back_with_its_signature():
    plain = Paper(2.5, ("a",))
    signed = replace(plain, signature=PAPERS.signature(plain, KEY))
    assert signed.digest == plain.digest, "a signature is no part of what is signed"
    read = PAPERS.parse(PAPERS.paper_text(signed).encode())
    assert read == signed
    assert PAPERS.vouching(read, [KEY.key]).trusted
    with pytest.raises(CheckFailedError, match="the paper: its signature is broken"):
        PAPERS.vouching(replace(read, n=3.5), [KEY.key])
    assert PAPERS.vouching(plain, []).signature is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": "2.5"}, "would not write"),
        ({"names": None}, "names: expected a list"),
        ({"n": True}, "would not write"),
        ({"unknown": 1}, "damaged paper file: unknown"),
        ({"version": 2}, "Upgrade"),
        ({"signature": {"key": "x"}}, "damaged paper file: signature"),
        ({"signature": 3}, "damaged paper file: signature"),
    ],
)
def test_a_paper_whose_digest_was_computed_anew_says_only_what_would_be_written(change, says):
    with pytest.raises(FileFormatError, match=says):
        PAPERS.parse(redigested(paper_content(Paper(2.5, ("a",))) | change))


def test_a_field_that_is_left_out_is_no_default():
    content = paper_content(Paper(1.0))
    del content["names"]
    with pytest.raises(FileFormatError, match="would not write"):
        PAPERS.parse(redigested(content))


@pytest.mark.parametrize("change", [{"n": 3.5}, {"digest": "sha256:0"}, {"digest": None}, {"digest": [1]}])
def test_a_paper_that_was_changed_is_no_longer_its_digests(change):
    with pytest.raises(FileFormatError, match=r"its digest does not match\. Make it again"):
        PAPERS.parse(json.dumps(paper_content(Paper(2.5, ("a",))) | change).encode())


def test_no_paper_is_written_with_what_json_cannot_say():
    with pytest.raises(ValueError, match="not JSON compliant"):
        PAPERS.paper_text(Paper(math.nan))
