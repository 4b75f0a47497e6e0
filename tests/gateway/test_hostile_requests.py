"""What strangers and clients may send: it is refused at small cost, with words, and stops nothing else."""

import json
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.command_line import called
from support.gateway import Gateway, picture, serving
from support.synthetic import photograph

from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway import application, http_exchange
from blackbox_conformal.gateway import gateway as gateway_module
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.method.images import read
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

DIALECTS = ("multipart", "replicate", "fal")
PREDICTIONS = "/v1/models/any/blackbox-conformal/predictions"


class SmallVendor(SynchronousVendor):
    @property
    def capabilities(self) -> Any:
        return replace(super().capabilities, max_side=64)


def files_of(folder: Path) -> list[Path]:
    return [path for path in (folder / "served" / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize("strict", [False, True])
def test_a_picture_that_the_vendor_does_not_take_is_neither_decoded_nor_kept(
    calibration, server, tmp_path, strict, monkeypatch
):
    large = image_png(photograph(1))
    vendor = SmallVendor(url=server.url)
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        decoded: list[int] = []
        decode = read._decode
        monkeypatch.setattr(read, "_decode", lambda *given, **named: decoded.append(1) or decode(*given, **named))
        headers = {"Prefer": "handling=strict"} if strict else {}
        refused = gateway.post(large, **headers)
        assert refused.status_code == 422
        assert "takes sides of at most 64 pixels" in refused.text
        assert (files_of(tmp_path / "run"), decoded) == ([], [])
    assert server.account.paid == 0


def test_a_picture_whose_answer_could_not_be_read_is_refused_before_it_is_paid(
    calibration, vendor, server, tmp_path, monkeypatch
):
    from blackbox_conformal.study.stages import prepare

    monkeypatch.setattr(prepare, "DEFAULT_LIMITS", read.ImageLimits(max_pixels=10))
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        refused = gateway.post(picture(0))
    assert refused.status_code == 422
    assert "expected a picture whose answer has at most" in refused.text
    assert server.account.paid == 0


def exchanged(gateway: Gateway, sent: bytes) -> bytes:
    url = httpx.URL(gateway.url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as peer:
        peer.sendall(sent)
        return b"".join(iter(lambda: peer.recv(65536), b""))


def test_no_body_is_read_for_who_has_no_token_and_names_no_file_that_was_announced(
    calibration, vendor, tmp_path, monkeypatch
):
    tokens = tmp_path / "tokens.json"
    alice = Tokens(tokens).new("alice").reveal()
    read_bodies: list[int] = []
    body = application.StarletteRequest.body

    async def noting(self: Any) -> bytes:
        read_bodies.append(1)
        return await body(self)

    monkeypatch.setattr(application.StarletteRequest, "body", noting)
    given = {"dialects": DIALECTS, "tokens": tokens}
    with serving(calibration, vendor, tmp_path / "run", **given) as gateway:
        host = f"Host: 127.0.0.1:{httpx.URL(gateway.url).port}\r\nContent-Length: 60000000\r\n\r\n".encode()
        assert exchanged(gateway, b"PUT /files/x HTTP/1.1\r\n" + host).startswith(b"HTTP/1.1 404 ")
        assert exchanged(gateway, b"POST /files/x HTTP/1.1\r\n" + host).startswith(b"HTTP/1.1 401 ")
        assert exchanged(gateway, b"DELETE /files/x HTTP/1.1\r\n" + host).startswith(b"HTTP/1.1 401 ")
        assert read_bodies == []
        wish = {"content_type": "image/png", "file_name": "in.png"}
        headers = {"Authorization": f"Key {alice}"}
        link = httpx.post(f"{gateway.url}/fal/rest/storage/upload/initiate", json=wish, headers=headers).json()
        assert httpx.put(link["upload_url"], content=picture(0)).status_code == 200
        assert len(read_bodies) == 2


def test_large_bodies_beyond_those_that_fit_wait_and_small_ones_do_not(calibration, vendor, tmp_path, monkeypatch):
    monkeypatch.setattr(application, "_LARGE_BODIES", 1)
    monkeypatch.setattr(application, "_LARGE", 20_000)
    content = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    content += bytes(50_000 - len(content) - 9) + b"\r\n--b--\r\n"
    form = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 50000\r\n\r\n"
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        url = httpx.URL(gateway.url)
        large = b"POST /pictures HTTP/1.1\r\nHost: 127.0.0.1\r\n" + form
        with socket.create_connection((url.host, url.port or 80), timeout=30) as held:
            held.sendall(large)
            answered = threading.Event()

            def second() -> None:
                exchanged(gateway, large.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + content)
                answered.set()

            waiting = threading.Thread(target=second)
            waiting.start()
            assert gateway.post(picture(0)).status_code == 200
            assert not answered.wait(0.5)
        waiting.join(30)
        assert answered.is_set()


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x", "application/json"])
def test_a_chunk_that_breaks_http_is_answered_once_and_writes_no_traceback(kind, caplog, gateway):
    for path in ("/pictures", PREDICTIONS, "/nothing"):
        head = f"POST {path} HTTP/1.1\r\nHost: {httpx.URL(gateway.url).netloc.decode()}\r\nContent-Type: {kind}\r\n"
        sent = f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n".encode()
        assert exchanged(gateway, sent).startswith(b"HTTP/1.1 400 ")
    assert gateway.post(picture(0)).status_code == 200
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", lambda: b'{"input":[' + b"[]," * 4_000_000 + b"[]]}", 413),
        ("application/json", lambda: b'{"input":{' + b",".join(b'"%d":0' % n for n in range(400_000)) + b"}}", 413),
        ("application/json", lambda: b'{"input":{"image":"data:,' + b"%41" * 4_000_000 + b'"}}', 422),
        ("application/json", lambda: b'{"input":"' + bytes(http_exchange.LARGEST_JSON) + b'"}', 413),
        ("application/x-www-form-urlencoded", lambda: b"&" * 20_000_000, 400),
    ],
)
def test_a_body_that_is_long_to_parse_is_refused_and_holds_nobody_up(kind, body, status, gateway):
    content = body()
    begun = time.process_time()
    refused = httpx.post(f"{gateway.url}{PREDICTIONS}", content=content, headers={"Content-Type": kind}, timeout=60)
    taken = time.process_time() - begun
    assert refused.status_code == status, refused.text
    # Processor time, of client and gateway: to parse any of these took more than three seconds.
    assert taken < 2


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body | {"version": "\ud800"},
        lambda body: body | {"webhook": "http://\ud800/"},
        lambda body: body | {"input": body["input"] | {"\ud800": 1}},
        lambda body: body | {"input": body["input"] | {"prompt": "\ud800"}},
    ],
)
def test_a_text_that_is_none_is_refused(change, gateway):
    body = change({"input": {"image": "data:image/png;base64,"}})
    refused = httpx.post(f"{gateway.url}{PREDICTIONS}", content=json.dumps(body), timeout=60)
    assert refused.status_code == 400


@pytest.mark.parametrize("seconds", ["9" * 5000, "0", "-1", "\u00b2"])
def test_seconds_that_nobody_waits_are_refused(seconds, gateway):
    body = {"input": {"image": "data:image/png;base64,"}}
    headers = {"Prefer": f"wait={seconds}".encode("latin-1")}
    refused = httpx.post(f"{gateway.url}{PREDICTIONS}", json=body, headers=headers, timeout=60)
    assert refused.status_code == 422


def test_uploads_leave_room_for_paid_answers_and_readiness_tells_it(tmp_path, monkeypatch, gateway):
    assert gateway.get("/readyz").status_code == 200
    monkeypatch.setattr(gateway_module, "KEPT_FREE_BYTES", 2**62)
    files = {"content": ("in.png", picture(0), "image/png")}
    refused = [httpx.post(f"{gateway.url}/v1/files", files=files), gateway.post(picture(0))]
    ready = gateway.get("/readyz")
    assert [answer.status_code for answer in refused] == [507, 507]
    assert not any(str(tmp_path) in answer.text or "served" in answer.text for answer in refused)
    assert (ready.status_code, ready.json()["why"]) == (503, "the disk is full")
    assert files_of(tmp_path / "run") == []


def test_a_token_uploads_no_more_than_it_may_in_a_day_and_takes_nothing_of_others(calibration, vendor, tmp_path):
    tokens = tmp_path / "tokens.json"
    alice, bob = ({"Authorization": f"Key {Tokens(tokens).new(name).reveal()}"} for name in ("alice", "bob"))
    terms = GatewayTerms(most_uploaded=len(picture(0)) + 10)
    with serving(calibration, vendor, tmp_path / "run", terms=terms, tokens=tokens, dialects=DIALECTS) as gateway:

        def upload(headers: dict[str, str]) -> int:
            files = {"content": ("in.png", picture(0), "image/png")}
            return httpx.post(f"{gateway.url}/v1/files", files=files, headers=headers).status_code

        assert [upload(alice), upload(alice), upload(bob)] == [201, 507, 201]
        wish = {"content_type": "image/png", "file_name": "in.png"}
        link = httpx.post(f"{gateway.url}/fal/rest/storage/upload/initiate", json=wish, headers=alice).json()
        assert httpx.put(link["upload_url"], content=picture(1)).status_code == 507


def test_a_webhook_goes_to_an_allowed_port_only(calibration, vendor, tmp_path):
    terms = GatewayTerms(webhook_hosts=("one.example", "two.example:8443", "three.example:*"))
    right = [
        "https://one.example/a",
        "http://one.example:80/a",
        "https://two.example:8443/a",
        "http://three.example:25/a",
    ]
    wrong = ["http://one.example:25/a", "https://two.example/a", "http://four.example/a", "http://user@one.example/a"]
    wrong.append("http://one.example:99999/a")
    with serving(calibration, vendor, tmp_path / "run", terms=terms) as gateway:
        for address in (*right, *wrong):
            body = {"input": {"image": "data:image/png;base64,"}, "webhook": address}
            refused = httpx.post(f"{gateway.url}{PREDICTIONS}", json=body, timeout=60)
            assert ("--webhook-host" in refused.text) == (address in wrong), address


@pytest.mark.parametrize(
    "given",
    [
        {"public_url": "https://masks.example.com"},
        {"host_names": ("masks.example.com",)},
        {"host": "0.0.0.0", "host_names": ("127.0.0.1",)},
    ],
)
def test_others_than_this_machine_are_served_with_tokens_or_because_the_operator_says_so(
    calibration, vendor, tmp_path, given
):
    with (
        pytest.raises(UsageError, match=r"serve token new NAME .* --no-tokens"),
        serving(calibration, vendor, tmp_path / "run", **given),
    ):
        pass
    with serving(calibration, vendor, tmp_path / "open", no_tokens=True, **given) as gateway:
        assert gateway.get("/healthz").status_code == 200
    tokens = tmp_path / "tokens.json"
    Tokens(tokens).new("alice")
    with (
        pytest.raises(UsageError, match="there are tokens in"),
        serving(calibration, vendor, tmp_path / "run", tokens=tokens, no_tokens=True, **given),
    ):
        pass


def test_a_file_of_tokens_that_is_named_must_be_there(calibration, tmp_path):
    where = ["--calibration", str(calibration), "--alpha", "0.9", "--run", str(tmp_path / "run")]
    ended = called("serve", *where, "--tokens", str(tmp_path / "mistyped.json"), code=2)
    assert "expected --tokens to name a file of tokens" in ended.stderr
