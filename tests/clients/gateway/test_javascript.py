"""The JavaScript clients of fal and Replicate run, upload, wait, fail and are told by webhooks at a gateway."""

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from support.gateway import picture
from support.losing_proxy import LosingProxy

from blackbox_conformal.documents import ed25519
from blackbox_conformal.testing.fault_server import FaultServer

SCRIPTS = Path(__file__).parent / "scripts"
CLIENTS = os.environ.get("JAVASCRIPT_CLIENTS")
"""The folder ``node_modules`` that holds the clients."""

pytestmark = pytest.mark.skipif(CLIENTS is None, reason="JAVASCRIPT_CLIENTS names no folder")


def scripted(name: str, *arguments: str | Path) -> dict[str, Any]:
    """What a script tells."""
    command = ["node", str(SCRIPTS / f"{name}_javascript.cjs"), *map(str, arguments)]
    environment = {**os.environ, "NODE_PATH": str(CLIENTS)}
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def vendors(gateway: str, number: int) -> bytes:
    """The picture of the vendor, as a plain form gets it."""
    files = {"image": ("in.png", picture(number), "image/png")}
    return httpx.post(f"{gateway}/pictures", files=files, timeout=60).content


@pytest.fixture(scope="session")
def fal(gateway: str, spent_gateway: str, vendor: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    vendor.script = {}
    paid, file = vendor.account.paid, tmp_path_factory.mktemp("fal") / "in.png"
    file.write_bytes(picture(300))
    with LosingProxy(gateway) as way:
        told = scripted("fal", gateway, spent_gateway, file, way.url)
    assert way.lost
    return {**told, "paid": vendor.account.paid - paid}


@pytest.fixture(scope="session")
def replicate(gateway: str, spent_gateway: str, vendor: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    vendor.script = {"submit": "slow-start:seconds=1.5"}
    paid, file = vendor.account.paid, tmp_path_factory.mktemp("replicate") / "in.png"
    file.write_bytes(picture(301))
    return {**scripted("replicate", gateway, spent_gateway, file), "paid": vendor.account.paid - paid}


def test_fal_gets_the_vendors_bytes_and_the_mask_in_every_way(gateway: str, fal: dict[str, Any]) -> None:
    plain = vendors(gateway, 300)

    def got(link: str) -> httpx.Response:
        # A link leads to where the client sent its request, which may have been the way on which an answer is lost.
        return httpx.get(gateway + urlsplit(link).path)

    for result in (fal["lost"], fal["run"], *fal["subscribed"].values(), fal["result"]):
        assert got(result["data"]["image"]["url"]).content == plain
        facts = result["data"]["blackbox_conformal"]
        assert got(facts["mask"]).headers["content-type"] == "image/png"
        assert got(facts["certificate"]).json()["trusted_share"] == facts["trusted_share"]
    assert fal["result"]["requestId"] == fal["queued"]["request_id"]
    # The answer to the first request was lost, and the client asked again.
    assert fal["paid"] == 1


def test_fal_sees_statuses_by_polling_and_streaming(fal: dict[str, Any]) -> None:
    for seen in fal["statuses"].values():
        assert seen[-1] == "COMPLETED"
        assert set(seen) <= {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}


def test_fals_errors_are_the_clients_own(fal: dict[str, Any]) -> None:
    assert (fal["unknown"]["class"], fal["unknown"]["status"]) == ("ValidationError", 422)
    assert "face_enhance" in fal["unknown"]["problems"][0]
    assert (fal["strict"]["class"], fal["strict"]["status"]) == ("ValidationError", 422)
    assert "seedable" in fal["strict"]["problems"][0]
    assert "x-fal-object-lifecycle-preference" in fal["kept"]["problems"][0]
    assert (fal["spent"]["class"], fal["spent"]["status"]) == ("ApiError", 402)
    assert "0.001 allowed" in fal["spent"]["body"]["detail"]
    assert fal["late"]["status"] == 400


def test_fals_webhook_can_check_who_speaks(gateway: str, fal: dict[str, Any]) -> None:
    headers, body = fal["message"]["headers"], fal["message"]["body"].encode()
    (key,) = httpx.get(f"{gateway}/.well-known/jwks.json").json()["keys"]
    public = base64.urlsafe_b64decode(key["x"] + "=")
    names = ("request-id", "user-id", "timestamp")
    signed = "\n".join([*(headers[f"x-fal-webhook-{name}"] for name in names), hashlib.sha256(body).hexdigest()])
    signature = bytes.fromhex(headers["x-fal-webhook-signature"])
    assert ed25519.verifies(public, signed.encode(), signature)
    told = json.loads(body)
    assert (told["status"], told["request_id"]) == ("OK", fal["queued"]["request_id"])
    assert told["payload"] == fal["result"]["data"]


def test_replicate_gets_the_vendors_bytes_and_the_mask(gateway: str, replicate: dict[str, Any]) -> None:
    plain = vendors(gateway, 301)
    assert base64.b64decode(replicate["blocking"]) == base64.b64decode(replicate["polling"]) == plain
    assert replicate["seen"][-1] == "succeeded"
    metrics = replicate["waited"]["metrics"]
    assert httpx.get(metrics["blackbox_conformal_mask"]).headers["content-type"] == "image/png"
    share = httpx.get(metrics["blackbox_conformal_certificate"]).json()["trusted_share"]
    assert share == metrics["blackbox_conformal_trusted_share"]
    assert replicate["paid"] == 1


def test_replicates_errors_and_webhooks(replicate: dict[str, Any]) -> None:
    assert (replicate["unknown"]["class"], replicate["unknown"]["status"]) == ("ApiError", 422)
    assert "face_enhance" in replicate["unknown"]["message"]
    assert "0.001 allowed" in replicate["spent"]["message"]
    assert (replicate["valid"], replicate["forged"]) == (True, False)
    assert replicate["message"] == replicate["waited"]
