"""The plain HTTP adapter, driven against a real server on loopback."""

import base64
import json
from decimal import Decimal

import pytest
from support.flow_driver import a_draw, drive, drive_over_http, failure, upload
from support.recording_server import RecordingServer

from blackbox_adapters.http import PlainHttp, observed
from blackbox_conformal.errors import (
    AccountRefusedError,
    CredentialMissingError,
    PayloadError,
    RefusedError,
    TryLaterError,
    UsageError,
)
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.vendor.adapter import Answer

PICTURE = b"\x89PNG\r\n\x1a\nfinished"


SHOWN = Response(200, {"Content-Type": "image/png"}, PICTURE)


def test_a_draw_is_one_post_with_seed_scale_and_key():
    answer = SHOWN.with_headers(X_Model="workshop-2", X_Cost_Usd="0.015", X_Request_Id="r1", X_Seed="41")
    with RecordingServer(lambda head: answer) as server:
        adapter = PlainHttp(url=f"{server.url}/v1/upscale?tier=a+b", scale=2)
        exchange = drive_over_http(adapter, adapter.draw(upload(), a_draw(3, seed=41)))
    assert exchange.picture == PICTURE
    ((head, body),) = server.asked
    assert (head.path, head.query) == ("/v1/upscale", {"tier": "a b", "scale": "2", "seed": "41"})
    assert body == upload().png
    assert head.headers["content-type"] == "image/png"
    assert head.headers["idempotency-key"] == a_draw(3).idempotency_key
    assert "authorization" not in head.headers
    (seen,) = exchange.observed
    assert (seen.model, seen.cost_usd, seen.request_id, seen.seed) == ("workshop-2", Decimal("0.015"), "r1", 41)


def test_the_names_of_parameters_are_the_users():
    with RecordingServer(lambda head: SHOWN) as server:
        adapter = PlainHttp(url=server.url, seed_parameter="noise", scale_parameter="")
        drive_over_http(adapter, adapter.draw(upload(), a_draw(0, seed=5)))
        unseeded = PlainHttp(url=server.url, seed_parameter="")
        assert not unseeded.capabilities.seedable
        drive_over_http(unseeded, unseeded.draw(upload(), a_draw(0, seed=5)))
    assert [request.head.query for request in server.asked] == [{"noise": "5"}, {"scale": "4"}]


def test_the_key_goes_where_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("HTTP_VENDOR_KEY", "made-up-key-123")
    with RecordingServer(lambda head: SHOWN) as server:
        adapter = PlainHttp(url=server.url, key_header="X-Api-Key")
        drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert server.asked[0].head.headers["x-api-key"] == "made-up-key-123"
    assert "made-up-key-123" not in json.dumps(adapter.identity())
    monkeypatch.delenv("HTTP_VENDOR_KEY")
    with pytest.raises(CredentialMissingError, match="HTTP_VENDOR_KEY"):
        drive(adapter, adapter.draw(upload(), a_draw()), ())


@pytest.mark.parametrize(
    "picture",
    [base64.b64encode(PICTURE).decode(), "data:image/png;base64," + base64.b64encode(PICTURE).decode(), "link"],
)
def test_a_picture_inside_json_is_taken_out(picture):
    def answer(head):
        value = f"{server.url}/result.png" if picture == "link" else picture
        return SHOWN if head.path == "/result.png" else document({"data": [{"picture": value}]})

    with RecordingServer(answer) as server:
        adapter = PlainHttp(url=server.url, picture_field="data.0.picture")
        exchange = drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert exchange.picture == PICTURE
    assert [send.purpose for send in exchange.sends] == (["submit", "download"] if picture == "link" else ["submit"])
    assert all(send.public for send in exchange.sends[1:])


def document(value: object) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def test_json_where_a_picture_was_expected_says_what_to_set():
    with RecordingServer(lambda head: document({"image": "QUJD"})) as server:
        adapter = PlainHttp(url=server.url)
        with pytest.raises(PayloadError, match=r"got JSON .*-p picture-field=…"):
            drive_over_http(adapter, adapter.draw(upload(), a_draw()))
        wrong = PlainHttp(url=server.url, picture_field="result")
        with pytest.raises(PayloadError, match="at result"):
            drive_over_http(wrong, wrong.draw(upload(), a_draw()))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (401, AccountRefusedError),
        (402, AccountRefusedError),
        (409, TryLaterError),
        (429, TryLaterError),
    ],
)
def test_failures_carry_the_servers_words(status, kind):
    body = b'{"error": {"code": "E7", "message": "too dark\\u001b[31m"}}'
    answer = Response(status, {"X-Request-Id": "r9", "Retry-After": "3"}, body)
    with RecordingServer(lambda head: answer) as server:
        adapter = PlainHttp(url=server.url)
        with pytest.raises(kind, match="too dark") as failed:
            drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert "\x1b" not in str(failed.value)
    assert (failed.value.request_id, failed.value.code) == ("r9", "E7")


@pytest.mark.parametrize("cost", ["", "free", "NaN", "-1", "Infinity", "1e999999999"])
def test_nonsense_in_headers_is_as_good_as_nothing(cost):
    headers = {"x-cost-usd": cost, "x-model": "", "x-seed": "٣"}
    reported = observed(Answer(200, headers, b""))
    assert (reported.cost_usd, reported.model, reported.seed, reported.request_id) == (None, None, None, None)


def test_text_in_headers_is_cut_and_cleaned():
    reported = observed(Answer(200, {"x-model": "m\x1b[2J" + "x" * 5000, "x-cost-usd": "0.25"}, b""))
    assert reported.model is not None
    assert len(reported.model) <= 500
    assert "\x1b" not in reported.model
    assert reported.cost_usd == Decimal("0.25")


def test_capabilities_follow_the_parameters():
    plain = PlainHttp(url="http://127.0.0.1:9").capabilities
    assert plain.price is None
    assert plain.idempotency_header is None
    assert plain.seed_range == (0, 2**32 - 1)
    capabilities = PlainHttp(
        url="http://127.0.0.1:9",
        price_usd=Decimal("0.1"),
        idempotent=True,
        resample=True,
        seed_maximum=99,
        result_hosts="cdn.example,.store.example",
    ).capabilities
    assert capabilities.price.high_usd == Decimal("0.1")
    assert (capabilities.idempotency_header, capabilities.output_size) == ("Idempotency-Key", "resample")
    assert capabilities.seed_range == (0, 99)
    assert capabilities.result_hosts == ("cdn.example", ".store.example")


def test_the_label_identifies_and_the_address_does_not():
    one, moved, other = (
        PlainHttp(url=url, label=label).identity()
        for url, label in (("http://a:1", "x-2"), ("https://b/y", "x-2"), ("http://a:1", "x-3"))
    )
    assert one == moved
    assert one != other


@pytest.mark.parametrize("url", ["", "ftp://a/b", "file:///etc/passwd", "localhost:80", "http://", "http://me:pw@a/"])
def test_addresses_that_are_none_are_refused(url):
    with pytest.raises(UsageError, match="adapter http: url"):
        load_adapter("http", url=url)


def test_it_cannot_resume():
    adapter = PlainHttp(url="http://127.0.0.1:9")
    assert "no jobs" in str(failure(adapter, adapter.resume(upload(), a_draw(), "job")))
