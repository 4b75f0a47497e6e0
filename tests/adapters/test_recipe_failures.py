"""What a recipe makes of a vendor that stumbles, and recipes drawn from servers that speak like their vendor."""

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from support.draws import draw, tasks
from support.flow_driver import ADDRESS, assert_error, built, drive, failure, refused, seeded, unresumed, upload
from support.recording_server import RecordingServer

from blackbox_adapters._reading import peek
from blackbox_adapters._recipe_reading import read_recipe
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.drawing.ledger.queries import ledger_ls
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    RefusedError,
    TryLaterError,
    UsageError,
    VendorFailedError,
)
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.rehearsal import rehearse_failure
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows

STUMBLES = """
name = "stumbles"
title = "A vendor that stumbles"
documentation = "https://stumbles.example/docs"
url = "https://api.stumbles.example"
lossless = true
scale = { factors = [4], default = 4 }
[price]
low = "0.05"
high = "0.05"
source = "made up"
[submit]
path = "/jobs"
file = "image"
keep = { job = "id" }
[poll]
path = "/jobs/{job}"
seconds = 0.1
status = "state"
done = ["DONE"]
failed = ["ERROR"]
vendor_failed = ["UNKNOWN"]
[picture]
link = "link"
[reported]
cost = "header:X-Credits-Consumed"
usd_per_unit = "0.01"
model = "header:X-Model"
seed = "header:X-Seed"
[[refusals]]
path = "code"
not_equals = 200
message = "the envelope says no"
means = "MEANS"
[[refusals]]
path = "reason"
contains = ["interrupted"]
message = "the worker was taken away"
means = "failed"
[[refusals]]
path = "safe"
equals = false
message = "withheld"
billed = true
[errors]
message = ["reason"]
[example]
polls = 1
answers = [
  { json = '{"code":200,"id":"j-1"}' },
  { json = '{"code":200,"state":"DONE","link":"{address}/out.png"}' },
  { picture = true },
]
"""


@pytest.fixture
def made(tmp_path):
    def make(url=ADDRESS, means="refused", *changes, **parameters):
        text = STUMBLES.replace("MEANS", means)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "stumbles.toml"
        path.write_text(text, encoding="utf-8")
        return Recipe(recipe=str(path), url=url, **parameters)

    return make


def failed(adapter: Recipe, *answers: Answer) -> Exception:
    return failure(adapter, adapter.draw(upload(), seeded(adapter)), *answers)


ACCEPTED = says('{"code":200,"id":"j-1"}')


def test_a_state_of_the_vendors_own_failure_is_no_refusal(made):
    error = failed(made(), ACCEPTED, says('{"state":"UNKNOWN","reason":"internal error"}'))
    assert_error(error, VendorFailedError, "internal error", request_id="j-1", code="UNKNOWN")


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ("refused", RefusedError),
        ("failed", VendorFailedError),
        ("later", TryLaterError),
        ("account", AccountRefusedError),
    ],
)
def test_an_envelope_that_is_not_200_means_what_the_recipe_says(made, means, expected):
    error = failed(made(means=means), says('{"code":1402,"reason":"no money","id":"j-1"}'))
    assert_error(error, expected, "the envelope says no: no money", code="1402")


def test_an_answer_without_the_value_is_no_refusal_and_later_in_a_poll_is_polled_again(made):
    adapter = made(means="later")
    answers = [says('{"id":"j-1"}'), says('{"code":1429}'), says(f'{{"state":"DONE","link":"{ADDRESS}/o"}}'), shows()]
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    assert exchange.waits == [0.1]


def test_words_of_a_reason_tell_a_vendors_failure_from_a_refusal(made):
    error = failed(made(), ACCEPTED, says('{"state":"ERROR","reason":"Prediction Interrupted; please retry"}'))
    assert type(error) is VendorFailedError


def test_a_picture_withheld_after_it_was_made_is_billed(made):
    assert_error(failed(made(), ACCEPTED, says('{"state":"DONE","safe":false}')), RefusedError, billed=True)


def test_cost_model_and_seed_are_read_from_headers(made):
    adapter = made()
    done = says(f'{{"state":"DONE","link":"{ADDRESS}/o"}}', x_credits_consumed="4", x_model="m-2", x_seed="77")
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [ACCEPTED, done, shows()])
    seen = exchange.observed[-1]
    assert (seen.cost_usd, seen.model, seen.seed) == (Decimal("0.04"), "m-2", 77)


def test_the_job_may_stand_in_a_header(made):
    adapter = made(ADDRESS, "refused", ('job = "id"', 'job = "header:Location-Id"'))
    error = failed(adapter, says("{}", location_id="j-9"), says('{"state":"UNKNOWN"}'))
    assert error.request_id == "j-9"


BY_STATUS = (
    "[errors]\n",
    """[[refusals]]
path = "reason"
contains = ["purse"]
statuses = [400, 500]
message = "no money"
means = "account"

[errors]
""",
)


@pytest.mark.parametrize("status", [400, 500])
def test_words_decide_under_the_failed_statuses_that_a_row_names(made, status):
    told = says('{"reason":"PURSE_EMPTY","code":1}', status)
    assert_error(failed(made(ADDRESS, "refused", BY_STATUS), told), AccountRefusedError, "no money: PURSE_EMPTY")


@pytest.mark.parametrize("status", [200, 422])
def test_a_row_is_about_no_other_status(made, status):
    error = failed(made(ADDRESS, "refused", BY_STATUS), says('{"reason":"a purse","code":7}', status))
    assert type(error) is RefusedError
    assert "no money" not in str(error)


def test_a_row_that_asks_to_wait_leaves_the_vendors_own_seconds(made):
    later = BY_STATUS[1].replace("account", "later").replace("purse", "busy").replace("[400, 500]", "[400]")
    adapter = made(ADDRESS, "refused", (BY_STATUS[0], later))
    error = failed(adapter, says('{"reason":"busy"}', 400, retry_after="7"))
    assert (type(error), error.retry_after) == (TryLaterError, 7.0)


BY_POLL = ('failed = ["ERROR"]', 'failed = ["ERROR"]\nstatuses = [422]')
LOST = says('{"state":"ERROR","reason":"out of memory"}', 422, x_credits_consumed="2")


def test_a_job_may_be_told_to_have_failed_by_a_failed_poll(made):
    error = failed(made(ADDRESS, "refused", BY_POLL), ACCEPTED, LOST)
    assert_error(error, VendorFailedError, "job j-1 ERROR: out of memory")
    flagged = says('{"state":"ERROR","reason":"flagged as sensitive content"}', 422)
    assert type(failed(made(ADDRESS, "refused", BY_POLL), ACCEPTED, flagged)) is RefusedError
    assert type(failed(made(), ACCEPTED, LOST)) is JobError


def test_a_failed_poll_without_the_jobs_state_is_polled_again(made):
    adapter = made(ADDRESS, "refused", BY_POLL)
    answers = [ACCEPTED, says('{"detail":"?"}', 422), says(f'{{"state":"DONE","link":"{ADDRESS}/o"}}'), shows()]
    assert drive(adapter, adapter.draw(upload(), seeded(adapter)), answers).waits == [0.1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("not_equals = 200\n", ""), "refusals.0: expected exactly one of equals, one_of, not_equals, contains"),
        (("equals = false", "equals = false\nnot_equals = 1"), "refusals.2: expected exactly one of equals"),
        (("billed = true", 'billed = true\nmeans = "failed"'), 'refusals.2.billed: expected means = "refused"'),
        (('means = "failed"', 'means = "fail"'), "refusals.1.means"),
        (("equals = false", "equals = false\nstatuses = [4000]"), "refusals.2.statuses.0"),
    ],
)
def test_a_wrong_refusal_is_named(made, change, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        made(ADDRESS, "refused", change)


class Stumbling:  # Answers jobs; the first `count` end in `states`, one after another, and the others in a picture
    def __init__(self, *states: dict[str, Any], **headers: str) -> None:
        self.states = list(states)
        self.headers = headers
        self.pictures: dict[str, bytes] = {}
        self.server = RecordingServer(self.answer)

    def answer(self, head: Head) -> Response:
        body = self.server.asked[-1].body
        if head.method == "POST":
            number = str(len(self.pictures))
            start = body.index(b"\x89PNG")
            self.pictures[number] = upscale(body[start:], 4, len(self.pictures))
            return self.said({"id": number})
        if head.path.startswith("/out"):
            return Response(200, {"Content-Type": "image/png"}, self.pictures[head.path.removeprefix("/out/")])
        number = int(head.path.removeprefix("/jobs/"))
        if number < len(self.states):
            return self.said(self.states[number], **self.headers)
        return self.said({"state": "DONE", "link": f"{self.server.url}/out/{number}"})

    @staticmethod
    def said(document: Mapping[str, Any], **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(200, {"Content-Type": "application/json", **named}, json.dumps(document).encode())


UNKNOWN = {"state": "UNKNOWN", "reason": "internal error"}


@pytest.mark.parametrize(("billed", "cost"), [(False, "0.05"), (True, "0.10")])
def test_the_sampler_asks_again_after_a_vendors_failure_and_books_it_as_billed(made, tmp_path, billed, cost):
    vendor = Stumbling(UNKNOWN)
    with vendor.server as server:
        change = ("[picture]\n", f"[limits]\nfailures_billed = {str(billed).lower()}\n\n[picture]\n")
        adapter = made(server.url, "refused", change)
        drawn = draw(adapter, tmp_path / "run", tasks(), max_resample=1, concurrency=1)
        assert drawn.states == ["stored"], drawn.text
        assert sum(request.head.method == "POST" for request in server.asked) == 2
    with closing(Ledger(tmp_path / "run")) as ledger:
        assert ledger.totals()[0] == Decimal(cost)


@pytest.mark.parametrize(("billed", "told"), [(False, "0"), (True, "0.04")])
def test_a_bill_told_beforehand_is_void_where_failures_are_not_billed(made, billed, told):
    change = ("[picture]\n", f"[limits]\nfailures_billed = {str(billed).lower()}\n\n[picture]\n")
    adapter = made(ADDRESS, "refused", change)
    answers = (says('{"code":200,"id":"j-1"}', x_credits_consumed="4"), says(json.dumps(UNKNOWN)))
    assert rehearse_failure(adapter, adapter.draw(upload(), seeded(adapter)), answers).told_usd == Decimal(told)


def test_the_sampler_books_the_price_of_a_withheld_picture_or_what_the_vendor_tells(made, tmp_path):
    withheld = {"state": "DONE", "safe": False}
    for headers, cost in (({}, "0.05"), ({"X_Credits_Consumed": "2"}, "0.02")):
        vendor = Stumbling(withheld, **headers)
        with vendor.server as server:
            drawn = draw(made(server.url), tmp_path / cost, tasks(), concurrency=1)
        assert (drawn.states, drawn.outcomes[0].cost_usd) == (["refused"], Decimal(cost))


def test_the_sampler_waits_and_stops_as_an_envelope_says(made, tmp_path):
    class Enveloped(Stumbling):
        def answer(self, head: Head) -> Response:
            first = sum(request.head.method == "POST" for request in self.server.asked) == 1
            return self.said({"code": 1402}) if head.method == "POST" and first else super().answer(head)

    for means, states in (("later", ["stored"]), ("failed", ["failed"]), ("refused", ["refused"])):
        with Enveloped().server as server:
            drawn = draw(made(server.url, means), tmp_path / means, tasks(), concurrency=1)
        assert drawn.states == states, drawn.text
    with Enveloped().server as server:
        drawn = draw(made(server.url, "account"), tmp_path / "account", tasks(), concurrency=1)
    assert isinstance(drawn.error, AccountRefusedError)


class Charging(Stumbling):  # Names 20 credits as it takes a job, and gives them back for one that failed
    def answer(self, head: Head) -> Response:
        told = super().answer(head)
        return (
            Response(told.status, {**told.headers, "X-Credits-Consumed": "20"}, told.body)
            if told.body[:1] == b"{" and head.method == "POST"
            else told
        )


@pytest.mark.parametrize("billed", [False, True])
def test_a_told_refund_is_booked_and_the_draw_asked_for_again(made, tmp_path, billed):
    vendor = Charging(UNKNOWN, UNKNOWN, X_Credits_Consumed="0")
    change = ("[picture]\n", f"[limits]\nfailures_billed = {str(billed).lower()}\n\n[picture]\n")
    with vendor.server as server:
        drawn = draw(made(server.url, "refused", change), tmp_path / "run", tasks(), concurrency=1)
        assert drawn.states == ["stored"], drawn.text
        assert sum(request.head.method == "POST" for request in server.asked) == 3
    assert [one.cost_usd for one in ledger_ls(tmp_path / "run")] == [Decimal(0), Decimal(0), Decimal("0.20")]


def test_a_refund_of_a_withheld_picture_is_booked(made, tmp_path):
    with Charging({"state": "DONE", "safe": False}, X_Credits_Consumed="0").server as server:
        drawn = draw(made(server.url), tmp_path / "run", tasks(), concurrency=1)
    assert [(outcome.state, outcome.cost_usd) for outcome in drawn.outcomes] == [("refused", Decimal(0))]


@pytest.mark.parametrize(("free", "booked"), [(True, "0"), (False, "0.05")])
def test_a_picture_given_away_costs_nothing_where_the_recipe_says_so(made, tmp_path, free, booked):
    class Giving(Stumbling):
        def answer(self, head: Head) -> Response:
            told = super().answer(head)
            return Response(told.status, {**told.headers, "X-Credits-Consumed": "0"}, told.body)

    change = ("[picture]\n", f"[limits]\nfree_answers = {str(free).lower()}\n\n[picture]\n")
    told = []
    with Giving().server as server:
        adapter = made(server.url, "refused", change)
        drawn = draw(adapter, tmp_path / "run", tasks(), listener=lambda event: told.append(event.kind))
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal(booked)]
    assert ("price-differs" in told) == (not free)


KEY = "made-up-key-4711"


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    monkeypatch.setenv("KIE_API_KEY", KEY)
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)


def said(document: Any, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(document).encode())


def served(answers: Callable[[RecordingServer, Head, bytes], Response]) -> Iterator[RecordingServer]:
    with RecordingServer() as server:
        server.answer = lambda head: answers(server, head, server.asked[-1].body)
        yield server


class Kie:  # Uploads, tasks and results of Kie.ai, as its pages tell them
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.tasks: dict[str, bytes] = {}
        self.numbers = itertools.count()

    def answer(self, server: RecordingServer, head: Head, body: bytes) -> Response:
        if head.path.startswith("/files/"):
            return Response(200, {"Content-Type": "image/png"}, self.tasks[head.path.removeprefix("/files/")])
        assert head.headers["authorization"] == f"Bearer {KEY}"
        if head.path == "/api/file-base64-upload":
            sent = json.loads(body)
            link = f"https://tempfile.redpandaai.co/{sent['fileName']}"
            assert link not in self.files
            self.files[link] = base64.b64decode(sent["base64Data"].partition(",")[2])
            return said({"success": True, "code": 200, "data": {"downloadUrl": link}})
        if head.path == "/api/v1/jobs/createTask":
            sent = json.loads(body)
            assert (sent["model"], sent["input"]["upscale_factor"]) == ("topaz/image-upscale", "4")
            # Requests come in threads, and no two may get one number.
            number = next(self.numbers)
            task = f"t{number}"
            self.tasks[task] = upscale(self.files[sent["input"]["image_url"]], 4, number)
            return said({"code": 200, "msg": "success", "data": {"taskId": task}})
        task = head.target.rpartition("taskId=")[2]
        result = json.dumps({"resultUrls": [f"{server.url}/files/{task}"]})
        return said({"code": 200, "data": {"state": "success", "resultJson": result, "creditsConsumed": 20}})


@pytest.fixture
def kie():
    yield from served(Kie().answer)


def test_a_picture_goes_by_the_upload_host_and_comes_back_by_json_in_a_text(kie, tmp_path):
    adapter = built("kie", url=kie.url, poll_seconds=0.1, usd_per_unit="0.005")
    drawn = draw(adapter, tmp_path / "run", tasks(draws=3), concurrency=2, rates=())
    assert drawn.states == ["stored"] * 3, drawn.text
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.1")] * 3
    assert len({*drawn.pictures.values()}) == 3


@pytest.mark.parametrize(
    ("code", "expected"),
    [(402, AccountRefusedError), (455, TryLaterError), (422, RefusedError), (501, VendorFailedError)],
)
def test_kie_tells_failures_under_http_200(code, expected):
    uploaded = says('{"code":200,"data":{"downloadUrl":"https://tempfile.redpandaai.co/1.png"}}')
    error = refused("kie", uploaded, says(f'{{"code":{code},"msg":"the words"}}'))
    assert type(error) is expected
    assert ("the words" in str(error), error.code) == (True, str(code))


def test_a_failed_task_of_kie_says_why():
    error = unresumed("kie", "t1", says('{"code":200,"data":{"state":"fail","failCode":"500","failMsg":"lost"}}'))
    assert_error(error, VendorFailedError, "job t1 fail: lost")


def test_the_key_goes_to_the_hosts_that_the_recipe_names_and_to_no_other(tmp_path):
    """Two servers: the vendor's own, and one to which its answer or the recipe leads."""
    seen = []

    def elsewhere(head):
        seen.append(head.headers.get("x-key"))
        return said({"place": "x"})

    class Led(Recipe):  # With the other server as a host that the recipe names, if `named_url` says so
        named_url: str = ""

        @property
        def further_urls(self) -> tuple[str, ...]:
            return (self.named_url,) if self.named_url else super().further_urls

    with RecordingServer(elsewhere) as other, RecordingServer(lambda head: said({"place": other.url})) as own:
        path = tmp_path / "led.toml"
        path.write_text(TWO_HOSTS.replace("https://uploads.acme.example/files", "{place}"), encoding="utf-8")
        for named in ("", other.url):
            drawn = draw(Led(recipe=str(path), url=own.url, named_url=named), tmp_path / f"run{bool(named)}", tasks())
            assert drawn.states == ["invalid"], drawn.text
        assert {request.head.headers.get("x-key") for request in own.asked} == {KEY}
    assert set(seen) == {None, KEY}
    assert seen[0] is None


TWO_HOSTS = """
name = "led"
title = "Led elsewhere"
documentation = "https://acme.example/docs"
url = "https://api.acme.example"
auth = { variable = "SEGMIND_API_KEY", header = "x-key", hosts = ["uploads.acme.example"] }
scale = { factors = [4], default = 4 }
submit = { path = "/enlarge", json = { place = "{picture}" } }
picture = { body = true }
example = { answers = [{ picture = true }] }
[[before]]
path = "/place"
keep = { place = "place" }
[[before]]
path = "https://uploads.acme.example/files"
file = "file"
keep = { picture = "place" }
"""


@pytest.mark.parametrize(
    ("change", "said_of_it"),
    [
        (('hosts = ["uploads.acme.example"]', "hosts = []"), "before.1.path: expected key = false beside it, or https"),
        (("https://uploads", "http://uploads"), "before.1.path: expected key = false beside it, or https"),
        (('["uploads.acme.example"]', '[".acme.example"]'), "auth.hosts.0: expected"),
        (('["uploads.acme.example"]', '["https://uploads.acme.example"]'), "auth.hosts.0: expected"),
    ],
)
def test_a_request_with_the_key_to_a_host_that_is_not_named_is_no_recipe(tmp_path, change, said_of_it):
    path = tmp_path / "led.toml"
    path.write_text(TWO_HOSTS, encoding="utf-8")
    assert Recipe(recipe=str(path)).further_urls == ("https://uploads.acme.example",)
    assert Recipe(recipe=str(path), url=ADDRESS).further_urls == ()
    path.write_text(TWO_HOSTS.replace(*change), encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(said_of_it)):
        read_recipe(str(path))


def test_a_path_leads_into_json_in_a_text():
    inside = json.dumps({"links": ["a", "b"]})
    assert peek({"result": inside}, "result.links.1") == "b"
    assert peek({"result": json.dumps(inside)}, "result.links") is None
    assert peek({"result": inside}, "result") == inside
    for broken in ("{", "", "7", "[" * 100_000):
        assert peek({"result": broken}, "result.links") is None


QUEUE = """
extends = "segmind"
without = ["picture", "example", "reported"]
name = "segmind-queue"
url = "https://api.segmind.com/v2"
[limits]
failures_billed = false
[submit]
keep = { job = "request_id" }
[poll]
path = "/requests/{job}/status"
seconds = 1
status = "status"
done = ["COMPLETED"]
failed = ["FAILED"]
vendor_failed = ["CANCELLED"]
statuses = [422]
[result]
path = "/requests/{job}"
[picture]
link = "output"
hosts = [".segmind.com"]
[example]
polls = 1
answers = [
  { json = '{"request_id":"r-1","status":"QUEUED"}' },
  { json = '{"status":"PROCESSING"}' },
  { json = '{"status":"COMPLETED"}' },
  { json = '{"status":"COMPLETED","error":null,"output":"{address}/out.png"}' },
  { picture = true },
]
[[example.failures]]
answers = [
  { json = '{"request_id":"r-2","status":"QUEUED"}' },
  { status = 422, json = '{"status":"FAILED","error":"out of memory"}' },
]
"""


@pytest.fixture
def queue(tmp_path):
    path = tmp_path / "segmind-queue.toml"
    path.write_text(QUEUE, encoding="utf-8")
    return str(path)


def test_a_failed_poll_of_segmind_ends_the_job_unbilled_and_the_picture_is_asked_for_again(queue, tmp_path):
    jobs = []

    def answer(server, head, body):
        if head.method == "POST":
            jobs.append(upscale(base64.b64decode(json.loads(body)["image"]), 4, len(jobs)))
            return said({"request_id": f"r-{len(jobs) - 1}", "status": "QUEUED"})
        number = int(head.path.removesuffix("/status").rpartition("-")[2])
        if head.path.startswith("/out"):
            return Response(200, {"Content-Type": "image/png"}, jobs[number])
        if head.path.endswith("/status"):
            return said({"status": "FAILED", "error": "out of memory"}, 422) if number == 0 else said(COMPLETED)
        return said({**COMPLETED, "output": f"{server.url}/out-{number}"})

    for server in served(answer):
        adapter = Recipe(recipe=queue, url=server.url, poll_seconds=0.1, price_usd=Decimal("0.05"))
        drawn = draw(adapter, tmp_path / "run", tasks(), concurrency=1)
    assert drawn.states == ["stored"], drawn.text
    assert (len(jobs), drawn.outcomes[0].cost_usd) == (2, Decimal("0.05"))


COMPLETED = {"status": "COMPLETED", "error": None}


def test_the_recipe_of_the_queue_keeps_the_contract(queue):
    results = check_adapter(Recipe, Recipe(recipe=queue).example_exchange())
    assert [result for result in results if not result.passed] == []
