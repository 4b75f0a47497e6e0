"""Reading answers: paths, words, waits, pictures in text; the line of a key."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest

from blackbox_adapters._failures import Failures, retry_after
from blackbox_adapters._reading import (
    LONGEST_MESSAGE,
    data_link,
    decoded,
    fetched,
    integer,
    money,
    peek,
    require,
    shorten,
    words,
)
from blackbox_adapters._recipe_reading import line_of
from blackbox_conformal.errors import PayloadError, TryLaterError
from blackbox_conformal.vendor.adapter import Answer

TREE = {"a": [{"b": "x"}, {"b": 7}], "e": "", "f": False}


@pytest.mark.parametrize(
    ("path", "found"), [("a.0.b", "x"), ("a.-1.b", 7), ("a.2.b", None), ("a.b", None), ("z", None), ("", TREE)]
)
def test_a_path_leads_somewhere_or_nowhere(path, found):
    assert peek(TREE, path) == found


@pytest.mark.parametrize("path", ["e", "f", "a", "z"])
def test_what_is_required_is_text_or_a_number(path):
    assert require(TREE, "a.1.b", "a number") == "7"
    with pytest.raises(PayloadError, match=f"expected an id at '{path}'"):
        require(TREE, path, "an id")


def test_words_are_one_short_printable_line():
    assert words({"detail": [{"msg": "x"}]}, "error", "detail") == '[{"msg": "x"}]'
    assert shorten("a\x1b[31m\n\tb\u202ec") == "a [31m b c"
    assert len(shorten("x" * 5000)) == LONGEST_MESSAGE


def test_waits_are_seconds_or_a_date():
    def asked(text):
        return retry_after(Answer(429, {"retry-after": text}, b""))

    assert asked("12") == 12.0
    assert asked("1.5") == 1.5
    soon = asked(format_datetime(datetime.now(UTC) + timedelta(seconds=60)))
    assert soon is not None
    assert 50 < soon <= 60
    assert asked("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
    assert asked("-5") == 0.0
    for nonsense in ("", "soon", "inf", "1e9", "9" * 400, "999999999999", "²"):
        assert asked(nonsense) is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, b'{"retry_after": 10}', 10.0),
        (429, b'{"error": {"retry_after": "2.5"}}', 2.5),
        (429, b'{"detail": "Your rate limit resets in ~10s."}', 10.0),
        (429, b'{"message": "Try again in 1.5 minutes"}', 90.0),
        (503, b"overloaded, retry after 250 ms", 0.25),
        (503, b"available again in 1h", 3600.0),
        (429, b'{"retry_after": "soon"}', None),
        (429, b"slow down", None),
        (200, b'{"text": "resets in 10s"}', None),
        (429, b"resets in 10s" + b" " * 5000, None),
    ],
)
def test_waits_are_found_in_the_body_too(status, body, expected):
    assert retry_after(Answer(status, {}, body)) == expected


def test_whole_numbers_are_of_sane_length():
    assert integer(7) == 7
    assert integer("4294967294") == 4294967294
    for nonsense in (None, True, 1.5, -1, "-1", "²", "", "9" * 5000, 10**30, [7]):
        assert integer(nonsense) is None


def test_money_is_finite_and_sane():
    assert money(250, Decimal("0.001")) == Decimal("0.25")
    assert money("0.0147") == Decimal("0.0147")
    for nonsense in (None, True, -1, "NaN", "inf", "1e999999999", float("inf"), 10**30, [], "free"):
        assert money(nonsense) is None


def test_an_unavailable_vendor_may_have_taken_a_submission():
    failures = Failures(message=["error"], wait=60.0)
    bare, dated = Answer(503, {}, b""), Answer(503, {"retry-after": "9"}, b'{"error": "busy"}')
    assert failures.error(bare, "submit") is None
    asked = failures.error(dated, "submit")
    assert isinstance(asked, TryLaterError)
    assert (asked.retry_after, "busy" in str(asked)) == (9.0, True)
    for status, expected in ((429, 60.0), (503, None)):
        later = failures.error(Answer(status, {}, b""), "poll")
        assert isinstance(later, TryLaterError)
        assert later.retry_after == expected


def test_pictures_in_text():
    assert decoded(data_link(b"\x00\xff"), "x") == b"\x00\xff"
    assert decoded("AP8=\n", "x") == b"\x00\xff"
    assert decoded("data:image/png,%00%FF", "x") == b"\x00\xff"
    for nonsense in ("", None, 7, "data:image/png;base64", "not base64!"):
        with pytest.raises(PayloadError, match="at output"):
            decoded(nonsense, "output")


@pytest.mark.parametrize("link", ["", None, "file:///etc/passwd", "ftp://x/y", {"url": "x"}])
def test_links_of_other_kinds_are_not_followed(link):
    with pytest.raises(PayloadError):
        next(fetched(link, "output"))


def test_a_relative_link_without_its_start_says_what_is_missing():
    with pytest.raises(PayloadError, match="at output; got a relative one: give fetched the base that it starts at"):
        next(fetched("/files/o.png", "output"))


def test_a_relative_link_starts_at_the_vendors_address():
    send = next(fetched("files/o.png", "output", base="http://127.0.0.1:5000"))
    assert getattr(send, "url", "") == "http://127.0.0.1:5000/files/o.png"


TEXT = """a = 1
[t]
b = { c = 2 }
"quoted key" = 3
[[list]]
d = 1
[[list]]
d = 2
[list.inner]
e = 5
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("a",), 1),
        (("t", "b", "c"), 3),
        (("t", "quoted key"), 4),
        (("t", "missing"), 2),
        (("list", 0, "d"), 6),
        (("list", 1, "d"), 8),
        (("list", 1, "inner", "e"), 10),
        (("nowhere",), 1),
    ],
)
def test_the_line_of_a_key(location, line):
    assert line_of(TEXT, location) == line
