"""A plain form: the vendor's bytes unchanged, the mask by links and headers, nothing paid twice, upgrades."""

import contextlib
import io
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage
from support.gateway import Gateway, calibrated, picture, serving
from support.synthetic import photograph, reduced

import blackbox_conformal as bc
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.drawing.acceptance import STRANGERS
from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.errors import LedgerError, SuspendedError
from blackbox_conformal.gateway import served_pictures
from blackbox_conformal.gateway.book import SqliteBook
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.overlay import overlay
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.support.canonical import digest_bytes


def unlike() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    body = io.BytesIO()
    PillowImage.fromarray(noise).save(body, "PNG")
    return body.getvalue()


def pixels(answer: httpx.Response) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(answer.content)))


def test_the_vendors_bytes_come_back_and_the_mask_is_that_of_apply(calibration, vendor, server, tmp_path, monkeypatch):
    with serving(calibration, vendor, tmp_path / "run", terms=GatewayTerms(mark=False)) as gateway:
        answer = gateway.post(picture(0))
        told = gateway.json(picture(0))
        files = {name: gateway.get(told["blackbox_conformal"][name]) for name in ("picture", "mask", "overlay", "safe")}
        certificate = gateway.get(told["blackbox_conformal"]["certificate"])
        monkeypatch.setattr(served_pictures, "about_detail", lambda *_: True)
        dotted = gateway.get(told["blackbox_conformal"]["overlay"])
    assert server.account.paid == 1
    alone = bc.mask(vendor, picture(0), calibration, 0.9, run=tmp_path / "alone", max_calls=1)
    assert answer.content == files["picture"].content == alone.vendor
    assert "x-blackbox-conformal-digital-source-type" not in answer.headers
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(pixels(files["mask"]), alone.mask)
    np.testing.assert_array_equal(pixels(files["safe"]), alone.safe)
    np.testing.assert_array_equal(pixels(files["overlay"])[alone.mask], alone.image[alone.mask])
    np.testing.assert_array_equal(pixels(dotted), overlay(alone.image, alone.mask, alone.detail))
    said = Certificate.from_json(certificate.text)
    assert said.outputs["picture"]["digest"] == digest_bytes(answer.content)
    assert said.outputs["mask"]["digest"] == digest_bytes(files["mask"].content)
    assert told["blackbox_conformal"]["trusted_share"] == alone.certificate.trusted_share
    assert float(answer.headers["x-blackbox-conformal-trusted-share"]) == round(alone.certificate.trusted_share, 6)
    assert answer.headers["x-blackbox-conformal-certificate"].endswith("/certificate.json")
    assert answer.headers["x-blackbox-conformal-status"] == said.status == "if-like-calibration"
    assert told["blackbox_conformal"]["guarantee"].startswith("If this input is like the ")
    assert said.quality == alone.certificate.quality is not None
    assert told["blackbox_conformal"]["quality"] == said.quality.model_dump(mode="json")
    assert answer.headers["x-blackbox-conformal-psnr-at-least"] == str(said.quality.psnr)
    assert answer.headers["x-blackbox-conformal-quality-condition"] == "the input is like those of the calibration"
    assert said.quality.statement.startswith("If this input is like the ")
    assert answer.headers["x-blackbox-conformal-ssim-at-least"] == str(said.quality.ssim)


def test_equal_requests_at_once_are_one_draw(calibration, vendor, server, tmp_path):
    server.script = {"submit": "slow-start:seconds=0.2"}
    with serving(calibration, vendor, tmp_path / "run") as gateway, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: gateway.post(picture(0)), range(8)))
        assert gateway.metric("spent_usd_total") == 0.01
    assert (len({answer.content for answer in answers}), server.account.paid) == (1, 1)


def test_an_idempotency_key_gives_the_same_request_and_refuses_another(gateway):
    first = gateway.json(picture(0), Idempotency_Key="once")
    assert gateway.json(picture(0), Idempotency_Key="once")["id"] == first["id"]
    assert gateway.json(picture(0))["id"] != first["id"]
    assert gateway.post(picture(1), Idempotency_Key="once").status_code == 409


def test_a_field_is_passed_on_or_refused_by_name_and_never_dropped(calibration, vendor, server, tmp_path):
    with serving(calibration, vendor, tmp_path / "run", allowed=("seedable",)) as gateway:
        unknown = gateway.post(picture(0), sharpness="7")
        address = gateway.post(picture(0), url="http://127.0.0.1:1")
        other = gateway.post(picture(0), scale="2")
        assert [answer.status_code for answer in (unknown, address, other)] == [422, 422, 409]
        assert "sharpness" in unknown.json()["detail"]
        assert "url" in address.json()["detail"]
        assert "--allow scale" in other.json()["detail"]
        assert (server.account.paid, gateway.post(picture(0), scale="4").status_code) == (0, 200)
        allowed = gateway.json(picture(0), seedable="false")
    facts = allowed["blackbox_conformal"]
    assert facts["reason"] == "the calibration is for seedable=True, and the request asks for seedable=false"
    assert "mask" not in facts
    assert "trusted_share" not in facts
    assert server.account.paid == 2


def test_an_input_unlike_the_calibrations_has_no_mask_and_strict_asks_the_vendor_nothing(
    calibration, vendor, server, tmp_path
):
    settings = {"outside": 0.2}
    with serving(calibration, vendor, tmp_path / "run", settings=settings) as gateway:
        told = gateway.json(unlike())
        assert told["state"] == "done"
        assert "does not speak of this one" in told["blackbox_conformal"]["reason"]
        assert "mask" not in told["blackbox_conformal"]
        assert (gateway.get(f"/files/{told['id']}/mask.png").status_code, server.account.paid) == (404, 1)
        asked = gateway.post(unlike(), Prefer="handling=strict")
        assert asked.status_code == 409
    with serving(
        calibration, vendor, tmp_path / "other", terms=GatewayTerms(strict=True), settings=settings
    ) as gateway:
        compressed = io.BytesIO()
        PillowImage.open(io.BytesIO(picture(0))).save(compressed, "JPEG")
        assert "the input is a JPEG file" in gateway.post(compressed.getvalue()).headers["x-blackbox-conformal-reason"]
        refused = gateway.post(unlike())
        assert refused.status_code == 409
        assert "does not speak of this one" in refused.headers["x-blackbox-conformal-reason"]
        assert gateway.post(picture(0)).status_code == 200
    assert server.account.paid == 2


def test_no_picture_and_what_the_vendor_refuses_are_the_clients_fault(server, tmp_path, gateway):
    damaged = gateway.post(picture(0)[:60])
    assert damaged.status_code == 422
    assert str(tmp_path) not in damaged.text, "where the gateway keeps uploads"
    assert damaged.json()["state"] == "refused"
    server.script = {"submit": ["status:code=422"]}
    assert gateway.post(picture(0)).status_code == 422
    server.script = {"submit": "status:code=401"}
    vendors_fault = gateway.post(picture(1))
    assert (vendors_fault.status_code, vendors_fault.json()["state"]) == (502, "failed")
    for wrong in ({}, {"picture": ("in.png", picture(0))}):
        assert httpx.post(f"{gateway.url}/pictures", files=wrong).status_code in (415, 422)


def test_who_does_not_wait_asks_by_the_id(server, gateway):
    server.script = {"submit": "slow-start:seconds=0.3"}
    asked = gateway.post(picture(0), Prefer="respond-async")
    assert asked.status_code == 202
    waited = gateway.post(picture(1), Prefer="wait=0")
    assert waited.status_code == 202
    found = gateway.get(asked.headers["location"])
    while found.status_code == 202:
        found = gateway.get(asked.headers["location"])
    assert (found.headers["content-type"], gateway.get("/pictures/nothing").status_code) == ("image/png", 404)


@pytest.mark.sqlite
def test_what_was_accepted_before_a_crash_is_answered_and_not_paid_again(calibration, vendor, server, tmp_path):
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        done, open_one = gateway.json(picture(0))["id"], gateway.json(picture(1))["id"]
        asked = gateway.metric("requests_accepted_total")
    _reopen(tmp_path / "run", open_one)
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        assert gateway.get(f"/pictures/{done}").status_code == 200
        while (found := gateway.get(f"/pictures/{open_one}")).status_code == 202:
            time.sleep(0.02)
        assert (found.status_code, gateway.metric("requests_accepted_total")) == (200, asked)
        assert gateway.metric("requests_ended_total") == 2
    assert (server.account.paid, ledger_sum(tmp_path / "run")["attempts"]) == (2, 2)


def _reopen(run: Path, number: str) -> None:
    """Leave a request as a process does that dies while it works on it."""
    book = SqliteBook(run / "served")
    query = "UPDATE request SET state = 'running', ended = NULL, facts = '{}', files = '{}' WHERE id = ?"
    book._write(lambda connection: connection.execute(query, (number,)))
    book.close()


@pytest.mark.sqlite
def test_a_row_of_the_book_that_was_changed_on_disk_is_refused(calibration, vendor, tmp_path):
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        gateway.post(picture(0))
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / "served" / "requests.sqlite")) as book, book:
        book.execute("UPDATE request SET owner = 'mallory'")
    with (
        pytest.raises(LedgerError, match="row 1 of request is not as it was written"),
        serving(calibration, vendor, tmp_path / "run") as opened,
    ):
        raise AssertionError(opened)


def test_the_description_names_every_address(gateway):
    document = json.loads(gateway.get("/openapi.json").text)
    assert {"/pictures", "/v1/predictions/{id}", "/files/{id}/{name}", "/metrics"} <= document["paths"].keys()
    assert gateway.get("/nowhere").status_code == 404
    about = gateway.get("/").json()
    assert (about["service"], about["description"]) == ("blackbox-conformal", "/openapi.json")
    assert isinstance(gateway, Gateway)


def test_while_the_watch_suspends_the_calibration_there_is_no_mask(calibration, vendor, server, tmp_path, monkeypatch):
    """The gateway also starts then, so that accepted requests are answered."""
    raised = True

    def refuse(*_: Any, **__: Any) -> None:
        if raised:
            raise SuspendedError("the calibration is suspended")

    monkeypatch.setattr("blackbox_conformal.watching.watching_hook.refuse_suspended", refuse)
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        told = gateway.json(picture(0))
        assert (told["state"], told["blackbox_conformal"]["reason"]) == ("done", "the calibration is suspended")
        assert "mask" not in told["blackbox_conformal"]
        strict = gateway.post(picture(1), Prefer="handling=strict")
        assert (strict.status_code, server.account.paid) == (409, 1)
        raised = False
        again = gateway.json(picture(0))
        assert "mask" in again["blackbox_conformal"]
    assert server.account.paid == 1


def test_another_model_of_the_vendor_has_no_mask(server, gateway):
    server.script = {"submit": "model:name=other"}
    answer = gateway.post(picture(0))
    assert answer.status_code == 200
    assert "'other'" in answer.headers["x-blackbox-conformal-reason"]
    assert "x-blackbox-conformal-mask" not in answer.headers
    strict = gateway.post(picture(1), Prefer="handling=strict")
    assert (strict.status_code, gateway.post(picture(0)).content) == (409, answer.content)
    assert server.account.paid == 2 * STRANGERS


def test_a_photograph_of_the_calibration_has_no_mask(calibration, gateway):
    told = gateway.json(image_png(reduced(photograph(0), 4)))
    assert told["state"] == "done"
    assert "mask" not in told["blackbox_conformal"]
    assert "that calibration has not seen" in told["blackbox_conformal"]["reason"]


def test_an_answer_that_nobody_can_judge_has_an_empty_mask_and_says_so(calibration, vendor, tmp_path):
    """A sky of five grey levels tells nothing of an answer: the vendor's picture comes, and none of it is trusted."""
    ramp = np.linspace(148, 153, 32)[:, None, None] * np.ones((32, 32, 3))
    with serving(calibration, vendor, tmp_path / "run", settings={"outside": 0.0}) as gateway:
        flat = image_png(ramp.round().astype(np.uint8))
        found = gateway.json(flat)["blackbox_conformal"]
        answer = gateway.post(flat)
        assert answer.headers["x-blackbox-conformal-status"] == "not-judged"
        assert found["promise"] is answer.headers.get("x-blackbox-conformal-promise") is None
        assert (found["status"], found["trusted_share"]) == ("not-judged", 0)
        assert "too flat" in found["reason"]
        paper = Certificate.from_json(gateway.get(found["certificate"]).text)
    assert contradictions(paper, bc.Calibration.load(calibration)) == []
    forged = paper.model_copy(update={"status": "guaranteed"})
    assert contradictions(forged, bc.Calibration.load(calibration))


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated(tmp_path_factory.mktemp("four"), draws=4)


def upgraded(gateway: Gateway, told: dict[str, Any]) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = gateway.get(told["blackbox_conformal"]["upgrade"]).json()
        if found["state"] not in ("accepted", "running"):
            return found
        time.sleep(0.05)


def test_further_draws_follow_the_answer_and_only_they_are_paid(calibration, four, vendor, server, tmp_path):
    with serving(calibration, vendor, tmp_path / "run", upgrade=four) as gateway:
        plain = gateway.json(picture(1))
        assert "upgrade" not in plain["blackbox_conformal"]
        told = gateway.json(picture(0), Prefer="upgrade")
        assert told["state"] == "done"
        further = upgraded(gateway, told)
        mask = gateway.get(further["blackbox_conformal"]["mask"])
        answer = gateway.get(further["blackbox_conformal"]["picture"]).content
        assert answer == gateway.get(told["blackbox_conformal"]["picture"]).content
    assert server.account.paid == 1 + 4
    alone = bc.mask(vendor, picture(0), four, 0.9, run=tmp_path / "alone", max_calls=4)
    assert further["blackbox_conformal"]["trusted_share"] == alone.certificate.trusted_share
    assert (further["blackbox_conformal"]["guarantee"], mask.status_code) == (alone.certificate.stated, 200)


def test_an_upgrade_that_the_budget_has_no_room_for_fails_and_the_first_answer_stays(
    calibration, four, vendor, server, tmp_path
):
    settings = {"max_cost": "0.02"}
    with serving(calibration, vendor, tmp_path / "run", upgrade=four, settings=settings) as gateway:
        told = gateway.json(picture(0), Prefer="upgrade")
        further = upgraded(gateway, told)
        assert (told["state"], further["state"]) == ("done", "failed")
        assert "allowed" in further["error"]
    assert ledger_sum(tmp_path / "run")["attempts"] == server.account.paid == 1
    # The next start has room, and asks for nothing that has ended.
    with serving(calibration, vendor, tmp_path / "run", upgrade=four) as gateway:
        assert gateway.metric("requests_ended_total") == 2
    assert server.account.paid == 1


def test_without_a_calibration_of_more_draws_an_upgrade_is_refused(server, gateway):
    refused = gateway.post(picture(0), Prefer="upgrade")
    assert refused.status_code == 422
    assert "--upgrade" in refused.json()["detail"]
    assert server.account.paid == 0
