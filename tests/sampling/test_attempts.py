"""What becomes of one attempt: lost, replayed, invalid, fetched again, refused, or broken by its own adapter."""

from decimal import Decimal
from pathlib import Path

import pytest
from sampling.tiny_vendor import PNG, AtOnce, ByJobs, draw, quick, serving, submissions, tasks

from blackbox_conformal.adapter import Accepted, Draw, Flow, Send, Upload
from blackbox_conformal.errors import (
    AdapterError,
    ImageError,
    IncompleteError,
    MaybeSentError,
    ModelChangedError,
    PayloadError,
    TryLaterError,
)
from blackbox_conformal.sampling.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import Task

KINDS = pytest.mark.parametrize(("kind", "path"), [(AtOnce, "/upscale"), (ByJobs, "/jobs")])


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


def test_a_model_that_changes_stops_the_run_and_keeps_the_samples(tmp_path: Path) -> None:
    with serving() as vendor:
        vendor.answer = lambda path, number: (200, {"x-model": f"v{number // 2}"}, PNG + str(number).encode())
        adapter = AtOnce(url=vendor.url)
        outcomes, error = draw(adapter, tmp_path, tasks(1, 9), concurrency=1)
        assert [one.model for one in outcomes] == ["v0", "v0"]
        assert isinstance(error, ModelChangedError)
        assert "'v0'" in str(error)
        assert "'v1'" in str(error)
        again, error = draw(adapter, tmp_path, tasks(1, 9), concurrency=1)
        assert isinstance(error, ModelChangedError)
        assert submissions(vendor, "/upscale") == 3
    assert again == []
    assert [row.state for row in ledger_ls(tmp_path)][:3] == ["stored"] * 3


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


def test_a_bug_in_the_check_ends_the_run_with_the_bytes_stored(tmp_path: Path) -> None:
    def check(data: bytes, task: Task) -> None:
        raise ZeroDivisionError("oops")

    with serving() as vendor, Sampler(AtOnce(url=vendor.url), tmp_path, quick(), check=check) as sampler:
        with pytest.raises(ZeroDivisionError):
            list(sampler.draw(tasks(1, 1)))
        assert [row.state for row in ledger_ls(tmp_path)] == ["stored"]
