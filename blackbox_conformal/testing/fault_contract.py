"""The real engine draws with an adapter from a misbehaving vendor: is each draw paid once, each error classed right?

The vendor replays the adapter's own example (`replay`).
"""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.errors import (
    AccountRefusedError,
    BlackboxConformalError,
    BudgetError,
    ImageError,
    IncompleteError,
    NotFoundError,
)
from blackbox_conformal.example import Example
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.quotes import ask_quotes
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import Task
from blackbox_conformal.testing.account import Account
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.rehearsal import a_draw, a_picture, an_upload, built, rehearse, rehearse_quote
from blackbox_conformal.testing.replay import ReplayVendor
from blackbox_conformal.testing.script import Plan
from blackbox_conformal.testing.static_contract import CheckResult

LIMITS = Limits(
    concurrency=2, attempt_timeout_s=2.0, connect_timeout_s=2.0, job_deadline_s=20.0, max_attempts=3, max_resample=0
)


@dataclass
class Scene:
    """One adapter before one misbehaving vendor, and what came of the draws made there.

    Attributes
    ----------
    states
        State of the draw in each round; empty text where it had none.
    errors
        The error that ended each round; None where there was none.
    account
        The vendor's books.
    """

    kind: type[Adapter]
    example: Example
    states: list[str] = field(default_factory=list)
    errors: list[BlackboxConformalError | None] = field(default_factory=list)
    account: Account = field(default_factory=lambda: Account(Decimal("0.01")))

    def play(self, *rounds: Plan) -> "Scene":
        """Draw the same draw once a round, each time by a new sampler on the same run folder, under each plan."""
        vendor = ReplayVendor(self.account)
        with (
            tempfile.TemporaryDirectory(prefix="adapter-check-") as folder,
            FaultServer(vendor=vendor, account=self.account) as server,
        ):
            adapter = built(self.kind, self.example, server.url)
            upload = an_upload(adapter)
            draw = a_draw(adapter)
            picture = a_picture(adapter, upload)
            answers = self.example.filled(picture, server.url)
            vendor.load(rehearse(adapter, adapter.draw(upload, draw), answers).sends, answers)
            vendor.honour(adapter.capabilities.idempotency_header)
            for plan in rounds:
                server.script = _shifted(plan, self.account)
                self._round(adapter, Path(folder) / "run", Task(upload, draw.index, draw.seed), picture)
        return self

    def ask(self, plan: Plan) -> "Scene":
        """Ask for a price under `plan`; states tell it, or stay empty."""
        with FaultServer(vendor=(vendor := ReplayVendor(self.account)), account=self.account) as server:
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

    def _round(self, adapter: Adapter, run: Path, task: Task, picture: bytes) -> None:
        state, error = "", None
        with Sampler(adapter, run, LIMITS, check=whole_picture(picture)) as sampler:
            try:
                for outcome in sampler.draw([task]):
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


class Scenario(NamedTuple):
    """One way in which a vendor misbehaves, and what must come of it.

    Attributes
    ----------
    name
        The promise.
    purpose
        The purpose of request that the adapter must make for the scenario to apply; ``repeated poll`` is a poll that
        is not of those that are answered once.
    rounds
        The plan of each round; of ``quote`` there is one.
    kept
        Whether the promise was kept.
    """

    name: str
    purpose: str
    rounds: tuple[Plan, ...]
    kept: Callable[[Scene], bool]


def _paid_once(scene: Scene) -> bool:
    return scene.account.paid == 1 and scene.states[0] in ("stored", "ambiguous")


def _fetched(scene: Scene) -> bool:
    return scene.states == ["stored"] and scene.account.paid == 1


def _fetched_later(scene: Scene) -> bool:
    unfinished = isinstance(scene.errors[0], IncompleteError) or scene.states[0] != "stored"
    return unfinished and scene.states[1] == "stored" and scene.billed_and_sent == (1, 1)


def _run_stopped(scene: Scene) -> bool:
    return isinstance(scene.errors[0], AccountRefusedError) and scene.billed_and_sent == (0, 1)


def _refused(scene: Scene) -> bool:
    return scene.states == ["refused"] and scene.billed_and_sent == (0, 1)


def _not_found(scene: Scene) -> bool:
    # Some vendors answer so to a picture; their adapters say so, and the run goes on to the next one.
    stopped = isinstance(scene.errors[0], NotFoundError) and scene.billed_and_sent == (0, 1)
    return stopped or _refused(scene)


def _sent_once_in_vain(scene: Scene) -> bool:
    return scene.states != ["stored"] and scene.submissions == 1


SCENES = (
    Scenario("draws once", "submit", ({}, {}), lambda scene: scene.states == ["stored"] * 2 and scene.submissions == 1),
    Scenario("a lost answer is not paid twice", "submit", ({"submit": ["close-without-answer"]},), _paid_once),
    Scenario("a late answer is not paid twice", "submit", ({"submit": ["never-answers"]},), _paid_once),
    Scenario(
        "a rate limit is waited for",
        "submit",
        ({"submit": ["status:code=429,retry-after=0"]},),
        lambda scene: _fetched(scene) and scene.submissions == 2,
    ),
    Scenario("a refused key stops the run", "submit", ({"submit": "status:code=401"},), _run_stopped),
    Scenario("an empty account stops the run", "submit", ({"submit": "status:code=402"},), _run_stopped),
    Scenario("a refused picture is not sent again", "submit", ({"submit": "status:code=422"},), _refused),
    Scenario("a wrong address stops the run", "submit", ({"submit": "status:code=404"},), _not_found),
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


def fault_checks(kind: type[Adapter], example: Example) -> list[CheckResult]:
    """Every scenario that applies to the adapter."""
    adapter = built(kind, example, "http://127.0.0.1:9")
    upload = an_upload(adapter)
    answers = example.filled(a_picture(adapter, upload), "http://127.0.0.1:9")
    sends = rehearse(adapter, adapter.draw(upload, a_draw(adapter)), answers).sends
    asked = {str(send.purpose) for send in sends}
    asked |= {"repeated poll" for send in sends if send.purpose == "poll" and not send.once}
    if adapter.quote(upload) is not None:
        asked.add("quote")
    results = []
    for scenario in SCENES:
        if scenario.purpose in asked:
            scene = Scene(kind, example)
            try:
                play = scene.ask if scenario.purpose == "quote" else scene.play
                passed = scenario.kept(play(*scenario.rounds))
                message = "" if passed else scene.story()
            except BudgetError as error:
                passed, message = False, str(error)
            results.append(CheckResult(scenario.name, passed, message))
    return results
