"""The real sampler draws with an adapter from a misbehaving vendor: is each draw paid once, each error classed right?

The vendor replays the adapter's own example (`replay`).
"""

from collections.abc import Callable
from typing import NamedTuple

from blackbox_conformal.errors import AccountRefusedError, BudgetError, IncompleteError, NotFoundError
from blackbox_conformal.testing.rehearsal import a_draw, a_picture, an_upload, built, rehearse
from blackbox_conformal.testing.scene import Scene
from blackbox_conformal.testing.script import Plan
from blackbox_conformal.testing.subject import CheckResult
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.vendor.example import Example

PAUSE_S = 1.0
GATEWAY = "status:code=504,kind=text/html"


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


def _waited(scene: Scene) -> bool:
    # A lower bound only: how much later the second submission comes is up to the machine.
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
    # Some vendors answer so to a picture; their adapters say so, and the run goes on to the next one.
    stopped = isinstance(scene.errors[0], NotFoundError) and scene.billed_and_sent == (0, 1)
    return stopped or _refused(scene)


def _left_open(scene: Scene) -> bool:
    # Under an idempotency key it is repeated, and billed once at most; else nobody knows whether it was.
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
