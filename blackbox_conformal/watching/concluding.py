"""Writes the conclusion of a visit in one transaction: draws, evidence, findings, and the calibration's state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blackbox_conformal.errors import UsageError
from blackbox_conformal.watching.log import now
from blackbox_conformal.watching.records import (
    Entry,
    Finding,
    FreshMeasurement,
    State,
    Visit,
    WatchDraw,
    Watched,
    columns,
    insert,
    outcome,
    state_after,
    update,
)
from blackbox_conformal.watching.watch_file import WatchFile

_CAME = ("state", "file", "model", "format", "width", "height", "cost_usd")  # Columns of a draw that its answer fills.


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The knowledge after a visit."""

    draws: Sequence[WatchDraw]  # Every draw of the visit, with its answer and features.
    findings: Sequence[Finding]
    # Feature → logarithms of its martingale now and at its highest.
    wealth: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    photographs: Sequence[FreshMeasurement] = ()
    repeats_itself: bool | None = None


def conclude(file: WatchFile, watch: Watched, visit: Visit, found: Conclusion) -> Entry | None:
    """End the visit, and return the calibration's new state; None: it did not change."""
    # The state before this visit, since a finding may say the same again.
    before = current_state(file, watch.calibration)
    after = state_after(found.findings, before)
    with file.transaction() as connection:
        for draw in found.draws:
            update(connection, "draw", draw.id, **columns(draw, *_CAME))
            for name, value in draw.features.items():
                insert(connection, "feature", draw=draw.id, name=name, value=value)
        for name, (now_at, highest) in found.wealth.items():
            insert(connection, "wealth", visit=visit.id, feature=name, log_wealth=now_at, log_highest=highest)
        connection.executemany(
            "UPDATE photograph SET loss = ? WHERE visit = ? AND truth = ?",
            [(each.loss, visit.id, each.truth) for each in found.photographs],
        )
        for each in found.photographs:
            if each.beside is not None:
                insert(connection, "beside", visit=visit.id, truth=each.truth, loss=each.beside)
        for finding in found.findings:
            insert(connection, "finding", visit=visit.id, **columns(finding, "layer", "verdict", "statement", "value"))
        update(connection, "watch", watch.id, repeats_itself=found.repeats_itself)
        update(connection, "visit", visit.id, ended_at=now(), verdict=outcome(found.findings))
        file.record(connection, watch.calibration, "visit", visit.id)
        if after != before:
            reasons = [
                f"{each.layer}: {each.statement}" for each in found.findings if each.verdict in ("changed", "above")
            ]
            file.enter(connection, watch.calibration, after, "; ".join(reasons), visit.id)
    # None for an old state, so that nobody is told twice.
    return file.states(watch.calibration)[-1] if after != before else None


def current_state(file: WatchFile, calibration: str) -> State:
    """Return the calibration's state; ``watched`` if nothing was ever found."""
    states = file.states(calibration)
    return states[-1].state if states else "watched"


def accept(file: WatchFile, calibration: str, reason: str) -> Entry:
    """Record why a suspended or void calibration is used all the same, and end its watch.

    The next visit begins another watch, against the vendor as it is then.
    """
    if not reason.strip():
        raise UsageError(
            "expected a reason that those who read it later understand; got an empty one. Add --accept REASON"
        )
    state = current_state(file, calibration)
    if state not in ("suspended", "void"):
        raise UsageError(
            f"expected a calibration that is suspended or void; this one is {state}, so there is nothing to accept"
        )
    with file.transaction() as connection:
        connection.execute(
            "UPDATE watch SET ended_at = ? WHERE calibration = ? AND ended_at IS NULL", (now(), calibration)
        )
        file.enter(connection, calibration, "accepted", reason.strip())
    return file.states(calibration)[-1]
