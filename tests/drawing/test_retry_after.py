"""Retry-After as vendors really write it."""

import pytest

from blackbox_conformal.vendor.refusals import FAR, clock_difference, parse_retry_after

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
def test_table(value, seconds):
    assert parse_retry_after({"retry-after": value}, NOW) == seconds


ISO = "2015-10-21T07:28:30Z"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"x-rate-limit-reset": str(NOW + 30)}, 30.0),
        ({"x-ratelimit-reset": str(int((NOW + 30) * 1000))}, 30.0),
        ({"x-rate-limit-reset-at-utc": ISO}, 30.0),
        ({"x-rate-limit-reset-at-utc": ISO.removesuffix("Z")}, 30.0),
        ({"x-rate-limit-reset-at-utc": "2015-10-21 07:28:30"}, 30.0),
        ({"x-ratelimit-reset": "Wed, 21 Oct 2015 07:28:30 GMT"}, 30.0),
        ({"x-picsart-ratelimit-reset-time": str(NOW + 30)}, 30.0),
        ({"anthropic-ratelimit-requests-reset": ISO}, 30.0),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"ratelimit": '"default";r=0;t=30'}, 30.0),
        ({"ratelimit": "limit=100, remaining=0, reset=30"}, 30.0),
        ({"ratelimit": '"burst";r=0;t=5, "daily";r=900;t=40000'}, 5.0),
        ({"ratelimit-reset": "40000", "ratelimit-remaining": "9"}, None),
        ({"ratelimit-limit": "120, 120;w=60, 4;w=1", "ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7.0),
        ({"retry-after": "2", "ratelimit-reset": "30"}, 2.0),
        ({"ratelimit-reset": "soon"}, None),
        ({"ratelimit-reset": ""}, None),
        ({"x-ratelimit-reset": str(NOW - 30)}, 0.0),
        ({"ratelimit": ""}, None),
        ({"x-ratelimit-limit": "30"}, None),
    ],
)
def test_the_end_of_a_rates_window(headers, seconds):
    assert parse_retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


def test_milliseconds_go_first():
    assert parse_retry_after({"retry-after-ms": "250", "retry-after": "9"}, NOW) == 0.25
    assert parse_retry_after({"retry-after-ms": "x", "retry-after": "9"}, NOW) == 9.0
    assert parse_retry_after({}, NOW) is None


def test_clock_difference_is_read_from_the_date_header():
    assert clock_difference({"date": "Wed, 21 Oct 2015 07:38:00 GMT"}, NOW) == 600.0
    assert clock_difference({}, NOW) is None
