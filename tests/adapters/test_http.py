"""The plain HTTP adapter, driven against a real server on loopback."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.flow_driver import drive, failure, upload
from support.loopback import a_draw, drive_over_http

from blackbox_adapters.http import PlainHttp, observed
from blackbox_conformal.adapter import Answer
from blackbox_conformal.errors import (
    AccountRefusedError,
    CredentialMissingError,
    PayloadError,
    RefusedError,
    TryLaterError,
    UsageError,
)
from blackbox_conformal.plugins import load_adapter

PICTURE = b"\x89PNG\r\n\x1a\nfinished"
Reply = tuple[int, dict[str, str], bytes]


class Recorder:
    """A server that keeps what it is asked and answers as it is told."""

    def __init__(self, answer: Callable[[str], Reply]) -> None:
        self.asked: list[dict[str, Any]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                recorder.asked.append(
                    {
                        "path": urlsplit(self.path).path,
                        "query": dict(parse_qsl(urlsplit(self.path).query)),
                        "headers": {name.lower(): value for name, value in self.headers.items()},
                        "body": body,
                    }
                )
                self.reply()

            def do_GET(self) -> None:
                self.reply()

            def reply(self) -> None:
                status, headers, body = answer(self.path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str], Reply]], Recorder]]:
    started: list[Recorder] = []

    def start(answer: Callable[[str], Reply]) -> Recorder:
        started.append(Recorder(answer))
        return started[-1]

    yield start
    for recorder in started:
        recorder.close()


Serve = Callable[[Callable[[str], Reply]], Recorder]


def test_a_draw_is_one_post_with_seed_scale_and_key(serve: Serve) -> None:
    said = {"X-Model": "workshop-2", "X-Cost-Usd": "0.015", "X-Request-Id": "r1", "X-Seed": "41"}
    recorder = serve(lambda path: (200, {"Content-Type": "image/png", **said}, PICTURE))
    adapter = PlainHttp(url=f"{recorder.url}/v1/upscale?tier=a+b", scale=2)
    exchange = drive_over_http(adapter, adapter.draw(upload(), a_draw(3, seed=41)))
    assert exchange.picture == PICTURE
    (asked,) = recorder.asked
    assert asked["path"] == "/v1/upscale"
    assert asked["query"] == {"tier": "a b", "scale": "2", "seed": "41"}
    assert asked["body"] == upload().png
    assert asked["headers"]["content-type"] == "image/png"
    assert asked["headers"]["idempotency-key"] == a_draw(3).idempotency_key
    assert "authorization" not in asked["headers"]
    (found,) = exchange.observed
    assert (found.model, found.cost_usd, found.request_id, found.seed) == ("workshop-2", Decimal("0.015"), "r1", 41)


def test_the_names_of_parameters_are_the_users(serve: Serve) -> None:
    recorder = serve(lambda path: (200, {"Content-Type": "image/png"}, PICTURE))
    adapter = PlainHttp(url=recorder.url, seed_parameter="noise", scale_parameter="")
    drive_over_http(adapter, adapter.draw(upload(), a_draw(0, seed=5)))
    assert recorder.asked[0]["query"] == {"noise": "5"}
    unseeded = PlainHttp(url=recorder.url, seed_parameter="")
    assert not unseeded.capabilities.seedable
    assert unseeded.capabilities.seed_range is None
    drive_over_http(unseeded, unseeded.draw(upload(), a_draw(0, seed=5)))
    assert recorder.asked[1]["query"] == {"scale": "4"}


def test_the_key_goes_where_it_is_asked_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_VENDOR_KEY", "made-up-key-123")
    recorder = serve(lambda path: (200, {"Content-Type": "image/png"}, PICTURE))
    adapter = PlainHttp(url=recorder.url, key_header="X-Api-Key")
    drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert recorder.asked[0]["headers"]["x-api-key"] == "made-up-key-123"
    assert "made-up-key-123" not in json.dumps(adapter.identity())
    monkeypatch.delenv("HTTP_VENDOR_KEY")
    with pytest.raises(CredentialMissingError, match="HTTP_VENDOR_KEY"):
        drive(adapter, adapter.draw(upload(), a_draw()), ())


@pytest.mark.parametrize(
    "picture",
    [base64.b64encode(PICTURE).decode(), "data:image/png;base64," + base64.b64encode(PICTURE).decode(), "link"],
)
def test_a_picture_inside_json_is_taken_out(serve: Serve, picture: str) -> None:
    recorder = serve(
        lambda path: (
            (200, {"Content-Type": "image/png"}, PICTURE)
            if path == "/result.png"
            else (200, {"Content-Type": "application/json"}, json.dumps({"data": [{"picture": found}]}).encode())
        )
    )
    found = f"{recorder.url}/result.png" if picture == "link" else picture
    adapter = PlainHttp(url=recorder.url, picture_field="data.0.picture")
    exchange = drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert exchange.picture == PICTURE
    assert [send.purpose for send in exchange.sends] == (["submit", "download"] if picture == "link" else ["submit"])
    assert all(send.public for send in exchange.sends[1:])


def test_json_where_a_picture_was_expected_says_what_to_set(serve: Serve) -> None:
    recorder = serve(lambda path: (200, {"Content-Type": "application/json"}, b'{"image": "QUJD"}'))
    adapter = PlainHttp(url=recorder.url)
    with pytest.raises(PayloadError, match=r"got JSON .*picture_field"):
        drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    wrong = PlainHttp(url=recorder.url, picture_field="result")
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
def test_failures_carry_the_servers_words(serve: Serve, status: int, kind: type[Exception]) -> None:
    body = b'{"error": {"code": "E7", "message": "too dark\\u001b[31m"}}'
    recorder = serve(lambda path: (status, {"X-Request-Id": "r9", "Retry-After": "3"}, body))
    adapter = PlainHttp(url=recorder.url)
    with pytest.raises(kind, match="too dark") as failed:
        drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert "\x1b" not in str(failed.value)
    assert (failed.value.request_id, failed.value.code) == ("r9", "E7")  # type: ignore[attr-defined]


@pytest.mark.parametrize("cost", ["", "free", "NaN", "-1", "Infinity", "1e999999999"])
def test_nonsense_in_headers_is_as_good_as_nothing(cost: str) -> None:
    headers = {"x-cost-usd": cost, "x-model": "", "x-seed": "٣"}
    found = observed(Answer(200, headers, b""))
    assert (found.cost_usd, found.model, found.seed, found.request_id) == (None, None, None, None)


def test_text_in_headers_is_cut_and_cleaned() -> None:
    found = observed(Answer(200, {"x-model": "m\x1b[2J" + "x" * 5000, "x-cost-usd": "0.25"}, b""))
    assert found.model is not None
    assert len(found.model) <= 500
    assert "\x1b" not in found.model
    assert found.cost_usd == Decimal("0.25")


def test_capabilities_follow_the_parameters() -> None:
    plain = PlainHttp(url="http://127.0.0.1:9").capabilities
    assert plain.price is None
    assert plain.idempotency_header is None
    assert plain.seed_range == (0, 2**32 - 1)
    told = PlainHttp(
        url="http://127.0.0.1:9",
        price_usd=Decimal("0.1"),
        idempotent=True,
        resample=True,
        seed_maximum=99,
        result_hosts="cdn.example,.store.example",
    ).capabilities
    assert told.price is not None
    assert told.price.high_usd == Decimal("0.1")
    assert told.idempotency_header == "Idempotency-Key"
    assert told.output_size == "resample"
    assert told.seed_range == (0, 99)
    assert told.result_hosts == ("cdn.example", ".store.example")


def test_the_label_identifies_and_the_address_does_not() -> None:
    one, moved, other = (
        PlainHttp(url=url, label=label).identity()
        for url, label in (("http://a:1", "x-2"), ("https://b/y", "x-2"), ("http://a:1", "x-3"))
    )
    assert one == moved
    assert one != other


@pytest.mark.parametrize("url", ["", "ftp://a/b", "file:///etc/passwd", "localhost:80", "http://", "http://me:pw@a/"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="adapter http: url"):
        load_adapter("http", url=url)


def test_it_cannot_resume() -> None:
    adapter = PlainHttp(url="http://127.0.0.1:9")
    assert "no jobs" in str(failure(adapter, adapter.resume(upload(), a_draw(), "job")))
