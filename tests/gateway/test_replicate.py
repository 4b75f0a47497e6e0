"""Replicate's interface, as its clients use it: upload, predict, wait or poll, and a signed message at the end."""

import base64
import hashlib
import hmac
import json
import threading
import time
from typing import Any

import httpx
import pytest
from support.gateway import Gateway, data_link, picture, serving
from support.recording_server import RecordingServer

from blackbox_conformal.gateway import service
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.testing.raw_http import Response

MODEL = "/v1/models/somebody/fault-synchronous/predictions"


def upload(gateway: Gateway, content: bytes) -> str:
    files = {"content": ("in.png", content, "application/octet-stream")}
    answer = httpx.post(f"{gateway.url}/v1/files", files=files, data={"metadata": "{}"})
    assert answer.status_code == 201
    link: str = answer.json()["urls"]["get"]
    return link


def predict(gateway: Gateway, given: dict[str, Any], path: str = MODEL, **rest: Any) -> httpx.Response:
    headers = {"Prefer": "wait", "Authorization": "Bearer r8_anything"}
    return httpx.post(gateway.url + path, json={"input": given, **rest}, headers=headers, timeout=60)


def content_of(output: str) -> bytes:
    head, _, body = output.partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(body)


@pytest.mark.parametrize("way", ["file", "data"])
def test_a_prediction_gives_the_vendors_bytes_and_the_mask_in_its_metrics(server, way, gateway):
    data = data_link(0)
    link = upload(gateway, picture(0)) if way == "file" else data
    answer = predict(gateway, {"image": link, "scale": 4})
    told = answer.json()
    assert (answer.status_code, told["status"], told["error"]) == (201, "succeeded", None)
    plain = gateway.post(picture(0))
    assert content_of(told["output"]) == plain.content
    metrics = told["metrics"]
    assert metrics["predict_time"] > 0
    assert gateway.get(metrics["blackbox_conformal_mask"]).headers["content-type"] == "image/png"
    assert gateway.get(told["urls"]["get"]).json() == told
    (listed,) = gateway.get("/v1/predictions").json()["results"]
    assert listed == told | {"output": metrics["blackbox_conformal_picture"]}
    assert (told["input"]["scale"], server.account.paid) == (4, 1)


@pytest.mark.parametrize("path", ["/v1/predictions/", "/predictions/"])
def test_a_prediction_under_the_clients_own_id_is_begun_once_and_found_by_it(
    calibration, vendor, server, tmp_path, path
):
    given = {"input": {"image": data_link(0)}}
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        url, later = f"{gateway.url}{path}order-17", {"Prefer": "respond-async"}
        first = httpx.put(url, json=given, headers=later, timeout=60)
        again = httpx.put(url, json=given, timeout=60)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json()["id"] == again.json()["id"] == "order-17"
        assert again.json()["status"] == "succeeded"
        assert gateway.get("/v1/predictions/order-17").json() == again.json()
        other = {"input": {"image": data_link(1)}}
        assert httpx.put(url, json=other, timeout=60).status_code == 409
        assert gateway.get("/v1/predictions/order-18").status_code == 404
        assert gateway.metric("requests_accepted_total") == 1
    assert server.account.paid == 1


def test_a_version_is_a_model_too_and_another_model_is_not_there(vendor, server, gateway):
    link = upload(gateway, picture(0))
    named = predict(gateway, {"image": link}, "/v1/predictions", version="any/name:fault-vendor-1")
    assert named.json()["status"] == "succeeded"
    other = predict(gateway, {"image": link}, "/v1/predictions", version="0123abcd")
    assert (other.status_code, other.json()["title"]) == (404, "Not Found")
    assert "0123abcd" in other.json()["detail"]


def test_what_a_prediction_does_not_take_is_refused_by_name(server, gateway):
    link = upload(gateway, picture(0))
    for given, rest, said in (
        ({"image": link, "face_enhance": True}, {}, "face_enhance"),
        ({"image": link}, {"stream": True}, "stream"),
        ({"image": link}, {"priority": 1}, "priority"),
        ({"prompt": "a cat"}, {}, "link of a picture"),
        ({"image": "https://example.com/in.png"}, {}, "follows no other links"),
        ({"image": link}, {"webhook": "http://example.com/"}, "--webhook-host example.com"),
    ):
        refused = predict(gateway, given, **rest)
        assert refused.status_code == 422, said
        assert said in refused.json()["detail"]
    assert server.account.paid == 0


def test_a_prediction_is_polled_and_cancelled(server, gateway):
    server.script = {"submit": "slow-start:seconds=0.5"}
    body = {"input": {"image": upload(gateway, picture(0))}}
    begun = httpx.post(gateway.url + MODEL, json=body).json()
    assert begun["status"] in ("starting", "processing")
    assert begun["output"] is None
    cancelled = httpx.post(begun["urls"]["cancel"]).json()
    assert (cancelled["status"], gateway.get(begun["urls"]["get"]).json()["status"]) == ("canceled", "canceled")


def test_what_is_waited_for_in_vain_is_starting(server, gateway):
    server.script = {"submit": "slow-start:seconds=1.5"}
    body = {"input": {"image": data_link(0)}}
    begun = httpx.post(gateway.url + MODEL, json=body, headers={"Prefer": "wait=1"}, timeout=60).json()
    assert (begun["status"], gateway.get(begun["urls"]["get"]).json()["status"]) == ("starting", "processing")


def test_metadata_of_a_file_may_be_a_field_or_a_file(gateway):
    for metadata, status in ((b'{"a": 1}', 201), (b"no JSON", 422)):
        files = {"content": ("in.png", picture(0), "image/png"), "metadata": ("blob", metadata, "application/json")}
        assert httpx.post(f"{gateway.url}/v1/files", files=files).status_code == status


def test_what_another_dialect_was_asked_for_is_no_prediction(gateway):
    number = gateway.json(picture(0))["id"]
    assert gateway.get(f"/v1/predictions/{number}").status_code == 404
    assert httpx.post(f"{gateway.url}/v1/predictions/{number}/cancel").status_code == 404
    assert gateway.get(f"/pictures/{number}").status_code == 200


@pytest.mark.sqlite
def test_receivers_that_do_not_answer_hold_up_nobody(calibration, vendor, tmp_path, monkeypatch):
    answering, received = threading.Event(), threading.Semaphore(0)

    def post(address: str, *_: Any) -> None:
        received.release()
        if "slow" in address:
            answering.wait(60)

    monkeypatch.setattr(service, "post", post)
    monkeypatch.setattr(service, "_LOOK_S", 0.05)
    with serving(
        calibration, vendor, tmp_path / "run", terms=GatewayTerms(webhook_hosts=("receiver", "other"))
    ) as gateway:
        link = upload(gateway, picture(0))
        for _ in range(service.AT_ONCE + 32):
            predict(gateway, {"image": link}, webhook="http://receiver/slow", webhook_events_filter=["completed"])
        for _ in range(service.AT_ONCE_A_HOST):
            assert received.acquire(timeout=60)
        assert gateway.post(picture(1)).status_code == 200
        # Those to the slow host, which are due earlier, wait; another host is told.
        predict(gateway, {"image": link}, webhook="http://other/quick", webhook_events_filter=["completed"])
        assert received.acquire(timeout=60)
        answering.set()
        for _ in range(33):
            assert received.acquire(timeout=60)


def test_a_webhook_is_told_until_it_listens_and_can_check_who_speaks(calibration, vendor, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(service, "_LOOK_S", 0.05)
    terms, statuses = GatewayTerms(webhook_hosts=("127.0.0.1:*",)), iter([500])
    with (
        RecordingServer(lambda head: Response(next(statuses, 200))) as post,
        serving(calibration, vendor, tmp_path / "run", terms=terms) as gateway,
    ):
        wish = {"webhook": f"{post.url}/told", "webhook_events_filter": ["completed"]}
        told = predict(gateway, {"image": upload(gateway, picture(0))}, **wish).json()
        key = gateway.get("/v1/webhooks/default/secret").json()["key"]
        while len(post.asked) < 2:
            time.sleep(0.01)
    (first, body), (second, again) = post.asked
    assert json.loads(body) == json.loads(again) == told
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    signed = f"{second.headers['webhook-id']}.{second.headers['webhook-timestamp']}.".encode() + again
    secret = base64.b64decode(key.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert second.headers["webhook-signature"] == f"v1,{expected}"
