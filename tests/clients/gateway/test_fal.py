"""fal's Python client runs, queues, uploads and fails at a gateway that speaks https."""

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from clients.gateway.conftest import CERTIFICATE
from support.gateway import picture

from blackbox_conformal.testing.fault_server import FaultServer

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.fixture(scope="session")
def said(secure_gateway: str, vendor: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script tells, and how many pictures the vendor was paid for."""
    folder, host = tmp_path_factory.mktemp("fal"), secure_gateway.removeprefix("https://")
    (folder / "in.png").write_bytes(picture(200))
    (folder / "other.png").write_bytes(b"no picture")
    names = {"FAL_RUN_HOST": f"{host}/fal/run", "FAL_QUEUE_RUN_HOST": f"{host}/fal/queue"}
    environment = {**os.environ, **names, "FAL_KEY": "made-up", "SSL_CERT_FILE": str(CERTIFICATE)}
    vendor.script = {}
    paid = vendor.account.paid
    command = [sys.executable, str(SCRIPTS / "fal_python.py"), "in.png", "other.png"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    told: dict[str, Any] = json.loads(ended.stdout)
    return {**told, "paid": vendor.account.paid - paid}


def get(link: str) -> httpx.Response:
    return httpx.get(link, verify=ssl.create_default_context(cafile=str(CERTIFICATE)))


def test_every_way_gives_the_vendors_bytes_and_one_is_paid(secure_gateway: str, said: dict[str, Any]) -> None:
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    files = {"image": ("in.png", picture(200), "image/png")}
    plain = httpx.post(f"{secure_gateway}/pictures", files=files, verify=context).content
    for way in ("run", "subscribed", "done", "of the file"):
        assert get(said[way]["image"]["url"]).content == plain
        assert said[way]["images"] == [said[way]["image"]]
        facts = said[way]["blackbox_conformal"]
        assert get(facts["mask"]).headers["content-type"] == "image/png"
        assert get(facts["certificate"]).json()["trusted_share"] == facts["trusted_share"]
    assert said["run"]["image"]["file_size"] == len(plain)
    # With other parameters than the calibrated ones the request was strict, so that the vendor was not asked.
    assert said["paid"] == 1


def test_statuses_are_those_that_the_client_knows(said: dict[str, Any]) -> None:
    assert said["statuses"][-1] == "Completed"
    assert set(said["statuses"]) <= {"Queued", "InProgress", "Completed"}
    assert said["logs"] == []
    assert said["metrics"]["inference_time"] > 0
    assert said["again"]


@pytest.mark.parametrize(
    ("what", "status", "kind", "words"),
    [
        ("unknown field", 422, None, "no field face_enhance"),
        ("no picture", 422, None, "PNG"),
        ("strict", 422, None, "seedable"),
        ("model", 404, "bad_request", "no model"),
        ("webhook", 422, None, "--webhook-host example.com"),
    ],
)
def test_errors_are_the_clients_own(said: dict[str, Any], what: str, status: int, kind: str | None, words: str) -> None:
    error = said[what]
    assert (error["class"], error["status"], error["type"]) == ("FalClientHTTPError", status, kind)
    assert words in json.dumps(error["message"])


def test_what_has_ended_is_not_cancelled(said: dict[str, Any]) -> None:
    assert said["cancelled too late"]["status"] == 400
