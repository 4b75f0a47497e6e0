"""While a vendor gives nothing usable, one picture after ever longer pauses is sent, and all others are refused."""

import pytest

from blackbox_conformal.drawing.pacing.concurrency import Outage
from blackbox_conformal.errors import VendorUnavailableError


class Clock:
    """Seconds that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fail(outage: Outage, retry_after: float | None = None) -> None:
    with pytest.raises(VendorUnavailableError, match="down"), outage.kept_from(1):
        raise VendorUnavailableError("down", retry_after=retry_after)


def refused(outage: Outage) -> float:
    with pytest.raises(VendorUnavailableError, match="nothing was sent") as found, outage.kept_from(1):
        raise AssertionError
    return found.value.retry_after or 0.0


def test_pauses_double_up_to_an_hour_and_one_picture_probes_after_each():
    clock = Clock()
    outage = Outage(clock)
    for pause in (30, 60, 120, 240, 480, 960, 1920, 3600, 3600):
        fail(outage)
        assert refused(outage) == pause
        clock.now += pause - 1
        assert refused(outage) == 1
        clock.now += 1
        assert outage.seconds_left == 0
        assert outage.goes_on
    with outage.kept_from(1) as answered:
        refused(outage)
        answered()
    assert not outage.goes_on
    with outage.kept_from(1):
        pass
    fail(outage)
    assert refused(outage) == 30


def test_a_probe_that_says_nothing_of_the_vendor_lets_the_next_one_through():
    clock = Clock()
    outage = Outage(clock)
    fail(outage)
    clock.now += 30
    with pytest.raises(ValueError, match="a picture"), outage.kept_from(1):
        raise ValueError("a picture that cannot be used")
    assert outage.goes_on
    with outage.kept_from(1) as answered:
        answered()
    assert not outage.goes_on


def test_pictures_that_were_under_way_together_count_once_and_do_not_end_it():
    clock = Clock()
    outage = Outage(clock)
    with outage.kept_from(1) as answered, outage.kept_from(1) as other:
        both = [outage.kept_from(1), outage.kept_from(1)]
        for one in both:
            one.__enter__()
        for one in both:
            error = VendorUnavailableError("down")
            assert not one.__exit__(VendorUnavailableError, error, None)
        answered()
        other()
    assert outage.seconds_left == 30


def test_a_pause_that_the_vendor_asks_for_counts_up_to_a_day_and_what_is_stored_passes():
    outage = Outage(Clock())
    fail(outage, retry_after=900.0)
    assert refused(outage) == 900
    with outage.kept_from(0):
        pass
    assert outage.goes_on
    another = Outage(Clock())
    fail(another, retry_after=10 * 86400.0)
    assert refused(another) == 86400
