"""Rates as texts, the time that they leave, and what of the limits an adapter says."""

import pytest

from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.from_keywords import limits_of
from blackbox_conformal.vendor.adapter import Capabilities, Rate
from blackbox_conformal.vendor.rates import least_seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/second", Rate(5, 1.0)),
        ("600/minute submit", Rate(600, 60.0, "submit")),
        (" 50/hour ", Rate(50, 3600.0)),
        ("1250/day submit", Rate(1250, 86400.0, "submit")),
    ],
)
def test_a_rate_is_read_and_written_as_a_text(text, rate):
    assert (Rate.of_text(text), str(rate)) == (rate, text.strip())


@pytest.mark.parametrize(
    "text", ["50", "0/hour", "-1/hour", "50/week", "1.5/second", "5/hour pay", "", "9" * 30 + "/hour"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="expected a rate"):
        Rate.of_text(text)


def test_the_strictest_rate_tells_the_time():
    upscayl = (Rate(50, 3600.0, "submit"), Rate(100, 3600.0, "poll"))
    assert least_seconds(upscayl, 160, 160) == 3 * 3600.0
    assert (least_seconds(upscayl, 50, 500), least_seconds(upscayl, 0, 0)) == (4 * 3600.0, 0.0)
    assert least_seconds((Rate(100, 60.0),), 100, 100) == 60.0
    assert least_seconds((), 160, 160) is None


def test_what_limits_leave_open_is_the_vendors():
    slow = Capabilities(scale_factors=(4,), rates=(Rate(5, 1.0),), max_concurrency=1, answer_timeout_s=900.0)
    vendors = Limits().for_vendor(slow)
    assert (vendors.rates, vendors.first_workers, vendors.most_workers) == ((Rate(5, 1.0),), 1, 1)
    assert vendors.answer_timeout_s == 900.0
    own = Limits(rates=(), concurrency=8, attempt_timeout_s=60.0).for_vendor(slow)
    assert (own.rates, own.first_workers, own.most_workers, own.answer_timeout_s) == ((), 8, 8, 60.0)
    three = Limits().for_vendor(Capabilities(scale_factors=(4,), max_concurrency=3))
    assert (three.first_workers, three.most_workers, three.answer_timeout_s) == (3, 3, 120.0)


def test_python_takes_rates_as_texts():
    assert limits_of({"rate": "50/hour", "job_timeout": 60.0}).rates == (Rate(50, 3600.0),)
    assert limits_of({"rate": ["1/second", "9/minute poll"]}).rates == (Rate(1, 1.0), Rate(9, 60.0, "poll"))
    assert limits_of({"job_timeout": 60.0}).job_deadline_s == 60.0
