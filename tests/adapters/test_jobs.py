"""A job's words for done and failed, and how long a late picture is waited for."""

from typing import Any

import pytest

from blackbox_adapters._failures import Reasons
from blackbox_adapters._jobs import PolledJob
from blackbox_conformal.errors import PayloadError, RefusedError, RunRefusedError, VendorFailedError


def job(**told: Any) -> PolledJob:
    return PolledJob(
        "task", "7f", **{"done": ("finished",), "failed": ("error", "expired"), "picture": "output.url", **told}
    )


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"status": "finished", "output": {"url": "x"}}, "x"),
        ({"status": "queued", "output": {"url": "early"}}, None),
        ({"status": "a word of next year"}, None),
        ({"status": ["finished"], "output": {"url": "x"}}, None),
        ({"output": {"url": "x"}}, None),
        ({}, None),
        (None, None),
        ([], None),
        ("finished", None),
    ],
)
def test_only_a_finished_job_shows_its_picture(answer, shown):
    assert job().result(answer) == shown


def test_a_word_is_found_at_the_first_path_that_holds_any():
    either = job(status=("status", "task_status"))
    assert either.result({"task_status": "finished", "output": {"url": "x"}}) == "x"
    assert either.result({"status": "running", "task_status": "finished", "output": {"url": "x"}}) is None


def test_the_whole_answer_is_shown_where_no_path_is_told():
    whole = {"status": "finished", "credits": 3}
    assert job(picture="").result(whole) == whole


def test_without_words_for_done_every_answer_is_that_of_a_finished_job():
    assert PolledJob("link", "7f", picture="url").result({"url": "x"}) == "x"


def test_a_finished_job_without_a_picture_is_polled_twice_more_and_no_oftener():
    late, empty = job(), {"status": "finished", "output": {"url": ""}}
    assert [late.result(empty), late.result({"status": "running"}), late.result(empty)] == [None, None, None]
    with pytest.raises(PayloadError, match="task 7f finished without a picture") as caught:
        late.result(empty)
    assert caught.value.request_id == "7f"
    patient = job()
    assert [patient.result(empty), patient.result(empty)] == [None, None]
    assert patient.result({"status": "finished", "output": {"url": "x"}}) == "x"


@pytest.mark.parametrize(
    ("answer", "said", "code"),
    [
        ({"status": "error", "error": "out of memory"}, "task 7f error: out of memory", "error"),
        ({"status": "error", "error": "no", "code": "E5"}, "task 7f error: no", "E5"),
        ({"status": "expired", "message": "too late"}, "task 7f expired: too late", "expired"),
        ({"status": "error"}, "task 7f error: no reason given", "error"),
        ({"status": "error", "error": "a\x1b[31m\nb", "output": {"url": "x"}}, "task 7f error: a [31m b", "error"),
    ],
)
def test_a_job_fails_in_the_vendors_words(answer, said, code):
    with pytest.raises(VendorFailedError) as caught:
        job(code=("code",)).result(answer)
    assert (str(caught.value), caught.value.code, caught.value.request_id) == (said, code, "7f")


@pytest.mark.parametrize(
    ("reason", "kind", "billed"),
    [
        ("the output was flagged as sensitive", RefusedError, True),
        ("contentPolicyViolation", RefusedError, True),
        ("CONTENT_POLICY_VIOLATION", RefusedError, True),
        ("cannot identify image file", RefusedError, False),
        ("image_too_large", RefusedError, False),
        ("image of 520 x 520 is larger than 512 a side", RefusedError, False),
        ("no such input: seed", RunRefusedError, False),
        ("no host is free", VendorFailedError, None),
        ("", VendorFailedError, None),
    ],
)
def test_the_reason_says_whether_the_picture_is_refused(reason, kind, billed):
    failed = job(reasons=Reasons(every=("no such input",)))
    for answer in ({"status": "error", "error": reason}, {"status": "error", "code": reason}):
        with pytest.raises(kind) as caught:
            (job(code=("code",), reasons=Reasons(every=("no such input",))) if "code" in answer else failed).result(
                answer
            )
        assert type(caught.value) is kind
        assert getattr(caught.value, "billed", None) == billed
