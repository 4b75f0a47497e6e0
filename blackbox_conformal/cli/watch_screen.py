"""What a person sees of a visit, and its document for scripts."""

from math import log
from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli.console import Screen, spent
from blackbox_conformal.text import money, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blackbox_conformal.pipeline.visiting import VisitResult
    from blackbox_conformal.pipeline.watch_parts.outlook import Outlook
    from blackbox_conformal.sampling.estimate import Estimate

_ABOUT = {
    "identity": "what the vendor says of itself",
    "pixels": "answers to equal requests",
    "canaries": "answers of a vendor that varies",
    "harm": "the risk itself",
    "inputs": "inputs of the pictures that are masked",
    "answers": "answers to them, given their inputs",
}

_BARS = "▁▂▃▄▅▆▇█"
_LATEST = 60
"""Visits or pictures that a line of bars shows."""


def show_visit(screen: Screen, result: "VisitResult", calibration: str) -> None:
    """The state first, then every layer with its own verdict, then what it took."""
    screen.say(f"{headline(result)}  {printable(calibration)}")
    screen.table(
        f"Visit {result.number}",
        ["layer", "looks at", "verdict", "found"],
        [[each.layer, _ABOUT[each.layer], each.verdict, each.statement] for each in result.findings],
    )
    for layer, logs, alarm, each in _histories(result):
        if len(logs) > 1:
            screen.say(f"{layer:9} {_bars(logs, alarm)}  {each}; full height is an alarm")
    screen.say(result.level.sentence)
    screen.say(f"the watch file: {result.standing.words}")
    if result.made:
        screen.say(f"{result.calls} calls made, {result.cached} draws were stored, {spent(result.cost_usd)}")
    else:
        screen.say("Nothing was sent: after an alarm nothing is bought until the calibration is accepted or made anew.")


def _histories(result: "VisitResult") -> "list[tuple[str, Sequence[float], float, str]]":
    """Layers that gather evidence: the logarithms of it, that of an alarm, and what came one by one."""
    from blackbox_conformal.watching.features import FEATURES

    live = result.live
    return [
        ("canaries", result.evidence, log(result.level.needed(len(FEATURES))), "visit by visit"),
        ("inputs", live.inputs, live.inputs_alarm, "picture by picture"),
        ("answers", live.answers, live.answers_alarm, "picture by picture"),
    ]


def _bars(logs: "Sequence[float]", full: float) -> str:
    """The latest evidence as bars, on a logarithmic scale that ends at an alarm."""
    heights = (min(max(one / full, 0.0), 1.0) for one in logs[-_LATEST:])
    return "".join(_BARS[round(height * (len(_BARS) - 1))] for height in heights)


def headline(result: "VisitResult") -> str:
    """What the visit comes to, in words that stand out."""
    if result.state == "void":
        return "VOID: the risk is above what the guarantee allows"
    if result.state == "suspended":
        return "CHANGED: the vendor is not what was calibrated; the calibration is suspended"
    if any(each.verdict == "cannot tell" for each in result.findings):
        return "COULD NOT TELL whether the vendor changed"
    return "SAME: nothing says that the vendor changed"


def visit_json(result: "VisitResult", calibration: str) -> dict[str, Any]:
    """The document of a visit."""
    return {
        "calibration": calibration,
        "visit": result.number,
        "made": result.made,
        "state": result.state,
        "changed": None if result.changed is None else {"at": result.changed.at, "reason": result.changed.reason},
        "level": result.level.whole,
        "findings": [
            {"layer": each.layer, "verdict": each.verdict, "statement": each.statement, "value": each.value}
            for each in result.findings
        ],
        "canaries": [
            {"name": canary.name, "upload": canary.upload, "sensitivity": canary.sensitivity}
            for canary in result.canaries
        ],
        "evidence": [{"log_wealth": one} for one in result.evidence],
        "live_evidence": {"inputs": list(result.live.inputs), "answers": list(result.live.answers)},
        "head": result.standing.head.model_dump(mode="json"),
        "signed": {**result.standing.vouching.to_json(), "entries": result.standing.vouched},
        "calls": result.calls,
        "cached": result.cached,
        "cost_usd": float(result.cost_usd),
    }


def show_outlook(screen: Screen, outlook: "Outlook") -> None:
    """What a visit and a month cost, and how fast a change of which size is found."""
    from blackbox_conformal.pipeline.watch_parts.outlook import DAYS, WEEKS
    from blackbox_conformal.watching.speed import speeds

    daily, weekly = outlook.month_usd(DAYS), outlook.month_usd(WEEKS)
    screen.summary(
        {
            "canaries": str(outlook.canaries),
            "the next visit": _priced(outlook.next_visit),
            "each later one": _priced(outlook.later_visit),
            "a month, daily": "unknown: give -p price-usd=…" if daily is None else money(*daily),
            "a month, weekly": "unknown: give -p price-usd=…" if weekly is None else money(*weekly),
        }
    )
    rows = [[f"{one.shift:g}", _visits(one.median), _visits(one.ninety)] for one in speeds(outlook.canaries)]
    if rows:
        screen.table(
            f"Visits from a change to the alarm, with {speeds(outlook.canaries)[0].canaries} canaries, after 30 visits",
            ["standard deviations", "half of changes", "90 % of changes"],
            rows,
        )
    changes = []
    for one, speed in outlook.promises:
        found = ["unknown", "unknown"] if speed is None else [_visits(speed.median), _visits(speed.ninety)]
        changes.append([one.change, one.feature, f"{one.shift:+.1f}", *found])
    if changes:
        screen.table(
            "The same for small changes, planted in the canaries' stored draws",
            ["change", "moves most", "standard deviations", "half of changes", "90 % of changes"],
            changes,
        )
    screen.say(
        "A vendor that answers equal requests equally is told at the first visit after a change of more than 1 of 255; "
        "that visit may take four calls more."
    )


def _priced(expected: "Estimate") -> str:
    price = "price unknown" if expected.cost_usd is None else money(*expected.cost_usd)
    return f"{expected.calls} calls at most, {price}"


def _visits(count: int | None) -> str:
    return "over 100" if count is None else str(count)


def outlook_json(outlook: "Outlook") -> dict[str, Any]:
    """The document of an outlook."""
    from blackbox_conformal.pipeline.watch_parts.outlook import DAYS, WEEKS
    from blackbox_conformal.watching.speed import speeds

    def price(cost: Any) -> list[float] | None:
        return None if cost is None else [float(one) for one in cost]

    return {
        "canaries": outlook.canaries,
        "next_visit": {"calls": outlook.next_visit.calls, "cost_usd": price(outlook.next_visit.cost_usd)},
        "later_visit": {"calls": outlook.later_visit.calls, "cost_usd": price(outlook.later_visit.cost_usd)},
        "month_usd": {"daily": price(outlook.month_usd(DAYS)), "weekly": price(outlook.month_usd(WEEKS))},
        "visits_to_alarm": [
            {"standard_deviations": one.shift, "median": one.median, "ninety": one.ninety}
            for one in speeds(outlook.canaries)
        ],
        "planted_changes": [
            {
                "change": one.change,
                "feature": one.feature,
                "standard_deviations": one.shift,
                "median": None if speed is None else speed.median,
                "ninety": None if speed is None else speed.ninety,
            }
            for one, speed in outlook.promises
        ],
    }
