"""What a person sees of a visit, and its document for scripts."""

from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli.console import Screen

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.visiting import VisitResult

_ABOUT = {
    "identity": "what the vendor says of itself",
    "pixels": "answers to equal requests",
    "canaries": "answers of a vendor that varies",
    "harm": "the risk itself",
}


def show_visit(screen: Screen, result: "VisitResult", calibration: str) -> None:
    """The state first, then every layer with its own verdict, then what it took."""
    from blackbox_conformal.text import printable

    screen.say(f"{headline(result)}  {printable(calibration)}")
    screen.table(
        f"Visit {result.number}",
        ["layer", "looks at", "verdict", "found"],
        [[each.layer, _ABOUT[each.layer], each.verdict, each.statement] for each in result.findings],
    )
    screen.say(result.level.sentence)
    if result.made:
        screen.say(f"{result.calls} calls made, {result.cached} draws were stored, ${result.cost_usd} spent")
    else:
        screen.say("Nothing was sent: after an alarm nothing is bought until the calibration is accepted or made anew.")


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
        "calls": result.calls,
        "cached": result.cached,
        "cost_usd": float(result.cost_usd),
    }
