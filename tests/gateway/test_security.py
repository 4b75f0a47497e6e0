"""Who is served: tokens, hosts, origins, sizes; and that one token sees nothing of another."""

import socket
import time
from pathlib import Path

import httpx
import pytest
from support.gateway import Gateway, picture, serving

from blackbox_conformal.gateway.server import Protocol
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

LIMIT = 1024 * 1024


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_only_tokens_are_served_and_they_are_kept_hashed(calibration, vendor, server, tmp_path, tokens):
    made = Tokens(tokens).new("alice").reveal()
    assert made not in tokens.read_text()
    assert tokens.stat().st_mode & 0o077 == 0
    with serving(calibration, vendor, tmp_path / "run", tokens=tokens) as gateway:
        assert gateway.post(picture(0)).status_code == 401
        assert gateway.post(picture(0), token=made + "x").status_code == 401
        assert gateway.get("/metrics").status_code == 401
        assert (gateway.get("/healthz").status_code, server.account.paid) == (200, 0)
        for scheme in ("Bearer", "Token", "Key"):
            found = httpx.get(f"{gateway.url}/metrics", headers={"Authorization": f"{scheme} {made}"})
            assert found.status_code == 200
        assert gateway.post(picture(0), token=made).status_code == 200
        Tokens(tokens).revoke("alice")
        assert gateway.post(picture(0), token=made).status_code == 401
        assert gateway.post(picture(0)).status_code == 401
        tokens.unlink()
        assert gateway.post(picture(0)).status_code == 401


def test_who_is_refused_while_still_sending_sees_why(calibration, vendor, tmp_path, tokens):
    Tokens(tokens).new("alice")
    body = bytes(300_000)
    with serving(calibration, vendor, tmp_path / "run", tokens=tokens) as gateway:
        url = httpx.URL(gateway.url)
        with socket.create_connection((url.host, url.port or 80), timeout=30) as peer:
            head = f"POST /pictures HTTP/1.1\r\nHost: 127.0.0.1:{url.port}\r\nContent-Length: {len(body)}\r\n\r\n"
            peer.sendall(head.encode())
            time.sleep(0.2)
            peer.sendall(body)
            answer = b"".join(iter(lambda: peer.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(b'Bearer TOKEN"}')


def test_ids_of_one_token_are_not_there_for_another(calibration, vendor, tmp_path, tokens):
    alice, bob = (Tokens(tokens).new(name).reveal() for name in ("alice", "bob"))
    with serving(calibration, vendor, tmp_path / "run", tokens=tokens) as gateway:
        told = gateway.json(picture(0), token=alice, Idempotency_Key="once")
        paths = [f"/pictures/{told['id']}", f"/v1/predictions/{told['id']}", f"/files/{told['id']}/mask.png"]
        assert [gateway.get(path, bob).status_code for path in paths] == [404, 404, 404]
        assert gateway.get(paths[0], alice).status_code == 200
        assert gateway.get(paths[2]).status_code == gateway.get(paths[2], alice).status_code == 200
        assert gateway.json(picture(1), token=bob, Idempotency_Key="once")["id"] != told["id"]
        files = {"content": ("in.png", picture(0), "image/png")}
        headers = {"Authorization": f"Bearer {alice}"}
        link = httpx.post(f"{gateway.url}/v1/files", files=files, headers=headers).json()["urls"]["get"]
        body = {"input": {"image": link}}
        asked = httpx.post(
            f"{gateway.url}/v1/models/a/blackbox-conformal/predictions",
            json=body,
            headers={"Authorization": f"Bearer {bob}"},
        )
        assert (asked.status_code, gateway.get(link, bob).status_code) == (404, 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "gateway.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_a_page_of_another_site_is_not_served(calibration, vendor, tmp_path, headers, status):
    with serving(calibration, vendor, tmp_path / "run", host_names=("gateway.example",), no_tokens=True) as gateway:
        assert httpx.get(f"{gateway.url}/metrics", headers=headers).status_code == status
        own = {"Origin": gateway.url}
        assert httpx.get(f"{gateway.url}/metrics", headers=own).status_code == 200


@pytest.mark.parametrize("kind", ["announced", "endless"])
def test_a_body_that_is_too_large_is_not_read(calibration, vendor, tmp_path, kind, monkeypatch):
    read, receive = 0, Protocol.data_received

    def counting(self: Protocol, data: bytes) -> None:
        nonlocal read
        read += len(data)
        receive(self, data)

    monkeypatch.setattr(Protocol, "data_received", counting)
    with serving(calibration, vendor, tmp_path / "run", largest_body=LIMIT) as gateway:
        sent, answer = _flood(gateway, kind)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert (LIMIT if kind == "endless" else 0) < read <= LIMIT + 64 * 1024
        assert gateway.post(picture(0)).status_code == 200
    # The rest lies in the buffers of the sockets.
    assert sent < LIMIT + 16 * 1024 * 1024


def _flood(gateway: Gateway, kind: str) -> tuple[int, bytes]:
    """Send until the gateway closes or answers; how many bytes went, and what came."""
    url = httpx.URL(gateway.url)
    size = "Content-Length: 4294967296" if kind == "announced" else "Transfer-Encoding: chunked"
    head = (
        f"POST /pictures HTTP/1.1\r\nHost: 127.0.0.1:{url.port}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\n{size}\r\n\r\n"
    )
    first = b'--b\r\nContent-Disposition: form-data; name="image"; filename="in.png"\r\n\r\n'
    sent, part = 0, bytes(64 * 1024)
    with socket.create_connection((url.host, url.port or 80)) as peer:
        peer.settimeout(5)
        peer.sendall(head.encode())
        try:
            for content in (first, *([part] * 1024)):
                framed = content if kind == "announced" else b"%x\r\n%b\r\n" % (len(content), content)
                peer.sendall(framed)
                sent += len(content)
        except OSError:
            pass
        answer = b""
        try:
            while received := peer.recv(65536):
                answer += received
        except OSError:
            pass
    return sent, answer


def test_the_vendors_key_is_in_no_answer(calibration, server, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULT_VENDOR_KEY", "sk-very-secret-key")
    server.vendor._api_key = "another"  # type: ignore[attr-defined]
    vendor = SynchronousVendor(url=server.url, keyed=True)
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        refused = gateway.post(picture(0))
        assert refused.status_code == 502
        seen = refused.text + str(refused.headers) + gateway.get("/metrics").text + gateway.get("/openapi.json").text
    assert "very-secret" not in seen
    kept = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"very-secret" not in kept
