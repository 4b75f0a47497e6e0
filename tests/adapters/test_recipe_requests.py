"""Requests that recipes can say: whole bodies, results of their own, polls by status, idempotency keys, cancelling."""

import pytest
from pydantic import ValidationError
from support.draws import draw, tasks
from support.flow_driver import ADDRESS, PICTURE, drive, seeded, upload
from support.recording_server import RecordingServer

from blackbox_adapters.recipe import Recipe
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.raw_http import Response

HEAD = """
name = "requests"
title = "A vendor with requests of its own"
documentation = "https://requests.example/docs"
url = "https://api.requests.example"

[scale]
factors = [4]
default = 4
"""

UPLOADED = """
[[before]]
path = "/uploads"
json = { kind = "image/png" }
keep = { place = "place", picture = "id" }

[[before]]
method = "PUT"
path = "{place}"
headers = { x-upload = "made of {image.width}" }
body = true
key = false

[submit]
path = "/jobs"
json = { picture = "{picture}" }
idempotency_header = "Idempotency-Key"
keep = { job = "id" }

[poll]
path = "/jobs/{job}"
seconds = 0.1
status = "state"
done = ["done"]
keep = { place = "result" }

[result]
path = "/results/{place}"

[cancel]
method = "DELETE"
path = "/jobs/{job}"

[picture]
body = true

[example]
polls = 3

[[example.answers]]
json = '{"place":"{address}/place","id":"p-1"}'

[[example.answers]]
json = '{}'

[[example.answers]]
json = '{"id":"j-1"}'

[[example.answers]]
json = '{"state":"busy"}'

[[example.answers]]
json = '{"state":"done","result":"r-1"}'

[[example.answers]]
picture = true
"""

BY_STATUS = """
[submit]
path = "/pictures"
body = true
headers = { content-type = "image/x-png" }
keep = { job = "header:Location" }

[poll]
path = "{job}"
seconds = 0.1
status = "http:status"
done = ["200"]

[picture]
body = true

[example]
polls = 1

[[example.answers]]
status = 202
headers = { Location = "{address}/jobs/7" }
json = '{}'

[[example.answers]]
status = 202
json = '{"progress":0.5}'

[[example.answers]]
picture = true
"""


@pytest.fixture
def made(tmp_path):
    def make(text, url=ADDRESS):
        path = tmp_path / "requests.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        return Recipe(recipe=str(path), url=url, poll_seconds=0.1)

    return make


def test_a_picture_is_put_to_a_signed_link_and_its_result_asked_for(made):
    adapter = made(UPLOADED)
    answers = adapter.example_exchange().filled(PICTURE, ADDRESS)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    _, put, submit, *_, result = exchange.sends
    assert (put.method, put.url, put.public, put.body) == ("PUT", f"{ADDRESS}/place", True, upload().png)
    assert put.headers == {"content-type": "image/png", "x-upload": "made of 16"}
    assert submit.headers["idempotency-key"] == "key-of-draw-0"
    assert adapter.capabilities.idempotency_header == "Idempotency-Key"
    assert (result.purpose, result.method, result.url) == ("download", "GET", f"{ADDRESS}/results/r-1")
    assert exchange.picture == PICTURE


def test_polls_are_told_apart_by_status_and_the_last_is_the_picture(made):
    adapter = made(BY_STATUS)
    answers = adapter.example_exchange().filled(PICTURE, ADDRESS)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    submit, *polls = exchange.sends
    assert (submit.body, submit.headers["content-type"]) == (upload().png, "image/x-png")
    assert [poll.purpose for poll in polls] == ["poll", "poll"]
    assert (exchange.jobs, exchange.picture) == ([f"{ADDRESS}/jobs/7"], PICTURE)


@pytest.mark.parametrize("text", [UPLOADED, BY_STATUS])
def test_the_recipe_keeps_the_adapters_contract(made, text):
    results = check_adapter(Recipe, made(text).example_exchange())
    assert [result for result in results if not result.passed] == []
    assert len(results) > 20


def test_a_job_that_is_overdue_is_cancelled_once(made, tmp_path):
    def answer(head):
        said = {"/uploads": f'{{"place":"{server.url}/place","id":"p"}}', "/jobs": '{"id":"j-1"}'}.get(
            head.path, '{"state":"busy"}'
        )
        return Response(200, {"Content-Type": "application/json"}, said.encode())

    with RecordingServer(answer) as server:
        drawn = draw(made(UPLOADED, server.url), tmp_path / "run", tasks(), job_deadline_s=0.5, concurrency=1)
        cancelled = [request.head.path for request in server.asked if request.head.method == "DELETE"]
    assert drawn.states == ["expired"], drawn.text
    assert cancelled == ["/jobs/j-1"]


def test_a_job_that_the_next_run_will_resume_is_not_cancelled(made, tmp_path):
    def answer(head):
        if head.path == "/jobs/j-1":
            return Response(404)
        said = f'{{"place":"{server.url}/place","id":"{"j-1" if head.path == "/jobs" else "p"}"}}'
        return Response(200, {"Content-Type": "application/json"}, said.encode())

    with RecordingServer(answer) as server:
        drawn = draw(made(UPLOADED, server.url), tmp_path / "run", tasks(), concurrency=1)
        assert drawn.states == ["expired"], drawn.text
        assert [request for request in server.asked if request.head.method == "DELETE"] == []


def test_a_lost_answer_is_asked_for_again_with_the_same_key(made, tmp_path):
    posts = []

    def answer(head):
        if head.path == "/jobs":
            posts.append(head.headers["idempotency-key"])
            if len(posts) == 1:
                return Response(500)
        said = f'{{"place":"{server.url}/place","id":"j-1","state":"done"}}'
        return Response(200, {"Content-Type": "application/json"}, said.encode())

    with RecordingServer(answer) as server:
        draw(made(UPLOADED, server.url), tmp_path / "run", tasks(), concurrency=1)
    assert len(posts) >= 2
    assert len(set(posts)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('idempotency_header = "Idempotency-Key"', 'idempotency_header = "a b"'), "submit.idempotency_header"),
        (("body = true\nkey = false", "body = true\nfile = 'x'"), "before.1: expected one kind of body"),
        (('path = "/results/{place}"', 'path = "/results/{where}"'), "result.path: expected a placeholder among"),
        (
            ('path = "/jobs/{job}"\n\n[picture]', 'path = "/{place}"\n\n[picture]'),
            "cancel.path: expected a placeholder",
        ),
    ],
)
def test_a_wrong_request_is_named(made, change, said):
    assert change[0] in UPLOADED
    with pytest.raises(ValidationError) as caught:
        made(UPLOADED.replace(*change, 1))
    assert said in str(caught.value)


def test_a_result_needs_polls(made):
    start, end = UPLOADED.index("[poll]"), UPLOADED.index("[result]")
    with pytest.raises(ValidationError, match=r"result: expected a \[poll\] table"):
        made(UPLOADED[:start] + UPLOADED[end:])
