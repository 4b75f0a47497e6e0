"""Recipes with an upload host, JSON in a text and failed polls, drawn from a server that speaks like their vendor."""

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from support.draws import draw, tasks
from support.flow_driver import ADDRESS, assert_error, built, refused, unresumed
from support.recording_server import RecordingServer

from blackbox_adapters._reading import peek
from blackbox_adapters._recipe_reading import read_recipe
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import AccountRefusedError, RefusedError, TryLaterError, UsageError, VendorFailedError
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.vendor.example import says

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
