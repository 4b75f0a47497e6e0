"""Limits, rates, retries and pauses, under clocks that a test turns."""

import threading
from collections.abc import Callable
from decimal import Decimal

import pytest

from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.http.classify import GoneError
from blackbox_conformal.drawing.ledger.money import to_nano, to_usd
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker, Outage
from blackbox_conformal.drawing.pacing.retry import Retrier, RetryBudget
from blackbox_conformal.drawing.run_control import Clock, RunControl, StoppedError
from blackbox_conformal.errors import (
    IncompleteError,
    JobError,
    MaybeSentError,
    NotSentError,
    PayloadError,
    TryLaterError,
    UsageError,
    VendorError,
    VendorFailedError,
    VendorUnavailableError,
)
from blackbox_conformal.study.from_keywords import limits_of
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Rate
from blackbox_conformal.vendor.rates import least_seconds
from blackbox_conformal.vendor.refusals import FAR, clock_difference, parse_retry_after

WRONG = {"max_cost_usd": [Decimal("NaN"), Decimal(-1)], "max_calls": [-1], "concurrency": [0, "many"], "auto_most": [0]}
WRONG |= {"attempt_timeout_s": [-1.0], "max_attempts": [0], "max_retry_after_s": [float("nan")], "max_resample": [-1]}
WRONG |= {"max_answer_bytes": [0]}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_senseless_limits_are_refused(name, value):
    with pytest.raises(UsageError, match=name):
        Limits(**{name: value})


def test_auto_starts_at_four_and_ends_at_thirty_two():
    assert (Limits().first_workers, Limits().most_workers) == (4, 32)
    assert (Limits(concurrency=9).first_workers, Limits(concurrency=9).most_workers) == (9, 9)


def test_money_is_exact_and_rounds_up_below_a_nano_dollar():
    assert to_usd(to_nano(Decimal("0.00141667"))) == Decimal("0.00141667")
    assert (to_nano(Decimal("0.0000000001")), str(to_usd(to_nano(Decimal("20.00"))))) == (1, "20")
    for wrong in ("-1", "NaN"):
        with pytest.raises(UsageError, match=wrong):
            to_nano(Decimal(wrong))


def test_a_rate_is_read_and_written_as_a_text():
    texts = {"5/second": Rate(5, 1.0), "600/minute submit": Rate(600, 60.0, "submit"), " 50/hour ": Rate(50, 3600.0)}
    texts["1250/day submit"] = Rate(1250, 86400.0, "submit")
    for text, rate in texts.items():
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


NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("seconds", "values"),
    [
        (0.0, ["0", "-5", "Wed, 21 Oct 2015 07:00:00 GMT"]),
        (12.0, ["12"]),
        (1.5, [" 1.5 "]),
        (30.0, ["Wed, 21 Oct 2015 07:28:30 GMT", "Wednesday, 21-Oct-15 07:28:30 GMT"]),
        (FAR, ["9" * 400, "Fri, 01 Jan 100000 00:00:00 GMT"]),
        (None, ["", "soon", "inf", "-inf", "nan", "1e999", "0x10", "1, 2", "٣", "Wed, 99 Foo 2015 99:99:99 GMT"]),
    ],
)
def test_retry_after_as_vendors_really_write_it(seconds, values):
    for value in values:
        assert parse_retry_after({"retry-after": value}, NOW) == seconds, value


ISO = "2015-10-21T07:28:30Z"


@pytest.mark.parametrize(
    ("seconds", "every"),
    [
        (30.0, [{"ratelimit-reset": "30"}, {"x-ratelimit-reset": "30"}, {"x-rate-limit-reset": str(NOW + 30)}]),
        (30.0, [{"x-ratelimit-reset": str(int((NOW + 30) * 1000))}, {"x-rate-limit-reset-at-utc": ISO}]),
        (30.0, [{"x-rate-limit-reset-at-utc": ISO[:-1]}, {"x-rate-limit-reset-at-utc": "2015-10-21 07:28:30"}]),
        (30.0, [{"x-ratelimit-reset": "Wed, 21 Oct 2015 07:28:30 GMT"}, {"ratelimit": '"default";r=0;t=30'}]),
        (30.0, [{"x-picsart-ratelimit-reset-time": str(NOW + 30)}, {"anthropic-ratelimit-requests-reset": ISO}]),
        (30.0, [{"ratelimit": "limit=100, remaining=0, reset=30"}]),
        (360.0, [{"x-ratelimit-reset-requests": "6m0s"}]),
        (1.0, [{"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-reset-requests": "1s"}]),
        (5.0, [{"ratelimit": '"burst";r=0;t=5, "daily";r=900;t=40000'}]),
        (7.0, [{"ratelimit-limit": "120, 120;w=60, 4;w=1", "ratelimit-remaining": "0", "ratelimit-reset": "7"}]),
        (2.0, [{"retry-after": "2", "ratelimit-reset": "30"}]),
        (0.0, [{"x-ratelimit-reset": str(NOW - 30)}]),
        (None, [{"ratelimit-reset": "40000", "ratelimit-remaining": "9"}, {"ratelimit-reset": "soon"}]),
        (None, [{"ratelimit-reset": ""}, {"ratelimit": ""}, {"x-ratelimit-limit": "30"}]),
    ],
)
def test_the_end_of_a_rates_window(seconds, every):
    for headers in every:
        assert parse_retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds)), headers


def test_milliseconds_go_first_and_the_date_header_tells_the_clocks_difference():
    assert parse_retry_after({"retry-after-ms": "250", "retry-after": "9"}, NOW) == 0.25
    assert parse_retry_after({"retry-after-ms": "x", "retry-after": "9"}, NOW) == 9.0
    assert (parse_retry_after({}, NOW), clock_difference({}, NOW)) == (None, None)
    assert clock_difference({"date": "Wed, 21 Oct 2015 07:38:00 GMT"}, NOW) == 600.0


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def after_a_pause(**given: float) -> tuple[Time, CircuitBreaker]:
    """A breaker whose pause is over and whose probe is worker 1, and its clock."""
    time = Time()
    breaker = CircuitBreaker(time, **given)
    breaker.record_throttle(1.0)
    time.now += 1.0
    assert breaker.delay(1) == 0.0
    return time, breaker


def test_one_pause_holds_everyone_and_one_probe_goes_first():
    time = Time()
    breaker = CircuitBreaker(time, spacing_s=0.5)
    assert breaker.delay(1) == 0.0
    assert breaker.record_throttle(10.0)
    assert not breaker.record_throttle(4.0)
    assert breaker.throttles_in_a_row == 1
    assert [breaker.delay(worker) for worker in (1, 2, 3)] == [10.0, 10.0, 10.0]
    time.now += 10.0
    assert breaker.delay(2) == 0.0
    assert breaker.delay(1) > 0.0
    assert breaker.delay(3) > 0.0
    assert breaker.record_success()
    assert breaker.delay(1) == 0.5
    time.now += 0.5
    assert (breaker.delay(1), breaker.delay(3)) == (0.0, 0.5)
    time.now += 0.5
    assert (breaker.delay(3), breaker.delay(7)) == (0.0, 0.0)


def test_a_failed_probe_lengthens_the_row_of_throttles():
    time, breaker = after_a_pause()
    assert breaker.record_throttle(2.0)
    assert breaker.throttles_in_a_row == 2
    time.now += 2.0
    assert breaker.delay(2) == 0.0
    breaker.abandon_probe()
    assert breaker.delay(3) == 0.0
    breaker.record_success()
    assert breaker.throttles_in_a_row == 0


def test_an_answer_from_before_the_pause_does_not_end_it():
    time = Time()
    breaker = CircuitBreaker(time)
    breaker.record_throttle(5.0)
    assert not breaker.record_success()
    assert breaker.delay(1) == 5.0


def test_a_probe_that_never_reports_is_replaced():
    time, breaker = after_a_pause(probe_timeout_s=30.0)
    assert breaker.delay(2) > 0.0
    time.now += 31.0
    assert breaker.delay(2) == 0.0


def test_slots_shrink_by_a_fifth_once_a_cooldown_and_grow_by_one_a_round():
    time = Time()
    slots = AdaptiveConcurrency(20, 32, time)
    slots.record_throttle()
    slots.record_throttle()
    assert slots.limit == 16
    slots.record_success()
    assert slots.limit == 16
    time.now += 15.0
    for _ in range(17):
        slots.record_success()
    assert slots.limit == 17
    for _ in range(1000):
        slots.record_success()
    assert slots.limit == 32
    time.now += 15.0
    for _ in range(60):
        slots.record_throttle()
        time.now += 15.0
    assert slots.limit == 1


def test_trouble_stops_growth_only():
    time = Time()
    slots = AdaptiveConcurrency(4, 32, time)
    slots.record_failure()
    for _ in range(100):
        slots.record_success()
    assert slots.limit == 4


def test_slots_hold_workers_back_until_one_is_free_or_the_run_ends():
    slots = AdaptiveConcurrency(1, 1, Time())
    over = threading.Event()
    assert slots.acquire(over.is_set)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(slots.acquire(over.is_set)))
    thread.start()
    slots.release()
    thread.join(5.0)
    assert taken == [True]
    over.set()
    assert not slots.acquire(over.is_set)


def test_the_probe_may_ask_again_before_it_is_sent():
    time, breaker = after_a_pause()
    time.now += 1.0
    assert breaker.delay(2) > 0.0
    assert breaker.delay(1) == 0.0
    breaker.record_throttle(1.0)
    assert breaker.delay(1) > 0.0


def fail(outage: Outage, retry_after: float | None = None) -> None:
    with pytest.raises(VendorUnavailableError, match="down"), outage.kept_from(1):
        raise VendorUnavailableError("down", retry_after=retry_after)


def refused(outage: Outage) -> float:
    with pytest.raises(VendorUnavailableError, match="nothing was sent") as found, outage.kept_from(1):
        raise AssertionError
    return found.value.retry_after or 0.0


def test_pauses_double_up_to_an_hour_and_one_picture_probes_after_each():
    clock = Time()
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
    clock = Time()
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
    clock = Time()
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
    outage = Outage(Time())
    fail(outage, retry_after=900.0)
    assert refused(outage) == 900
    with outage.kept_from(0):
        pass
    assert outage.goes_on
    another = Outage(Time())
    fail(another, retry_after=10 * 86400.0)
    assert refused(another) == 86400


ANSWER = Answer(200, {}, b"")


@pytest.fixture(autouse=True)
def _repeats_soon() -> None:
    """The waits are the real ones here."""


class TurnedClock(Clock):
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, wake: threading.Event) -> bool:
        self.slept.append(seconds)
        self.now += seconds
        return wake.is_set()


class Run:
    def __init__(self, **limits: float) -> None:
        self.clock, self.control = TurnedClock(), RunControl()
        self.breaker = CircuitBreaker(self.clock.monotonic)
        concurrency = AdaptiveConcurrency(4, 32, self.clock.monotonic)
        self.budget = RetryBudget(32)
        chosen = Limits(**limits)  # type: ignore[arg-type]
        board = EventBoard(self.clock, None, None)
        self.retrier = Retrier(chosen, self.clock, self.control, self.breaker, concurrency, self.budget, board)
        self.tries = 0

    def failing(self, *errors: BaseException) -> Callable[[], Answer]:
        """A request that fails with these errors one after the other, and then works."""
        left = list(errors)

        def once() -> Answer:
            self.tries += 1
            if left:
                raise left.pop(0)
            return ANSWER

        return once


def test_a_request_that_works_is_made_once_and_waits_for_nothing():
    run = Run()
    assert run.retrier.submit(run.failing(), replayable=False) is ANSWER
    assert (run.tries, run.clock.slept) == (1, [])


def test_what_was_not_sent_is_repeated_with_full_jitter_and_then_ends_the_run():
    run = Run(max_attempts=5)
    with pytest.raises(NotSentError, match="no route"):
        run.retrier.submit(run.failing(*[NotSentError("no route")] * 9), replayable=False)
    assert (run.tries, len(run.clock.slept)) == (5, 4)
    assert all(0.0 <= slept <= 0.5 * 2**tries for tries, slept in enumerate(run.clock.slept))
    assert isinstance(run.control.error, IncompleteError)
    assert "no route, 5 times in a row" in str(run.control.error)


def test_what_can_never_be_sent_ends_the_run_at_its_first_try():
    run = Run()
    with pytest.raises(NotSentError):
        run.retrier.submit(run.failing(NotSentError("no such proxy", permanent=True)), replayable=False)
    assert run.tries == 1
    assert run.control.stopping.is_set()


@pytest.mark.parametrize(("replayable", "tries"), [(False, 1), (True, 2)])
def test_what_may_have_been_sent_is_repeated_only_under_an_idempotency_key(replayable, tries):
    run = Run()
    once = run.failing(MaybeSentError("the connection broke"))
    if replayable:
        assert run.retrier.submit(once, replayable) is ANSWER
    else:
        with pytest.raises(MaybeSentError):
            run.retrier.submit(once, replayable)
    assert run.tries == tries
    assert run.control.error is None


def test_five_answers_that_never_came_end_the_run_at_once():
    run = Run()
    for _ in range(5):
        with pytest.raises(MaybeSentError):
            run.retrier.submit(run.failing(MaybeSentError("lost")), replayable=False)
    assert run.control.leaving.is_set()
    assert "everything fails" in str(run.control.error)


def unusable_until_the_end(run: Run, error: VendorError) -> int:
    count = 0
    while run.control.error is None:
        run.retrier.record_unusable(error)
        count += 1
    assert "everything fails" in str(run.control.error)
    return count


def test_five_answers_that_are_not_the_picture_end_a_run_in_which_no_draw_has_worked():
    assert unusable_until_the_end(Run(), PayloadError("no link")) == 5
    assert unusable_until_the_end(Run(), VendorFailedError("out of memory")) == 17
    run = Run()
    run.retrier.record_success()
    assert unusable_until_the_end(run, PayloadError("no link")) == 17


def test_a_vendor_that_says_later_opens_the_breaker_and_is_asked_again_without_a_wait_of_ones_own():
    run = Run()
    assert run.retrier.submit(run.failing(TryLaterError("busy", retry_after=7.0)), replayable=False) is ANSWER
    assert (run.clock.slept, run.breaker.delay(1)) == ([], 7.0)


def test_a_pause_that_is_too_long_ends_the_run_and_says_when_to_resume():
    run = Run(max_retry_after_s=60.0)
    with pytest.raises(TryLaterError):
        run.retrier.submit(run.failing(TryLaterError("busy", retry_after=3600.0)), replayable=False)
    assert "for 3600 s; resume after 20" in str(run.control.error)


def in_40_seconds(run: Run) -> Callable[[], float]:
    deadline = run.clock.now + 40.0
    return lambda: deadline


def test_a_job_is_asked_for_until_its_deadline_and_never_beyond_it():
    run = Run()
    with pytest.raises(JobError, match="busy"):
        run.retrier.fetch(run.failing(*[JobError("busy")] * 999), in_40_seconds(run))
    assert (run.clock.now, run.control.error) == (pytest.approx(140.0), None)


@pytest.mark.parametrize(("code", "tries"), [("404", 2), ("403", 1)])
def test_a_link_that_is_gone_is_asked_for_once_more_unless_it_has_expired(code, tries):
    run = Run()
    with pytest.raises(GoneError):
        run.retrier.fetch(run.failing(*[GoneError("gone", code=code)] * 9), in_40_seconds(run))
    assert run.tries == tries


@pytest.mark.parametrize("error", [StoppedError(), KeyError("a bug"), KeyboardInterrupt()])
def test_what_no_vendor_said_comes_through_as_it_is(error):
    run = Run()
    with pytest.raises(type(error)) as caught:
        run.retrier.submit(run.failing(error), replayable=True)
    assert caught.value is error
    assert run.tries == 1


def test_a_stop_ends_the_wait_between_two_tries():
    run = Run()
    run.control.stop()
    with pytest.raises(StoppedError):
        run.retrier.submit(run.failing(NotSentError("no route")), replayable=False)
    assert run.tries == 1


def test_successes_fill_the_budget_that_failures_empty():
    budget = RetryBudget(1)
    assert not budget.withdraw(1000.0)
    budget.deposit(60.0)
    assert budget.withdraw(59.0)
    budget.deposit(1e9)
    assert budget.withdraw(999.0)
    assert not budget.withdraw(1.0)
