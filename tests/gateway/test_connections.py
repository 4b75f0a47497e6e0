"""Connections that are opened and not used: they take nothing from clients, draws and answers that are under way."""

import json
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from support.gateway import held, picture, serving
from support.gateway_process import GatewayProcess

from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway import server

HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "


@contextmanager
def opened(url: str, many: int, sent: bytes = HALF) -> Iterator[list[socket.socket]]:
    address = httpx.URL(url)
    with ExitStack() as kept:
        found = []
        for _ in range(many):
            peer = kept.enter_context(socket.create_connection((address.host, address.port or 80), timeout=30))
            peer.sendall(sent)
            found.append(peer)
        yield found


def answer(peer: socket.socket) -> bytes:
    """What a peer is sent until the connection ends."""
    peer.settimeout(30)
    try:
        return b"".join(iter(lambda: peer.recv(65536), b""))
    except ConnectionResetError:
        return b""


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2048, reason="needs 1500 connections of its own")
def test_a_paid_draw_is_kept_and_readiness_answers_while_1500_requests_stand_half_sent(keyed, keyed_server, tmp_path):
    gate, arrived = held(keyed_server)
    files = {"image": ("in.png", picture(0), "image/png")}
    command = GatewayProcess(keyed, keyed_server.url, tmp_path / "run", "--max-cost", "1", descriptors=1024)
    with command as gateway, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(httpx.post, f"{gateway.url}/pictures", files=files, timeout=120)
        assert arrived.wait(60)
        with opened(gateway.url, 1500):
            assert [httpx.get(f"{gateway.url}/readyz", timeout=60).status_code for _ in range(5)] == [200] * 5
            gate.set()
            assert asked.result().status_code == 200
    assert keyed_server.account.paid == 1
    logged = [json.loads(line) for line in gateway.logged.read_text().splitlines()]
    assert [line for line in logged if line["level"] in ("WARNING", "ERROR", "CRITICAL")] == []


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(server, "MOST", 96)
    return 64


def test_the_connection_that_waited_longest_makes_room_and_one_with_a_request_never_does(
    calibration, vendor, server, tmp_path, few
):
    gate, arrived = held(server)
    with serving(calibration, vendor, tmp_path / "run") as gateway, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(gateway.post, picture(0))
        assert arrived.wait(60)
        with opened(gateway.url, 1) as (first,), opened(gateway.url, few + 10) as rest:
            assert answer(first) == b""
            rest[-1].sendall(b"\r\n\r\n")
            assert rest[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
            assert gateway.get("/readyz").status_code == 200
        gate.set()
        assert asked.result().status_code == 200


def test_where_every_connection_has_a_request_further_ones_are_told_so(few, gateway):
    body = b"POST /pictures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with ExitStack() as kept:
        # One after the other, so that none has to make room before its request is read.
        for _ in range(100):
            (peer,) = kept.enter_context(opened(gateway.url, 1, body + b"Content-Length: 9\r\n\r\n--b"))
            if select.select([peer], [], [], 0.05)[0]:
                break
        assert answer(peer).startswith(b"HTTP/1.1 503 ")
    wait_for(lambda: gateway.get("/readyz").status_code == 200)


def wait_for(holds: Any) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_head_a_body_and_a_handshake_that_do_not_come_are_waited_for_no_longer(
    calibration, vendor, tmp_path, monkeypatch
):
    monkeypatch.setattr(server, "HEAD_S", 0.2)
    monkeypatch.setattr(server, "BODY_S", 0.2)
    head = b"POST /pictures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        with opened(gateway.url, 1) as (peer,):
            assert answer(peer).startswith(b"HTTP/1.1 408 ")
        with opened(gateway.url, 1, head + b"{") as (peer,):
            assert answer(peer).startswith(b"HTTP/1.1 408 ")
        with opened(gateway.url, 1, b"") as (peer,):
            assert answer(peer) == b""
        # A second request on the same connection has its time, too.
        with opened(gateway.url, 1, HALF + b"\r\n\r\n" + HALF) as (peer,):
            found = answer(peer)
            assert found.startswith(b"HTTP/1.1 200 ")
            assert b"HTTP/1.1 408 " in found


def test_who_does_not_read_what_is_sent_is_left(calibration, vendor, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "STALL_S", 0.2)
    ended = threading.Event()
    lost = server.Protocol.connection_lost

    def noting(self: server.Protocol, error: Exception | None) -> None:
        lost(self, error)
        ended.set()

    with serving(calibration, vendor, tmp_path / "run", largest_body=64 * 1024) as gateway:
        content = gateway.post(picture(0), accept="application/json")
        request = (
            f"GET {httpx.URL(content.json()['blackbox_conformal']['picture']).path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        )
        monkeypatch.setattr(server.Protocol, "connection_lost", noting)
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(("127.0.0.1", httpx.URL(gateway.url).port or 80))
            peer.settimeout(0.5)
            with pytest.raises(OSError):
                flood(peer, request.encode() * 100)
            assert ended.wait(30)


def flood(peer: socket.socket, sent: bytes) -> None:
    for _ in range(200_000):
        peer.sendall(sent)


def test_connections_that_never_begin_tls_make_room_as_well(tmp_path, few):
    listening = server.Listening(socket.create_server(("127.0.0.1", 0)))
    listening.most = few
    with listening, ExitStack() as kept:
        peers, accepted = [], []
        for _ in range(few + 5):
            peers.append(kept.enter_context(socket.create_connection(listening.getsockname())))
            accepted.append(kept.enter_context(listening.accept()[0]))
        assert [answer(peer) for peer in peers[:5]] == [b""] * 5
        peers[5].settimeout(0.1)
        with pytest.raises(TimeoutError):
            peers[5].recv(1)


def test_too_low_a_limit_of_descriptors_is_refused_before_anything_is_served():
    assert server.connections_within(1024, 32) == 1024 - 128 - 4 * 32
    assert server.connections_within(10**6, 32) == server.MOST
    with pytest.raises(UsageError, match="ulimit -n 1248, or LimitNOFILE"):
        server.connections_within(1024, 256)
