"""Files of requests: damage is mended, a damaged input is not sent, old ones are deleted."""

import io
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from support.gateway import Gateway, picture, serving

from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.gateway import file_store
from blackbox_conformal.gateway import gateway as desk
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.support.canonical import digest_bytes


def place(gateway: Gateway, content: bytes) -> Path:
    name = digest_bytes(content).removeprefix("sha256:")
    return gateway.run / "served" / "files" / name[:2] / name


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        content = file.read()
        file.seek(len(content) // 2)
        file.write(bytes([content[len(content) // 2] ^ 1]))


@pytest.mark.parametrize("spoil", [damage, Path.unlink])
def test_a_file_that_is_damaged_or_gone_is_made_again_from_the_stored_answer(
    calibration, vendor, server, tmp_path, spoil
):
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        found = gateway.json(picture(0))["blackbox_conformal"]
        whole = {name: gateway.get(found[name]).content for name in ("picture", "mask")}
        for content in whole.values():
            spoil(place(gateway, content))
        assert gateway.get(found["picture"]).content == whole["picture"]
        assert gateway.get(found["mask"]).status_code == 502
        again = gateway.json(picture(0))["blackbox_conformal"]
        for name, content in whole.items():
            assert gateway.get(again[name]).content == content
            assert gateway.get(found[name]).content == content
        assert not ledger_verify(gateway.run).problems
    assert server.account.paid == 1


def test_a_damaged_input_is_not_sent(server, monkeypatch, gateway):
    keep = file_store.FileStore.keep

    def kept_and_damaged(store: file_store.FileStore, content: bytes) -> str:
        digest = keep(store, content)
        place(gateway, content).write_bytes(picture(1))
        return digest

    with monkeypatch.context() as patched:
        patched.setattr(file_store.FileStore, "keep", kept_and_damaged)
        refused = gateway.post(picture(0))
    assert (refused.status_code, server.account.paid) == (502, 0)
    assert "damaged" in refused.json()["error"]
    answer = gateway.json(picture(0))["blackbox_conformal"]
    assert (gateway.get(answer["picture"]).status_code, server.account.paid) == (200, 1)


def test_old_requests_and_their_files_are_deleted_and_metrics_and_answers_stay(
    calibration, vendor, server, tmp_path, monkeypatch
):
    names = ("requests_accepted_total", "requests_ended_total", "masks_total", "trusted_shares_total")
    names += ("request_seconds_count", "request_seconds_bucket", "token_calls_total")
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        old = gateway.json(picture(0))
        before = {name: gateway.metric(name) for name in names}
    monkeypatch.setattr(desk, "DELETE_EACH_S", 0.1)
    monkeypatch.setattr(file_store, "_UNNAMED_S", 0.0)
    with serving(calibration, vendor, tmp_path / "run", terms=GatewayTerms(kept_days=1 / 24 / 3600)) as gateway:
        time.sleep(1.0)
        while gateway.get(f"/pictures/{old['id']}").status_code == 200:
            time.sleep(0.1)
        while list((tmp_path / "run" / "served" / "files").glob("*/*")):
            time.sleep(0.1)
        assert gateway.get(httpx.URL(old["blackbox_conformal"]["mask"]).path).status_code == 404
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        assert {name: gateway.metric(name) for name in names} == pytest.approx(before)
        assert gateway.post(picture(0)).status_code == 200
        assert gateway.metric("requests_accepted_total") == before["requests_accepted_total"] + 1
    assert server.account.paid == ledger_sum(tmp_path / "run")["stored"] == 1


def test_what_is_not_old_stays(calibration, vendor, tmp_path):
    with serving(calibration, vendor, tmp_path / "run", terms=GatewayTerms(kept_days=1)) as gateway:
        links = gateway.json(picture(0))["blackbox_conformal"]
    with serving(calibration, vendor, tmp_path / "run", terms=GatewayTerms(kept_days=1)) as gateway:
        time.sleep(0.5)
        path = httpx.URL(links["mask"]).path
        assert gateway.get(path).status_code == 200


def test_alpha_of_a_picture_is_put_back_with_a_mask_and_without(calibration, vendor, tmp_path):
    with Image.open(io.BytesIO(picture(0))) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    opacity = np.full(pixels.shape[:2], 255, np.uint8)
    opacity[: len(opacity) // 2] = 0
    clear = image_png(pixels, opacity=opacity)
    for outside in (0.0, 0.99):
        with serving(calibration, vendor, tmp_path / f"run-{outside}", settings={"outside": outside}) as gateway:
            links = gateway.json(clear)["blackbox_conformal"]
            files = [name for name in ("picture", "overlay", "safe") if name in links]
            assert (len(files) > 1) == (outside == 0)
            for name in files:
                shown = Image.open(io.BytesIO(gateway.get(links[name]).content))
                assert shown.mode == "RGBA"
                hidden = np.asarray(shown)[..., 3] == 0
                assert 0.3 < hidden.mean() < 0.6
            if "mask" in links:
                mask = np.asarray(Image.open(io.BytesIO(gateway.get(links["mask"]).content)))
                assert not mask[hidden].any()
                assert links["trusted_share"] == mask[~hidden].mean()
