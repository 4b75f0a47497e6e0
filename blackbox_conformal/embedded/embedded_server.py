"""The embedded vendor's HTTP interface on loopback: POST /v1/upscale, /v1/colourise and /v1/denoise, GET /v1/health."""

import json
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

from blackbox_conformal.embedded.requests import MAX_BODY, RefusalError, parse_order
from blackbox_conformal.embedded.studio import Studio
from blackbox_conformal.support.local_servers import is_loopback_name

MAX_KEY = 255

MAX_CONNECTIONS = 128  # Most connections at a time, each with a thread; one more is told to come back.

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Content-Length: 68\r\n\r\n{"error": {"code": "busy", "message": "Too many open connections."}}'
)


class VendorServer(ThreadingHTTPServer):
    """An HTTP server with one studio; port 0 lets the system choose a free port."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0) -> None:
        self.studio = Studio()
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(("127.0.0.1", port), VendorHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread, if there is one left."""
        if not self._free.acquire(blocking=False):
            request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that hang up; report everything else on standard error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Return the server's address without a trailing slash."""
        return f"http://127.0.0.1:{self.server_port}"


class VendorHandler(BaseHTTPRequestHandler):
    """The handler of one connection, which may carry many requests."""

    server: VendorServer
    protocol_version = "HTTP/1.1"
    server_version = "EmbeddedVendor/1"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = 60.0
    error_content_type = "application/json"

    ROUTES: ClassVar[dict[str, str]] = {
        "/v1/upscale": "POST",
        "/v1/upscale/realesr-general-x4v3": "POST",
        "/v1/colourise": "POST",
        "/v1/denoise": "POST",
        "/v1/health": "GET",
    }

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Write no log."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer the base class's refusals as JSON, too: a malformed request line, an unknown method."""
        self._refuse(RefusalError(code, "bad_request", message or "The request could not be read."))

    def _answer(self, method: str) -> None:
        path, _, query = self.path.partition("?")
        try:
            body = self._body()
            self._check_host()
            if path not in self.ROUTES:
                raise RefusalError(404, "not_found", f"Expected {', '.join(self.ROUTES)}, got {path[:80]}.")
            if method != self.ROUTES[path]:
                raise RefusalError(405, "method_not_allowed", f"Expected {self.ROUTES[path]} for {path}.")
            if method == "GET":
                studio = self.server.studio
                models = {name: task.model for name, task in studio.tasks.items()}
                health = {"status": "ok", "model": models["upscale"], "models": models, "drawn": studio.drawn}
                self._send(200, "application/json", json.dumps(health).encode(), {})
            else:
                self._draw(path.removeprefix("/v1/"), query, body)
        except RefusalError as refusal:
            self._refuse(refusal)

    def _draw(self, task: str, query: str, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        key = headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= MAX_KEY:
            raise RefusalError(422, "bad_idempotency_key", f"Expected 1 to {MAX_KEY} characters, got {len(key)}.")
        studio = self.server.studio
        answer = studio.serve(parse_order(task, studio.tasks[task].scale, query, headers, body), key)
        described = {
            "X-Request-Id": answer.request_id,
            "X-Seed": str(answer.seed),
            "X-Model": answer.model,
            "X-Cost-Usd": "0.00",
        }
        if answer.replayed:
            described["Idempotent-Replayed"] = "true"
        self._send(200, "image/png", answer.png, described)

    def _body(self) -> bytes:
        # After an unfinished body nothing on the connection is a request, so it is closed.
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise RefusalError(411, "length_required", "Expected Content-Length, not Transfer-Encoding.")
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True
            raise RefusalError(400, "bad_length", "Expected a decimal Content-Length.")
        if len(length) > 12 or int(length) > MAX_BODY:
            self.close_connection = True
            raise RefusalError(413, "body_too_large", f"Expected at most {MAX_BODY} bytes, got {length[:20]}.")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            raise RefusalError(400, "incomplete_body", f"Expected {length} bytes, got {len(body)}.")
        return body

    def _check_host(self) -> None:
        # Web pages must not order: of another site, or under a name that was led to this machine (DNS rebinding).
        hosts = self.headers.get_all("Host") or []
        try:
            asked = urlsplit(f"//{hosts[0]}")
            named = len(hosts) == 1 and is_loopback_name(asked.hostname or "")
            is_this_server = named and (asked.port or 80) == self.server.server_port
        except (IndexError, ValueError):
            is_this_server = False
        if not is_this_server:
            self.close_connection = True
            raise RefusalError(421, "other_host", f"Expected the Host of {self.server.url}, got {str(hosts)[:80]}.")
        origins = self.headers.get_all("Origin") or []
        if any(origin.lower() != f"http://{hosts[0]}".lower() for origin in origins):
            self.close_connection = True
            raise RefusalError(403, "other_site", f"Expected no page of another site, got one of {str(origins)[:80]}.")

    def _refuse(self, refusal: RefusalError) -> None:
        body = json.dumps({"error": {"code": refusal.code, "message": str(refusal)}}).encode()
        self._send(refusal.status, "application/json", body, {"X-Request-Id": f"req_{uuid.uuid4().hex}"})

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
