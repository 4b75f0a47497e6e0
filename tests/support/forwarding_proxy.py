"""A server that passes requests on to another one, and is at fault in one way that a test asks for."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit


class ForwardingProxy(ThreadingHTTPServer):
    """Passes requests on, but for the header `drop` (lower case), with 503 to the methods in `down`.

    `altered`: bodies of answers to GET have another last byte.
    """

    daemon_threads = True

    def __init__(self, target: str, drop: str, altered: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.drop, self.altered = urlsplit(target).netloc, drop, altered
        self.down: tuple[str, ...] = ()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ForwardingProxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.command in self.server.down:
            self._answer(503, [], b"")
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != self.server.drop}
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if self.server.altered and self.command == "GET" and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self._answer(answer.status, answer.getheaders(), content)
        connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(content)))
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on  # noqa: N815 - the base class calls these

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@contextmanager
def forwarding_proxy(target: str, *, drop: str = "", altered: bool = False) -> Iterator[ForwardingProxy]:
    """A proxy in front of the server at `target` while the context lasts."""
    server = ForwardingProxy(target, drop, altered)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
