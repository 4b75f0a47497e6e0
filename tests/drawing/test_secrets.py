"""A key, and a link that is as good as one, appear nowhere: no file, no message, no log, no event."""

import logging

import pytest
from support.draws import limits, tasks

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

KEY = "canary-5d1f00-key"
SIGNED = "signed5d1f00"


def nasty(url: str) -> dict[str, dict[str, str | Fault]]:
    """Vendors that say the key or a signed link in every place of an answer, as plans of faults."""
    text = {"message": f"your key {KEY}", "kind": "text/plain"}
    return {
        "good": {},
        "refused": {"submit": Fault("status", {"code": 422, **text})},
        "account": {"submit": Fault("status", {"code": 401, "www_authenticate": KEY, **text})},
        "echoed": {"submit": Fault("model", {"name": f"model {KEY}"})},
        "lost": {"submit": "close-without-answer"},
        "redirected": {"submit": Fault("redirect", {"location": f"https://elsewhere.example/?api_key={KEY}"})},
        "dead link": {
            "submit": Fault("mark", {"url": f"{url}/results/dead?X-Amz-Signature={SIGNED}"}),
            "download": "status:code=403",
        },
    }


@pytest.mark.parametrize("case", nasty(""))
@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_canary(tmp_path, kind, case, caplog, monkeypatch, server):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("FAULT_VENDOR_KEY", KEY)
    shown: list[str] = []
    server.script = nasty(server.url)[case]
    adapter = kind(url=server.url, keyed=True)
    with Sampler(adapter, tmp_path / "run", limits(), listener=lambda event: shown.append(repr(event))) as sampler:
        try:
            shown += [repr(outcome) for outcome in sampler.draw(tasks(1, 2))]
        except BlackboxConformalError as error:
            cause: BaseException | None = error
            while cause is not None:
                shown += [str(cause), repr(cause), repr(cause.args)]
                cause = cause.__cause__ or cause.__context__
    assert {seen.headers["authorization"] for seen in server.account.recorded if seen.method == "POST"} == {
        f"Bearer {KEY}"
    }
    shown.append(caplog.text)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            shown.append(path.read_bytes().decode("latin-1"))
    for secret in (KEY, SIGNED):
        assert not any(secret in text for text in shown)
