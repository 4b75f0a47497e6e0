"""A dialect of another package, found by its entry point and spoken to over a socket."""

import os
from pathlib import Path

import httpx
import pytest
from support.command_line import called_in_new_process
from support.gateway import calibrated, picture
from support.gateway_process import GatewayProcess

from blackbox_conformal.testing.fault_server import FaultServer

CODE = '''
from blackbox_conformal.gateway.request import Order
from blackbox_conformal.gateway.dialects.dialect import Dialect, Route
from blackbox_conformal.gateway.http_exchange import HttpAnswer


class Raw(Dialect):
    """The picture is the body."""

    def routes(self):
        return (Route("POST", "/raw", self._create, "Send a picture.", {"image/png": {}}),)

    async def _create(self, gateway, http):
        order = Order(picture=http.body, options=dict(http.query))
        request = await gateway.ended(await gateway.accept(http, "raw", order))
        return HttpAnswer(200, gateway.content(request, "picture"), "image/png", gateway.headers(request))

    def as_json(self, gateway, request):
        return gateway.as_json(request)
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    information = tmp_path / "site" / "tiny_dialect.dist-info"
    information.mkdir(parents=True)
    (information.parent / "tiny_dialect.py").write_text(CODE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-dialect\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[blackbox_conformal.dialects]\nraw = tiny_dialect:Raw\n")
    return information.parent


def test_a_dialect_of_another_package_is_served(tmp_path, site, monkeypatch):
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    calibration = calibrated(tmp_path / "calibrated", idempotent=True)
    with FaultServer(idempotent=True) as server:
        gateway = GatewayProcess(calibration, server.url, tmp_path / "run", "--max-cost", "1", "--as", "raw").start()
        try:
            answer = httpx.post(f"{gateway.url}/raw", content=picture(0), timeout=60)
            files = {"image": ("in.png", picture(0), "image/png")}
            assert answer.content == httpx.post(f"{gateway.url}/pictures", files=files, timeout=60).content
            assert httpx.get(answer.headers["x-blackbox-conformal-mask"]).status_code == 200
            refused = httpx.post(f"{gateway.url}/raw?sharpness=3", content=picture(0), timeout=60)
            assert refused.status_code == 422
            assert "/raw" in httpx.get(f"{gateway.url}/openapi.json").json()["paths"]
        finally:
            gateway.terminate()
        assert (gateway.wait(), server.account.paid) == (0, 1)
    given = ["--calibration", str(calibration), "--alpha", "0.9", "-p", f"url={server.url}", "-p", "idempotent=true"]
    vendor = ["--adapter", "blackbox_conformal.testing.reference_adapters:SynchronousVendor", "--max-cost", "1"]
    unknown = called_in_new_process("serve", *given, *vendor, "--as", "rawr", "--run", str(tmp_path / "run"), code=2)
    assert "expected the name of a dialect; got 'rawr'; did you mean raw?" in " ".join(unknown.stderr.split())
