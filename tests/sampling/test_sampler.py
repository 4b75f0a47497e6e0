"""The engine as its users see it: each draw once, paid once, resumable; against a real server."""

import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sampling.tiny_vendor import PNG, AtOnce, ByJobs, TinyVendor, quick, serving, tasks

from blackbox_conformal.adapter import Accepted, Draw, Flow, Send, Upload
from blackbox_conformal.errors import (
    AccountRefusedError,
    AdapterError,
    BlackboxConformalError,
    BudgetError,
    ImageError,
    IncompleteError,
    LedgerError,
    MaybeSentError,
    PayloadError,
    TryLaterError,
    UsageError,
    VendorError,
)
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import Outcome, Task

KINDS = pytest.mark.parametrize(("kind", "path"), [(AtOnce, "/upscale"), (ByJobs, "/jobs")])


def draw(adapter: AtOnce, run: Path, work: list[Task], check: Any = None, **changes: Any) -> tuple[list[Outcome], Any]:
    outcomes: list[Outcome] = []
    with Sampler(adapter, run, quick(**changes), check=check) as sampler:
        try:
            outcomes.extend(sampler.draw(work))
        except BlackboxConformalError as error:
            return outcomes, error
    return outcomes, None


def submissions(vendor: TinyVendor, path: str) -> int:
    with vendor.lock:
        return sum(seen[0] == "POST" and seen[1] == path for seen in vendor.seen)


@KINDS
def test_each_draw_is_bought_once_and_then_cached(tmp_path: Path, kind: Any, path: str) -> None:
    with serving() as vendor:
        adapter = kind(url=vendor.url)
        with Sampler(adapter, tmp_path, quick()) as sampler:
            first = list(sampler.draw(tasks(3, 4)))
            assert {(one.task.upload.name, one.task.index) for one in first} == {
                (task.upload.name, task.index) for task in tasks(3, 4)
            }
            assert all(one.state == "stored" and not one.cached and one.cost_usd == Decimal("0.25") for one in first)
            assert len({sampler.read(one) for one in first}) == 12
            again = list(sampler.draw(tasks(3, 4)))
        resumed, error = draw(adapter, tmp_path, tasks(3, 5))
        assert error is None
        assert submissions(vendor, path) == 15
    assert all(one.cached for one in again)
    assert {one.digest for one in again} == {one.digest for one in first}
    assert sum(one.cached for one in resumed) == 12
    assert ledger_sum(tmp_path) == {
        "attempts": 15,
        "paid": 15,
        "ambiguous": 0,
        "stored": 15,
        "cost_usd": Decimal("3.75"),
        "reserved_usd": Decimal(0),
    }
    assert ledger_verify(tmp_path).problems == ()


def test_outcomes_come_roughly_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    work = tasks(10, 4)
    with serving() as vendor:
        outcomes, _ = draw(AtOnce(url=vendor.url), tmp_path, work, concurrency=4)
    places = [work.index(one.task) for one in outcomes]
    assert all(abs(place - number) <= 8 for number, place in enumerate(places))


@pytest.mark.parametrize("limit", [{"max_calls": 7}, {"max_cost_usd": Decimal("1.99")}, {"max_calls": 0}])
@KINDS
def test_thirty_two_workers_buy_exactly_what_is_allowed(tmp_path: Path, kind: Any, path: str, limit: Any) -> None:
    allowed = 7 if limit.get("max_calls", 1) else 0
    with serving() as vendor:
        outcomes, error = draw(kind(url=vendor.url), tmp_path, tasks(8, 8), concurrency=32, **limit)
        assert isinstance(error, BudgetError)
        assert submissions(vendor, path) == allowed
        assert [one.state for one in outcomes] == ["stored"] * allowed
        again, error = draw(kind(url=vendor.url), tmp_path, tasks(8, 8), concurrency=32, **limit)
        assert isinstance(error, BudgetError)
        assert submissions(vendor, path) == allowed
        assert [one.cached for one in again] == [True] * allowed
    assert ledger_verify(tmp_path).problems == ()


def test_money_that_comes_back_is_spent_on_what_waited(tmp_path: Path) -> None:
    """Each draw reserves 0.25 and is billed 0.05: a budget of 0.5 buys six, not two."""
    with serving() as vendor:
        vendor.answer = lambda path, number: (200, {"x-cost": "0.05"}, PNG + str(number).encode())
        outcomes, error = draw(
            AtOnce(url=vendor.url), tmp_path, tasks(1, 20), concurrency=8, max_cost_usd=Decimal("0.5")
        )
    assert isinstance(error, BudgetError)
    assert len(outcomes) == 6
    assert {one.cost_usd for one in outcomes} == {Decimal("0.05")}


def test_a_limit_on_money_needs_a_price(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="price"):
        Sampler(AtOnce(url="http://127.0.0.1:1", price=None), tmp_path, quick(max_cost_usd=Decimal(1)))


def test_a_stopped_run_finishes_what_is_under_way_and_resumes(tmp_path: Path) -> None:
    with serving() as vendor:
        adapter = AtOnce(url=vendor.url)
        with Sampler(adapter, tmp_path, quick()) as sampler:
            got = []
            with pytest.raises(IncompleteError, match="left"):
                for outcome in sampler.draw(tasks(10, 5)):
                    got.append(outcome)
                    sampler.stop()
        assert 1 <= len(got) == submissions(vendor, "/upscale") < 50
        rest, error = draw(adapter, tmp_path, tasks(10, 5))
        assert error is None
        assert submissions(vendor, "/upscale") == 50
    assert sum(one.cached for one in rest) == len(got)
    assert ledger_verify(tmp_path).problems == ()


def test_a_run_closed_early_loses_nothing(tmp_path: Path) -> None:
    with serving() as vendor:
        adapter = ByJobs(url=vendor.url)
        with Sampler(adapter, tmp_path, quick()) as sampler:
            outcomes = sampler.draw(tasks(10, 5))
            next(outcomes)
            outcomes.close()
            made = submissions(vendor, "/jobs")
            assert made < 50
            assert threading.active_count() < 50
            assert len(list(sampler.draw(tasks(10, 5)))) == 50
        assert submissions(vendor, "/jobs") == 50
    assert ledger_verify(tmp_path).problems == ()


def test_a_draw_asked_for_twice_and_two_draws_at_once_are_refused(tmp_path: Path) -> None:
    with serving() as vendor, Sampler(AtOnce(url=vendor.url), tmp_path, quick()) as sampler:
        with pytest.raises(UsageError, match="twice"):
            list(sampler.draw(tasks() * 2))
        first = sampler.draw(tasks(1, 9))
        next(first)
        with pytest.raises(UsageError, match="not finished"):
            list(sampler.draw(tasks()))
        first.close()


def test_a_refused_account_stops_everyone_and_bills_nothing(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (402, {}, b"")
        adapter = AtOnce(url=vendor.url)
        outcomes, error = draw(adapter, tmp_path, tasks(10, 10), concurrency=8)
        assert outcomes == []
        assert isinstance(error, AccountRefusedError)
        assert submissions(vendor, "/upscale") <= 8
        assert ledger_sum(tmp_path)["cost_usd"] == 0
        vendor.answer = lambda path, number: None
        assert len(draw(adapter, tmp_path, tasks(10, 10))[0]) == 100


def test_a_refused_picture_stays_refused_and_the_others_go_on(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (422, {}, b"") if number == 1 else None
        adapter = AtOnce(url=vendor.url)
        for _ in range(2):
            outcomes, error = draw(adapter, tmp_path, tasks(1, 4), concurrency=1)
            assert error is None
            assert [one.state for one in outcomes] == ["stored", "refused", "stored", "stored"]
        assert submissions(vendor, "/upscale") == 4


def test_a_lost_answer_is_booked_and_bought_again_only_on_request(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (0, {}, b"") if number == 0 else None
        adapter = AtOnce(url=vendor.url)
        (lost,), _ = draw(adapter, tmp_path, tasks())
        assert (lost.state, lost.cost_usd) == ("ambiguous", Decimal("0.25"))
        assert isinstance(lost.error, MaybeSentError)
        (still,), _ = draw(adapter, tmp_path, tasks())
        assert (still.state, still.cached, submissions(vendor, "/upscale")) == ("ambiguous", True, 1)
        (bought,), _ = draw(adapter, tmp_path, tasks(), retry_ambiguous=True)
        assert (bought.state, submissions(vendor, "/upscale")) == ("stored", 2)
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.5")


def test_an_idempotency_key_is_repeated_unchanged_in_the_run_and_after_it(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (0, {}, b"") if number < 4 else None
        adapter = AtOnce(url=vendor.url, idempotent=True)
        (lost,), _ = draw(adapter, tmp_path, tasks(), max_attempts=3)
        assert lost.state == "ambiguous"
        (found,), _ = draw(adapter, tmp_path, tasks(), max_attempts=3)
        assert found.state == "stored"
        keys = {seen[2]["idempotency-key"] for seen in vendor.seen}
    assert len(keys) == 1
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.25")
    assert ledger_verify(tmp_path).problems == ()


def checked(data: bytes, task: Task) -> None:
    if not data.startswith(PNG):
        raise ImageError("expected a picture")


def test_an_invalid_picture_is_kept_and_bought_again_only_if_allowed(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (200, {}, b"<html>") if number == 0 else None
        adapter = AtOnce(url=vendor.url)
        with Sampler(adapter, tmp_path, quick(), check=checked) as sampler:
            (bad,) = list(sampler.draw(tasks()))
            assert bad.state == "invalid"
            assert sampler.read(bad) == b"<html>"
        (still,), _ = draw(adapter, tmp_path, tasks(), checked)
        assert (still.state, still.cached) == ("invalid", True)
        (good,), _ = draw(adapter, tmp_path, tasks(), checked, max_resample=1)
        assert (good.state, submissions(vendor, "/upscale")) == ("stored", 2)


def test_a_bad_file_of_a_job_is_fetched_again_before_it_is_called_invalid(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (200, {}, b"<html>") if path.startswith("/files/") and number < 2 else None
        (one,), _ = draw(ByJobs(url=vendor.url), tmp_path / "a", tasks(), checked)
        assert (one.state, vendor.count("/files/"), submissions(vendor, "/jobs")) == ("stored", 3, 1)
        vendor.answer = lambda path, number: (200, {}, b"<html>") if path.startswith("/files/") else None
        (one,), _ = draw(ByJobs(url=vendor.url), tmp_path / "b", tasks(), checked)
        assert (one.state, submissions(vendor, "/jobs")) == ("invalid", 2)
    assert isinstance(one.error, PayloadError)


def test_a_damaged_sample_is_fetched_again_by_its_job_or_reported(tmp_path: Path) -> None:
    with serving() as vendor:
        for name, adapter in (("jobs", ByJobs(url=vendor.url)), ("once", AtOnce(url=vendor.url))):
            with Sampler(adapter, tmp_path / name, quick()) as sampler:
                (one,) = list(sampler.draw(tasks()))
                whole = sampler.read(one)
                (path,) = (tmp_path / name / "samples").glob("??/*")
                path.write_bytes(b"rot")
                if name == "jobs":
                    assert sampler.read(one) == whole
                    assert path.read_bytes() == whole
                else:
                    with pytest.raises(PayloadError, match="restore"):
                        sampler.read(one)
                assert [kept.read_bytes() for kept in (tmp_path / name / "quarantine").iterdir()] == [b"rot"]
        assert (submissions(vendor, "/jobs"), submissions(vendor, "/upscale")) == (1, 1)
        (path,) = (tmp_path / "jobs" / "samples").glob("??/*")
        path.unlink()
        (again,), _ = draw(ByJobs(url=vendor.url), tmp_path / "jobs", tasks())
        assert again.state == "stored"
        assert path.read_bytes() == whole or path.exists()
        (gone,), _ = draw(AtOnce(url=vendor.url), tmp_path / "once", tasks())
        assert (gone.state, submissions(vendor, "/upscale")) == ("invalid", 1)
        (bought,), _ = draw(AtOnce(url=vendor.url), tmp_path / "once", tasks(), max_resample=1)
        assert (bought.state, submissions(vendor, "/upscale")) == ("stored", 2)


def test_an_outcome_of_another_folder_is_refused(tmp_path: Path) -> None:
    with serving() as vendor:
        (one,), _ = draw(AtOnce(url=vendor.url), tmp_path / "a", tasks())
        with (
            Sampler(AtOnce(url=vendor.url), tmp_path / "b", quick()) as sampler,
            pytest.raises(LedgerError, match="no draw with these bytes"),
        ):
            sampler.read(one)


def test_a_model_that_changes_stops_the_run_and_keeps_the_samples(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (200, {"x-model": f"v{number // 2}"}, PNG + str(number).encode())
        adapter = AtOnce(url=vendor.url)
        outcomes, error = draw(adapter, tmp_path, tasks(1, 9), concurrency=1)
        assert [one.model for one in outcomes] == ["v0", "v0", "v1"]
        assert isinstance(error, VendorError)
        assert "'v0'" in str(error)
        assert "'v1'" in str(error)
        again, error = draw(adapter, tmp_path, tasks(1, 9), concurrency=1)
        assert isinstance(error, VendorError)
        assert submissions(vendor, "/upscale") == 3
    assert [one.state for one in again] == ["stored"] * 3


def test_polls_that_fail_are_patient_and_a_deadline_keeps_the_job(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (503, {}, b"") if path.startswith("/jobs/") else None
        adapter = ByJobs(url=vendor.url)
        (late,), error = draw(adapter, tmp_path, tasks(), job_deadline_s=0.4, max_attempts=50)
        assert error is None
        assert (late.state, late.cost_usd) == ("expired", Decimal("0.25"))
        assert "run again" in str(late.error)
        vendor.answer = lambda path, number: None
        (found,), _ = draw(adapter, tmp_path, tasks())
        assert (found.state, found.cached, submissions(vendor, "/jobs")) == ("stored", False, 1)


def test_everything_failing_opens_the_circuit(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (500, {}, b"")
        outcomes, error = draw(AtOnce(url=vendor.url), tmp_path, tasks(10, 10), concurrency=2)
        assert isinstance(error, IncompleteError)
        assert "everything fails" in str(error)
        assert 5 <= submissions(vendor, "/upscale") <= 6
    assert {one.state for one in outcomes} == {"ambiguous"}
    assert ledger_verify(tmp_path).problems == ()


class Busy(AtOnce):
    """Says "later" inside a 200."""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/upscale", "submit", body=upload.png)
        if answer.body == b"busy":
            raise TryLaterError("the queue is full", retry_after=0.01)
        return answer.body


def test_a_vendor_that_says_later_in_a_success_is_asked_again(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (200, {}, b"busy") if number < 2 else None
        (one,), _ = draw(Busy(url=vendor.url), tmp_path / "a", tasks())
        assert (one.state, submissions(vendor, "/upscale")) == ("stored", 3)
        assert ledger_sum(tmp_path / "a")["cost_usd"] == Decimal("0.25")
        vendor.answer = lambda path, number: (200, {}, b"busy")
        outcomes, error = draw(Busy(url=vendor.url), tmp_path / "b", tasks())
    assert outcomes == []
    assert isinstance(error, IncompleteError)


class Broken(ByJobs):
    """Fails where it reads the poll's answer; `early` fails where it reads the submission's."""

    early: bool = False

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/jobs", "submit", body=upload.png)
        yield Accepted(answer.json()["no such field" if self.early else "id"])
        yield Send("GET", f"{self.url}/jobs/x", "poll")
        raise KeyError("output")


@pytest.mark.parametrize(("early", "state"), [(True, "invalid"), (False, "accepted")])
def test_a_bug_in_an_adapter_ends_the_run_and_keeps_what_was_paid(tmp_path: Path, early: bool, state: str) -> None:
    with serving() as vendor:
        outcomes, error = draw(Broken(url=vendor.url, early=early), tmp_path, tasks(5, 5), concurrency=1)
        assert submissions(vendor, "/jobs") == 1
    assert outcomes == []
    assert isinstance(error, AdapterError)
    assert "KeyError" in str(error)
    assert [row.state for row in ledger_ls(tmp_path) if row.state != "planned"] == [state]


class Stubborn(AtOnce):
    """Submits again by itself after a lost answer."""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        try:
            answer = yield Send("POST", f"{self.url}/upscale", "submit", body=upload.png)
        except MaybeSentError:
            answer = yield Send("POST", f"{self.url}/upscale", "submit", body=upload.png)
        return answer.body


def test_an_adapter_cannot_pay_twice_by_itself(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (0, {}, b"") if number == 0 else None
        _, error = draw(Stubborn(url=vendor.url), tmp_path, tasks())
        assert submissions(vendor, "/upscale") == 1
    assert isinstance(error, AdapterError)
    assert ledger_sum(tmp_path)["ambiguous"] == 1


def test_estimate_reads_only_and_counts_what_is_there(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with serving() as vendor:
        adapter = AtOnce(url=vendor.url)
        limits = quick(requests_per_second=10.0)
        before = Sampler(adapter, run, limits).estimate(tasks(2, 3))
        assert (before.calls, before.cached, before.seconds) == (6, 0, 0.6)
        assert before.cost_usd == (Decimal("1.50"), Decimal("1.50"))
        assert before.disk_bytes == 6 * 4 * 3 * 4 * 2
        assert not run.exists()
        with Sampler(adapter, run, limits) as sampler:
            list(sampler.draw(tasks(1, 3)))
            after = sampler.estimate(tasks(2, 3))
    assert (after.calls, after.cached) == (3, 3)
    assert after.disk_bytes == 27
    unknown = AtOnce(url=vendor.url, price=None)
    assert Sampler(unknown, run, quick()).estimate(tasks()).cost_usd is None


def test_events_tell_the_run_with_counters(tmp_path: Path) -> None:
    told: list[Event] = []
    with serving() as vendor:
        vendor.answer = lambda path, number: (429, {"retry-after": "0"}, b"") if number == 0 else None
        with Sampler(AtOnce(url=vendor.url), tmp_path, quick(max_cost_usd=Decimal(5)), listener=told.append) as sampler:
            list(sampler.draw(tasks(1, 3)))
            counters = sampler.counters
    kinds = [event.kind for event in told]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert kinds.count("stored") == 3
    assert "throttled" in kinds
    assert (counters.total, counters.done, counters.in_flight, counters.too_many) == (3, 3, 0, 1)
    assert (counters.spent, counters.reserved, counters.budget) == (Decimal("0.75"), Decimal(0), Decimal(5))
    assert counters.eta_s == 0.0
    shown = told[-1].to_json()
    assert shown["event"] == "finished"
    assert shown["counters"]["spent"] == "0.75"


def test_a_listener_that_fails_costs_no_draw(tmp_path: Path) -> None:
    def listener(event: Event) -> None:
        raise RuntimeError("no screen")

    with serving() as vendor, Sampler(AtOnce(url=vendor.url), tmp_path, quick(), listener=listener) as sampler:
        assert len(list(sampler.draw(tasks(1, 5)))) == 5


def test_a_bug_in_the_check_ends_the_run_with_the_bytes_stored(tmp_path: Path) -> None:
    def check(data: bytes, task: Task) -> None:
        raise ZeroDivisionError("oops")

    with serving() as vendor, Sampler(AtOnce(url=vendor.url), tmp_path, quick(), check=check) as sampler:
        with pytest.raises(ZeroDivisionError):
            list(sampler.draw(tasks(1, 1)))
        assert [row.state for row in ledger_ls(tmp_path)] == ["stored"]


def test_a_full_disk_stops_before_anything_is_bought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blackbox_conformal.sampling.store.Store.free_bytes", lambda self: 1000)
    with serving() as vendor:
        outcomes, error = draw(AtOnce(url=vendor.url), tmp_path, tasks(2, 2))
        assert vendor.seen == []
    assert outcomes == []
    assert isinstance(error, IncompleteError)
    assert "make room" in str(error)
