"""Faults of the vendor's protocol, polling and billing, P1 to P19, against real sockets."""

import hashlib
import threading
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from skimage import data
from support.draws import an_upload, check, draw, limits, tasks
from support.synthetic import reduced

from blackbox_conformal.drawing.acceptance import STRANGERS
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import BudgetError, IncompleteError, LedgerError, ModelChangedError
from blackbox_conformal.method.images.making_inputs import upload_from
from blackbox_conformal.study.stages.draws import output_check
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.fault_vendor import FaultVendor
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.adapter import Accepted, Draw, Flow, Upload
from blackbox_conformal.vendor.rates import Rate


def marked(**marks: Any) -> dict[str, Fault]:
    return {"submit": Fault("mark", marks)}


def test_p01_unknown_status_word_is_polled_on_to_the_deadline(tmp_path):
    with FaultServer(marked(word="aborted")) as server:
        drawn = draw(JobVendor(url=server.url), tmp_path / "run", tasks(), job_deadline_s=0.5)
        assert "stored" not in drawn.states
        assert server.account.requests("poll") > 3
        assert (server.account.paid, server.account.requests("submit")) == (1, 1)
    with FaultServer(marked(word="warming", times=3)) as server:
        assert draw(JobVendor(url=server.url), tmp_path / "other", tasks()).states == ["stored"]


def test_p02_stuck_job_ends_at_its_deadline_and_is_not_submitted_again(tmp_path, server):
    server.script = marked(stuck=True)
    adapter = JobVendor(url=server.url, poll_seconds=0.05)
    first = draw(adapter, tmp_path / "run", tasks(), job_deadline_s=0.6)
    again = draw(adapter, tmp_path / "run", tasks(), job_deadline_s=0.6)
    for drawn in (first, again):
        assert "stored" not in drawn.states
        assert isinstance(drawn.error, IncompleteError) or drawn.states == ["expired"]
    assert (server.account.paid, server.account.requests("submit")) == (1, 1)


@pytest.mark.parametrize("output", ["null", "empty"])
def test_p04_success_without_output_is_read_again_then_invalid(tmp_path, output):
    with FaultServer(marked(output=output, times=1)) as server:
        assert draw(JobVendor(url=server.url), tmp_path / "late", tasks()).states == ["stored"]
    with FaultServer(marked(output=output)) as server:
        drawn = draw(JobVendor(url=server.url), tmp_path / "never", tasks())
    assert (drawn.states, server.account.paid, server.account.requests("submit")) == (["invalid"], 1, 1)
    assert server.account.requests("poll") >= 3


def test_p06_polls_count_against_the_request_rate(tmp_path):
    with FaultServer(polls=5) as server:
        vendor, pace = JobVendor(url=server.url, poll_seconds=0.001), (Rate(25, 1.0),)
        drawn = draw(vendor, tmp_path / "run", tasks(2, 4), rates=pace, job_deadline_s=30.0, concurrency=8)
    assert drawn.states == ["stored"] * 8
    times = sorted(seen.at for seen in server.account.recorded if seen.purpose != "download")
    assert len(times) == 8 * 7
    # A request that is late on its way comes nearer to those behind it.
    assert max(sum(start <= other < start + 0.8 for other in times) for start in times) <= 25


def test_p07_links_that_never_work_are_reported_with_their_price(tmp_path, server, jobs):
    server.script = marked(dead_links=404)
    drawn = draw(jobs, tmp_path / "run", tasks())
    assert (drawn.states, drawn.outcomes[0].cost_usd) == (["expired"], Decimal("0.01"))
    draw(jobs, tmp_path / "run", tasks())
    assert (server.account.paid, server.account.requests("submit")) == (1, 1)


def test_p08_one_job_for_two_submissions_is_not_two_samples(tmp_path, server, jobs):
    server.script = {"submit": [None, Fault("mark", {"same_id": True})]}
    drawn = draw(jobs, tmp_path / "run", tasks(1, 2), concurrency=1)
    assert drawn.states.count("stored") <= 1
    assert "job-0" in drawn.text or "same job" in drawn.text


@pytest.fixture(scope="module")
def photographs() -> list[Upload]:
    truths = (data.astronaut()[:320, 100:420], data.coffee()[40:360, 100:420])
    return [upload_from(reduced(np.ascontiguousarray(truth), 4), f"photograph-{k}") for k, truth in enumerate(truths)]


def test_p09_result_of_another_picture_is_invalid(tmp_path, photographs, server, jobs):
    work = [Task(upload, 0, number) for number, upload in enumerate(photographs)]
    server.script = {"submit": [None, Fault("mark", {"swapped": True})]}
    drawn = draw(jobs, tmp_path / "run", work, look=output_check(set_up(jobs, draws=2)), concurrency=1)
    assert "answered another picture" in drawn.text
    assert (sorted(drawn.states), server.account.requests("submit")) == (["invalid", "stored"], 2)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("another-photograph", "another picture"),
        ("noise", "another picture"),
        ("mirrored", "the picture that was sent, mirrored left to right"),
        ("mirrored-top-to-bottom", "the picture that was sent, mirrored top to bottom"),
        ("upside-down", "the picture that was sent, turned upside down"),
        ("constant", "one colour everywhere"),
    ],
)
def test_p09_what_is_not_the_picture_that_was_sent_is_invalid_and_kept(
    tmp_path, photographs, kind, said, vendor, server
):
    work = [Task(upload, 0, number) for number, upload in enumerate(photographs)]
    server.script = {"submit": Fault("picture", {"kind": kind})}
    drawn = draw(vendor, tmp_path / "run", work, look=output_check(set_up(vendor, draws=2)))
    assert drawn.states == ["invalid", "invalid"]
    assert said in drawn.text
    assert (server.account.paid, server.account.requests("submit")) == (2, 2)
    for outcome in drawn.outcomes:
        kept = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
        assert any("sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() == outcome.digest for path in kept)


def test_p10_equal_draws_are_all_kept_so_that_equality_can_be_seen(tmp_path):
    with FaultServer(ignores_seed=True) as server:
        drawn = draw(SynchronousVendor(url=server.url), tmp_path / "run", tasks(1, 4))
    assert drawn.states == ["stored"] * 4
    assert (len({outcome.digest for outcome in drawn.outcomes}), server.account.paid) == (1, 4)


def test_p11_replayed_error_is_not_answered_by_a_new_key(tmp_path):
    with FaultServer({"submit": ["replayed-error"]}, idempotent=True) as server:
        drawn = draw(SynchronousVendor(url=server.url, idempotent=True), tmp_path / "run", tasks())
        keys = {seen.headers["idempotency-key"] for seen in server.account.recorded if seen.purpose == "submit"}
    assert "stored" not in drawn.states
    assert len(keys) == 1
    assert server.account.requests("submit") <= 3


def test_p12_change_of_model_in_the_middle_stops_the_run(tmp_path, either, server):
    server.script = {"submit": [None, None, "model:name=fault-vendor-2"]}
    drawn = draw(either, tmp_path / "run", tasks(6), concurrency=1)
    assert (drawn.ended, drawn.error.exit_code, server.account.paid) == ("ModelChangedError", 3, 2 + STRANGERS)
    assert "draws came from 'fault-vendor-1' and from 'fault-vendor-2', and must not be mixed" in drawn.text
    # The draws of the other model are kept and never handed over.
    assert [outcome.model for outcome in drawn.outcomes] == ["fault-vendor-1"] * 2
    states = sorted(row.state for row in ledger_ls(tmp_path / "run") if row.state != "planned")
    assert states == ["invalid"] * STRANGERS + ["validated"] * 2
    again = draw(either, tmp_path / "run", tasks(6), concurrency=1)
    assert again.ended == "ModelChangedError"
    assert "add --max-resample 1" in again.text
    assert (again.outcomes, server.account.paid) == ([], 2 + STRANGERS)
    # Other draws into the same folder are nobody's mixture.
    others = [Task(an_upload(50 + number), 0, number) for number in range(3)]
    server.script = None
    server.vendor.model = "fault-vendor-1"
    assert draw(either, tmp_path / "run", others).error is None
    assert draw(either, tmp_path / "run", tasks(6), max_resample=1).states == ["stored"] * 6


@pytest.mark.parametrize("concurrency", [1, 32])
def test_p12_a_model_that_was_not_calibrated_stops_after_three_answers(tmp_path, concurrency, vendor, server):
    server.script = {"submit": Fault("slow-start", {"seconds": 0.05})}
    known = frozenset({"fault-vendor-0", "fault-vendor-1"})
    with Sampler(vendor, tmp_path / "run", limits(concurrency=concurrency), models=known) as sampler:
        assert len(list(sampler.draw(tasks(4)))) == 4
        assert isinstance(server.vendor, FaultVendor)
        server.vendor.model = "fault-vendor-0"
        assert len(list(sampler.draw(tasks(6)))) == 6
        paid = server.account.paid
        server.vendor.model = "acme-v2"
        with pytest.raises(ModelChangedError, match=r"replaced model .* by 'acme-v2'.*calibrate again$"):
            list(sampler.draw(tasks(8, 16)))
    assert server.account.paid - paid <= concurrency + STRANGERS - 1


@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_p13_price_that_the_vendor_tells_goes_before_the_table(tmp_path, kind):
    with FaultServer(reported_price="0.0375") as server:
        adapter = kind(url=server.url)
        drawn = draw(adapter, tmp_path / "run", tasks(1, 3))
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.0375")] * 3
    assert all(isinstance(outcome.cost_usd, Decimal) for outcome in drawn.outcomes)


def test_p14_reserved_and_spent_money_never_exceed_the_limit(tmp_path, vendor, server):
    server.script = {"submit": Fault("slow-start", {"seconds": 0.02})}
    drawn = draw(vendor, tmp_path / "run", tasks(8, 8), concurrency=32, max_cost_usd=Decimal("0.095"))
    assert (drawn.ended, server.account.paid) == ("BudgetError", 9)
    again = draw(vendor, tmp_path / "run", tasks(8, 8), concurrency=32, max_cost_usd=Decimal("0.095"))
    assert (again.ended, server.account.paid) == ("BudgetError", 9)
    rest = draw(vendor, tmp_path / "run", tasks(8, 8), concurrency=32, max_cost_usd=Decimal("0.64"))
    assert rest.error is None
    assert (server.account.paid, server.account.distinct) == (64, 64)


def test_p14_ambiguous_draws_are_booked_at_full_price(tmp_path, vendor, server):
    server.script = {"submit": "close-without-answer"}
    drawn = draw(vendor, tmp_path / "run", tasks(1, 8), concurrency=1, max_cost_usd=Decimal("0.02"))
    assert server.account.paid <= 2
    assert isinstance(drawn.error, BudgetError | IncompleteError)


def test_p15_a_second_process_cannot_spend_from_the_same_run(tmp_path, vendor, server):
    refused: list[BaseException] = []

    def second() -> None:
        try:
            with Sampler(vendor, tmp_path / "run", limits(), check=check) as other:
                list(other.draw(tasks()))
        except LedgerError as error:
            refused.append(error)

    with Sampler(vendor, tmp_path / "run", limits(), check=check) as sampler:
        outcomes = sampler.draw(tasks(2))
        next(outcomes)
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        list(outcomes)
    assert (len(refused), server.account.paid) == (1, 2)


class EagerJobs(JobVendor):
    """Accepts twice, as a callback that arrives before the answer and again after it would."""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        flow = super().draw(upload, draw)
        step = next(flow)
        while True:
            answer = yield step
            if isinstance(step, Accepted):
                answer = yield step
            try:
                step = flow.send(answer)
            except StopIteration as end:
                return end.value


def test_p16_job_that_is_announced_twice_is_one_job(tmp_path, server):
    drawn = draw(EagerJobs(url=server.url), tmp_path / "run", tasks(1, 3))
    assert (drawn.states, server.account.paid) == (["stored"] * 3, 3)


def test_p17_failed_jobs_are_not_submitted_again_and_keep_their_message(tmp_path, server, jobs):
    server.script = marked(failed="flagged as sensitive (E005)")
    drawn = draw(jobs, tmp_path / "run", tasks())
    again = draw(jobs, tmp_path / "run", tasks())
    assert (drawn.states, again.states) == (["refused"], ["refused"])
    assert "E005" in drawn.text
    assert (server.account.paid, server.account.requests("submit")) == (1, 1)


def crashing(*numbers: int) -> Any:
    """A script in which these submissions, counted from 0, end by the vendor's own failure."""
    crash = Fault("mark", {"crashed": "prediction interrupted (PA)"})
    return lambda situation: crash if situation.purpose == "submit" and situation.number in numbers else None


def test_p18_a_vendor_that_bills_no_failures_is_asked_again(tmp_path, server):
    server.script = crashing(0, 5, 6)
    adapter = JobVendor(url=server.url, failures_billed=False)
    drawn = draw(adapter, tmp_path, tasks(4, 2), max_cost_usd=Decimal("0.08"), concurrency=1)
    assert drawn.error is None
    assert (drawn.states, server.account.requests("submit")) == (["stored"] * 8, 11)
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.08")
    assert [attempt.error_class for attempt in ledger_ls(tmp_path, ("failed",))] == ["V"] * 3
    assert ledger_verify(tmp_path).problems == ()


def test_p18_billed_failures_are_asked_again_as_often_as_the_user_allows(tmp_path, server, jobs):
    server.script = crashing(0, 1)
    drawn = draw(jobs, tmp_path, tasks())
    assert (drawn.states, drawn.outcomes[0].cost_usd) == (["failed"], Decimal("0.01"))
    assert draw(jobs, tmp_path, tasks()).states == ["failed"]
    assert server.account.requests("submit") == 1, "nothing is paid again without being told"
    again = draw(jobs, tmp_path, tasks(), max_resample=2)
    assert (again.states, server.account.requests("submit")) == (["stored"], 3)
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.03")


def test_p18_a_vendor_that_goes_on_failing_leaves_the_draw_to_the_next_run(tmp_path, server):
    server.script = crashing(0, 1, 2)
    adapter = JobVendor(url=server.url, failures_billed=False)
    drawn = draw(adapter, tmp_path, tasks())
    assert drawn.states == ["failed"]
    assert "prediction interrupted" in drawn.text
    assert (server.account.requests("submit"), draw(adapter, tmp_path, tasks()).states) == (3, ["stored"])
    assert ledger_sum(tmp_path)["cost_usd"] == Decimal("0.01")


def test_p19_a_refusal_after_generation_is_booked(tmp_path, server, jobs):
    server.script = marked(failed="the output was filtered")
    drawn = draw(JobVendor(url=server.url, refusals_billed=True), tmp_path / "billed", tasks())
    free = draw(jobs, tmp_path / "free", tasks())
    assert (drawn.states, free.states) == (["refused"], ["refused"])
    assert (drawn.outcomes[0].cost_usd, free.outcomes[0].cost_usd) == (Decimal("0.01"), Decimal(0))
    assert ledger_sum(tmp_path / "billed")["cost_usd"] == Decimal("0.01")
    assert ledger_sum(tmp_path / "free")["cost_usd"] == Decimal(0)
