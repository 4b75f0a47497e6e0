"""fal's interface: its queue, direct runs, uploads, streams of statuses, and what goes through a client's proxy."""

import base64
import hashlib
import json
import time
from typing import Any

import httpx
from support.gateway import Gateway, data_link, picture, serving
from support.recording_server import RecordingServer

from blackbox_conformal.documents import ed25519
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.gateway.tokens import Tokens

DIALECTS = ("fal", "multipart")
MODEL = "any/blackbox-conformal"


def submit(gateway: Gateway, number: int, query: str = "", **fields: Any) -> httpx.Response:
    body = {"image_url": data_link(number), **fields}
    return httpx.post(f"{gateway.url}/fal/queue/{MODEL}{query}", json=body, timeout=60)


def ended(gateway: Gateway, queued: dict[str, Any]) -> dict[str, Any]:
    while True:
        answer = gateway.get(queued["status_url"] + "?logs=1")
        told: dict[str, Any] = answer.json()
        assert answer.status_code == (200 if told["status"] == "COMPLETED" else 202)
        if answer.status_code == 200:
            return told


def test_a_request_is_queued_followed_and_fetched(server, gateway):
    server.script = {"submit": "slow-start:seconds=0.3"}
    queued = submit(gateway, 0, scale=4).json()
    assert queued["status"] == "IN_QUEUE"
    early = gateway.get(queued["response_url"])
    assert (early.status_code, early.json()["error_type"]) == (400, "bad_request")
    with httpx.stream("GET", queued["status_url"] + "/stream", timeout=60) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        events = [line for line in streamed.iter_lines() if line]
    told = [json.loads(event.removeprefix("data: ")) for event in events]
    assert told[-1]["status"] == "COMPLETED"
    assert len(told) == len(set(events)) >= 2
    assert ended(gateway, queued)["logs"] == []
    result = gateway.get(queued["response_url"])
    assert result.headers["x-fal-request-id"] == queued["request_id"]
    image = result.json()["image"]
    plain = gateway.post(picture(0)).content
    assert gateway.get(image["url"]).content == plain
    assert (image["content_type"], image["file_size"]) == ("image/png", len(plain))
    direct = httpx.post(f"{gateway.url}/fal/run/{MODEL}", json={"image_url": data_link(0)}, timeout=60)
    assert gateway.get(direct.json()["blackbox_conformal"]["mask"]).headers["content-type"] == "image/png"
    assert server.account.paid == 1


def test_a_cancelled_and_a_failed_request_are_completed_with_an_error(server, gateway):
    server.script = {"submit": ["slow-start:seconds=0.5", "status:code=401"]}
    queued = submit(gateway, 0).json()
    # Else the other request may be the first of the script.
    while not server.account.requests("submit"):
        time.sleep(0.01)
    cancelled = httpx.put(queued["cancel_url"])
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "CANCELLATION_REQUESTED")
    assert httpx.put(queued["cancel_url"]).status_code == 400
    assert ended(gateway, queued)["error_type"] == "client_cancelled"
    assert gateway.get(queued["response_url"]).status_code == 499
    failing = submit(gateway, 1).json()
    told = ended(gateway, failing)
    assert told["error_type"] == "runner_server_error"
    failed = gateway.get(failing["response_url"])
    assert (failed.status_code, failed.headers["x-fal-error-type"]) == (500, "runner_server_error")
    assert failed.json()["detail"] == told["error"]


def test_what_is_not_taken_is_refused_by_name(server, gateway):
    refused = (
        (submit(gateway, 0, face_enhance=True), "face_enhance"),
        (submit(gateway, 0, scale=2), "expected scale=4"),
        (submit(gateway, 0, "?fal_max_queue_length=3"), "fal_max_queue_length"),
        (submit(gateway, 0, "?fal_webhook=https://example.com/"), "--webhook-host example.com"),
        (submit(gateway, 0, second_url="https://example.com/in.png"), "got 2"),
        (submit(gateway, 0, image_url="https://example.com/in.png"), "follows no other links"),
    )
    for answer, said in refused:
        assert answer.status_code == 422
        assert said in answer.json()["detail"][0]["msg"]
    unknown = httpx.post(f"{gateway.url}/fal/queue/fal-ai/esrgan", json={"image_url": data_link(0)})
    assert unknown.status_code == 404
    assert "no model fal-ai/esrgan" in unknown.json()["detail"]
    assert server.account.paid == 0


def announced(gateway: Gateway, token: str = "") -> dict[str, str]:
    body = {"file_name": "in.png", "content_type": "image/png"}
    headers = {"Authorization": f"Key {token}"} if token else {}
    answer = httpx.post(f"{gateway.url}/fal/rest/storage/upload/initiate", json=body, headers=headers)
    links: dict[str, str] = answer.json()
    return links


def test_an_announced_file_is_sent_once_and_is_its_owners(calibration, vendor, tmp_path):
    tokens = tmp_path / "tokens.json"
    alice, bob = (Tokens(tokens).new(name).reveal() for name in ("alice", "bob"))
    with serving(calibration, vendor, tmp_path / "run", dialects=DIALECTS, tokens=tokens) as gateway:
        links = announced(gateway, alice)

        def run(token: str) -> int:
            body, headers = {"image_url": links["file_url"]}, {"Authorization": f"Key {token}"}
            return httpx.post(f"{gateway.url}/fal/run/{MODEL}", json=body, headers=headers, timeout=60).status_code

        assert run(alice) == 404
        # The clients show no token here.
        assert httpx.put(links["upload_url"], content=picture(0)).status_code == 200
        assert httpx.put(links["upload_url"], content=picture(0)).status_code == 200
        assert httpx.put(links["upload_url"], content=picture(1)).status_code == 404
        assert httpx.put(f"{gateway.url}/files/{'a' * 32}", content=picture(2)).status_code == 404
        kept = {file.read_bytes() for file in (tmp_path / "run" / "served" / "files").rglob("*") if file.is_file()}
        assert picture(2) not in kept
        assert (run(alice), run(bob)) == (200, 404)


def test_a_webhook_tells_what_went_wrong_and_can_be_checked_by_anybody(calibration, vendor, server, tmp_path):
    server.script = {"submit": "status:code=422"}
    tokens, terms = tmp_path / "tokens.json", GatewayTerms(webhook_hosts=("127.0.0.1:*",))
    headers = {"Authorization": f"Key {Tokens(tokens).new('alice').reveal()}"}
    given = {"dialects": DIALECTS, "terms": terms, "tokens": tokens}
    with RecordingServer() as post, serving(calibration, vendor, tmp_path / "run", **given) as gateway:
        address = f"{gateway.url}/fal/queue/{MODEL}?fal_webhook={post.url}/told"
        queued = httpx.post(address, json={"image_url": data_link(0)}, headers=headers).json()
        while not post.asked:
            time.sleep(0.02)
        result = httpx.get(queued["response_url"], headers=headers)
        # Who checks a message has no token.
        (key,) = httpx.get(f"{gateway.url}/.well-known/jwks.json").json()["keys"]
    ((head, body),) = post.asked
    told = json.loads(body)
    assert (told["status"], told["error"]) == ("ERROR", "Invalid status code: 422")
    assert told["payload"] == result.json()
    names = ("request-id", "user-id", "timestamp")
    said = [head.headers[f"x-fal-webhook-{name}"] for name in names]
    assert said[:2] == [queued["request_id"], "alice"]
    signed = "\n".join([*said, hashlib.sha256(body).hexdigest()]).encode()
    public = base64.urlsafe_b64decode(key["x"] + "=")
    assert ed25519.verifies(public, signed, bytes.fromhex(head.headers["x-fal-webhook-signature"]))


def test_a_proxy_serves_what_is_meant_for_fals_hosts_and_nothing_else(gateway):
    meant = {f"https://fal.run/{MODEL}": 200, f"https://queue.fal.run/{MODEL}": 200}
    meant["https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3"] = 422
    others = (
        "https://example.com/any/blackbox-conformal",
        "https://rest.fal.ai/tokens/",
        "/fal/proxy",
        "https://[",
        "",
    )
    for target, status in (meant | dict.fromkeys(others, 404)).items():
        body, headers = {"image_url": data_link(0)}, {"x-fal-target-url": target}
        answer = httpx.post(f"{gateway.url}/fal/proxy", json=body, headers=headers, timeout=60)
        assert (answer.status_code, httpx.get(f"{gateway.url}/fal/proxy", headers=headers).status_code) == (status, 404)


def test_the_description_names_paths_without_their_kinds(gateway):
    document = gateway.get("/openapi.json").json()
    operation = document["paths"]["/fal/queue/{model}/requests/{id}/status"]["get"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["model", "id"]
