"""The sampler as its users see it: each draw once, paid once, resumable; against a real server."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from support.draws import check, draw, limits, tasks

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.backends import Ledger, reading
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import estimate
from blackbox_conformal.errors import BudgetError, IncompleteError, LedgerError, UsageError
from blackbox_conformal.testing.fault_server import FaultServer, Situation
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.adapter import Capabilities
from blackbox_conformal.vendor.rates import Rate


def submissions(server: FaultServer) -> int:
    return server.account.requests("submit")


def test_each_draw_is_bought_once_and_then_cached(tmp_path, either, server):
    with Sampler(either, tmp_path, limits()) as sampler:
        first = list(sampler.draw(tasks(3, 4)))
        assert {(outcome.task.upload.name, outcome.task.index) for outcome in first} == {
            (task.upload.name, task.index) for task in tasks(3, 4)
        }
        assert {(outcome.state, outcome.cached, outcome.cost_usd) for outcome in first} == {
            ("stored", False, Decimal("0.01"))
        }
        assert len({sampler.read(outcome) for outcome in first}) == 12
        again = list(sampler.draw(tasks(3, 4)))
    resumed = draw(either, tmp_path, tasks(3, 5))
    assert resumed.error is None
    assert submissions(server) == 15
    assert all(outcome.cached for outcome in again)
    assert {outcome.digest for outcome in again} == {outcome.digest for outcome in first}
    assert sum(outcome.cached for outcome in resumed.outcomes) == 12
    summed = {"attempts": 15, "paid": 15, "ambiguous": 0, "stored": 15, "unpriced": 0, "cost_usd": Decimal("0.15")}
    assert (ledger_sum(tmp_path), ledger_verify(tmp_path).problems) == ({**summed, "reserved_usd": 0}, ())


def test_outcomes_come_roughly_in_the_order_of_the_tasks(tmp_path, vendor):
    work = tasks(10, 4)
    drawn = draw(vendor, tmp_path, work, concurrency=4)
    places = [work.index(outcome.task) for outcome in drawn.outcomes]
    # On average: one worker may be held up for long on a busy machine.
    assert sum(abs(place - number) for number, place in enumerate(places)) <= 8 * len(work)


@pytest.mark.parametrize(
    "limit", [{"max_calls": 7}, {"max_cost_usd": Decimal("0.0799")}, {"max_calls": 1}, {"max_calls": 0}]
)
def test_thirty_two_workers_buy_exactly_what_is_allowed(tmp_path, either, limit, server):
    allowed = limit.get("max_calls", 7)
    drawn = draw(either, tmp_path, tasks(8, 8), concurrency=32, **limit)
    assert (drawn.ended, submissions(server), drawn.states) == ("BudgetError", allowed, ["stored"] * allowed)
    again = draw(either, tmp_path, tasks(8, 8), concurrency=32, **limit)
    assert (again.ended, submissions(server)) == ("BudgetError", allowed)
    assert [outcome.cached for outcome in again.outcomes] == [True] * allowed
    assert ledger_verify(tmp_path).problems == ()


def test_money_that_comes_back_is_spent_on_what_waited(tmp_path):
    with FaultServer(price_usd="0.05") as server:
        adapter = SynchronousVendor(url=server.url, price_usd="0.25")
        drawn = draw(adapter, tmp_path, tasks(1, 20), concurrency=8, max_cost_usd=Decimal("0.5"))
    assert drawn.ended == "BudgetError"
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.05")] * 6


def test_a_limit_on_money_needs_a_price(tmp_path):
    with pytest.raises(BudgetError, match="price"):
        Sampler(SynchronousVendor(url="http://127.0.0.1:1", price_usd=None), tmp_path, limits(max_cost_usd=Decimal(1)))


def test_a_stopped_run_finishes_what_is_under_way_and_resumes(tmp_path, vendor, server):
    with Sampler(vendor, tmp_path, limits()) as sampler:
        drawn = sampler.draw(tasks(10, 5))
        got = [next(drawn)]
        sampler.stop()
        with pytest.raises(IncompleteError, match="left"):
            got.extend(drawn)
    assert 1 <= len(got) == submissions(server) < 50
    rest = draw(vendor, tmp_path, tasks(10, 5))
    assert rest.error is None
    assert (submissions(server), sum(outcome.cached for outcome in rest.outcomes)) == (50, len(got))
    assert ledger_verify(tmp_path).problems == ()


def test_a_run_closed_early_loses_nothing(tmp_path, server, jobs):
    with Sampler(jobs, tmp_path, limits()) as sampler:
        outcomes = sampler.draw(tasks(10, 5))
        next(outcomes)
        outcomes.close()
        made = submissions(server)
        assert made < 50
        assert threading.active_count() < 50
        assert len(list(sampler.draw(tasks(10, 5)))) == 50
    assert (submissions(server), ledger_verify(tmp_path).problems) == (50, ())


def test_a_draw_asked_for_twice_and_two_draws_at_once_are_refused(tmp_path):
    with FaultServer() as server, Sampler(SynchronousVendor(url=server.url), tmp_path, limits()) as sampler:
        with pytest.raises(UsageError, match="twice"):
            list(sampler.draw(tasks() * 2))
        first = sampler.draw(tasks(1, 9))
        next(first)
        with pytest.raises(UsageError, match="not finished"):
            list(sampler.draw(tasks()))
        first.close()


def test_draws_that_the_budget_stopped_are_planned_once_however_often_they_are_asked_for(tmp_path):
    with (
        FaultServer() as server,
        Sampler(SynchronousVendor(url=server.url), tmp_path, limits(max_cost_usd=Decimal("0.01"))) as sampler,
    ):
        for _ in range(3):
            with pytest.raises(BudgetError):
                list(sampler.draw(tasks(1, 4)))
        with reading(tmp_path) as connection:
            states = [row[0] for row in connection.execute("SELECT state FROM attempt ORDER BY state")]
        assert (states, submissions(server)) == (["planned", "planned", "planned", "stored"], 1)


def test_a_refused_account_stops_everyone_and_bills_nothing(tmp_path, vendor, server):
    server.script = {"submit": "status:code=402"}
    drawn = draw(vendor, tmp_path, tasks(10, 10), concurrency=8)
    assert (drawn.outcomes, drawn.ended) == ([], "AccountRefusedError")
    assert submissions(server) <= 8
    assert ledger_sum(tmp_path)["cost_usd"] == 0
    server.script = None
    assert draw(vendor, tmp_path, tasks(10, 10)).states == ["stored"] * 100


def test_what_is_stored_is_handed_out_when_the_account_is_refused_before(tmp_path, vendor, server):
    draw(vendor, tmp_path, tasks(3)[1:])
    server.script = {"submit": "status:code=402"}
    drawn = draw(vendor, tmp_path, tasks(3), concurrency=1)
    assert drawn.ended == "AccountRefusedError"
    assert [outcome.task.upload.name for outcome in drawn.outcomes] == ["picture-1", "picture-2"]


def test_a_refused_picture_stays_refused_and_the_others_go_on(tmp_path, vendor, server):
    server.script = {"submit": [None, "status:code=422"]}
    for _ in range(2):
        drawn = draw(vendor, tmp_path, tasks(1, 4), concurrency=1)
        assert drawn.error is None
        assert drawn.states == ["stored", "refused", "stored", "stored"]
    assert submissions(server) == 4


def test_an_outcome_of_another_folder_is_refused(tmp_path, vendor):
    (outcome,) = draw(vendor, tmp_path / "a", tasks()).outcomes
    with (
        Sampler(vendor, tmp_path / "b", limits()) as sampler,
        pytest.raises(LedgerError, match="no draw with these bytes"),
    ):
        sampler.read(outcome)


@pytest.mark.sqlite
def test_estimate_reads_only_and_counts_what_is_there(tmp_path, vendor, server):
    run = tmp_path / "run"
    paced = limits(rates=(Rate(2, 1.0),))
    before = estimate(vendor, run, paced, tasks(2, 3))
    assert (before.calls, before.cached, before.seconds) == (6, 0, 2.0)
    assert before.cost_usd == (Decimal("0.06"), Decimal("0.06"))
    assert before.disk_bytes == 6 * (12 * 4) * (10 * 4) * 2
    assert not run.exists()
    with Sampler(vendor, run, paced) as sampler:
        list(sampler.draw(tasks(1, 3)))
        after = estimate(vendor, run, paced, tasks(2, 3))
    assert (after.calls, after.cached) == (3, 3)
    assert after.disk_bytes == sum(path.stat().st_size for path in (run / "samples").glob("??/*"))
    unknown = SynchronousVendor(url=server.url, price_usd=None)
    assert estimate(unknown, run, limits(), tasks()).cost_usd is None


def test_events_tell_the_run_with_counters(tmp_path):
    events: list[Event] = []
    with FaultServer({"submit": ["status:code=429,retry-after=0"]}, price_usd="0.25") as server:
        adapter = SynchronousVendor(url=server.url, price_usd="0.25")
        with Sampler(adapter, tmp_path, limits(max_cost_usd=Decimal(5)), listener=events.append) as sampler:
            list(sampler.draw(tasks(1, 3)))
            counters = sampler.counters
    kinds = [event.kind for event in events]
    assert (kinds[0], kinds[-1], kinds.count("stored")) == ("started", "finished", 3)
    assert "throttled" in kinds
    assert (counters.total, counters.done, counters.in_flight, counters.too_many) == (3, 3, 0, 1)
    assert (counters.spent, counters.reserved, counters.budget) == (Decimal("0.75"), Decimal(0), Decimal(5))
    assert counters.eta_s == 0.0
    shown = events[-1].to_json()
    assert (shown["event"], shown["counters"]["spent"]) == ("finished", "0.75")


def test_a_listener_that_fails_costs_no_draw(tmp_path):
    def listener(event: Event) -> None:
        raise RuntimeError("no screen")

    with (
        FaultServer() as server,
        Sampler(SynchronousVendor(url=server.url), tmp_path, limits(), listener=listener) as sampler,
    ):
        assert len(list(sampler.draw(tasks(1, 5)))) == 5


def test_a_full_disk_stops_before_anything_is_bought(tmp_path, monkeypatch, vendor, server):
    monkeypatch.setattr("blackbox_conformal.drawing.ledger.sample_store.Store.free_bytes", lambda self: 1000)
    drawn = draw(vendor, tmp_path, tasks(2, 2))
    assert (server.account.recorded, drawn.outcomes, drawn.ended) == ([], [], "IncompleteError")
    assert "make room" in str(drawn.error)


@pytest.mark.parametrize("cost", ["-0.10", "NaN", "1e30", "1e999999"])
def test_a_bill_that_makes_no_sense_costs_no_picture(tmp_path, cost):
    with FaultServer(reported_price=cost) as server:
        drawn = draw(SynchronousVendor(url=server.url), tmp_path, tasks(2))
    assert (drawn.states, drawn.error) == (["stored"] * 2, None)
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.02")


@pytest.mark.parametrize(("free_answers", "booked"), [(False, "0.02"), (True, "0")])
def test_a_call_with_a_price_costs_nothing_only_where_the_adapter_says_so(tmp_path, free_answers, booked):
    class Vendor(SynchronousVendor):
        @property
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, free_answers=free_answers)

    with FaultServer(reported_price="0.00") as server:
        drawn = draw(Vendor(url=server.url), tmp_path, tasks(2))
    assert (drawn.states, drawn.error) == (["stored"] * 2, None)
    assert (ledger_sum(tmp_path)["cost_usd"], ledger_verify(tmp_path).problems) == (Decimal(booked), ())


@pytest.mark.timeout(60)
def test_a_job_left_open_holds_no_money_in_the_next_draw(tmp_path, server, jobs):
    server.script = {"submit": [None, "mark:stuck=true"]}
    with Sampler(jobs, tmp_path, limits(max_calls=2, concurrency=2)) as sampler:
        drawing = sampler.draw(tasks(2))
        next(drawing)
        while server.account.requests("poll") < 4:
            time.sleep(0.01)
        drawing.close()
        with pytest.raises(BudgetError):
            list(sampler.draw(tasks(3)[2:]))


def test_threads_that_cannot_be_started_leave_nothing_behind(tmp_path, monkeypatch, vendor, server):
    real = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name == "draw-2":
            raise RuntimeError("can't start new thread")
        real(self)

    with Sampler(vendor, tmp_path, limits()) as sampler:
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            list(sampler.draw(tasks(8)))
        monkeypatch.undo()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("draw-")]
    drawn = draw(vendor, tmp_path, tasks(8))
    assert (drawn.states, drawn.error, submissions(server)) == (["stored"] * 8, None, 8)


@contextmanager
def interrupts() -> Iterator[None]:
    """SIGINT raises: a process that a script started in the background ignores it, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("way", ["interrupted", "closed"])
def test_a_draw_waits_for_what_the_one_before_left_under_way(tmp_path, way):
    def script(situation: Situation) -> None:
        if situation.number:
            time.sleep(0.6)
            if way == "interrupted" and situation.number == 1:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.6)

    with FaultServer(script) as server, interrupts():
        adapter = SynchronousVendor(url=server.url)
        with Sampler(adapter, tmp_path, limits(concurrency=2, retry_ambiguous=True)) as sampler:
            drawing = sampler.draw(tasks(3))
            next(drawing)
            if way == "closed":
                while submissions(server) < 3:
                    time.sleep(0.01)
                drawing.close()
            else:
                with pytest.raises(KeyboardInterrupt):
                    list(drawing)
            outcomes = list(sampler.draw(tasks(3)))
        assert ([outcome.state for outcome in outcomes], submissions(server)) == (["stored"] * 3, 3)


@pytest.mark.sqlite  # A shared ledger goes by the database's clock: see test_postgres_ledger.py.
def test_an_idempotency_key_is_as_old_as_its_first_use(tmp_path, monkeypatch, server):
    server.script = {"submit": "close-without-answer"}
    begun = time.time()
    for hours in (0, 19, 38):
        monkeypatch.setattr(time, "time", lambda hours=hours: begun + 3600.0 * hours)
        drawn = draw(SynchronousVendor(url=server.url, idempotent=True), tmp_path, tasks(), max_attempts=1)
        assert drawn.states == ["ambiguous"]
    assert submissions(server) == 2


def forget_samples(run: Path) -> None:
    for path in (run / "samples").rglob("*.png"):
        path.unlink()


@pytest.mark.sqlite
def test_a_stop_is_no_finding_about_a_sample_that_is_fetched_again(tmp_path, server, jobs):
    draw(jobs, tmp_path, tasks())
    forget_samples(tmp_path)
    server.vendor.polls = 1000
    with Sampler(jobs, tmp_path, limits(), check=check) as sampler:
        threading.Timer(0.3, lambda: (sampler.stop(), sampler.stop())).start()
        with pytest.raises(IncompleteError, match="1 of 1 draws left"):
            list(sampler.draw(tasks()))
    server.vendor.polls = 1
    drawn = draw(jobs, tmp_path, tasks())
    assert (drawn.states, drawn.error) == (["stored"], None)


@pytest.mark.sqlite
def test_a_refused_key_is_no_finding_about_a_sample_that_is_fetched_again(tmp_path, server, jobs):
    draw(jobs, tmp_path, tasks())
    forget_samples(tmp_path)
    server.script = {"poll": "status:code=401"}
    drawn = draw(jobs, tmp_path, tasks())
    assert (drawn.outcomes, drawn.ended) == ([], "AccountRefusedError")


def test_one_job_for_two_draws_is_noticed_after_a_crash_too(tmp_path, monkeypatch):
    """The session dies after both jobs are recorded, before the second one is refused."""
    accepted = Ledger.accepted

    def unnoticed(self: Ledger, attempt: int, job: str, seen: VendorReport) -> None:
        accepted(self, attempt, job, seen)

    monkeypatch.setattr(Ledger, "accepted", unnoticed)
    with FaultServer({"submit": "mark:same-id=true"}, polls=1000) as server:
        with Sampler(JobVendor(url=server.url), tmp_path, limits()) as sampler:
            threading.Timer(0.5, lambda: (sampler.stop(), sampler.stop())).start()
            with pytest.raises(IncompleteError):
                list(sampler.draw(tasks(2)))
        monkeypatch.undo()
        server.vendor.polls = 0
        drawn = draw(JobVendor(url=server.url), tmp_path, tasks(2))
    assert sorted(drawn.states) == ["invalid", "stored"]
    assert "duplicate-job" in [error.code for error in drawn.errors if error is not None]


def test_a_closed_sampler_takes_up_nothing(tmp_path, vendor):
    with Sampler(vendor, tmp_path, limits()) as sampler:
        (outcome,) = sampler.draw(tasks())
    with pytest.raises(UsageError, match="closed"):
        sampler.read(outcome)
    with pytest.raises(UsageError, match="closed"):
        list(sampler.draw(tasks(2)))
    assert "ledger-writer" not in [thread.name for thread in threading.enumerate()]
    assert draw(vendor, tmp_path, tasks()).error is None


def test_what_a_vendor_bills_above_its_table_is_reserved_from_then_on(tmp_path):
    with FaultServer(price_usd="1.00") as server:
        adapter = SynchronousVendor(url=server.url, price_usd="0.25")
        for most, bought in (("1.00", 1), ("1.50", 1), ("1.90", 1), ("2.00", 2)):
            drawn = draw(adapter, tmp_path, tasks(6), concurrency=1, max_cost_usd=Decimal(most))
            assert drawn.ended == "BudgetError"
            assert (submissions(server), ledger_sum(tmp_path)["cost_usd"]) == (bought, bought)


@pytest.mark.timeout(60)
def test_a_probe_that_was_stopped_holds_nobody_up_in_the_next_draw(tmp_path, vendor, server):
    """It had passed the gate after a pause, and waited for its turn at the request rate."""
    server.script = {"submit": [None, "status:code=429,retry-after=0.1"]}
    with Sampler(vendor, tmp_path, limits(concurrency=2, rates=(Rate(1, 1.0),))) as sampler:
        drawing = sampler.draw(tasks(2))
        next(drawing)
        while submissions(server) < 2:
            time.sleep(0.01)
        time.sleep(0.5)
        drawing.close()
        assert submissions(server) == 2
        assert [outcome.state for outcome in sampler.draw(tasks(2))] == ["stored"] * 2


@pytest.mark.timeout(60)
def test_a_pause_under_a_request_rate_ends(tmp_path, vendor, server):
    """The probe after a pause waits for its turn at the rate, and passes the gate a second time."""
    server.script = {"submit": [None, "status:code=429,retry-after=0.1"]}
    with Sampler(vendor, tmp_path, limits(concurrency=2, rates=(Rate(1, 1.0),))) as sampler:
        assert [outcome.state for outcome in sampler.draw(tasks(3))] == ["stored"] * 3


@pytest.mark.sqlite
def test_a_job_that_a_full_disk_keeps_from_being_recorded_is_named(tmp_path, server, jobs):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    events: list[Event] = []

    def script(situation: Situation) -> None:
        if situation.purpose == "submit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

    server.script = script
    with Sampler(jobs, tmp_path, limits(), listener=events.append) as sampler:
        try:
            with pytest.raises(LedgerError, match="job-0"):
                list(sampler.draw(tasks()))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ["job-0" in event.text for event in events if event.kind == "ambiguous"] == [True]
