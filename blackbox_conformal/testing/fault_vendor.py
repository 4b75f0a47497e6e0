"""The vendor that the fault server plays: a synchronous dialect and a job dialect over one price list.

Synchronous: ``POST /v1/upscale?scale=4&seed=7`` with a PNG, answered by a PNG. Jobs: ``POST /v1/jobs`` as a form, ``GET
/v1/jobs/ID``, ``GET /v1/jobs?reference=KEY``, ``POST /v1/jobs/ID/cancel``, ``GET /results/TOKEN``. Price of a draw:
``GET /v1/price``. Books: ``GET /account``. Marks may spoil a job.
"""

import hashlib
import itertools
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.testing.pictures import WRONG_PICTURES, upscale
from blackbox_conformal.testing.raw_http import Head, Response, multipart


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it arrived, and its fault; `at` is monotonic, in seconds."""

    purpose: str
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    fault: str
    port: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Paid:
    """A billed submission; `draw` (picture and seed) is equal for two submissions of one draw."""

    draw: str
    key: str
    reference: str


class Account:
    """A count of requests and billed submissions; any thread may call any method."""

    def __init__(self, price_usd: Decimal, *, keep: int = 5000) -> None:
        self.price_usd = price_usd
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._paid: list[Paid] = []
        # Only the newest, because a server may run for days.
        self._recorded: deque[RecordedRequest] = deque(maxlen=keep)
        self._running: Counter[str] = Counter()
        self._highest: Counter[str] = Counter()
        self._connections = 0

    def connected(self) -> int:
        """Book a connection; return its number, from 0."""
        with self._lock:
            self._connections += 1
            return self._connections - 1

    def arrived(self, purpose: str) -> int:
        """Book the head of a request; return its number within its purpose, from 0."""
        with self._lock:
            self._requests[purpose] += 1
            self._running[purpose] += 1
            # The most requests at once tells whether a client keeps its limit.
            self._highest[purpose] = max(self._highest[purpose], self._running[purpose])
            return self._requests[purpose] - 1

    def answered(self, purpose: str) -> None:
        """Book the end of a request."""
        with self._lock:
            self._running[purpose] -= 1

    def record(self, request: RecordedRequest) -> None:
        """Remember a request; older ones are forgotten."""
        with self._lock:
            self._faults[request.fault] += 1
            self._recorded.append(request)

    def bill(self, draw: str, key: str, reference: str) -> None:
        with self._lock:
            self._paid.append(Paid(draw, key, reference))

    @property
    def paid(self) -> int:
        """Count billed submissions."""
        with self._lock:
            return len(self._paid)

    @property
    def distinct(self) -> int:
        """Count different draws among billed submissions."""
        with self._lock:
            return len({entry.draw for entry in self._paid})

    @property
    def bills(self) -> list[Paid]:
        """Return every billed submission, in order."""
        with self._lock:
            return list(self._paid)

    @property
    def recorded(self) -> list[RecordedRequest]:
        with self._lock:
            return list(self._recorded)

    def requests(self, purpose: str) -> int:
        with self._lock:
            return self._requests[purpose]

    def summary(self) -> dict[str, Any]:
        with self._lock:
            return {
                "paid": len(self._paid),
                "distinct": len({entry.draw for entry in self._paid}),
                "cost_usd": str(self.price_usd * len(self._paid)),
                "requests": dict(self._requests),
                "faults": dict(self._faults),
                "connections": self._connections,
                "most_at_once": dict(self._highest),
            }


ALWAYS = 1_000_000


@dataclass(slots=True)
class AcceptedJob:
    """One accepted submission and its fate.

    `marks` spoil it: ``stuck``; ``word`` (an unknown status) and ``output`` (``null`` or ``empty``), each ``times``
    polls long; ``backwards``; ``failed`` and ``crashed`` (the vendor's own failure), each a message; ``swapped``;
    ``same_id``; ``url`` (the link to give); ``dead_links`` (every link's status); ``picture`` (a wrong picture).
    """

    number: int
    png: bytes
    scale: int
    seed: int
    reference: str
    marks: Mapping[str, Any]
    polls: int = 0
    cancelled: bool = False
    tokens: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"job-{self.number}"


class FaultVendor:
    """A vendor of both dialects; any thread may call any method.

    `account`: where submissions are billed. `api_key`: the key that requests must carry as ``Authorization: Bearer``;
    None asks for none. `idempotent`: a repeated ``Idempotency-Key`` gets the same job and one bill. `polls`: how often
    a job is read before it is done. `result_port`: the port of result links; None is the job's own. `ignores_seed`:
    every draw of a picture is the same. `ranges`: results have an ETag and come in parts. `reported_price`: the price
    in answers: ``billed``, another as text, or None.
    """

    def __init__(
        self,
        account: Account,
        *,
        api_key: str | None = None,
        idempotent: bool = False,
        polls: int = 1,
        ignores_seed: bool = False,
        ranges: bool = False,
        reported_price: str | None = "billed",
    ) -> None:
        self.account = account
        self.result_port: int | None = None
        self.model = "fault-vendor-1"
        self._api_key = api_key
        self._idempotent = idempotent
        self.polls = polls
        self._ignores_seed = ignores_seed
        self._ranges = ranges
        self._price = str(account.price_usd) if reported_price == "billed" else reported_price
        self._lock = threading.RLock()
        self._jobs: list[AcceptedJob] = []
        self._links: dict[str, AcceptedJob] = {}
        self._dead: set[str] = set()
        self._answers: dict[str, Response] = {}
        # Draws without a seed differ, as if the vendor drew one.
        self._unseeded = itertools.count(1)

    def purpose(self, head: Head) -> str:
        """Tell a request's purpose from its method and path."""
        path = head.path
        if head.method == "POST":
            if path in {"/v1/upscale", "/v1/jobs"}:
                return "submit"
            return "cancel" if path.endswith("/cancel") else "other"
        if path.startswith("/results/"):
            return "download"
        if path == "/v1/jobs":
            return "lookup"
        if path == "/v1/price":
            return "quote"
        return "poll" if path.startswith("/v1/jobs/") else "other"

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        """Return the regular answer to one request."""
        purpose = self.purpose(head)
        # The books do not belong to the vendor's interface, so they need no key.
        if head.path == "/account":
            return _json(200, self.account.summary())
        if purpose == "download":
            # Signed links carry their own permission.
            return self._download(head)
        if self._api_key is not None and head.headers.get("authorization") != f"Bearer {self._api_key}":
            return _json(401, {"error": {"message": "no such API key"}})
        if purpose == "submit":
            key = head.headers.get("idempotency-key", "")
            if not (self._idempotent and key):
                return self._accept(head, body, key, marks)
            with self._lock:
                if key in self._answers:
                    return self._answers[key].with_headers(Idempotent_Replayed="true")
                self._answers[key] = self._accept(head, body, key, marks)
                return self._answers[key]
        if purpose == "lookup":
            jobs = [{"id": job.id} for job in list(self._jobs) if job.reference == head.query.get("reference")]
            return _json(200, {"jobs": jobs})
        if purpose == "quote":
            return _json(200, {"cost_usd": str(self.account.price_usd)})
        if purpose in {"poll", "cancel"}:
            return self._job(head, port, purpose)
        return _json(404, {"error": {"message": "no such address"}})

    def remember(self, head: Head, response: Response) -> None:
        """Store an answer under the request's idempotency key."""
        self._answers[head.headers.get("idempotency-key", "")] = response

    def expire(self, head: Head) -> None:
        """Let a link die."""
        self._dead.add(head.path.rpartition("/")[2])

    def _accept(self, head: Head, body: bytes, key: str, marks: Mapping[str, Any]) -> Response:
        whole = head.path == "/v1/upscale"
        if whole:
            fields, png = head.query, body
        else:
            form = multipart(head, body)
            png = form.pop("image", b"")
            fields = {name: value.decode("utf-8", "replace") for name, value in form.items()}
        if not png.startswith(PNG_SIGNATURE):
            return _json(415, {"error": {"message": "expected a PNG: the body of /v1/upscale, image of /v1/jobs"}})
        reference = fields.get("reference", "")
        scale = int(fields.get("scale", "4"))
        seed = 0 if self._ignores_seed else int(fields.get("seed") or next(self._unseeded))
        digest = hashlib.sha256(png).hexdigest()[:16]
        # Picture and seed make a draw; without a seed, the client's name for it does.
        draw = f"{digest}:{fields['seed']}" if fields.get("seed") else f"{digest}:{key or reference or seed}"
        if whole:
            picture = upscale(png, scale, seed)
            self.account.bill(draw, key, reference)
            headers = {"Content-Type": "image/png"} | ({} if self._price is None else {"X-Cost-USD": self._price})
            return self._signed(Response(200, headers, picture))
        with self._lock:
            if marks.get("same_id") and self._jobs:
                job = self._jobs[-1]
            else:
                job = AcceptedJob(len(self._jobs), png, scale, seed, reference, marks)
                self._jobs.append(job)
            self.account.bill(draw, key, reference)
        return self._signed(_json(201, {"id": job.id, "status": "queued"}))

    def _signed(self, response: Response) -> Response:
        return response.with_headers(X_Model=self.model, X_Request_Id=f"request-{self.account.paid}")

    def _job(self, head: Head, port: int, purpose: str) -> Response:
        name = head.path.split("/")[3]
        with self._lock:
            job = next((entry for entry in self._jobs if entry.id == name), None)
            if job is None:
                return _json(404, {"error": {"message": f"no job {name}"}})
            if purpose == "cancel":
                job.cancelled = True
                return _json(200, {"id": job.id, "status": "cancelled"})
            # Counted before the state is told, so that each poll sees the next state.
            poll, job.polls = job.polls, job.polls + 1
            status, output = self._state(job, poll, port)
        answer: dict[str, Any] = {"id": job.id, "status": status, "output": output, "model": self.model}
        if status == "succeeded" and self._price is not None:
            answer["cost_usd"] = self._price
        if status in ("failed", "crashed"):
            answer["error"] = str(job.marks[status])
        return self._signed(_json(200, answer))

    def _state(self, job: AcceptedJob, poll: int, port: int) -> tuple[str, str | list[str] | None]:
        marks = job.marks
        times = int(marks.get("times", ALWAYS))
        if marks.get("backwards"):
            if poll == 0:
                return "succeeded", f"http://127.0.0.1:{self.result_port or port}/results/not-yet"
            if poll < 3:
                return ("queued", "processing")[poll - 1], None
        if poll < self.polls:
            return ("processing" if poll else "queued"), None
        late = poll - self.polls
        if marks.get("stuck"):
            return "processing", None
        if "word" in marks and late < times:
            return str(marks["word"]), None
        for end in ("failed", "crashed"):
            if end in marks:
                return end, None
        if "output" in marks and late < times:
            return "succeeded", [] if marks["output"] == "empty" else None
        return "succeeded", str(marks["url"]) if "url" in marks else self._link(job, port)

    def _link(self, job: AcceptedJob, port: int) -> str:
        if not job.tokens or job.tokens[-1] in self._dead:
            # Nobody can guess the token, as in a signed link; the next one differs once this is dead.
            job.tokens.append(hashlib.sha256(f"{job.number}:{len(job.tokens)}".encode()).hexdigest()[:20])
            self._links[job.tokens[-1]] = job
        token = job.tokens[-1]
        return f"http://127.0.0.1:{self.result_port or port}/results/{token}?signature={token[::-1]}"

    def _download(self, head: Head) -> Response:
        token = head.path.rpartition("/")[2]
        job = self._links.get(token)
        if job is None or token in self._dead:
            return Response(404 if job is None else 403, {"Content-Type": "application/xml"}, b"<Error>gone</Error>")
        if "dead_links" in job.marks:
            code = int(job.marks["dead_links"])
            return Response(code, {"Content-Type": "application/xml"}, b"<Error>Request has expired</Error>")
        if job.marks.get("swapped"):
            others = [other for other in list(self._jobs) if other.png != job.png]
            job = others[-1] if others else job
        picture = upscale(job.png, job.scale, job.seed)
        if "picture" in job.marks:
            picture = WRONG_PICTURES[str(job.marks["picture"])](picture)
        response = Response(200, {"Content-Type": "image/png"}, picture)
        return ranged(head, response) if self._ranges else response


def ranged(head: Head, whole: Response) -> Response:
    """Return `whole` with an ETag, or the part that the request asks for."""
    tag = f'"{hashlib.sha256(whole.body).hexdigest()[:16]}"'
    offered = whole.with_headers(ETag=tag, Accept_Ranges="bytes")
    wanted = head.headers.get("range")
    if wanted is None:
        return offered
    if head.headers.get("if-match", tag) != tag:
        return Response(412)
    start = int(wanted.removeprefix("bytes=").partition("-")[0])
    size = len(whole.body)
    part = offered.with_headers(Content_Range=f"bytes {start}-{size - 1}/{size}")
    return Response(206, part.headers, whole.body[start:])


def _json(status: int, value: Any) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(value).encode())
