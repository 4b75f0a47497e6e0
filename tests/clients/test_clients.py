"""The adapters ask what the vendors' own clients ask, and read the same answers as they do."""

import os
import re
from typing import Any

import pytest
from clients import of_bedrock
from clients.case import RESULT, Case, png
from clients.cases import CASES
from clients.exchange import CERTIFICATE, asked, differences, draw_ours, vendor

from blackbox_conformal.errors import VendorError
from blackbox_conformal.study.plugins import adapter_class
from blackbox_conformal.vendor.adapter import Adapter, Draw, Upload
from blackbox_conformal.vendor.example import example_of

SEED = 1007
READINGS = [(case, reading) for case in CASES for reading in case.readings]


@pytest.fixture(autouse=True)
def _only_made_up_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Neither side finds a key, a configuration or a proxy of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "HF_", "FAL_", "GOOGLE_", "RUNPOD_", "REPLICATE_")) or "proxy" in name.lower():
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(CERTIFICATE))


def adapter_of(case: Case, address: str, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    kind = adapter_class(case.adapter)
    shown = example_of(kind)
    for name, value in {**shown.environment, **case.environment}.items():
        monkeypatch.setenv(name, value)
    filled = {
        name: value.replace("{address}", address) if isinstance(value, str) else value
        for name, value in case.parameters.items()
    }
    return kind(**filled)


def upload_of(case: Case) -> Upload:
    content = png(400, noise=True) if case.large else png(64)
    side = 400 if case.large else 64
    return Upload("cat", "sha256:" + "0" * 64, content, side, side)


def seeded(adapter: Adapter) -> Draw:
    return Draw(0, SEED if adapter.capabilities.seedable else None, "key-of-draw-0")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_requests_are_the_clients_own(case, monkeypatch):
    with vendor(case.script, case.secure) as server:
        theirs = case.call(server.url, upload_of(case), SEED)
        of_client = list(server.asked)
        server.forget()
        adapter = adapter_of(case, server.url, monkeypatch)
        ours = draw_ours(adapter, upload_of(case), seeded(adapter), case.job)
        of_adapter = list(server.asked)
    assert theirs == ours.picture == RESULT
    found = differences(asked(of_adapter), asked(of_client, case.alias))
    unlisted = [f"{place}: {what}" for place, what in found.items() if place not in case.deliberate]
    assert not unlisted, "\n".join(unlisted)
    gone = sorted(set(case.deliberate) - set(found))
    assert not gone, "listed, and no difference any more: " + ", ".join(gone)


@pytest.mark.parametrize(("case", "reading"), READINGS, ids=[f"{case.adapter}: {it.said}" for case, it in READINGS])
def test_an_answer_is_read_alike(case, reading, monkeypatch):
    with vendor({**case.script, **reading.script}, case.secure) as server:
        with pytest.raises(Exception) as theirs:
            case.call(server.url, upload_of(case), SEED)
        server.forget()
        adapter = adapter_of(case, server.url, monkeypatch)
        with pytest.raises(VendorError) as ours:
            draw_ours(adapter, upload_of(case), seeded(adapter), case.job)
    assert (theirs.type.__name__, ours.type.__name__) == (reading.theirs, reading.ours)


@pytest.mark.parametrize("call", [of_bedrock.signed, of_bedrock.signed_by_a_profile])
def test_the_clients_signer_makes_the_adapters_signature(call, monkeypatch):
    case = next(case for case in of_bedrock.CASES if case.call is call)
    with vendor(case.script) as server:
        adapter = adapter_of(case, server.url, monkeypatch)
        draw_ours(adapter, upload_of(case), seeded(adapter), case.job)
        (request,) = server.asked
        headers = dict(request.head.headers)
        ours, time = headers.pop("authorization"), headers.pop("x-amz-date")
        names = re.findall(r"SignedHeaders=([^,]+)", ours)[0].split(";")
        signed = {name: headers[name] for name in names if name in headers and name != "host"}
        theirs = of_bedrock.signature("POST", server.url + request.head.target, signed, request.body, time)
    assert ours == theirs
