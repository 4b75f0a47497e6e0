"""Replicate's Python client runs, uploads, waits, cancels, fails and is told by webhooks at a gateway."""

import asyncio
import io
import json
import time
from typing import Any

import httpx
import pytest
import replicate
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import InvalidSignatureError, Webhooks
from support.gateway import picture
from support.recording_server import RecordingServer

from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.raw_http import Response

MODEL = "any/blackbox-conformal"


def client_of(gateway: str) -> replicate.Client:
    client = replicate.Client(api_token="made-up", base_url=gateway)
    client.poll_interval = 0.05
    return client


def given(number: int, **fields: Any) -> dict[str, Any]:
    return {"image": io.BytesIO(picture(number)), **fields}


def vendors(gateway: str, number: int) -> bytes:
    """The picture of the vendor, as a plain form gets it."""
    files = {"image": ("in.png", picture(number), "image/png")}
    return httpx.post(f"{gateway}/pictures", files=files, timeout=60).content


def test_every_way_gives_the_vendors_bytes_and_one_is_paid(gateway: str, vendor: FaultServer) -> None:
    client, paid = client_of(gateway), vendor.account.paid
    plain = vendors(gateway, 500)
    assert client.run(MODEL, input=given(500, scale=4)).read() == plain
    assert client.run("any/fault-synchronous:fault-vendor-1", input=given(500)).read() == plain
    assert asyncio.run(client.async_run(MODEL, input=given(500))).read() == plain
    assert client.run(MODEL, input=given(500), file_encoding_strategy="base64").read() == plain
    assert vendor.account.paid == paid + 1


def test_who_waits_in_vain_polls(gateway: str, vendor: FaultServer) -> None:
    vendor.script = {"submit": "slow-start:seconds=1.5"}
    output = client_of(gateway).run(MODEL, input=given(501), wait=1)
    assert output.read() == vendors(gateway, 501)


def test_the_mask_is_in_the_metrics_of_a_prediction(gateway: str) -> None:
    client = client_of(gateway)
    prediction = client.predictions.create(model=MODEL, input=given(502))
    prediction.wait()
    metrics = prediction.metrics
    assert httpx.get(metrics["blackbox_conformal_mask"]).headers["content-type"] == "image/png"
    share = httpx.get(metrics["blackbox_conformal_certificate"]).json()["trusted_share"]
    assert share == metrics["blackbox_conformal_trusted_share"]
    assert client.predictions.get(prediction.id).metrics == metrics
    assert prediction.id in [listed.id for listed in client.predictions.list()]


def test_a_prediction_is_cancelled(gateway: str, vendor: FaultServer) -> None:
    vendor.script = {"submit": "slow-start:seconds=1"}
    client = client_of(gateway)
    prediction = client.predictions.create(model=MODEL, input=given(503))
    prediction.cancel()
    assert client.predictions.get(prediction.id).status == "canceled"


def test_the_client_checks_who_sends_a_webhook(gateway: str) -> None:
    client = client_of(gateway)
    with RecordingServer(lambda _: Response(200, {}, b"")) as told:
        prediction = client.predictions.create(
            model=MODEL, input=given(504), webhook=f"{told.url}/told", webhook_events_filter=["completed"]
        )
        while not told.asked:
            time.sleep(0.02)
    (message,) = told.asked
    headers, body, secret = dict(message.head.headers), message.body.decode(), client.webhooks.default.secret()
    Webhooks.validate(headers=headers, body=body, secret=secret)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=headers, body=body + " ", secret=secret)
    prediction.reload()
    assert json.loads(body)["metrics"] == prediction.metrics


def test_errors_are_the_clients_own(gateway: str, spent_gateway: str, vendor: FaultServer) -> None:
    paid = vendor.account.paid
    with pytest.raises(ReplicateError, match="face_enhance") as refused:
        client_of(gateway).run(MODEL, input=given(505, face_enhance=True))
    assert refused.value.status == 422
    with pytest.raises(ReplicateError, match="no model somebody/else"):
        client_of(gateway).run("somebody/else", input=given(505))
    with pytest.raises(ModelError, match=r"0\.001 allowed"):
        client_of(spent_gateway).run(MODEL, input=given(505))
    vendor.script = {"submit": "status:code=401"}
    with pytest.raises(ModelError) as failed:
        client_of(gateway).run(MODEL, input=given(505))
    assert failed.value.prediction.status == "failed"
    assert vendor.account.paid == paid
