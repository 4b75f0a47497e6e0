"""The error class of a failed exchange is decided by what has left this machine; against real sockets."""

import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import httpcore
import pytest
from support.draws import draw, tasks
from support.recording_server import RecordingServer
from support.synthetic import photograph

from blackbox_conformal.drawing.http.transport import Transport
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import MaybeSentError, NotSentError, PayloadError, UsageError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Part, Send

LIMITS = Limits(attempt_timeout_s=1.0, connect_timeout_s=0.5, max_answer_bytes=10_000)


@pytest.fixture(autouse=True)
def _every_host_by_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def raw(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does to each connection what `serve` says."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def one(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            serve(sock)

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threads.append(threading.Thread(target=one, args=(sock,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()


@contextmanager
def transport(url: str, *hosts: str, limits: Limits = LIMITS) -> Iterator[Transport]:
    with closing(Transport(url, hosts, limits)) as opened:
        yield opened


def post(url: str, **more: object) -> Send:
    return Send("POST", url, "submit", body=b"x" * 100, **more)  # type: ignore[arg-type]


def test_nothing_listens_is_not_sent():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        with transport(url) as opened, pytest.raises(NotSentError, match=r"127\.0\.0\.1") as caught:
            opened.send(post(url))
    assert not caught.value.permanent


OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = [b"", b"HTTP/1.1 20", b"not http at all\r\n\r\n", OK + b"content-length: 50\r\n\r\nshort"]


@pytest.mark.parametrize("answer", [*BROKEN, OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhel"])
def test_a_broken_answer_is_maybe_sent(answer):
    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answer)

    with raw(serve) as url, transport(url) as opened, pytest.raises(MaybeSentError):
        opened.send(post(url))


@pytest.mark.parametrize("drip", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n"])
def test_a_drip_ends_by_the_wall_clock(drip):
    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(drip)
        for _ in range(200):
            sock.sendall(b"y")
            time.sleep(0.05)

    with raw(serve) as url, transport(url) as opened:
        started = time.monotonic()
        with pytest.raises(MaybeSentError, match="bill"):
            opened.send(post(url))
        assert time.monotonic() - started < 4.0


def test_a_handshake_that_fails_is_not_sent():
    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"this is no TLS")

    with raw(serve) as url, transport(url.replace("http:", "https:")) as opened, pytest.raises(NotSentError):
        opened.send(post(url.replace("http:", "https:")))


def test_answers_of_any_status_come_back_whole():
    with (
        RecordingServer(lambda head: Response(418, {"X-Some": "Thing"}, b"tea")) as vendor,
        transport(vendor.url) as opened,
    ):
        answer = opened.send(post(f"{vendor.url}/a?x=1", query={"y": "2 3"}))
        assert (answer.status, answer.headers["x-some"], answer.body) == (418, "Thing", b"tea")
        (request,) = vendor.asked
        assert (request.head.target, request.head.headers["accept-encoding"]) == ("/a?x=1&y=2+3", "identity")
        assert answer.seconds >= 0.0


def test_bodies_of_every_kind():
    kinds = [{"json": {"a": 1}}, {"form": {"b": "2"}}, {"form": {"c": "3"}, "files": (Part("f", "x.png", b"pix"),)}]
    with RecordingServer() as vendor, transport(vendor.url) as opened:
        for body in kinds:
            opened.send(Send("POST", vendor.url + "/", "submit", **body))
    *plain, form = (request.body for request in vendor.asked)
    assert plain == [b'{"a":1}', b"b=2"]
    for part in (b'name="c"', b'filename="x.png"', b"pix"):
        assert part in form


def test_the_key_goes_to_the_own_origin_only():
    key = Secret("sesame-key")
    with RecordingServer() as vendor, RecordingServer() as other, transport(vendor.url) as opened:
        opened.send(Send("GET", vendor.url + "/own", "poll", headers={"x-api-key": key}, query={"k": key}))
        opened.send(Send("GET", vendor.url + "/public", "download", headers={"x-api-key": key}, public=True))
        opened.send(
            Send("GET", other.url + "/else", "poll", headers={"x-api-key": key, "x-plain": "v"}, query={"k": key})
        )
    own, public = (request.head for request in vendor.asked)
    assert (own.headers["x-api-key"], own.target) == ("sesame-key", "/own?k=sesame-key")
    assert "x-api-key" not in public.headers
    (elsewhere,) = (request.head for request in other.asked)
    assert "sesame-key" not in f"{elsewhere.target} {elsewhere.headers}"
    assert elsewhere.headers["x-plain"] == "v"


def test_redirects_are_followed_for_downloads_three_times_and_without_the_key():
    key = Secret("sesame-key")

    def answer(head: Head) -> Response:
        left = int(head.path[1:])
        return Response(302, {"Location": f"/{left - 1}"}) if left else Response(200)

    with RecordingServer(answer) as vendor, transport(vendor.url) as opened:
        step = Send("GET", vendor.url + "/3", "download", headers={"x-api-key": key})
        assert opened.send(step).status == 200
        assert ["x-api-key" in request.head.headers for request in vendor.asked] == [True, False, False, False]
        with pytest.raises(PayloadError, match="more than 3"):
            opened.send(Send("GET", vendor.url + "/4", "download"))
        assert opened.send(post(vendor.url + "/2")).status == 302
        assert opened.send(Send("GET", vendor.url + "/2", "poll")).status == 302


def test_a_name_that_resolves_to_a_private_address_is_never_connected_to(monkeypatch):
    asked: list[str] = []

    def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("8.8.8.8", "10.0.0.5")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with transport("https://api.example") as opened, pytest.raises(PayloadError, match=r"10\.0\.0\.5"):
        opened.send(Send("GET", "https://result.example/x.png", "download", public=True))
    assert asked == ["result.example"]


def test_what_is_checked_is_what_is_connected_to(monkeypatch):
    """The name is resolved once: a second answer, with another address, is never asked for."""
    answers = ["127.0.0.1", "10.9.9.9"]
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: object, **more: object) -> list[tuple[object, ...]]:
        if host == "localhost":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]
        return real(host, port, *rest, **more)  # type: ignore[arg-type]

    with RecordingServer() as vendor, transport("http://127.0.0.1:1") as opened:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        link = vendor.url.replace("127.0.0.1", "localhost") + "/x"
        assert opened.send(Send("GET", link, "download", public=True)).status == 200
        assert vendor.asked[0].head.headers["host"].startswith("localhost")
    assert answers == ["10.9.9.9"]


def test_a_name_that_does_not_resolve_is_not_sent(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror(socket.EAI_NONAME, "unknown")))
    with transport("https://api.example") as opened:
        for url in ("https://api.example/x", "https://result.example/x"):
            with pytest.raises(NotSentError, match=url[8:].partition("/")[0]):
                opened.send(Send("GET", url, "download", public=True))


def test_too_large_answers_and_data_links():
    with RecordingServer(lambda head: Response(200, {}, b"x" * 10_001)) as vendor, transport(vendor.url) as opened:
        with pytest.raises(PayloadError, match="at most 10000"):
            opened.send(post(vendor.url))
        assert opened.send(Send("GET", "data:,hello", "download")).body == b"hello"


@pytest.mark.parametrize("wrong", ["", "no address", "https://", "ftp://host/", "http://[::1"])
def test_a_base_url_that_is_none_is_a_usage_error(wrong):
    with pytest.raises(UsageError, match="address"):
        Transport(wrong, (), LIMITS)


def test_a_request_that_cannot_be_built_is_permanent_and_hides_the_key():
    with RecordingServer() as vendor, transport(vendor.url) as opened, pytest.raises(NotSentError) as caught:
        opened.send(post(vendor.url, headers={"x-api-key": Secret("two\nlines-of-key")}))
    assert caught.value.permanent
    assert "lines-of-key" not in str(caught.value)


def test_a_starved_pool_is_replaced(monkeypatch):
    with RecordingServer() as vendor, transport(vendor.url) as opened:
        assert opened.send(post(vendor.url)).status == 200

        def starved(*_: object) -> None:
            raise httpcore.PoolTimeout("no connection")

        [[pool]] = opened._idle.values()
        monkeypatch.setattr(pool, "handle_request", starved)
        with pytest.raises(NotSentError, match="came free"):
            opened.send(post(vendor.url))
        assert opened.send(post(vendor.url)).status == 200
        [[other]] = opened._idle.values()
        assert other is not pool


def test_the_library_logs_no_address(caplog):
    caplog.set_level(logging.DEBUG)
    with RecordingServer() as vendor, transport(vendor.url) as opened:
        opened.send(Send("GET", vendor.url + "/x?token=abcdefgh", "download"))
    assert "abcdefgh" not in caplog.text


def test_proxy_of_the_environment_is_used_but_not_for_loopback(monkeypatch):
    with RecordingServer() as vendor, RecordingServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with transport(vendor.url) as opened:
            opened.send(post(vendor.url + "/direct"))
        with transport("http://vendor.invalid") as opened:
            opened.send(post("http://vendor.invalid/by-proxy"))
            monkeypatch.setenv("no_proxy", "vendor.invalid")
        assert [request.head.target for request in vendor.asked] == ["/direct"]
        assert [request.head.target for request in proxy.asked] == ["http://vendor.invalid/by-proxy"]


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"])
def test_a_proxy_that_makes_no_tunnel_has_sent_the_vendor_nothing(monkeypatch, words):
    def refuse(sock: socket.socket) -> None:
        sock.recv(10_000)
        sock.sendall(words)

    with raw(refuse) as proxy, transport("https://vendor.invalid") as opened:
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(NotSentError):
            opened.send(post("https://vendor.invalid/upscale"))


HOSTS = "169.254.169.254 2852039166 0xa9fea9fe 0.0.0.0 10.0.0.1 127.1 [fd00::1] [::1] [::ffff:10.0.0.1] localhost"
HOSTS += " some.localhost metadata.google.internal intranet"


@pytest.mark.parametrize("host", HOSTS.split())
def test_a_proxy_is_not_asked_for_addresses_that_no_link_may_have(monkeypatch, host):
    asked: list[bytes] = []

    def note(sock: socket.socket) -> None:
        asked.append(sock.recv(65536))
        sock.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")

    with raw(note) as proxy, transport("https://vendor.invalid") as opened:
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(PayloadError, match="not followed"):
            opened.send(Send("GET", f"https://{host}/latest", "download", public=True))
        assert asked == []
        with pytest.raises(NotSentError):
            opened.send(Send("GET", "https://results.example/1.png", "download", public=True))
        assert asked[0].startswith(b"CONNECT results.example:443 ")


def test_a_key_does_not_travel_unencrypted_to_another_machine(monkeypatch):
    seen: list[bytes] = []

    def note(sock: socket.socket) -> None:
        seen.append(sock.recv(65536))
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    url = "http://192.0.2.2:9932"
    keyed = post(url, headers={"x-key": Secret("canary-44c1")})
    with raw(note) as way:
        monkeypatch.setenv("http_proxy", way)
        with transport(url) as opened:
            with pytest.raises(NotSentError, match=r"go to http://192\.0\.2\.2:9932 unencrypted") as caught:
                opened.send(keyed)
            assert caught.value.permanent
            assert seen == []
            opened.send(post(url))
            assert len(seen) == 1
        with transport(url, limits=replace(LIMITS, insecure_http=True)) as opened:
            opened.send(keyed)
        assert b"x-key: canary-44c1" in seen[1]


def test_a_proxy_setting_that_is_no_address_is_permanent_and_hides_the_password(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://someone:pr0xy/Passw0rd@127.0.0.1:9")
    with transport("http://vendor.invalid") as opened, pytest.raises(NotSentError, match="HTTP_PROXY") as caught:
        opened.send(post("http://vendor.invalid/upscale"))
    assert caught.value.permanent
    assert "pr0xy" not in str(caught.value)


def test_certificates_that_cannot_be_read_are_permanent(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with transport("https://127.0.0.1:9") as opened, pytest.raises(NotSentError, match="SSL_CERT_FILE") as caught:
        opened.send(post("https://127.0.0.1:9/upscale"))
    assert caught.value.permanent


# A connection on which something was wrong carries no further request: the next draw would get the rest of it.


def picture(number: int) -> bytes:
    return image_png(photograph(number)[:40, :48])


def framed(content: bytes, length: int | None = None) -> bytes:
    announced = len(content) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%b" % (announced, content)


def in_chunks(content: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


def drawn(run: Path, script: Callable[[int], bytes]) -> tuple[list[str], list[bytes], list[int]]:
    """States and contents of three draws one after the other, and the connection of each request.

    `script` gives, for the number of a request, everything that is sent after it.
    """
    connections: list[int] = []
    opened = itertools.count()

    def serve(sock: socket.socket) -> None:
        number = next(opened)
        with sock.makefile("rb") as incoming:
            while incoming.readline():
                length = 0
                while line := incoming.readline().strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                incoming.read(length)
                connections.append(number)
                sock.sendall(script(len(connections) - 1))

    with raw(serve) as url:
        made = draw(SynchronousVendor(url=url), run, tasks(draws=3), concurrency=1)
    return [outcome.state for outcome in made.outcomes], list(made.pictures.values()), connections


@pytest.mark.parametrize(
    ("frame", "further", "connections"),
    [(framed, b"", [0, 0, 0]), (framed, framed(b"x"), [0, 1, 1]), (in_chunks, framed(b"x"), [0, 1, 1])],
)
def test_a_second_answer_to_one_request_is_nobodys(tmp_path, frame, further, connections):
    found = drawn(tmp_path, lambda number: frame(picture(number)) + (b"" if number else further))
    assert found == (["stored"] * 3, [picture(number) for number in range(3)], connections)


def test_an_answer_that_is_longer_than_announced_spoils_no_other(tmp_path):
    found = drawn(tmp_path, lambda number: framed(picture(number), None if number else len(picture(0)) - 7))
    assert found == (["invalid", "stored", "stored"], [picture(1), picture(2)], [0, 1, 1])


def test_after_an_answer_that_is_no_such_picture_the_connection_is_closed(tmp_path):
    found = drawn(tmp_path, lambda number: framed(b"no picture" if number == 1 else picture(number)))
    assert found == (["stored", "invalid", "stored"], [picture(0), picture(2)], [0, 0, 1])
