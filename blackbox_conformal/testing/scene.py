"""The real sampler draws with an adapter from a vendor that replays its example (`replay`) and misbehaves as told."""

import io
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.ledger.queries import ledger_ls
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.open_run import OpenRun
from blackbox_conformal.drawing.quotes import ask_quotes
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import BlackboxConformalError, ImageError
from blackbox_conformal.testing.account import Account
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.rehearsal import (
    a_draw,
    a_picture,
    an_upload,
    built,
    cancellation,
    rehearse_failure,
    rehearse_quote,
)
from blackbox_conformal.testing.script import Plan
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send
from blackbox_conformal.vendor.example import Example
from blackbox_conformal.vendor.rates import Rate

# A vendor that replays an adapter's example exchange to each client that sends the same requests.

FRAMING = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection"})


class ReplayVendor:
    """Answers each recorded request (told by method and path) with its recorded answers, the last one again and again.

    Parameters
    ----------
    account
        Where each answered submission is billed.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._header = ""
        self._lock = Lock()
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._purposes: dict[tuple[str, str], str] = {}
        self._given: Counter[tuple[str, str]] = Counter()
        self._keyed: dict[str, Response] = {}

    def load(self, sends: Sequence[Send], answers: Sequence[Answer]) -> None:
        """Learn an exchange: the requests of one draw, and their answers."""
        for send, answer in zip(sends, answers, strict=True):
            place = (send.method, urlsplit(send.url).path)
            self._answers.setdefault(place, []).append(answer)
            self._purposes.setdefault(place, send.purpose)

    def honour(self, header: str | None) -> None:
        """Answer a repeated idempotency key in `header` by the stored answer, without a bill."""
        self._header = (header or "").lower()

    def purpose(self, head: Head) -> str:
        """The purpose of the recorded request with this method and path; an unrecorded GET only looks something up."""
        return self._purposes.get((head.method, head.path), "lookup" if head.method == "GET" else "other")

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        """The next recorded answer; an unknown request is answered by 404."""
        place = (head.method, head.path)
        key = head.headers.get(self._header, "") if self._header else ""
        with self._lock:
            if key and key in self._keyed:
                return self._keyed[key]
            answers = self._answers.get(place)
            if answers is None:
                return Response(404, {"Content-Type": "text/plain"}, b"not part of the recorded exchange")
            answer = answers[min(self._given[place], len(answers) - 1)]
            self._given[place] += 1
            headers = {name: value for name, value in answer.headers.items() if name not in FRAMING}
            response = Response(answer.status, headers, answer.body)
            if self._purposes[place] == "submit" and answer.status < 400:
                self._account.bill("replayed", key, "")
                if key:
                    self._keyed[key] = response
            return response


LIMITS = Limits(
    concurrency=2, attempt_timeout_s=2.0, connect_timeout_s=2.0, job_deadline_s=20.0, max_attempts=3, max_resample=0
)


@dataclass
class Scene:
    """One adapter before one misbehaving vendor, and what came of the draws made there.

    Attributes
    ----------
    exchanges
        The answers of one draw after another that the vendor gives; the last answer to a request again and again.
    draws
        How many draws of the picture are made at once in each round.
    limits
        Those of each round; the last ones for all rounds that follow.
    states
        State of the last draw that ended in each round; empty text where none did.
    errors
        The error that ended each round; None where there was none.
    attempts
        The ledger after the last round.
    limiter_rates
        The rates that the sampler's limiter was given in the last round.
    keyed
        Whether submissions carry an idempotency key.
    account
        The vendor's books.
    """

    kind: type[Adapter]
    example: Example
    exchanges: tuple[tuple[Answer, ...], ...] = ()
    draws: int = 1
    limits: tuple[Limits, ...] = (LIMITS,)
    states: list[str] = field(default_factory=list)
    errors: list[BlackboxConformalError | None] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    limiter_rates: tuple[Rate, ...] = ()
    most_workers: int = 0
    keyed: bool = False
    account: Account = field(default_factory=lambda: Account(Decimal("0.01")))

    def play(self, *rounds: Plan) -> "Scene":
        """Make the same draws once a round, each time by a new sampler on the same run folder, under each plan."""
        with tempfile.TemporaryDirectory(prefix="adapter-check-") as folder, self._vendor() as (vendor, server):
            run = Path(folder) / "run"
            adapter = built(self.kind, self.example, server.url)
            upload = an_upload(adapter)
            picture = a_picture(adapter, upload)
            inspection = adapter.inspect()
            if inspection is not None:
                published = self.example.published
                asked = rehearse_failure(adapter, inspection, published).sends
                vendor.load(asked[: len(published)], published)
            for answers in self.exchanges or (self.example.answers,):
                self._load(vendor, adapter, self.example.filled(picture, server.url, answers))
            vendor.honour(adapter.capabilities.idempotency_header)
            self.keyed = adapter.capabilities.idempotency_header is not None
            drawn = [a_draw(adapter, index) for index in range(self.draws)]
            tasks = [Task(upload, draw.index, draw.seed) for draw in drawn]
            for number, plan in enumerate(rounds):
                server.script = _shifted(plan, self.account)
                limits = self.limits[min(number, len(self.limits) - 1)]
                with Sampler(adapter, run, limits, check=whole_picture(picture)) as sampler:
                    opened = sampler.open()
                    if isinstance(opened, OpenRun):
                        self.limiter_rates, self.most_workers = opened.rates, opened.most_workers
                    self._round(sampler, tasks)
            self.attempts = ledger_ls(run)
        return self

    def ask(self, plan: Plan) -> "Scene":
        """Ask for a price under `plan`; states tell it, or stay empty."""
        with self._vendor() as (vendor, server):
            adapter = built(self.kind, self.example, server.url)
            upload = an_upload(adapter)
            vendor.load(rehearse_quote(adapter, upload, self.example.quotes).sends, self.example.quotes)
            server.script = plan
            price, error = "", None
            try:
                price = str(next(iter(ask_quotes(adapter, [upload], LIMITS).values())))
            except BlackboxConformalError as caught:
                error = caught
            self.states.append(price)
            self.errors.append(error)
        return self

    @contextmanager
    def _vendor(self) -> Iterator[tuple[ReplayVendor, FaultServer]]:
        vendor = ReplayVendor(self.account)
        with FaultServer(vendor=vendor, account=self.account) as server:
            yield vendor, server

    def _load(self, vendor: ReplayVendor, adapter: Adapter, answers: tuple[Answer, ...]) -> None:
        """Teach the vendor one draw, and to cancel its job if the answers leave it unfinished."""
        upload, draw = an_upload(adapter), a_draw(adapter)
        sends = rehearse_failure(adapter, adapter.draw(upload, draw), answers).sends
        vendor.load(sends[: len(answers)], answers[: len(sends)])
        # The last answer may be that of a stream which stays open instead.
        for count in (len(answers), len(answers) - 1):
            cancel = cancellation(adapter.draw(upload, draw), answers[:count])
            if cancel is not None:
                vendor.load([cancel], [self.example.cancelled])

    def _round(self, sampler: Sampler, tasks: list[Task]) -> None:
        state, error = "", None
        try:
            for outcome in sampler.draw(tasks):
                state = outcome.state
        except BlackboxConformalError as caught:
            error = caught
        self.states.append(state)
        self.errors.append(error)

    @property
    def submissions(self) -> int:
        """Requests that tried to submit."""
        return self.account.requests("submit")

    @property
    def submitted_at(self) -> list[float]:
        """When each of them arrived, in seconds of the monotonic clock."""
        return [request.at for request in self.account.recorded if request.purpose == "submit"]

    @property
    def billed_and_sent(self) -> tuple[int, int]:
        """Number of billed submissions, and of requests that tried to submit."""
        return self.account.paid, self.submissions

    def story(self) -> str:
        """What happened, for a message."""
        ends = [
            f"{state or 'nothing'}{f' ({type(error).__name__}: {error})' if error else ''}"
            for state, error in zip(self.states, self.errors, strict=True)
        ]
        return f"{'; then '.join(ends)}; {self.submissions} submissions, {self.account.paid} billed"


def _shifted(plan: Plan, account: Account) -> Plan:
    """A plan whose lists begin at the next request instead of the first."""
    return {
        purpose: entry
        if isinstance(entry, str) or not isinstance(entry, list)
        else [None] * account.requests(purpose) + entry
        for purpose, entry in plan.items()
    }


def whole_picture(expected: bytes) -> Callable[[bytes, Task], None]:
    """A check that accepts a whole picture of the same size as `expected`."""
    with Image.open(io.BytesIO(expected)) as opened:
        size = opened.size

    def check(content: bytes, task: Task) -> None:
        try:
            with Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "WEBP"]) as opened:
                opened.load()
                if opened.size != size:
                    raise ImageError(f"expected {size[0]} × {size[1]} pixels; got {opened.size[0]} × {opened.size[1]}")
        except (OSError, SyntaxError) as error:
            raise ImageError(f"expected a picture; {error}") from None

    return check
