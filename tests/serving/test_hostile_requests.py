"""What strangers and clients may send: it is refused at small cost, with words, and stops nothing else."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.gateway import Gateway, picture, serving
from support.synthetic import photograph

from blackbox_conformal.images import read
from blackbox_conformal.images.encode import image_png
from blackbox_conformal.serving import application, exchange
from blackbox_conformal.serving.tokens import Tokens
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

DIALECTS = ("multipart", "replicate", "fal")
PREDICTIONS = "/v1/models/any/blackbox-conformal/predictions"


class SmallVendor(SynchronousVendor):
    """Takes sides of at most 64 pixels."""

    @property
    def capabilities(self) -> Any:
        return replace(super().capabilities, max_side=64)


def files_of(folder: Path) -> list[Path]:
    return [path for path in (folder / "served" / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize("strict", [False, True])
def test_a_picture_that_the_vendor_does_not_take_is_neither_decoded_nor_kept(
    calibration: Path, server: FaultServer, tmp_path: Path, strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        assert files_of(tmp_path / "run") == []
        assert decoded == []
    assert server.account.paid == 0


def test_a_picture_whose_answer_could_not_be_read_is_refused_before_it_is_paid(
    calibration: Path, vendor: SynchronousVendor, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blackbox_conformal.pipeline.stages import prepare

    monkeypatch.setattr(prepare, "DEFAULT_LIMITS", read.ImageLimits(max_pixels=10))
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        refused = gateway.post(picture(0))
    assert refused.status_code == 422
    assert "expected a picture whose answer has at most" in refused.text
    assert server.account.paid == 0


def exchanged(gateway: Gateway, sent: bytes) -> bytes:
    """What the gateway answers to bytes of which no more come."""
    url = httpx.URL(gateway.url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as peer:
        peer.sendall(sent)
        return b"".join(iter(lambda: peer.recv(65536), b""))


def test_no_body_is_read_for_who_has_no_token_and_names_no_file_that_was_announced(
    calibration: Path, vendor: SynchronousVendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_large_bodies_beyond_those_that_fit_wait_and_small_ones_do_not(
    calibration: Path, vendor: SynchronousVendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b'{"input":[' + b"[]," * 4_000_000 + b"[]]}", 413),
        ("application/json", b'{"input":{' + b",".join(b'"%d":0' % n for n in range(400_000)) + b"}}", 413),
        ("application/json", b'{"input":{"image":"data:,' + b"%41" * 4_000_000 + b'"}}', 422),
        ("application/json", b'{"input":"' + bytes(exchange.LARGEST_JSON) + b'"}', 413),
        ("application/x-www-form-urlencoded", b"&" * 20_000_000, 400),
    ],
)
def test_a_body_that_is_long_to_parse_is_refused_and_holds_nobody_up(
    calibration: Path, vendor: SynchronousVendor, tmp_path: Path, kind: str, body: bytes, status: int
) -> None:
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        begun = time.process_time()
        refused = httpx.post(f"{gateway.url}{PREDICTIONS}", content=body, headers={"Content-Type": kind}, timeout=60)
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
def test_a_text_that_is_none_is_refused(
    calibration: Path, vendor: SynchronousVendor, tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        body = change({"input": {"image": "data:image/png;base64,"}})
        refused = httpx.post(f"{gateway.url}{PREDICTIONS}", content=json.dumps(body), timeout=60)
    assert refused.status_code == 400


@pytest.mark.parametrize("seconds", ["9" * 5000, "0", "-1", "\u00b2"])
def test_seconds_that_nobody_waits_are_refused(
    calibration: Path, vendor: SynchronousVendor, tmp_path: Path, seconds: str
) -> None:
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        body = {"input": {"image": "data:image/png;base64,"}}
        headers = {"Prefer": f"wait={seconds}".encode("latin-1")}
        refused = httpx.post(f"{gateway.url}{PREDICTIONS}", json=body, headers=headers, timeout=60)
    assert refused.status_code == 422
