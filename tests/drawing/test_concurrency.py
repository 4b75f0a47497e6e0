"""The shared pause and the adaptive slots, under a clock that a test turns."""

import threading

from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


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
    time = Time()
    breaker = CircuitBreaker(time)
    breaker.record_throttle(1.0)
    time.now += 1.0
    assert breaker.delay(1) == 0.0
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
    time = Time()
    breaker = CircuitBreaker(time, probe_timeout_s=30.0)
    breaker.record_throttle(1.0)
    time.now += 1.0
    assert breaker.delay(1) == 0.0
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
    time = Time()
    breaker = CircuitBreaker(time)
    breaker.record_throttle(1.0)
    time.now += 1.0
    assert breaker.delay(1) == 0.0
    time.now += 1.0
    assert breaker.delay(2) > 0.0
    assert breaker.delay(1) == 0.0
    breaker.record_throttle(1.0)
    assert breaker.delay(1) > 0.0
