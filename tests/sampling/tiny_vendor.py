"""A vendor in a few lines: a real HTTP server whose answers a test writes, and two adapters that speak to it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from blackbox_conformal.adapter import (
    Accepted,
    Adapter,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Price,
    Send,
    Upload,
    Wait,
)
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import Outcome, Task
from blackbox_conformal.secrets import Secret

PNG = b"\x89PNG\r\n\x1a\n"
Reply = tuple[int, dict[str, str], bytes]


class TinyVendor:
    """Keeps every request; `answer` (path, number of the request to that path from 0) → status, headers, body."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.lock = threading.Lock()
        self.answer: Callable[[str, int], Reply | None] = lambda path, number: None
        self.url = ""

    def count(self, path: str) -> int:
        """Requests to paths that begin so."""
        with self.lock:
            return sum(seen[1].startswith(path) for seen in self.seen)

    def reply(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
        with self.lock:
            number = sum(seen[1] == path for seen in self.seen)
            total = len(self.seen)
            self.seen.append((method, path, headers, body))
        told = self.answer(path, number)
        if told is not None:
            return told
        if path == "/jobs":
            return 200, {}, json.dumps({"id": f"job-{total}"}).encode()
        if path.startswith("/jobs/"):
            return 200, {}, json.dumps({"done": True, "link": f"{self.url}/files/{path[6:]}"}).encode()
        if path.startswith("/files/"):
            return 200, {}, PNG + path.encode()
        return 200, {}, PNG + str(total).encode()


@contextmanager
def serving() -> Iterator[TinyVendor]:
    """The vendor on a free loopback port. Status 0 closes the connection without an answer."""
    vendor = TinyVendor()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = vendor.reply(self.command, self.path, headers, body)
            if told is None or told[0] == 0:
                self.close_connection = True
                return
            status, extra, content = told
            self.send_response(status)
            for name, value in ({"content-length": str(len(content))} | extra).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = "connection" in extra

        do_GET = do_POST = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class AtOnce(Adapter):
    """Answers a submission with the picture."""

    name: ClassVar[str] = "tiny-at-once"
    transient: ClassVar[frozenset[str]] = frozenset({"url", "key"})
    url: str
    price: Decimal | None = Decimal("0.25")
    idempotent: bool = False
    key: str = ""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scale_factors=(2,),
            price=None if self.price is None else Price(self.price, self.price, "made up"),
            idempotency_header="Idempotency-Key" if self.idempotent else None,
        )

    @property
    def base_url(self) -> str:
        return self.url

    def credential(self) -> Secret:
        return Secret(self.key) if self.key else super().credential()

    def headers(self) -> dict[str, str | Secret]:
        return {"x-api-key": Secret(self.key)} if self.key else {}

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/upscale", "submit", body=upload.png, headers=self.headers())
        cost = answer.headers.get("x-cost")
        yield Observed(model=answer.headers.get("x-model"), cost_usd=None if cost is None else Decimal(cost))
        return answer.body


class ByJobs(AtOnce):
    """Answers a submission with a job, and the job with a link."""

    name: ClassVar[str] = "tiny-jobs"

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/jobs", "submit", body=upload.png, headers=self.headers())
        yield Accepted(answer.json()["id"])
        return (yield from self.resume(upload, draw, answer.json()["id"]))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        while True:
            answer = yield Send("GET", f"{self.url}/jobs/{job}", "poll", headers=self.headers())
            if answer.json()["done"]:
                break
            yield Wait(0.01)
        picture = yield Send("GET", answer.json()["link"], "download", public=True)
        return picture.body


def tasks(pictures: int = 1, draws: int = 1) -> list[Task]:
    """`draws` draws of each of so many pictures."""
    uploads = [Upload(f"p{n}", f"sha256:{n:064x}", b"low %d" % n, 4, 3) for n in range(pictures)]
    return [Task(upload, index, None) for upload in uploads for index in range(draws)]


def quick(**changes: Any) -> Limits:
    """Limits that end a test within seconds."""
    settings: dict[str, Any] = {
        "concurrency": 4,
        "attempt_timeout_s": 5.0,
        "connect_timeout_s": 2.0,
        "job_deadline_s": 5.0,
        "max_attempts": 3,
    }
    return Limits(**{**settings, **changes})


def draw(adapter: AtOnce, run: Path, work: list[Task], check: Any = None, **changes: Any) -> tuple[list[Outcome], Any]:
    """Outcomes of a run of its own, and the error at its end (None: none)."""
    outcomes: list[Outcome] = []
    with Sampler(adapter, run, quick(**changes), check=check) as sampler:
        try:
            outcomes.extend(sampler.draw(work))
        except BlackboxConformalError as error:
            return outcomes, error
    return outcomes, None


def submissions(vendor: TinyVendor, path: str) -> int:
    """POST requests to a path."""
    with vendor.lock:
        return sum(seen[0] == "POST" and seen[1] == path for seen in vendor.seen)
