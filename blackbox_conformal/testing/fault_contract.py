"""An adapter drawn by the real engine from a vendor that misbehaves: is it paid once, classed right, resumable?

The vendor replays the adapter's own example (`replay`); what needs no socket is in `static_contract`.
"""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from PIL import Image

from blackbox_conformal.adapter import Adapter, Upload
from blackbox_conformal.errors import (
    AccountRefusedError,
    BlackboxConformalError,
    BudgetError,
    ImageError,
    IncompleteError,
    NotFoundError,
)
from blackbox_conformal.example import Example
from blackbox_conformal.pipeline.prices.quotes import ask_quotes
from blackbox_conformal.sampling.limits import Limits
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
    """A check that accepts a whole picture of the expected one's size."""
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


def _draws_once(scene: Scene) -> bool:
    scene.play({}, {})
    return scene.states == ["stored", "stored"] and scene.submissions == 1


def _lost_answer(scene: Scene) -> bool:
    scene.play({"submit": ["close-without-answer"]})
    return scene.account.paid == 1 and scene.states[0] in ("stored", "ambiguous")


def _late_answer(scene: Scene) -> bool:
    scene.play({"submit": ["never-answers"]})
    return scene.account.paid == 1 and scene.states[0] in ("stored", "ambiguous")


def _limited(scene: Scene) -> bool:
    scene.play({"submit": ["status:code=429,retry-after=0"]})
    return scene.states == ["stored"] and (scene.account.paid, scene.submissions) == (1, 2)


def _refused_key(scene: Scene) -> bool:
    scene.play({"submit": "status:code=401"})
    return isinstance(scene.errors[0], AccountRefusedError) and (scene.account.paid, scene.submissions) == (0, 1)


def _no_credit(scene: Scene) -> bool:
    scene.play({"submit": "status:code=402"})
    return isinstance(scene.errors[0], AccountRefusedError) and (scene.account.paid, scene.submissions) == (0, 1)


def _refused_picture(scene: Scene) -> bool:
    scene.play({"submit": "status:code=422"})
    return scene.states == ["refused"] and (scene.account.paid, scene.submissions) == (0, 1)


def _wrong_address(scene: Scene) -> bool:
    scene.play({"submit": "status:code=404"})
    # Some vendors say this of a picture; their adapters say so, and the run goes on to the next one.
    told = isinstance(scene.errors[0], NotFoundError) or scene.states == ["refused"]
    return told and (scene.account.paid, scene.submissions) == (0, 1)


def _redirected(scene: Scene) -> bool:
    scene.play({"submit": "redirect:location=/elsewhere,code=307"})
    return scene.states != ["stored"] and scene.submissions == 1 and scene.account.requests("other") == 0


def _portal(scene: Scene) -> bool:
    scene.play({"submit": "captive-portal"})
    return scene.states != ["stored"] and scene.submissions == 1


def _rough_polls(scene: Scene) -> bool:
    scene.play({"poll": ["status:code=500", "reset-after-body"]})
    return scene.states == ["stored"] and scene.account.paid == 1


def _rough_download(scene: Scene) -> bool:
    scene.play({"download": ["cut-length", "captive-portal"]})
    return scene.states == ["stored"] and scene.account.paid == 1


def _resumed(scene: Scene) -> bool:
    broken = "status:code=503"
    scene.play({"poll": broken, "download": broken}, {})
    unfinished = isinstance(scene.errors[0], IncompleteError) or scene.states[0] != "stored"
    return unfinished and scene.states[1] == "stored" and (scene.account.paid, scene.submissions) == (1, 1)


def _asked(scene: Scene) -> bool:
    scene.ask({"quote": ["status:code=429,retry-after=0", "close-without-answer"]})
    return scene.states != [""] and (scene.account.paid, scene.submissions) == (0, 0)


def _not_asked(scene: Scene) -> bool:
    scene.ask({"quote": "status:code=401"})
    return isinstance(scene.errors[0], AccountRefusedError) and scene.account.requests("quote") == 1


SCENES: tuple[tuple[str, str, Callable[[Scene], bool]], ...] = (
    ("draws once", "submit", _draws_once),
    ("a lost answer is not paid twice", "submit", _lost_answer),
    ("a late answer is not paid twice", "submit", _late_answer),
    ("a rate limit is waited for", "submit", _limited),
    ("a refused key stops the run", "submit", _refused_key),
    ("an empty account stops the run", "submit", _no_credit),
    ("a refused picture is not sent again", "submit", _refused_picture),
    ("a wrong address stops the run", "submit", _wrong_address),
    ("a redirected submission is not followed", "submit", _redirected),
    ("a login page is not taken for a picture", "submit", _portal),
    ("failing polls lose no job", "poll", _rough_polls),
    ("a broken download is repeated", "download", _rough_download),
    ("a job is resumed without paying again", "poll", _resumed),
    ("a price is asked for until it is told, and costs nothing", "quote", _asked),
    ("a refused key is not told a price", "quote", _not_asked),
)
"""Name, the purpose of request that the adapter must make for the scene to apply, and the judge."""


def fault_checks(kind: type[Adapter], example: Example) -> list[CheckResult]:
    """Every scene that applies to the adapter."""
    adapter = built(kind, example, "http://127.0.0.1:9")
    upload: Upload = an_upload(adapter)
    answers = example.filled(a_picture(adapter, upload), "http://127.0.0.1:9")
    asked = {send.purpose for send in rehearse(adapter, adapter.draw(upload, a_draw(adapter)), answers).sends}
    if adapter.quote(upload) is not None:
        asked.add("quote")
    results = []
    for name, purpose, judge in SCENES:
        if purpose in asked:
            scene = Scene(kind, example)
            try:
                passed = judge(scene)
                message = "" if passed else scene.story()
            except BudgetError as error:
                passed, message = False, str(error)
            results.append(CheckResult(name, passed, message))
    return results
