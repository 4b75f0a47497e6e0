"""`check_adapter`: every demand of the contract on an adapter, in one list of results.

`static_contract` holds the checks without a socket. Here the real sampler draws from a misbehaving vendor, and from one
that behaves as the adapter says.
"""

import io
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from PIL import Image

from blackbox_conformal.drawing.free_requests import ask_quotes, refuse_retired
from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.ledger.money import to_nano, to_usd
from blackbox_conformal.drawing.ledger.queries import ledger_ls
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.open_run import OpenRun
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import (
    AccountRefusedError,
    AdapterError,
    BlackboxConformalError,
    BudgetError,
    ImageError,
    IncompleteError,
    NotFoundError,
    UsageError,
)
from blackbox_conformal.study.plugins import adapter_class
from blackbox_conformal.testing.fault_server import FaultServer, Plan
from blackbox_conformal.testing.fault_vendor import Account
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.rehearsal import (
    a_draw,
    a_picture,
    an_upload,
    built,
    cancellation,
    environment,
    rehearse,
    rehearse_failure,
    rehearse_quote,
)
from blackbox_conformal.testing.static_contract import CheckResult, Subject, static_checks
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send, Wait
from blackbox_conformal.vendor.example import Example, example_of
from blackbox_conformal.vendor.rates import Rate

# A vendor that replays an adapter's example exchange to each client that sends the same requests.

# The server frames its answers anew, so the vendor's own framing no longer holds.
FRAMING = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection"})


class ReplayVendor:
    """A vendor that answers each recorded request (by method and path) with its recorded answers, the last repeatedly.

    Answered submissions are billed to `account`.
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
            # A place's requests are answered in turn, the last answer again and again.
            self._answers.setdefault(place, []).append(answer)
            self._purposes.setdefault(place, send.purpose)

    def honour(self, header: str | None) -> None:
        """Answer a repeated idempotency key in `header` by the stored answer, without a bill."""
        self._header = (header or "").lower()

    def purpose(self, head: Head) -> str:
        """Return the purpose of the recorded request with this method and path; an unrecorded GET is a look-up."""
        return self._purposes.get((head.method, head.path), "lookup" if head.method == "GET" else "other")

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        """Return the next recorded answer; an unknown request gets 404."""
        place = (head.method, head.path)
        key = head.headers.get(self._header, "") if self._header else ""
        with self._lock:
            # A vendor with idempotency keys answers a known key as before and bills it once.
            if key and key in self._keyed:
                return self._keyed[key]
            answers = self._answers.get(place)
            if answers is None:
                return Response(404, {"Content-Type": "text/plain"}, b"not part of the recorded exchange")
            answer = answers[min(self._given[place], len(answers) - 1)]
            self._given[place] += 1
            headers = {name: value for name, value in answer.headers.items() if name not in FRAMING}
            response = Response(answer.status, headers, answer.body)
            # Only an accepted submission is billed.
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
    """One adapter before one misbehaving vendor, and the outcome of its draws.

    `exchanges`: the vendor's answers, draw by draw, the last answer again and again. `draws` are made at once in each
    round. `limits`: each round's, the last one's for later rounds. `states` and `errors`: how each round ended ("" or
    None if it did not). `attempts`: the ledger after the last round. `limiter_rates`: the rates of the sampler's
    limiter. `keyed`: submissions carry an idempotency key. `account`: the vendor's books.
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
        """Make the same draws once a round under each plan, with a new sampler on the same run folder."""
        with tempfile.TemporaryDirectory(prefix="adapter-check-") as folder, self._vendor() as (vendor, server):
            run = Path(folder) / "run"
            adapter = built(self.kind, self.example, server.url)
            upload = an_upload(adapter)
            picture = a_picture(adapter, upload)
            inspection = adapter.inspect()
            if inspection is not None:
                published = self.example.published
                # One more request than there are answers.
                asked = rehearse_failure(adapter, inspection, published).sends
                vendor.load(asked[: len(published)], published)
            for answers in self.exchanges or (self.example.answers,):
                # The vendor must also cancel the draw's job if the answers leave it unfinished.
                filled, draw = self.example.filled(picture, server.url, answers), a_draw(adapter)
                sends = rehearse_failure(adapter, adapter.draw(upload, draw), filled).sends
                vendor.load(sends[: len(filled)], filled[: len(sends)])
                # The last answer may belong to a stream that stays open instead.
                for count in (len(filled), len(filled) - 1):
                    cancel = cancellation(adapter.draw(upload, draw), filled[:count])
                    if cancel is not None:
                        vendor.load([cancel], [self.example.cancelled])
            vendor.honour(adapter.capabilities.idempotency_header)
            self.keyed = adapter.capabilities.idempotency_header is not None
            drawn = [a_draw(adapter, index) for index in range(self.draws)]
            tasks = [Task(upload, draw.index, draw.seed) for draw in drawn]
            for number, plan in enumerate(rounds):
                # The account counts earlier rounds' requests, so a plan begins behind them.
                server.script = {
                    purpose: entry
                    if isinstance(entry, str) or not isinstance(entry, list)
                    # None lets a request through.
                    else [None] * self.account.requests(purpose) + entry
                    for purpose, entry in plan.items()
                }
                limits = self.limits[min(number, len(self.limits) - 1)]
                # A new sampler each round: only the run folder may carry knowledge over.
                with Sampler(adapter, run, limits, check=whole_picture(picture)) as sampler:
                    opened = sampler.open()
                    if isinstance(opened, OpenRun):
                        self.limiter_rates, self.most_workers = opened.rates, opened.most_workers
                    state, error = "", None
                    try:
                        for outcome in sampler.draw(tasks):
                            state = outcome.state
                    except BlackboxConformalError as caught:
                        error = caught
                    self.states.append(state)
                    self.errors.append(error)
            self.attempts = ledger_ls(run)
        return self

    def ask(self, plan: Plan) -> "Scene":
        """Ask for a price under `plan`; `states` tells it, or stays empty."""
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

    @property
    def submissions(self) -> int:
        return self.account.requests("submit")

    @property
    def submitted_at(self) -> list[float]:
        """Return when each submission arrived, in seconds of the monotonic clock."""
        return [request.at for request in self.account.recorded if request.purpose == "submit"]

    @property
    def billed_and_sent(self) -> tuple[int, int]:
        """Return the number of billed and of tried submissions."""
        return self.account.paid, self.submissions

    def story(self) -> str:
        ends = [
            f"{state or 'nothing'}{f' ({type(error).__name__}: {error})' if error else ''}"
            for state, error in zip(self.states, self.errors, strict=True)
        ]
        return f"{'; then '.join(ends)}; {self.submissions} submissions, {self.account.paid} billed"


def whole_picture(expected: bytes) -> Callable[[bytes, Task], None]:
    """Return a check that accepts a whole picture of the same size as `expected`."""
    with Image.open(io.BytesIO(expected)) as opened:
        size = opened.size

    def check(content: bytes, task: Task) -> None:
        try:
            # Vendors answer with these three formats.
            with Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "WEBP"]) as opened:
                # Opening reads the head alone; only loading finds a cut file.
                opened.load()
                if opened.size != size:
                    raise ImageError(f"expected {size[0]} × {size[1]} pixels; got {opened.size[0]} × {opened.size[1]}")
        except (OSError, SyntaxError) as error:
            raise ImageError(f"expected a picture; {error}") from None

    return check


# The real sampler draws from a misbehaving vendor: it must pay once for each draw and class each error right.

PAUSE_S = 1.0
GATEWAY = "status:code=504,kind=text/html"


class Scenario(NamedTuple):
    """One way in which a vendor misbehaves: the promise (`name`), the plan of each round, and the test `kept`.

    It applies to adapters with requests of this `purpose`; a ``repeated poll`` is one that may be answered again. A
    ``quote`` has one round.
    """

    name: str
    purpose: str
    rounds: tuple[Plan, ...]
    kept: Callable[[Scene], bool]


def _paid_once(scene: Scene) -> bool:
    return scene.account.paid == 1 and scene.states[0] in ("stored", "ambiguous")


def _fetched(scene: Scene) -> bool:
    return scene.states == ["stored"] and scene.account.paid == 1


def _waited(scene: Scene) -> bool:
    # A lower bound only: the machine decides how much later the second submission comes.
    times = scene.submitted_at
    return _fetched(scene) and len(times) == 2 and times[1] - times[0] >= PAUSE_S


def _fetched_later(scene: Scene) -> bool:
    unfinished = isinstance(scene.errors[0], IncompleteError) or scene.states[0] != "stored"
    return unfinished and scene.states[1] == "stored" and scene.billed_and_sent == (1, 1)


def _run_stopped(scene: Scene) -> bool:
    return isinstance(scene.errors[0], AccountRefusedError) and scene.billed_and_sent == (0, 1)


def _refused(scene: Scene) -> bool:
    return scene.states == ["refused"] and scene.billed_and_sent == (0, 1)


def _not_found(scene: Scene) -> bool:
    # Some vendors answer so to a picture; their adapters say so, and the run goes on to the next picture.
    stopped = isinstance(scene.errors[0], NotFoundError) and scene.billed_and_sent == (0, 1)
    return stopped or _refused(scene)


def _left_open(scene: Scene) -> bool:
    # With an idempotency key, it is repeated and billed at most once; without, nobody knows whether it was billed.
    return scene.states[0] == "ambiguous" and (scene.submissions == 1 or scene.keyed)


def _sent_once_in_vain(scene: Scene) -> bool:
    return scene.states != ["stored"] and scene.submissions == 1


SCENES = (
    Scenario("draws once", "submit", ({}, {}), lambda scene: scene.states == ["stored"] * 2 and scene.submissions == 1),
    Scenario("a lost answer is not paid twice", "submit", ({"submit": ["close-without-answer"]},), _paid_once),
    Scenario("a late answer is not paid twice", "submit", ({"submit": ["never-answers"]},), _paid_once),
    Scenario(
        "a rate limit is waited for as long as told",
        "submit",
        ({"submit": [f"status:code=429,retry-after={PAUSE_S:g}"]},),
        _waited,
    ),
    Scenario("a refused key stops the run", "submit", ({"submit": "status:code=401"},), _run_stopped),
    Scenario("an empty account stops the run", "submit", ({"submit": "status:code=402"},), _run_stopped),
    Scenario("a refused picture is not sent again", "submit", ({"submit": "status:code=422"},), _refused),
    Scenario("a wrong address stops the run", "submit", ({"submit": "status:code=404"},), _not_found),
    Scenario(
        "a failed submission may be billed", "submit", ({"submit": "status:code=500,kind=text/plain"},), _left_open
    ),
    Scenario("a submission cut off by a gateway may be billed", "submit", ({"submit": GATEWAY},), _left_open),
    Scenario(
        "a redirected submission is not followed",
        "submit",
        ({"submit": "redirect:location=/elsewhere,code=307"},),
        lambda scene: _sent_once_in_vain(scene) and scene.account.requests("other") == 0,
    ),
    Scenario("a login page is not taken for a picture", "submit", ({"submit": "captive-portal"},), _sent_once_in_vain),
    Scenario("failing polls lose no job", "poll", ({"poll": ["status:code=500"]},), _fetched),
    Scenario("a poll whose answer is lost is repeated", "repeated poll", ({"poll": ["reset-after-body"]},), _fetched),
    Scenario("a broken download is repeated", "download", ({"download": ["cut-length", "captive-portal"]},), _fetched),
    Scenario(
        "a job is resumed without paying again",
        "poll",
        ({"poll": "status:code=503", "download": "status:code=503"}, {}),
        _fetched_later,
    ),
    Scenario(
        "a price is asked for until it is told, and costs nothing",
        "quote",
        ({"quote": ["status:code=429,retry-after=0", "close-without-answer"]},),
        lambda scene: scene.states != [""] and scene.billed_and_sent == (0, 0),
    ),
    Scenario(
        "a refused key is not told a price",
        "quote",
        ({"quote": "status:code=401"},),
        lambda scene: isinstance(scene.errors[0], AccountRefusedError) and scene.account.requests("quote") == 1,
    ),
)

Check = Callable[[], CheckResult]


def at_once(checks: Iterable[Check]) -> list[CheckResult]:
    """Return the results of `checks` in order; each check has its own vendor and mostly waits."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda check: check(), checks))


def fault_checks(kind: type[Adapter], example: Example) -> list[Check]:
    """Return every scenario that applies to the adapter."""
    # Nothing listens on this port: the adapter only says what it would send.
    adapter = built(kind, example, "http://127.0.0.1:9")
    upload = an_upload(adapter)
    answers = example.filled(a_picture(adapter, upload), "http://127.0.0.1:9")
    sends = rehearse(adapter, adapter.draw(upload, a_draw(adapter)), answers).sends
    asked = {str(send.purpose) for send in sends}
    asked |= {"repeated poll" for send in sends if send.purpose == "poll" and not send.once}
    if adapter.quote(upload) is not None:
        asked.add("quote")
    return [partial(_played, kind, example, scenario) for scenario in SCENES if scenario.purpose in asked]


def _played(kind: type[Adapter], example: Example, scenario: Scenario) -> CheckResult:
    scene = Scene(kind, example)
    try:
        play = scene.ask if scenario.purpose == "quote" else scene.play
        passed = scenario.kept(play(*scenario.rounds))
        message = "" if passed else scene.story()
    except BudgetError as error:
        passed, message = False, str(error)
    return CheckResult(scenario.name, passed, message)


# The real sampler does what an adapter declares: failures, pauses, speed, costs and cancelling.

FEW, SHORT_S = 8, 1.0
"""Rates up to so many requests and so many seconds are tried out; for higher, the engine's settings are read."""


class DeclaredPromise(NamedTuple):
    """A claim of an adapter: whether the adapter makes it, and its fault (empty text if it holds)."""

    name: str
    applies: Callable[[Subject], bool]
    problem: Callable[[Subject], str]


def _failure_problem(subject: Subject) -> str:
    # Each failure must be booked as declared, and asked again only at no cost or if allowed.
    for number, answers in enumerate(subject.example.failures):
        # The vendor's word goes before its documentation.
        told = subject.rehearse_failure(number).told_usd
        if told and not subject.adapter.capabilities.failures_billed:
            return (
                f"expected failure {number} to cost nothing, as failures_billed=False says; {told} USD are told for it:"
                " yield Observed(cost_usd=Decimal(0)) before it is raised"
            )
        # The booked cost is the told one; else nothing or the price, by `failures_billed`; None if unknown.
        adapter, price = subject.adapter, subject.adapter.price_for(subject.upload.width, subject.upload.height)
        cost = told if told is not None or price is None else price.high_usd
        if told is None and not adapter.capabilities.failures_billed:
            cost = Decimal(0)
        booked = None if cost is None else to_usd(to_nano(cost))
        asked_at_once = booked == 0
        scene = Scene(
            subject.kind,
            subject.example,
            exchanges=(answers, subject.example.answers),
            # A billed failure is asked for again only if one more is allowed.
            limits=(LIMITS, replace(LIMITS, max_resample=1)),
        ).play({}, {})
        states = ["stored" if asked_at_once else "failed", "stored"]
        kept = scene.states == states and [row.state for row in scene.attempts] == ["failed", "validated"]
        if not (kept and scene.submissions == 2):
            return f"expected failure {number} to end {' and then '.join(states)}; got {scene.story()}"
        if scene.attempts[0].known_cost_usd != booked:
            return f"expected failure {number} to be booked at {booked} USD; got {scene.attempts[0].known_cost_usd}"
    return ""


def _pause_problem(subject: Subject) -> str:
    example = subject.example
    # Requests before the submission, such as a look-up, are answered as usual.
    before = [send.purpose for send in subject.rehearse().sends].index("submit")
    for seconds, answer in example.pauses:
        exchanges = ((*example.answers[:before], answer), example.answers)
        scene = Scene(subject.kind, example, exchanges).play({})
        if scene.states != ["stored"] or scene.submissions != 2:
            return f"expected a second submission after the pause, and its picture; got {scene.story()}"
        first, second = scene.submitted_at
        if second - first < seconds:
            return f"expected no submission in the {seconds:g} s that the vendor asks for; got one sooner"
    return ""


def _concurrency_problem(subject: Subject) -> str:
    # The engine may have no more workers, and send no more at once, than declared.
    most = subject.adapter.capabilities.max_concurrency or 0
    # Two more than may go at once, so that some must wait.
    draws = min(most, FEW) + 2
    scene = Scene(subject.kind, subject.example, draws=draws, limits=(replace(LIMITS, concurrency="auto"),))
    # A refusal ends each draw at once, and 0.1 s lets submissions overlap.
    scene.play({"submit": "status:code=422,after=0.1"})
    if scene.submissions != draws:
        return f"expected {draws} submissions; got {scene.story()}"
    at_once = max(scene.most_workers, scene.account.summary()["most_at_once"]["submit"])
    return "" if at_once <= most else f"expected at most {most} draws at once; the engine makes up to {at_once}"


def _rate_problem(subject: Subject) -> str:
    # The limiter must keep the declared rates. A refusal ends each draw with its submission.
    rates = subject.adapter.capabilities.rates
    # Windows of hours cannot be tried out, so their settings are compared instead.
    tried = [rate for rate in rates if rate.counts("submit") and rate.count <= FEW and rate.seconds <= SHORT_S]
    draws = 2 + max((rate.count for rate in tried), default=-1)
    scene = Scene(subject.kind, subject.example, draws=draws, limits=(replace(LIMITS, concurrency=draws),))
    scene.play({"submit": "status:code=422"})
    if scene.limiter_rates != rates:
        return f"expected the sampler to keep the rates {rates}; it keeps {scene.limiter_rates}"
    if scene.submissions != draws:
        return f"expected {draws} submissions; got {scene.story()}"
    arrived = scene.submitted_at
    for rate in tried:
        # Half of the window, because requests travel for different times.
        if any(late - early < rate.seconds / 2 for early, late in zip(arrived, arrived[rate.count :], strict=False)):
            return f"expected at most {rate}; got more"
    return ""


def _cost_problem(subject: Subject) -> str:
    told = _told(subject)
    scene = Scene(subject.kind, subject.example).play({})
    if scene.states != ["stored"]:
        return f"expected a picture; got {scene.story()}"
    booked = scene.attempts[-1].cost_usd
    return "" if told is None or to_usd(to_nano(told)) == booked else f"expected {told} USD in the ledger; got {booked}"


def _told(subject: Subject) -> Decimal | None:
    shown = subject.example.cost_usd
    return subject.rehearse().told_usd if shown is None else shown


def _overdue_problem(subject: Subject) -> str:
    # A late job must be cancelled once if the adapter says so, and never otherwise. Closing a stream may cancel its job
    # without a request.
    able, answers = subject.adapter.capabilities, _unfinished(subject)
    if not answers:
        return "expected the example's first poll to be answered by a job that is not finished"
    streams = subject.rehearse().sends[len(answers) - 1].once
    plan: Plan = {"poll": "never-answers"} if streams else {}
    # Half a second instead of minutes: the deadline is tried, not its length.
    short = replace(LIMITS, job_deadline_s=0.5)
    scene = Scene(subject.kind, subject.example, (answers,), limits=(short,)).play(plan, plan)
    sent = scene.account.requests("cancel")
    wanted = min(sent, 1) if able.cancels and streams else int(able.cancels)
    if scene.states != ["expired"] * 2 or scene.submissions != 1 or scene.account.requests("other"):
        return f"expected an overdue job to end expired; got {scene.story()}"
    looks = scene.account.requests("poll")
    if able.cancels and streams and looks != 1:
        return f"expected no run to look again for a job that is cancelled; its stream was asked for {looks} times"
    return "" if sent == wanted else f"expected {wanted} requests to cancel an overdue job; got {sent}"


def _unfinished(subject: Subject) -> tuple[Answer, ...]:
    # The answers up to the first poll, if that reads a stream or leads to another poll.
    adapter, sends = subject.adapter, subject.rehearse().sends
    count = 1 + next((number for number, send in enumerate(sends) if send.purpose == "poll"), -1)
    if not count:
        return ()
    steps = rehearse_failure(adapter, adapter.draw(subject.upload, a_draw(adapter)), subject.answers[:count]).steps
    waits = sends[count - 1].once or isinstance(steps[-2], Wait)
    return subject.example.answers[:count] if waits else ()


PROMISES = (
    DeclaredPromise(
        "a failure of the vendor is booked as declared and asked again",
        lambda subject: bool(subject.example.failures),
        _failure_problem,
    ),
    DeclaredPromise("a pause asked for in words is made", lambda subject: bool(subject.example.pauses), _pause_problem),
    DeclaredPromise(
        "no more draws at once than declared",
        lambda subject: subject.adapter.capabilities.max_concurrency is not None,
        _concurrency_problem,
    ),
    DeclaredPromise("declared rates are kept", lambda subject: bool(subject.adapter.capabilities.rates), _rate_problem),
    DeclaredPromise("a told cost is booked", lambda subject: _told(subject) is not None, _cost_problem),
    DeclaredPromise(
        "an overdue job is cancelled as declared",
        lambda subject: subject.adapter.capabilities.cancels or bool(_unfinished(subject)),
        _overdue_problem,
    ),
)


def declared_checks(subject: Subject) -> list[Check]:
    """Return every promise that applies to the adapter."""
    return [partial(_kept, subject, promise) for promise in PROMISES if promise.applies(subject)]


def _kept(subject: Subject, promise: DeclaredPromise) -> CheckResult:
    try:
        problem = promise.problem(subject)
    except BlackboxConformalError as error:
        problem = str(error)
    return CheckResult(promise.name, not problem, problem)


def check_adapter(
    adapter: str | type[Adapter], example: Example | None = None, *, faults: bool = True
) -> list[CheckResult]:
    """Check an adapter against its contract.

    Parameters
    ----------
    adapter
        The adapter's name (or ``package.module:Class``), or its class.
    example
        An exchange of the adapter; by default the `EXAMPLE` of its module (or `example` of the class).
    faults
        Also let the sampler draw from a misbehaving vendor on a loopback socket; some seconds.

    Returns
    -------
    list of CheckResult
        In a fixed order; the fault part's only when the static part holds.
    """
    kind = adapter_class(adapter) if isinstance(adapter, str) else adapter
    shown = example or example_of(kind)
    if shown is None:
        # Only the class itself is asked: an adapter whose parameters decide shows an example.
        made = kind.model_construct()
        silent = False
        with suppress(AttributeError, ValueError, TypeError):
            silent = made.capabilities.local or not made.base_url
        if silent:
            raise UsageError(
                f"{kind.name} has no wire contract to check: its draws come from this machine, and nothing is sent"
            )
        raise AdapterError(
            f"expected the module of adapter {kind.name} to define EXAMPLE, one exchange with its vendor; it does not. "
            "See blackbox_conformal.vendor.example.Example"
        )
    with environment(shown):
        try:
            subject = Subject(kind, shown)
        except (BlackboxConformalError, ValueError, TypeError) as error:
            raise AdapterError(f"adapter {kind.name} cannot be built from its own example: {error}") from None
        if faults:
            # Only for drawing: a retired vendor's adapter may still be looked at.
            refuse_retired(subject.adapter)
        results = static_checks(subject)
        # Faults mean something only for an adapter that keeps the plain rules.
        if faults and all(result.passed for result in results):
            results += at_once(fault_checks(kind, shown) + declared_checks(subject))
    return results
