"""What strangers and clients may send or leave open, and who is served: it costs little, and stops nothing else."""

import json
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.command_line import called
from support.gateway import Gateway, held, picture, serving
from support.gateway_process import GatewayProcess
from support.synthetic import photograph

from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway import application, http_exchange, server
from blackbox_conformal.gateway import gateway as gateway_module
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.gateway.server import Protocol
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


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


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
    calibration, vendor, tmp_path, monkeypatch, tokens
):
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
        assert (httpx.put(link["upload_url"], content=picture(0)).status_code, len(read_bodies)) == (200, 2)


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


def test_a_chunk_that_breaks_http_is_answered_once_and_writes_no_traceback(caplog, gateway):
    host = httpx.URL(gateway.url).netloc.decode()
    for kind in ("image/png", "multipart/form-data; boundary=x", "application/json"):
        for path in ("/pictures", PREDICTIONS, "/nothing"):
            head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
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


def test_a_text_that_is_none_and_seconds_that_nobody_waits_are_refused(gateway):
    url, image = f"{gateway.url}{PREDICTIONS}", {"image": "data:image/png;base64,"}
    wrong = [{"version": "\ud800"}, {"webhook": "http://\ud800/"}, {"input": image | {"\ud800": 1}}]
    for more in (*wrong, {"input": image | {"prompt": "\ud800"}}):
        assert httpx.post(url, content=json.dumps({"input": image} | more), timeout=60).status_code == 400, more
    for seconds in ("9" * 5000, "0", "-1", "\u00b2"):
        headers = {"Prefer": f"wait={seconds}".encode("latin-1")}
        assert httpx.post(url, json={"input": image}, headers=headers, timeout=60).status_code == 422, seconds[:9]


def test_uploads_leave_room_for_paid_answers_and_readiness_tells_it(tmp_path, monkeypatch, gateway):
    assert gateway.get("/readyz").status_code == 200
    monkeypatch.setattr(gateway_module, "KEPT_FREE_BYTES", 2**62)
    files = {"content": ("in.png", picture(0), "image/png")}
    refused = [httpx.post(f"{gateway.url}/v1/files", files=files), gateway.post(picture(0))]
    ready = gateway.get("/readyz")
    assert [answer.status_code for answer in refused] == [507, 507]
    assert not any(str(tmp_path) in answer.text or "served" in answer.text for answer in refused)
    assert (ready.status_code, ready.json()["why"], files_of(tmp_path / "run")) == (503, "the disk is full", [])


def test_a_token_uploads_no_more_than_it_may_in_a_day_and_takes_nothing_of_others(
    calibration, vendor, tmp_path, tokens
):
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
    calibration, vendor, tmp_path, given, tokens
):
    with (
        pytest.raises(UsageError, match=r"serve token new NAME .* --no-tokens"),
        serving(calibration, vendor, tmp_path / "run", **given),
    ):
        pass
    with serving(calibration, vendor, tmp_path / "open", no_tokens=True, **given) as gateway:
        assert gateway.get("/healthz").status_code == 200
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


LIMIT = 1024 * 1024


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


def test_a_page_of_another_site_is_not_served(calibration, vendor, tmp_path):
    with serving(calibration, vendor, tmp_path / "run", host_names=("gateway.example",), no_tokens=True) as gateway:
        asked = [({"Host": "evil.example"}, 421), ({"Host": "gateway.example"}, 200), ({"Origin": gateway.url}, 200)]
        asked += [({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403)]
        for headers, status in asked:
            assert httpx.get(f"{gateway.url}/metrics", headers=headers).status_code == status, headers


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
