"""The viewer beside a gateway: it shows what the gateway masked, behind its own key, and never costs a request."""

import json
from pathlib import Path

import httpx
import pytest
from support.gateway import calibrated, picture, serving

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.pages.report.full_size import FullSizeStore
from blackbox_conformal.pages.viewer.view_page import ViewBesideGateway
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated(tmp_path_factory.mktemp("served"))


def test_the_page_shows_what_the_gateway_masked_to_who_knows_its_link(calibration, tmp_path, server):
    tokens = tmp_path / "tokens.json"
    made = Tokens(tokens).new("alice").reveal()
    view = ViewBesideGateway(tmp_path / "run", Calibration.load(calibration), 0.9, ())
    vendor = SynchronousVendor(url=server.url)
    given = {"tokens": tokens, "on_masked": view.on_masked, "around": view.around}
    with serving(calibration, vendor, tmp_path / "run", **given) as gateway:
        page = f"{gateway.url}{view.path}"
        assert "keeps no full-size pictures" in httpx.get(page).text
        told = gateway.json(picture(0), token=made)
        assert 'id="stage"' in httpx.get(page).text
        ((stem, name, kind, *_),) = httpx.get(f"{page}pictures").json()["pictures"]
        assert (name, kind) == ("in", "result")
        served = gateway.get(f"/files/{told['id']}/mask.png", made).content
        assert httpx.get(f"{page}pictures/{stem}/mask/{_stop(page, 0.9)}").content == served
        # The gateway's own addresses ask for a token as before, and the page's key opens nothing else.
        assert gateway.get("/metrics").status_code == 401
        assert gateway.get("/view/").status_code == 404
        assert gateway.get(f"{view.path}../metrics").status_code in (401, 404)
        assert httpx.get(page, headers={"Host": "evil.example"}).status_code == 421


def _stop(page: str, alpha: float) -> int:
    text = httpx.get(page).text.split('id="stops">')[1].split("</script>")[0]
    labels: list[str] = json.loads(text)["labels"]
    return labels.index(f"{alpha:g}")


def test_a_request_is_answered_when_nothing_can_be_kept(calibration, tmp_path, monkeypatch, server):
    def full(*_: object, **__: object) -> None:
        raise IncompleteError("the disk is full")

    monkeypatch.setattr(FullSizeStore, "keep", full)
    view = ViewBesideGateway(tmp_path / "run", Calibration.load(calibration), 0.9, ())
    vendor = SynchronousVendor(url=server.url)
    given = {"on_masked": view.on_masked, "around": view.around}
    with serving(calibration, vendor, tmp_path / "run", **given) as gateway:
        answer = gateway.post(picture(0))
        assert answer.status_code == 200
