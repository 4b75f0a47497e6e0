"""A key, and a link that is as good as one, appear nowhere: no file, no message, no log, no event."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from sampling.tiny_vendor import AtOnce, ByJobs, Reply, TinyVendor, quick, serving, tasks

from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.sampling.sampler import Sampler

KEY = "canary-5d1f00-key"
SIGNED = "signed5d1f00"


def nasty(vendor: TinyVendor, case: str) -> Any:
    def answer(path: str, number: int) -> Reply | None:
        if case == "good":
            return None
        if case == "refused":
            return 422, {}, f"your key {KEY}".encode()
        if case == "account":
            return 401, {"www-authenticate": KEY}, KEY.encode()
        if case == "echoed":
            return (200, {"x-model": f"model {KEY}"}, b"picture") if path == "/upscale" else None
        if case == "lost":
            return 0, {}, b""
        if case == "redirected":
            return 302, {"location": f"https://elsewhere.example/?api_key={KEY}"}, b""
        if case == "dead link" and path.startswith("/jobs/"):
            link = f"{vendor.url}/dead?X-Amz-Signature={SIGNED}"
            return 200, {}, json.dumps({"done": True, "link": link}).encode()
        if case == "dead link" and path.startswith("/dead"):
            return 403, {}, b""
        return None

    return answer


@pytest.mark.parametrize("case", ["good", "refused", "account", "echoed", "lost", "redirected", "dead link"])
@pytest.mark.parametrize("kind", [AtOnce, ByJobs])
def test_canary(tmp_path: Path, kind: Any, case: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    with serving() as vendor:
        vendor.answer = nasty(vendor, case)
        with Sampler(
            kind(url=vendor.url, key=KEY), tmp_path / "run", quick(), listener=lambda event: shown.append(repr(event))
        ) as sampler:
            try:
                shown += [repr(outcome) for outcome in sampler.draw(tasks(1, 2))]
            except BlackboxConformalError as error:
                cause: BaseException | None = error
                while cause is not None:
                    shown += [str(cause), repr(cause), repr(cause.args)]
                    cause = cause.__cause__ or cause.__context__
        keys = [seen[2].get("x-api-key") for seen in vendor.seen if seen[0] == "POST"]
    assert keys
    assert set(keys) == {KEY}
    shown.append(caplog.text)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            shown.append(path.read_bytes().decode("latin-1"))
    for secret in (KEY, SIGNED):
        assert not any(secret in text for text in shown)
