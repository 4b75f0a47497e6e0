"""The embedded vendor over real HTTP, in a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from blackbox_conformal.embedded import process
from blackbox_conformal.embedded.embedded_server import MAX_CONNECTIONS
from blackbox_conformal.embedded.process import VendorProcess
from blackbox_conformal.embedded.studio import Colouriser, Denoiser, Generator, RealEsrganNetwork
from blackbox_conformal.errors import VendorError

GAN = "upscale/realesr-general-x4v3"


@pytest.fixture(scope="module")
def vendor():
    with VendorProcess() as running:
        yield running


@pytest.fixture(scope="module")
def client(vendor):
    with httpx.Client(base_url=vendor.url, timeout=30, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def encoded(picture: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()


def order(client, body, query="", kind="image/png", task="upscale", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/{task}{query}", content=body, headers={"Content-Type": kind, **named})


def decoded(answer: httpx.Response) -> np.ndarray:
    with Image.open(io.BytesIO(answer.content)) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened)


def test_health(client, vendor):
    answer = client.get("/v1/health")
    assert answer.status_code == 200
    health = answer.json()
    assert health["status"] == "ok"
    assert health["model"] == vendor.model == Generator().model
    models = {"upscale": Generator, GAN: RealEsrganNetwork, "colourise": Colouriser, "denoise": Denoiser}
    assert health["models"] == {task: network().model for task, network in models.items()}
    assert len(vendor.model) == len("embedded-x4@") + 12


def test_draw_is_the_generators(client, picture):
    answer = order(client, encoded(picture), "?scale=4&seed=4294967295")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert (answer.headers["X-Seed"], answer.headers["X-Model"]) == ("4294967295", Generator().model)
    assert answer.headers["X-Cost-Usd"] == "0.00"
    assert answer.headers["X-Request-Id"].startswith("req_")
    drawn = decoded(answer).astype(int)
    # The child multiplies on one thread, this process perhaps on more: sums may round differently.
    assert np.abs(drawn - Generator().upscale(picture, 2**32 - 1)).max() <= 1


def test_colouring_is_the_colourisers(client, picture):
    grey = picture[..., :1].repeat(3, axis=-1)
    answer = order(client, encoded(grey), "?scale=1&seed=4294967295", task="colourise")
    assert (answer.status_code, answer.headers["X-Seed"]) == (200, "4294967295")
    assert answer.headers["X-Model"] == Colouriser().model
    drawn = decoded(answer)
    assert np.abs(drawn.astype(int) - Colouriser().colourise(grey, 2**32 - 1)).max() <= 1
    assert (
        drawn.tobytes()
        == decoded(order(client, encoded(picture[..., 0]), "?seed=4294967295", task="colourise")).tobytes()
    )
    assert drawn.tobytes() != decoded(order(client, encoded(grey), task="colourise")).tobytes()


def test_denoising_is_the_denoisers_and_takes_no_notice_of_seeds(client, picture):
    answer = order(client, encoded(picture), "?scale=1&seed=5", task="denoise")
    assert (answer.status_code, answer.headers["X-Model"]) == (200, Denoiser().model)
    assert np.abs(decoded(answer).astype(int) - Denoiser().denoise(picture, 0)).max() <= 1
    assert decoded(answer).tobytes() == decoded(order(client, encoded(picture), task="denoise")).tobytes()


def test_the_gan_answers_under_its_own_name(client, picture):
    answer = order(client, encoded(picture), "?scale=4", task=GAN)
    assert (answer.status_code, answer.headers["X-Model"]) == (200, RealEsrganNetwork().model)
    assert np.abs(decoded(answer).astype(int) - RealEsrganNetwork().upscale(picture, 0)).max() <= 1


def test_same_seed_same_bytes_and_no_seed_a_fresh_one(client, picture):
    body = encoded(picture)
    first, second = (order(client, body, x_seed="5", x_scale="4") for _ in range(2))
    assert first.content == second.content
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    free = [order(client, body) for _ in range(3)]
    assert (len({answer.headers["X-Seed"] for answer in free}), len({answer.content for answer in free})) == (3, 3)
    again = order(client, body, f"?seed={free[0].headers['X-Seed']}")
    assert again.content == free[0].content


def test_query_goes_before_header(client, picture):
    assert order(client, encoded(picture), "?seed=8", x_seed="9").headers["X-Seed"] == "8"


def test_jpeg_grey_palette_and_transparent_pictures(client, picture):
    assert decoded(order(client, encoded(picture, "JPEG"), kind="image/jpeg")).shape == (48, 68, 3)
    assert decoded(order(client, encoded(picture[..., 0]))).shape == (48, 68, 3)
    palette = io.BytesIO()
    Image.fromarray(picture).quantize(16).save(palette, "PNG")
    assert decoded(order(client, palette.getvalue())).shape == (48, 68, 3)
    unseen = np.zeros((8, 8, 4), np.uint8)
    assert decoded(order(client, encoded(unseen))).min() > 240  # nothing to see but the white below


def test_connection_is_kept(vendor, picture):
    with httpx.Client(base_url=vendor.url, trust_env=False) as client:
        ports = set()
        for _ in range(3):
            with client.stream(
                "POST", "/v1/upscale", content=encoded(picture), headers={"Content-Type": "image/png"}
            ) as answer:
                ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
                answer.read()
                assert answer.http_version == "HTTP/1.1"
    assert len(ports) == 1


def test_idempotency_key_is_served_once(client, picture):
    body = encoded(picture)
    before = client.get("/v1/health").json()["drawn"]
    first = order(client, body, idempotency_key="once")
    second = order(client, body, idempotency_key="once")
    assert first.content == second.content
    for name in ("X-Request-Id", "X-Seed"):
        assert first.headers[name] == second.headers[name]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert client.get("/v1/health").json()["drawn"] == before + 1
    conflict = order(client, body, "?seed=1", idempotency_key="once")
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (422, "idempotency_conflict")


def test_idempotency_key_is_for_one_task(client, picture):
    body = encoded(picture)
    first, second = (order(client, body, "?seed=3", task="colourise", idempotency_key="colours") for _ in range(2))
    assert first.content == second.content
    assert (second.headers["Idempotent-Replayed"], second.headers["X-Model"]) == ("true", Colouriser().model)
    conflict = order(client, body, "?seed=3", idempotency_key="colours")
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (422, "idempotency_conflict")


def test_idempotency_key_of_simultaneous_requests(client, picture):
    before = client.get("/v1/health").json()["drawn"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: order(client, encoded(picture), idempotency_key="race"), range(6)))
    assert ({answer.status_code for answer in answers}, len({answer.content for answer in answers})) == ({200}, 1)
    assert client.get("/v1/health").json()["drawn"] == before + 1


def test_refused_order_leaves_its_key_free(client, picture):
    assert order(client, b"nonsense", idempotency_key="second try").status_code == 400
    assert order(client, encoded(picture), idempotency_key="second try").status_code == 200


def huge() -> bytes:
    file = io.BytesIO()
    Image.new("L", (2001, 2000)).save(file, "PNG")
    return file.getvalue()


def deep() -> bytes:
    file = io.BytesIO()
    Image.new("I;16", (4, 4)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("task", ["upscale", "colourise", "denoise"])
@pytest.mark.parametrize(
    ("body", "query", "kind", "status", "code"),
    [
        (b"", "", "image/png", 400, "undecodable_picture"),
        (b"nonsense", "", "image/png", 400, "undecodable_picture"),
        (encoded(np.zeros((64, 64, 3), np.uint8))[:60], "", "image/png", 400, "undecodable_picture"),
        (encoded(np.zeros((4, 4, 3), np.uint8), "GIF"), "", "image/gif", 400, "undecodable_picture"),
        (huge(), "", "image/png", 413, "picture_too_large"),
        (b"x", "", "text/plain", 415, "unsupported_media_type"),
        (deep(), "", "image/png", 422, "unsupported_picture"),
        (b"x", "?scale=2", "image/png", 422, "unsupported_scale"),
        (b"x", "?seed=-1", "image/png", 422, "bad_seed"),
        (b"x", "?seed=4294967296", "image/png", 422, "bad_seed"),
        (b"x", "?seed=", "image/png", 422, "bad_seed"),
        (b"x", "?seed=%D9%A1", "image/png", 422, "bad_seed"),
        (b"x", "?seed=1&seed=2", "image/png", 422, "bad_parameter"),
        (b"x", "?sede=1", "image/png", 422, "bad_parameter"),
    ],
)
def test_bad_orders_are_refused(client, body, query, kind, status, code, task):
    answer = order(client, body, query, kind, task)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"].startswith("Expected")


@pytest.mark.parametrize(("task", "scale"), [("upscale", 1), ("colourise", 4), ("denoise", 4)])
def test_each_task_has_its_own_scale(client, picture, task, scale):
    answer = order(client, encoded(picture), f"?scale={scale}", task=task)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unsupported_scale")


def test_other_paths_and_methods(client):
    assert (client.get("/").status_code, client.get("/v1/upscale").status_code) == (404, 405)
    assert client.get("/v1/colourise").status_code == 405
    assert client.post("/v1/health", content=b"x").status_code == 405
    unknown = client.delete("/v1/health")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (501, "bad_request")
    assert client.get("/v1/health").status_code == 200


@pytest.mark.parametrize(
    ("framing", "status"),
    [
        (b"Content-Length: 999999999\r\n", b"413"),
        (b"Content-Length: many\r\n", b"400"),
        (b"Transfer-Encoding: chunked\r\n", b"411"),
    ],
)
def test_unreadable_bodies_end_the_connection(vendor, framing, status):
    host, port = vendor.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /v1/upscale HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n" + framing + b"\r\n")
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in answer
    assert b'"error"' in answer


def test_child_ends_with_close(picture):
    vendor = VendorProcess()
    assert httpx.get(f"{vendor.url}/v1/health", trust_env=False).status_code == 200
    vendor.close()
    vendor.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{vendor.url}/v1/health", trust_env=False)
    with pytest.raises(ProcessLookupError):
        os.kill(vendor.pid, 0)


def test_child_ends_when_its_parent_is_killed():
    script = (
        "import time\n"
        "from blackbox_conformal.embedded.process import VendorProcess\n"
        "vendor = VendorProcess()\n"
        "print(vendor.url, flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(process.__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    with parent.stdout:
        host, port = parent.stdout.readline().strip().removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            parent.kill()
            parent.wait()
            # The server's end of the connection closes when the child is gone.
            connection.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_child_that_fails_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(VendorError, match="did not"):
        VendorProcess()
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\necho busy >&2\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    with pytest.raises(VendorError, match=r"within 0\.5 seconds(.|\n)*busy"):
        VendorProcess(start_seconds=0.5)
    assert threading.active_count() < 20


def exchange(url: str, *lines: str, body: bytes = b"") -> bytes:
    """What comes for a request of these lines."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall("".join(f"{line}\r\n" for line in lines).replace("PORT", str(port)).encode() + b"\r\n" + body)
        return sock.makefile("rb").readline()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "127.0.0.1:1", "127.0.0.1", "", "[::1", "127.0.0.1@x:PORT"]
)
def test_a_request_for_another_host_is_refused(vendor, picture, host):
    assert b" 421 " in exchange(vendor.url, "GET /v1/health HTTP/1.1", f"Host: {host}", "Connection: close")
    data = encoded(picture)
    heads = ["POST /v1/upscale HTTP/1.1", f"Host: {host}", "Content-Type: image/png", f"Content-Length: {len(data)}"]
    assert b" 421 " in exchange(vendor.url, *heads, "Connection: close", body=data)


def test_one_host_and_no_other_is_expected(vendor):
    get, close = "GET /v1/health HTTP/1.1", "Connection: close"
    assert b" 421 " in exchange(vendor.url, get, close)
    assert b" 421 " in exchange(vendor.url, get, "Host: 127.0.0.1:PORT", "Host: evil.example", close)
    for own in ("127.0.0.1:PORT", "localhost:PORT", "[::1]:PORT"):
        assert b" 200 " in exchange(vendor.url, get, f"Host: {own}", close)


def test_connections_are_bounded_and_come_free_again():
    with VendorProcess() as own, contextlib.ExitStack() as held:
        port = int(own.url.rpartition(":")[2])
        for _ in range(MAX_CONNECTIONS):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            sock.sendall(f"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert b" 200 " in sock.recv(4096)
        answer = exchange(own.url, "GET /v1/health HTTP/1.1", "Host: 127.0.0.1:PORT")
        assert b" 503 " in answer
        assert len(list(Path(f"/proc/{own.pid}/task").iterdir())) <= MAX_CONNECTIONS + 8
        held.close()
        while b" 200 " not in (
            answer := exchange(own.url, "GET /v1/health HTTP/1.1", "Host: 127.0.0.1:PORT", "Connection: close")
        ):
            assert b" 503 " in answer


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:PORT", "http://127.0.0.1:1"])
def test_a_page_of_another_site_is_not_served(vendor, picture, origin):
    data = encoded(picture)
    heads = ["POST /v1/upscale HTTP/1.1", "Host: 127.0.0.1:PORT", "Content-Type: image/png", "Connection: close"]
    heads.append(f"Content-Length: {len(data)}")
    assert b" 403 " in exchange(vendor.url, *heads, f"Origin: {origin}", body=data)
    assert b" 200 " in exchange(vendor.url, *heads, "Origin: http://127.0.0.1:PORT", body=data)
