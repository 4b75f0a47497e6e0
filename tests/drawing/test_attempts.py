"""What becomes of one attempt: lost, replayed, invalid, fetched again, refused, overdue, or broken by its adapter."""

import inspect
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.draws import check, draw, ledger, limits, tasks

from blackbox_conformal.drawing.http.transport import Transport
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import (
    IncompleteError,
    MaybeSentError,
    PayloadError,
    RefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.testing.fault_server import FaultServer, Situation
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.pictures import WRONG_PICTURES
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.adapter import Accepted, Answer, Draw, Flow, Observed, Part, Purpose, Send, Upload

HTML = WRONG_PICTURES["html"](b"")


def test_a_lost_answer_is_booked_and_bought_again_only_on_request(tmp_path, vendor, server):
    server.script = {"submit": ["close-without-answer"]}
    (lost,) = draw(vendor, tmp_path, tasks()).outcomes
    assert (lost.state, lost.cost_usd) == ("ambiguous", Decimal("0.01"))
    assert isinstance(lost.error, MaybeSentError)
    (still,) = draw(vendor, tmp_path, tasks()).outcomes
    assert (still.state, still.cached, server.account.requests("submit")) == ("ambiguous", True, 1)
    (bought,) = draw(vendor, tmp_path, tasks(), retry_ambiguous=True).outcomes
    assert (bought.state, server.account.requests("submit")) == ("stored", 2)
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.02")


def test_an_idempotency_key_is_repeated_unchanged_in_the_run_and_after_it(tmp_path, server):
    server.script = {"submit": ["close-without-answer"] * 4}
    adapter = SynchronousVendor(url=server.url, idempotent=True)
    assert draw(adapter, tmp_path, tasks(), max_attempts=3).states == ["ambiguous"]
    assert draw(adapter, tmp_path, tasks(), max_attempts=3).states == ["stored"]
    keys = {seen.headers["idempotency-key"] for seen in server.account.recorded}
    assert (len(keys), ledger_sum(tmp_path)["cost_usd"]) == (1, Decimal("0.01"))
    assert ledger_verify(tmp_path).problems == ()


def test_an_invalid_picture_is_kept_and_bought_again_only_if_allowed(tmp_path, vendor, server):
    server.script = {"submit": ["picture:kind=html"]}
    with Sampler(vendor, tmp_path, limits(), check=check) as sampler:
        (bad,) = list(sampler.draw(tasks()))
        assert (bad.state, sampler.read(bad)) == ("invalid", HTML)
    (still,) = draw(vendor, tmp_path, tasks()).outcomes
    assert (still.state, still.cached) == ("invalid", True)
    (good,) = draw(vendor, tmp_path, tasks(), max_resample=1).outcomes
    assert (good.state, server.account.requests("submit")) == ("stored", 2)


def test_a_bad_file_of_a_job_is_fetched_again_before_it_is_called_invalid(tmp_path, server, jobs):
    server.script = {"download": ["picture:kind=html"] * 2}
    account = server.account
    assert draw(jobs, tmp_path / "a", tasks()).states == ["stored"]
    assert (account.requests("download"), account.requests("submit")) == (3, 1)
    server.script = {"download": "picture:kind=html"}
    (outcome,) = draw(jobs, tmp_path / "b", tasks()).outcomes
    assert (outcome.state, account.requests("submit")) == ("invalid", 2)
    assert isinstance(outcome.error, PayloadError)


def test_a_damaged_sample_is_fetched_again_by_its_job(tmp_path, server, jobs):
    with Sampler(jobs, tmp_path, limits()) as sampler:
        (outcome,) = list(sampler.draw(tasks()))
        whole = sampler.read(outcome)
        (path,) = (tmp_path / "samples").glob("??/*")
        path.write_bytes(b"rot")
        assert (sampler.read(outcome), path.read_bytes()) == (whole, whole)
        assert [kept.read_bytes() for kept in (tmp_path / "quarantine").iterdir()] == [b"rot"]
    path.unlink()
    assert (draw(jobs, tmp_path, tasks()).states, path.read_bytes()) == (["stored"], whole)
    assert server.account.requests("submit") == 1


@pytest.mark.sqlite
def test_a_damaged_sample_that_cannot_be_fetched_again_is_reported(tmp_path, vendor, server):
    with Sampler(vendor, tmp_path, limits()) as sampler:
        (outcome,) = list(sampler.draw(tasks()))
        (path,) = (tmp_path / "samples").glob("??/*")
        path.write_bytes(b"rot")
        with pytest.raises(PayloadError, match="restore"):
            sampler.read(outcome)
        assert [kept.read_bytes() for kept in (tmp_path / "quarantine").iterdir()] == [b"rot"]
    assert (draw(vendor, tmp_path, tasks()).states, server.account.requests("submit")) == (["invalid"], 1)
    assert draw(vendor, tmp_path, tasks(), max_resample=1).states == ["stored"]
    assert server.account.requests("submit") == 2


@pytest.mark.parametrize("models", [(), ("fault-vendor-1",)])
@pytest.mark.parametrize("strangers", [1, 2])
def test_a_draw_that_was_rerouted_costs_that_draw_and_is_asked_for_again(tmp_path, either, models, strangers, server):
    script = [None, None, *["model:name=other"] * strangers, "model:name=fault-vendor-1"]
    server.script = {"submit": script}
    with Sampler(either, tmp_path, limits(concurrency=1), check=check, models=models) as sampler:
        outcomes = list(sampler.draw(tasks(3, 2)))
    assert {(outcome.state, outcome.model) for outcome in outcomes} == {("stored", "fault-vendor-1")}
    assert server.account.paid == 6 + strangers
    astray = [row for row in ledger_ls(tmp_path) if row.state == "invalid"]
    assert [(row.model, row.code, row.cost_usd) for row in astray] == [
        ("other", "other-model", server.account.price_usd)
    ] * strangers
    assert sum(outcome.cost_usd for outcome in outcomes) == server.account.paid * server.account.price_usd
    assert (draw(either, tmp_path, tasks(3, 2)).states, server.account.paid) == (["stored"] * 6, 6 + strangers)


def test_polls_that_fail_are_patient_and_a_deadline_keeps_the_job(tmp_path, server, jobs):
    server.script = {"poll": "status:code=503"}
    drawn = draw(jobs, tmp_path, tasks(), job_deadline_s=0.4, max_attempts=50)
    (late,) = drawn.outcomes
    assert drawn.error is None
    assert (late.state, late.cost_usd) == ("expired", Decimal("0.01"))
    assert "run again" in str(late.error)
    server.script = None
    (found,) = draw(jobs, tmp_path, tasks()).outcomes
    assert (found.state, found.cached, server.account.requests("submit")) == ("stored", False, 1)


def test_everything_failing_opens_the_circuit(tmp_path, vendor, server):
    server.script = {"submit": "status:code=500"}
    drawn = draw(vendor, tmp_path, tasks(10, 10), concurrency=2)
    assert drawn.ended == "VendorUnavailableError"
    assert "everything fails" in str(drawn.error)
    sent = server.account.requests("submit")
    assert 5 <= sent <= 6
    assert f"{sent} calls were never answered and may have been billed (booked at $0.0{sent}): " in str(drawn.error)
    assert "ledger settle INVOICE.csv" in str(drawn.error)
    assert (set(drawn.states), ledger_verify(tmp_path).problems) == ({"ambiguous"}, ())


class Busy(SynchronousVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/v1/upscale", "submit", body=upload.png)
        if b"busy" in answer.body:
            raise TryLaterError("the queue is full", retry_after=0.01)
        return answer.body


def test_a_vendor_that_says_later_in_a_success_is_asked_again(tmp_path, server):
    server.script = {"submit": ["json-error:message=busy"] * 2}
    assert draw(Busy(url=server.url), tmp_path / "a", tasks()).states == ["stored"]
    assert (server.account.requests("submit"), ledger_sum(tmp_path / "a")["cost_usd"]) == (3, Decimal("0.01"))
    server.script = {"submit": "json-error:message=busy"}
    drawn = draw(Busy(url=server.url), tmp_path / "b", tasks())
    assert (drawn.outcomes, drawn.ended) == ([], "VendorUnavailableError")


class Broken(JobVendor):
    """Fails where it reads the poll's answer; `early` fails where it reads the submission's."""

    early: bool = False

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/v1/jobs", "submit", files=(Part("image", "image.png", upload.png),))
        yield Accepted(answer.json()["no such field" if self.early else "id"])
        yield Send("GET", f"{self.url}/v1/jobs/job-0", "poll")
        raise KeyError("output")


@pytest.mark.parametrize(("early", "state"), [(True, "invalid"), (False, "accepted")])
def test_a_bug_in_an_adapter_ends_the_run_and_keeps_what_was_paid(tmp_path, early, state, server):
    drawn = draw(Broken(url=server.url, early=early), tmp_path, tasks(5, 5), concurrency=1)
    assert (server.account.requests("submit"), drawn.outcomes, drawn.ended) == (1, [], "AdapterError")
    assert "KeyError" in str(drawn.error)
    assert [row.state for row in ledger_ls(tmp_path) if row.state != "planned"] == [state]


class Puzzled(SynchronousVendor):
    bug: str

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        if self.bug == "memory":
            raise MemoryError
        return next(iter(())) if self.bug == "StopIteration" else answer.json()["no such field"]


@pytest.mark.parametrize("bug", ["StopIteration", "KeyError", "memory"])
def test_a_bug_in_the_reading_of_a_failed_answer_ends_the_run_and_makes_no_picture(tmp_path, bug, server):
    server.script = {"submit": ["status:code=500,billed=yes"]}
    drawn = draw(Puzzled(url=server.url, bug=bug), tmp_path, tasks())
    assert (drawn.outcomes, drawn.ended) == ([], "MemoryShortError" if bug == "memory" else "AdapterError")
    assert bug in str(drawn.error)
    # Too little memory is no bug of the adapter: the same command goes on once there is room.
    assert drawn.error.exit_code == (6 if bug == "memory" else 2)
    assert [row.state for row in ledger_ls(tmp_path)] == ["invalid"]
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.01")


class Stubborn(SynchronousVendor):
    """Submits again by itself, after a lost answer or (`greedy`) after a picture."""

    greedy: bool = False

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        if self.greedy:
            yield Send("POST", f"{self.url}/v1/upscale", "submit", body=upload.png)
        try:
            answer = yield Send("POST", f"{self.url}/v1/upscale", "submit", body=upload.png)
        except MaybeSentError:
            answer = yield Send("POST", f"{self.url}/v1/upscale", "submit", body=upload.png)
        return answer.body


@pytest.mark.parametrize(("greedy", "counted"), [(False, "ambiguous"), (True, "paid")])
def test_an_adapter_cannot_pay_twice_by_itself(tmp_path, greedy, counted, server):
    server.script = {} if greedy else {"submit": ["close-without-answer"]}
    drawn = draw(Stubborn(url=server.url, greedy=greedy), tmp_path, tasks())
    assert (server.account.requests("submit"), drawn.ended) == (1, "AdapterError")
    assert ledger_sum(tmp_path)[counted] == 1


class Prepared(SynchronousVendor):
    transient: ClassVar[frozenset[str]] = frozenset({"url", "refuses"})
    refuses: bool = False

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        if self.refuses:
            raise RefusedError("the vendor takes no such pictures any more")
        return (yield from super().draw(upload, draw))


def test_a_repetition_that_is_refused_before_it_is_submitted_leaves_the_attempt_booked(tmp_path, server):
    server.script = {"submit": ["close-without-answer"]}
    adapter = Prepared(url=server.url, idempotent=True)
    assert draw(adapter, tmp_path, tasks(), max_attempts=1).states == ["ambiguous"]
    drawn = draw(adapter.model_copy(update={"refuses": True}), tmp_path, tasks())
    assert (drawn.states, drawn.error) == (["ambiguous"], None)
    assert "any more" in drawn.text
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.01")


def test_a_refusal_of_a_repetition_says_nothing_about_the_submission_before_it(tmp_path, server):
    """The first submission was not answered, and may be billed: it is booked at its price."""
    server.script = {"submit": ["close-without-answer", "status:code=422"]}
    drawn = draw(SynchronousVendor(url=server.url, idempotent=True), tmp_path, tasks())
    assert server.account.requests("submit") == 2
    assert [(outcome.state, outcome.cost_usd) for outcome in drawn.outcomes] == [("ambiguous", Decimal("0.01"))]
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.01")


@pytest.mark.parametrize(
    ("code", "state"),
    [(422, "refused"), (500, "ambiguous"), (401, "cancelled"), (404, "cancelled"), (429, "cancelled")],
)
def test_what_the_vendor_says_that_an_error_cost_is_booked(tmp_path, code, state, vendor, server):
    server.script = {"submit": [Fault("status", {"code": code, "x-cost-usd": "0.07", "retry-after": "0"})]}
    draw(vendor, tmp_path, tasks())
    (failed,) = ledger_ls(tmp_path, (state,))
    assert failed.cost_usd == Decimal("0.07")
    again = Decimal("0.01") if code == 429 else Decimal(0)
    assert (ledger_sum(tmp_path)["cost_usd"], ledger_verify(tmp_path).problems) == (Decimal("0.07") + again, ())


@pytest.mark.parametrize("fault", ["picture:kind=html", "close-without-answer"])
def test_what_an_attempt_cost_stays_unknown_where_its_price_is(tmp_path, fault):
    with FaultServer({"submit": [fault]}, reported_price=None) as server:
        draw(SynchronousVendor(url=server.url, price_usd=None), tmp_path, tasks())
    assert ledger_sum(tmp_path)["unpriced"] == 1


def test_a_failure_that_may_have_been_billed_at_an_unknown_price_is_not_bought_again(tmp_path):
    crash = Fault("mark", {"crashed": "out of memory"})
    with FaultServer({"submit": [crash]}, reported_price=None) as server:
        adapter = JobVendor(url=server.url, price_usd=None)
        assert [draw(adapter, tmp_path, tasks()).states for _ in range(2)] == [["failed"]] * 2
        assert server.account.requests("submit") == 1
        assert draw(adapter, tmp_path, tasks(), max_resample=1).states == ["stored"]


class Failing(SynchronousVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        yield Send("POST", f"{self.url}/v1/upscale", "submit", body=upload.png)
        yield Observed(cost_usd=Decimal("0.02"))
        raise VendorFailedError("out of memory")


def test_a_failure_that_the_vendor_bills_against_its_word_is_not_bought_again(tmp_path, server):
    drawn = draw(Failing(url=server.url, failures_billed=False), tmp_path, tasks())
    assert (drawn.states, server.account.requests("submit")) == (["failed"], 1)
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.02")


def test_a_repetition_is_counted_as_spent_once(tmp_path, server):
    server.script = {"submit": ["close-without-answer"]}
    adapter = SynchronousVendor(url=server.url, idempotent=True)
    draw(adapter, tmp_path, tasks(), max_attempts=1)
    with Sampler(adapter, tmp_path, limits()) as sampler:
        assert [outcome.state for outcome in sampler.draw(tasks())] == ["stored"]
        assert (sampler.counters.spent, sampler.counters.reserved) == (Decimal("0.01"), Decimal(0))


def test_a_paid_request_crosses_five_frames_from_the_worker_to_the_transport(tmp_path, monkeypatch, vendor):
    crossed: list[str] = []
    send = Transport.send

    def counted(self: Transport, step: Send, *more: Any) -> Answer:
        for frame in inspect.stack():
            module = frame.frame.f_globals.get("__name__", "")
            if module.startswith("blackbox_conformal.drawing."):
                crossed.append(f"{module.rpartition('.')[2]}.{frame.function}")
        return send(self, step, *more)

    monkeypatch.setattr(Transport, "send", counted)
    assert draw(vendor, tmp_path, tasks()).states == ["stored"]
    assert crossed == ["attempt._send_once", "retry.submit", "attempt.run", "work_item.process", "work_item.work"]


def test_a_bug_in_the_check_ends_the_run_with_the_bytes_stored(tmp_path):
    def fail(data: bytes, task: Task) -> None:
        raise ZeroDivisionError("oops")

    with FaultServer() as server, Sampler(SynchronousVendor(url=server.url), tmp_path, limits(), check=fail) as sampler:
        with pytest.raises(ZeroDivisionError):
            list(sampler.draw(tasks(1, 1)))
        assert [row.state for row in ledger_ls(tmp_path)] == ["stored"]


STUCK = {"submit": Fault("mark", {"stuck": True})}


def rows(run: Path) -> list[tuple[Any, ...]]:
    with ledger(run) as connection:
        return [tuple(row) for row in connection.execute("SELECT state, cost_nanousd FROM attempt ORDER BY id")]


def test_an_overdue_job_is_cancelled_once_and_no_run_waits_for_it_again(tmp_path, server):
    server.script = STUCK
    adapter, account = JobVendor(url=server.url, cancels=True), server.account
    first = draw(adapter, tmp_path, tasks(), job_deadline_s=0.5)
    assert first.states == ["expired"]
    assert "is cancelled; --retry-ambiguous buys the draw again" in first.text
    assert "booked at 0.01 USD" in first.text
    assert (account.requests("submit"), account.requests("cancel")) == (1, 1)
    assert rows(tmp_path) == [("expired", 10_000_000)]
    polls = account.requests("poll")
    second = draw(adapter, tmp_path, tasks(), job_deadline_s=0.5)
    assert second.states == ["expired"]
    assert (account.requests("submit"), account.requests("cancel"), account.requests("poll")) == (1, 1, polls)
    server.script = lambda situation: None
    third = draw(adapter, tmp_path, tasks(), retry_ambiguous=True)
    assert (third.states, account.paid) == (["stored"], 2)
    assert [state for state, _ in rows(tmp_path)] == ["expired", "validated"]


def test_a_job_that_the_vendor_does_not_cancel_is_looked_for_by_the_next_run(tmp_path, server):
    late = {"submit": Fault("mark", {"word": "warming", "times": 12}), "cancel": "status:code=409"}
    server.script = late
    adapter = JobVendor(url=server.url, cancels=True, poll_seconds=0.1)
    assert draw(adapter, tmp_path, tasks(), job_deadline_s=0.4).states == ["expired"]
    assert (rows(tmp_path)[0][0], draw(adapter, tmp_path, tasks()).states) == ("accepted", ["stored"])
    assert (server.account.paid, server.account.requests("cancel")) == (1, 1)


def test_a_job_whose_polls_fail_is_not_cancelled(tmp_path, server):
    server.script = {"poll": "status:code=503"}
    adapter = JobVendor(url=server.url, cancels=True)
    assert "stored" not in draw(adapter, tmp_path, tasks(), job_deadline_s=0.6, max_attempts=50).states
    assert server.account.requests("cancel") == 0
    server.script = lambda situation: None
    assert (draw(adapter, tmp_path, tasks()).states, server.account.paid) == (["stored"], 1)


def test_a_run_that_is_left_cancels_nothing(tmp_path, server):
    leaving: list[Sampler] = []

    def script(situation: Situation) -> Fault | None:
        if situation.purpose == "poll" and situation.number == 3:
            leaving[0].stop()
            leaving[0].stop()
        return STUCK["submit"] if situation.purpose == "submit" else None

    server.script = script
    with Sampler(JobVendor(url=server.url, cancels=True), tmp_path, limits(job_deadline_s=60.0)) as sampler:
        leaving.append(sampler)
        with pytest.raises(IncompleteError):
            list(sampler.draw(tasks()))
    assert (server.account.requests("cancel"), rows(tmp_path)[0][0]) == (0, "accepted")
