"""Turns and pauses that processes share: under a clock that a test turns, and by real processes on a real socket."""

import hashlib
import itertools
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from support.draws import draw, limits, tasks
from support.forked import Forked

from blackbox_conformal.drawing.pacing.rate_limiter import LOOK_S, SharedRateLimiter, pace_file
from blackbox_conformal.drawing.run_control import Clock
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.testing.fault_server import Situation
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.rates import Rate

DRIVER = Path(__file__).with_name("pace_driver.py")
KEY = "canary-sk-4d1f7c90"
HOST = "http://127.0.0.1:9"
SLOW = Rate(1, 1.0)
SECOND = SLOW.kept_seconds


class Keyed(SynchronousVendor):
    key: str = ""

    def credential(self) -> Secret:
        return Secret(self.key) if self.key else super().credential()


class Time(Clock):
    """One clock for durations and dates; `jump` sets the dates only."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.jump = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.jump


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def join(clock, told, tmp_path):
    joined = []

    def one(*rates, key=KEY, url=HOST, file=tmp_path / "pace.sqlite"):
        joined.append(SharedRateLimiter(Keyed(url=url, key=key), rates, clock, file, told.append))
        return joined[-1]

    yield one
    for pace in joined:
        pace.close()


def due(clock, paces, count, purpose="submit"):
    """When each of `count` turns is taken, in rotation; the clock goes on from one to the next."""
    times = []
    for pace, _ in zip(itertools.cycle(paces), range(count), strict=False):
        while (seconds := pace.take(purpose)) > 0:
            clock.now += seconds
        times.append(clock.now)
    return times


def fullest(times, seconds):
    """The most of these that any window of so many seconds holds: from one moment to just before its end."""
    return max(sum(first <= moment < first + seconds for moment in times) for first in times)


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("rate", [Rate(5, 1.0), Rate(1, 4.0), Rate(50, 3600.0)])
def test_no_window_holds_more_than_the_rate_and_none_that_is_wanted_holds_less(join, clock, processes, rate):
    times = due(clock, [join(rate) for _ in range(processes)], 4 * rate.count)
    assert fullest(times, rate.seconds) == rate.count
    assert times[-1] - times[0] == pytest.approx(3 * rate.kept_seconds)


@pytest.mark.parametrize("rate", [Rate(5, 1.0), Rate(10, 20.0), Rate(50, 3600.0), Rate(20, 86400.0)])
def test_no_window_holds_more_where_the_first_requests_take_longest_on_their_way(join, clock, rate):
    """The vendor counts arrivals; without the margin, the control, a window holds more."""
    times, late = due(clock, [join(rate)], 4 * rate.count), min(0.2, rate.seconds / 5)
    arrived = sorted(moment + (late if place < rate.count else 0.0) for place, moment in enumerate(times))
    assert fullest(arrived, rate.seconds) == rate.count
    bare = [moment - (rate.kept_seconds - rate.seconds) * (place // rate.count) for place, moment in enumerate(arrived)]
    assert fullest(sorted(bare), rate.seconds) > rate.count


def test_no_window_holds_more_when_requests_come_as_they_please(join, clock):
    rate, random = Rate(7, 10.0), Random(0)
    paces, times = [join(rate) for _ in range(3)], []
    for _ in range(400):
        clock.now += random.choice([0.0, 0.0, 0.01, 0.3, 4.0])
        if random.choice(paces).take("submit") <= 0:
            times.append(clock.now)
    assert fullest(times, rate.seconds) == rate.count


def test_the_strictest_of_several_rates_counts(join, clock):
    pace = join(Rate(2, 1.0), Rate(5, 60.0))
    times = due(clock, [pace], 11)
    assert (fullest(times, 1.0), fullest(times, 60.0)) == (2, 5)


def test_a_rate_of_one_purpose_holds_for_those_requests_only(join, clock):
    pace = join(Rate(1, 3600.0, "submit"))
    assert [pace.take("submit"), pace.take("lookup"), pace.take("submit")] == pytest.approx(
        [0.0, 0.0, Rate(1, 3600.0).kept_seconds]
    )


def test_polls_that_have_used_a_quarter_of_a_window_come_evenly_and_lose_none(join, clock):
    times = due(clock, [join(Rate(100, 3600.0, "poll"))], 400, "poll")
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    even = Rate(100, 3600.0).kept_seconds / 100
    assert (gaps[:25], gaps[25:99]) == ([0.0] * 25, pytest.approx([even] * 74))
    assert (gaps[100:], fullest(times, 3600.0)) == (pytest.approx([even] * 299), 100)
    assert times[-1] - times[0] <= 4 * 100 * even


def test_what_is_not_used_is_not_saved_up(join, clock):
    pace = join(Rate(4, 1.0))
    due(clock, [pace], 20)
    clock.now += 1000.0
    assert [pace.take("submit") for _ in range(5)] == pytest.approx([0, 0, 0, 0, SECOND])


def test_processes_of_different_rates_keep_each_its_own(join, clock):
    slow, fast = join(Rate(1, 1.0)), join(Rate(10, 1.0))
    due(clock, [fast], 10)
    assert (slow.take("submit"), fast.take("submit")) == (pytest.approx(SECOND), pytest.approx(SECOND))


def test_turns_are_kept_for_the_longest_window_of_any_process(join, clock):
    slow, fast = join(Rate(3, 3600.0)), join(Rate(3, 1.0))
    due(clock, [fast], 6)
    clock.now += 5.0
    assert fast.take("submit") == 0.0
    assert slow.take("submit") > 3000.0


def test_without_a_rate_nobody_waits(join):
    free, bound = join(), join(Rate(1, 1.0))
    assert ([free.take("submit") for _ in range(100)], bound.take("submit")) == ([0.0] * 100, 0.0)


@pytest.mark.parametrize("other", [{"key": "key-of-the-other-account"}, {"url": "http://127.0.0.2:9"}, {"key": ""}])
def test_another_key_or_vendor_has_a_pace_of_its_own(join, clock, other):
    one, two = join(SLOW), join(SLOW, **other)
    assert [one.take("submit"), one.take("submit"), two.take("submit")] == pytest.approx([0.0, SECOND, 0.0])
    one.announce_pause(30.0)
    clock.now += LOOK_S
    assert two.new_pause() == 0.0


def test_the_next_process_goes_on_where_the_last_one_stopped(join, clock):
    first = join(Rate(2, 10.0))
    due(clock, [first], 2)
    first.announce_pause(3.0)
    first.close()
    clock.now += 1.0
    second = join(Rate(2, 10.0))
    assert second.new_pause() == pytest.approx(2.0)
    assert second.take("submit") == pytest.approx(Rate(2, 10.0).kept_seconds - 1.0)


def test_a_pause_is_news_to_others_once_and_for_its_length(join, clock):
    one, two = join(), join()
    assert two.new_pause() == 0.0
    one.announce_pause(10.0)
    assert two.new_pause() == 0.0, "two looks are made too soon after each other"
    clock.now += LOOK_S
    assert (one.new_pause(), two.new_pause()) == (0.0, pytest.approx(10.0 - LOOK_S))
    clock.now += LOOK_S
    assert two.new_pause() == 0.0
    one.announce_pause(5.0)
    clock.now += LOOK_S
    assert two.new_pause() == 0.0, "it ends before the one that is known"
    one.announce_pause(60.0)
    clock.now += LOOK_S
    assert two.new_pause() == pytest.approx(60.0 - LOOK_S)
    clock.now += 3600.0
    assert join().new_pause() == 0.0


@pytest.mark.parametrize("jump", [-86400.0, -3.0, 86400.0])
def test_a_clock_that_is_set_makes_nobody_wait_longer(join, clock, jump):
    one, two = join(Rate(4, 4.0)), join(Rate(4, 4.0))
    due(clock, [one], 4)
    one.announce_pause(2.0)
    clock.jump = jump
    assert two.take("submit") <= Rate(4, 4.0).kept_seconds + 1e-6
    clock.now += LOOK_S
    assert two.new_pause() <= 2.0
    one.announce_pause(1.0)
    clock.now += LOOK_S
    assert two.new_pause() <= 1.0
    assert one.take("submit") <= Rate(4, 4.0).kept_seconds + 1e-6


def test_accounts_are_forgotten_after_two_days(join, clock, tmp_path):
    old, new = join(key="old"), join(key="new")
    clock.now += 172000.0
    new.announce_pause(1.0)
    clock.now += 1000.0
    join(key="third")
    old.announce_pause(1.0)
    new.announce_pause(1.0)
    database = sqlite3.connect(tmp_path / "pace.sqlite")
    assert database.execute("SELECT count(*) FROM pace").fetchone() == (2,)
    database.close()


@pytest.mark.parametrize(
    "content", [b"this is no database, but it is long enough to be one" * 50, b"SQLite format 3\0xx"]
)
def test_a_damaged_file_is_told_and_left_alone(join, clock, told, tmp_path, content):
    file = tmp_path / "pace.sqlite"
    file.write_bytes(content)
    pace = join(SLOW)
    assert len(told) == 1
    assert str(file) in told[0]
    assert "delete it" in told[0]
    assert file.read_bytes() == content
    assert [pace.take("submit"), pace.take("submit")] == pytest.approx([0.0, SECOND])
    pace.announce_pause(5.0)
    assert pace.new_pause() == 0.0


@pytest.mark.parametrize(
    "newer",
    [
        "CREATE TABLE salt (id INTEGER PRIMARY KEY, value); INSERT INTO salt VALUES (1, 'text')",
        "CREATE TABLE salt (id INTEGER PRIMARY KEY, value); INSERT INTO salt VALUES (1, NULL)",
        "CREATE TABLE pace (account PRIMARY KEY, longest TEXT, paused_until TEXT, updated TEXT)",
        "CREATE TABLE pace (account PRIMARY KEY, longest, paused_until, updated, more)",
        "CREATE TABLE turn (account, taken_at)",
        "CREATE TABLE turn (account, taken_at, purpose, more)",
    ],
)
def test_a_file_of_another_version_is_told_and_stops_nothing(join, told, tmp_path, newer):
    database = sqlite3.connect(tmp_path / "pace.sqlite")
    database.executescript(newer)
    database.close()
    pace = join(SLOW)
    assert pace.new_pause() == 0.0
    assert ([pace.take("submit"), pace.take("submit")], len(told)) == (pytest.approx([0.0, SECOND]), 1)


@pytest.mark.parametrize("value", ["9e999", "-9e999", "1e15"])
@pytest.mark.parametrize("column", ["turn.taken_at", "pace.updated", "pace.longest"])
def test_values_out_of_reach_make_nobody_wait_for_ever(join, tmp_path, column, value):
    pace = join(Rate(2, 5.0))
    pace.take("submit")
    pace.take("submit")
    table, _, name = column.partition(".")
    database = sqlite3.connect(tmp_path / "pace.sqlite")
    database.execute(f"UPDATE {table} SET {name} = {value}")
    database.commit()
    database.close()
    assert pace.take("submit") <= Rate(1, 5.0).kept_seconds + 1e-6


def test_a_process_that_dies_while_it_waits_holds_up_nobody(join, clock):
    dead, alive = join(Rate(1, 10.0)), join(Rate(1, 10.0))
    assert [dead.take("submit"), dead.take("submit")] == pytest.approx([0.0, Rate(1, 10.0).kept_seconds])
    dead.close()
    clock.now += Rate(1, 10.0).kept_seconds
    assert alive.take("submit") == 0.0


def test_a_run_that_is_stopped_leaves_the_turns_that_its_workers_wait_for(tmp_path, vendor, server):
    rates = (Rate(1, 30.0),)
    with Sampler(vendor, tmp_path, limits(concurrency=8, rates=rates)) as sampler:
        drawing = sampler.draw(tasks(20))
        next(drawing)
        drawing.close()
    assert server.account.requests("submit") == 1
    pace = SharedRateLimiter(vendor, rates, Clock(), pace_file(), lambda why: None)
    assert 0.0 < pace.take("submit") <= Rate(1, 30.0).kept_seconds
    pace.close()


def test_a_file_that_is_lost_under_way_is_told(join, told, tmp_path):
    pace = join(SLOW)
    assert pace.take("submit") == 0.0
    for file in tmp_path.iterdir():
        file.write_bytes(b"")
    assert ([pace.take("submit") >= 0.0 for _ in range(3)], len(told)) == ([True] * 3, 1)


def test_without_a_private_folder_each_process_keeps_its_own_pace(join, told):
    one, two = join(SLOW, file=None), join(SLOW, file=None)
    assert [one.take("submit"), one.take("submit"), two.take("submit")] == pytest.approx([0.0, SECOND, 0.0])
    assert "XDG_STATE_HOME" in told[0]


def test_no_private_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/self/nothing")
    assert pace_file() is None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = pace_file()
    file.parent.chmod(0o777)
    assert pace_file() is None, "others could write to it"


def test_the_key_is_not_in_the_file(join, tmp_path):
    join(SLOW).take("submit")
    files = list(tmp_path.iterdir())
    assert files
    for file in files:
        content = file.read_bytes()
        assert KEY.encode() not in content
        assert hashlib.sha256(KEY.encode()).digest() not in content
        assert file.stat().st_mode & 0o077 == 0


def test_a_run_that_cannot_share_its_pace_says_so_and_goes_on(monkeypatch, tmp_path, vendor):
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/self/nothing")
    drawn = draw(vendor, tmp_path, tasks(1, 3), rates=(Rate(100, 1.0),))
    assert (drawn.states, drawn.error) == (["stored"] * 3, None)


def together(url: str, folder: Path, *drivers: tuple[object, ...]) -> list[int]:
    """How many pauses each driver was told of: its key, first draw, number and rate; all begin at one moment."""
    processes = []
    for number, (key, *words) in enumerate(drivers):
        command = [sys.executable, str(DRIVER), url, str(folder / f"run{number}"), *map(str, words)]
        environment = {**os.environ, "FAULT_VENDOR_KEY": key}
        processes.append(Forked(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment))
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(drivers)
    return [int(answer) for answer in answers]


@pytest.mark.parametrize("shared", [True, False])
def test_three_processes_keep_one_rate(tmp_path, shared, server):
    """With keys of their own, they do not: the control that shows what is measured."""
    most, seconds = 10, 1.0
    together(
        server.url, tmp_path, *(("one" if shared else f"key{number}", 0, 12, most / seconds) for number in range(3))
    )
    times = sorted(seen.at for seen in server.account.recorded)
    assert len(times) == 36
    # A request that is late on its way comes nearer to those behind it.
    assert (fullest(times, 0.8 * seconds) <= most) == shared


@pytest.mark.parametrize("shared", [True, False])
def test_too_many_requests_of_one_process_pause_the_other(tmp_path, shared, server):
    put_off: list[float] = []

    def script(situation: Situation) -> str:
        if situation.head.query["seed"] == "100000" and not put_off:
            put_off.append(time.monotonic())
            return "status:code=429,retry-after=2"
        return "slow-start:seconds=0.05"

    server.script = script
    pauses = together(server.url, tmp_path, ("one", 0, 60, 0), ("one" if shared else "two", 100, 1, 0))
    times = [seen.at for seen in server.account.recorded]
    assert len(times) == 62
    during = [moment for moment in times if put_off[0] + 0.5 < moment < put_off[0] + 1.9]
    assert (during == []) == shared
    assert pauses == [int(shared), 1]
