"""Reading answers: paths, words, waits, pictures in text; the line of a key; a job's words, and its end."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
from support.flow_driver import ADDRESS, a_draw, built, upload

from blackbox_adapters._failures import Failures, Reasons, retry_after
from blackbox_adapters._jobs import PolledJob
from blackbox_adapters._reading import (
    LONGEST_MESSAGE,
    data_link,
    decoded,
    fetched,
    integer,
    money,
    peek,
    require,
    shorten,
    words,
)
from blackbox_adapters._recipe_reading import line_of
from blackbox_conformal.errors import (
    DeadlineError,
    JobCancelledError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import Answer, Flow, Send, Wait

TREE = {"a": [{"b": "x"}, {"b": 7}], "e": "", "f": False}


@pytest.mark.parametrize(
    ("path", "found"), [("a.0.b", "x"), ("a.-1.b", 7), ("a.2.b", None), ("a.b", None), ("z", None), ("", TREE)]
)
def test_a_path_leads_somewhere_or_nowhere(path, found):
    assert peek(TREE, path) == found


@pytest.mark.parametrize("path", ["e", "f", "a", "z"])
def test_what_is_required_is_text_or_a_number(path):
    assert require(TREE, "a.1.b", "a number") == "7"
    with pytest.raises(PayloadError, match=f"expected an id at '{path}'"):
        require(TREE, path, "an id")


def test_words_are_one_short_printable_line():
    assert words({"detail": [{"msg": "x"}]}, "error", "detail") == '[{"msg": "x"}]'
    assert shorten("a\x1b[31m\n\tb\u202ec") == "a [31m b c"
    assert len(shorten("x" * 5000)) == LONGEST_MESSAGE


def test_waits_are_seconds_or_a_date():
    def asked(text):
        return retry_after(Answer(429, {"retry-after": text}, b""))

    assert asked("12") == 12.0
    assert asked("1.5") == 1.5
    soon = asked(format_datetime(datetime.now(UTC) + timedelta(seconds=60)))
    assert soon is not None
    assert 50 < soon <= 60
    assert asked("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
    assert asked("-5") == 0.0
    for nonsense in ("", "soon", "inf", "1e9", "9" * 400, "999999999999", "²"):
        assert asked(nonsense) is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, b'{"retry_after": 10}', 10.0),
        (429, b'{"error": {"retry_after": "2.5"}}', 2.5),
        (429, b'{"detail": "Your rate limit resets in ~10s."}', 10.0),
        (429, b'{"message": "Try again in 1.5 minutes"}', 90.0),
        (503, b"overloaded, retry after 250 ms", 0.25),
        (503, b"available again in 1h", 3600.0),
        (429, b'{"retry_after": "soon"}', None),
        (429, b"slow down", None),
        (200, b'{"text": "resets in 10s"}', None),
        (429, b"resets in 10s" + b" " * 5000, None),
    ],
)
def test_waits_are_found_in_the_body_too(status, body, expected):
    assert retry_after(Answer(status, {}, body)) == expected


def test_whole_numbers_are_of_sane_length():
    assert integer(7) == 7
    assert integer("4294967294") == 4294967294
    for nonsense in (None, True, 1.5, -1, "-1", "²", "", "9" * 5000, 10**30, [7]):
        assert integer(nonsense) is None


def test_money_is_finite_and_sane():
    assert money(250, Decimal("0.001")) == Decimal("0.25")
    assert money("0.0147") == Decimal("0.0147")
    for nonsense in (None, True, -1, "NaN", "inf", "1e999999999", float("inf"), 10**30, [], "free"):
        assert money(nonsense) is None


def test_an_unavailable_vendor_may_have_taken_a_submission():
    failures = Failures(message=["error"], wait=60.0)
    bare, dated = Answer(503, {}, b""), Answer(503, {"retry-after": "9"}, b'{"error": "busy"}')
    assert failures.error(bare, "submit") is None
    asked = failures.error(dated, "submit")
    assert isinstance(asked, TryLaterError)
    assert (asked.retry_after, "busy" in str(asked)) == (9.0, True)
    for status, expected in ((429, 60.0), (503, None)):
        later = failures.error(Answer(status, {}, b""), "poll")
        assert isinstance(later, TryLaterError)
        assert later.retry_after == expected


def test_pictures_in_text():
    assert decoded(data_link(b"\x00\xff"), "x") == b"\x00\xff"
    assert decoded("AP8=\n", "x") == b"\x00\xff"
    assert decoded("data:image/png,%00%FF", "x") == b"\x00\xff"
    for nonsense in ("", None, 7, "data:image/png;base64", "not base64!"):
        with pytest.raises(PayloadError, match="at output"):
            decoded(nonsense, "output")


@pytest.mark.parametrize("link", ["", None, "file:///etc/passwd", "ftp://x/y", {"url": "x"}])
def test_links_of_other_kinds_are_not_followed(link):
    with pytest.raises(PayloadError):
        next(fetched(link, "output"))


def test_a_relative_link_without_its_start_says_what_is_missing():
    with pytest.raises(PayloadError, match="at output; got a relative one: give fetched the base that it starts at"):
        next(fetched("/files/o.png", "output"))


def test_a_relative_link_starts_at_the_vendors_address():
    send = next(fetched("files/o.png", "output", base="http://127.0.0.1:5000"))
    assert getattr(send, "url", "") == "http://127.0.0.1:5000/files/o.png"


TEXT = """a = 1
[t]
b = { c = 2 }
"quoted key" = 3
[[list]]
d = 1
[[list]]
d = 2
[list.inner]
e = 5
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("a",), 1),
        (("t", "b", "c"), 3),
        (("t", "quoted key"), 4),
        (("t", "missing"), 2),
        (("list", 0, "d"), 6),
        (("list", 1, "d"), 8),
        (("list", 1, "inner", "e"), 10),
        (("nowhere",), 1),
    ],
)
def test_the_line_of_a_key(location, line):
    assert line_of(TEXT, location) == line


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


FAL_JOB = f"{ADDRESS}/o/a/requests/r1"
FAL = json.dumps({"request_id": "r1", "status_url": f"{FAL_JOB}/status", "response_url": FAL_JOB})
CASES = {
    "replicate": ("p1", {"status": "processing"}, "POST", "/predictions/p1/cancel"),
    "fal": (FAL, {"status": "IN_QUEUE"}, "PUT", "/o/a/requests/r1/cancel"),
    "comfy_router": ("r1", {"status": "IN_PROGRESS"}, "PUT", "/v2/models/fal/crystal-upscaler/requests/r1/cancel"),
    "runpod": ("j1", {"status": "IN_PROGRESS"}, "POST", "/abc123def456/cancel/j1"),
    "topaz": ("t1", {"status": "Processing"}, "DELETE", "/cancel/t1"),
    "comfyui": ("p1", {}, "POST", "/api/jobs/p1/cancel"),
    "comfy_cloud": ("j1", {"status": "in_progress"}, "POST", "/queue"),
}
SAID = {"comfyui": {"cancelled": True}, "comfy_cloud": {"deleted": ["j1"]}}
"""What says that the job is cancelled, where HTTP 2xx alone does not."""


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(body).encode())


def overdue(name: str) -> tuple[Flow, Send]:
    """A flow whose job's time is over, and the request that it sends then."""
    job, working, _, _ = CASES[name]
    flow = built(name).resume(upload(), a_draw(), job)
    poll = next(flow)
    assert isinstance(poll, Send)
    assert poll.purpose == "poll"
    assert isinstance(flow.send(answer(working)), Wait)
    cancel = flow.throw(DeadlineError("late"))
    assert isinstance(cancel, Send)
    return flow, cancel


@pytest.mark.parametrize("name", CASES)
def test_the_vendor_is_asked_to_cancel_with_the_key(name):
    _, _, method, path = CASES[name]
    flow, cancel = overdue(name)
    assert (cancel.purpose, cancel.method, cancel.url) == ("cancel", method, f"{ADDRESS}{path}")
    assert cancel.headers or built(name).key_variable is None
    with pytest.raises(JobCancelledError):
        flow.send(answer(SAID.get(name, {}), 202))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("refusal", [Answer(0, {}, b""), answer({}, 400), answer({}, 404), answer({}, 409)])
def test_a_job_that_is_not_cancelled_is_only_late(name, refusal):
    flow, _ = overdue(name)
    with pytest.raises(DeadlineError) as caught:
        flow.send(refusal)
    assert not isinstance(caught.value, JobCancelledError)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("replicate", {"status": "succeeded"}),
        ("runpod", {"status": "COMPLETED"}),
        ("comfyui", {"cancelled": False}),
        ("comfyui", {}),
        ("comfy_cloud", {"deleted": []}),
        ("comfy_cloud", {"deleted": ["another"]}),
        ("comfy_cloud", {}),
    ],
)
def test_a_job_that_was_finished_or_has_begun_is_not_given_up(name, said):
    flow, _ = overdue(name)
    with pytest.raises(DeadlineError) as caught:
        flow.send(answer(said))
    assert not isinstance(caught.value, JobCancelledError)


def test_a_prompt_is_cancelled_by_its_own_name_and_never_all_that_run():
    _, cancel = overdue("comfy_cloud")
    assert cancel.json == {"delete": ["j1"]}


def test_a_call_of_gradio_is_dropped_with_its_stream_and_asked_for_no_more():
    flow = built("gradio").resume(upload(), a_draw(), "/gradio_api/call/upscale/e1")
    stream = next(flow)
    assert isinstance(stream, Send)
    assert stream.once
    with pytest.raises(JobCancelledError):
        flow.throw(DeadlineError("late"))
