"""Retry-After as vendors really write it."""

import pytest

from blackbox_conformal.sampling.http.retry_after import FAR, clock_difference, parse_retry_after

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("12", 12.0),
        (" 1.5 ", 1.5),
        ("-5", 0.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30.0),
        ("9" * 400, FAR),
        ("Fri, 01 Jan 100000 00:00:00 GMT", FAR),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("1e999", None),
        ("0x10", None),
        ("1, 2", None),
        ("٣", None),
        ("Wed, 99 Foo 2015 99:99:99 GMT", None),
    ],
)
def test_table(value: str, seconds: float | None) -> None:
    assert parse_retry_after({"retry-after": value}, NOW) == seconds


def test_milliseconds_go_first() -> None:
    assert parse_retry_after({"retry-after-ms": "250", "retry-after": "9"}, NOW) == 0.25
    assert parse_retry_after({"retry-after-ms": "x", "retry-after": "9"}, NOW) == 9.0
    assert parse_retry_after({}, NOW) is None


def test_clock_difference_is_read_from_the_date_header() -> None:
    assert clock_difference({"date": "Wed, 21 Oct 2015 07:38:00 GMT"}, NOW) == 600.0
    assert clock_difference({}, NOW) is None
