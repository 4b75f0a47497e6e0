"""A cut download is gone on with only where the rest is certain to be the rest."""

import pytest

from blackbox_conformal.drawing.http.transport import Resumption

WHOLE = {"etag": '"v1"', "accept-ranges": "bytes", "content-length": "10"}


def cut(headers: dict[str, str], status: int = 200) -> Resumption:
    made = Resumption()
    assert made.headers() == {}
    assert not made.begin(status, headers)
    made.keep([b"abc", b""])
    return made


def test_the_rest_of_the_same_version_is_asked_for_and_taken():
    made = cut(WHOLE)
    assert made.headers() == {"range": "bytes=3-", "if-match": '"v1"'}
    assert made.begin(206, {"etag": '"v1"', "content-range": "bytes 3-9/10"})
    made.keep([b"de"])
    assert (made.headers()["range"], b"".join(made.pieces)) == ("bytes=5-", b"abcde")


@pytest.mark.parametrize(
    "change",
    [
        {"etag": 'W/"v1"'},
        {"etag": "v1"},
        {"etag": ""},
        {"accept-ranges": "none"},
        {"accept-ranges": ""},
        {"content-encoding": "gzip"},
    ],
)
def test_nothing_is_kept_without_a_strong_version_and_ranges(change):
    assert cut({**WHOLE, **change}).headers() == {}


@pytest.mark.parametrize("status", [206, 302, 404, 503])
def test_nothing_is_kept_of_other_answers(status):
    assert cut(WHOLE, status).headers() == {}


@pytest.mark.parametrize(
    "part",
    [
        {"etag": '"v2"', "content-range": "bytes 3-9/10"},
        {"content-range": "bytes 3-9/10"},
        {"etag": '"v1"', "content-range": "bytes 2-9/10"},
        {"etag": '"v1"', "content-range": "bytes 3-8/10"},
        {"etag": '"v1"', "content-range": "bytes 3-10/11"},
        {"etag": '"v1"', "content-range": "bytes 3-9/*"},
        {"etag": '"v1"'},
        {"etag": '"v1"', "content-range": "bytes 3-9/10", "content-encoding": "gzip"},
    ],
)
def test_any_other_part_begins_from_zero(part):
    made = cut(WHOLE)
    with pytest.raises(ValueError, match="from zero"):
        made.begin(206, part)
    assert made.headers() == {}


@pytest.mark.parametrize("status", [200, 412, 416])
def test_the_whole_or_a_version_that_is_gone_begins_from_zero(status):
    made = cut(WHOLE)
    assert not made.begin(status, {})
    assert made.headers() == {}


def test_an_error_between_keeps_what_is_there_and_nothing_of_itself():
    made = cut(WHOLE)
    made.headers()
    assert not made.begin(503, {})
    made.keep([b"<html>"])
    assert made.headers()["range"] == "bytes=3-"
