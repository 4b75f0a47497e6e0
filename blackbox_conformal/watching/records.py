"""What a watch file holds, and how rows become records and records rows."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

# What one visit found, layer by layer, and what that comes to.

Layer = Literal["identity", "pixels", "canaries", "harm", "inputs", "answers"]
"""What is watched: the vendor's own words; answers to equal requests; answers of a vendor that varies; the risk itself;
inputs of masked pictures; answers to these."""

Verdict = Literal["same", "note", "changed", "above", "cannot tell", "not watched"]
"""``note``: differs without alarm. ``changed``: the vendor is not what was calibrated. ``above``: the risk is above
what the guarantee allows. Only harm is ``above``, and never ``changed``."""

State = Literal["watched", "suspended", "void", "accepted"]
"""Of a calibration. ``suspended``: its vendor changed, so its guarantee may not hold. ``void``: its risk is above what
it allows. ``accepted``: used all the same, for a recorded reason."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one layer found.

    Attributes
    ----------
    statement
        One sentence for people.
    value
        The figure behind the statement: wealth, or the largest difference of pixels, 0 to 255; None without one.
    """

    layer: Layer
    verdict: Verdict
    statement: str
    value: float | None = None


def state_after(findings: Sequence[Finding], before: State) -> State:
    """The calibration's state after a visit with these findings."""
    verdicts = {finding.verdict for finding in findings}
    # Above comes first: a risk that is too high is worse than a vendor that changed.
    if "above" in verdicts:
        return "void"
    return "suspended" if "changed" in verdicts else before


def outcome(findings: Sequence[Finding]) -> Literal["same", "changed", "cannot tell"]:
    """The outcome of a visit; "cannot tell" where a watched layer could not."""
    verdicts = {finding.verdict for finding in findings}
    if {"changed", "above"} & verdicts:
        return "changed"
    # A layer that could not tell is never taken for one that found nothing.
    return "cannot tell" if "cannot tell" in verdicts else "same"


Purpose = Literal["chosen", "reference", "repeat", "fresh"]
"""``chosen``: a draw of the calibration that chose the canary. ``reference``: another draw of the calibration, or of
the first visit. ``repeat``: an earlier draw asked for again, with its seed. ``fresh``: a new draw.

Only fresh draws bet. The calibration's come from one session, perhaps from one of many machines, so only their pixels
and declarations are compared."""

Record = TypeVar("Record")


_form: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def records(kind: type[Record], rows: Iterable[Mapping[str, Any] | sqlite3.Row]) -> list[Record]:
    """Make each row a record, from the columns named like its fields."""
    return [_form(kind).validate_python(dict(row)) for row in rows]


def insert(connection: sqlite3.Connection, table: str, **values: Any) -> int:
    """Write a row, and return its id."""
    marks = ", ".join("?" * len(values))
    row = connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", _plain(values)).lastrowid
    # An id that the database gave is what later rows refer to.
    assert row is not None
    return row


def update(connection: sqlite3.Connection, table: str, row: int, **values: Any) -> None:
    """Change columns of the row with this id."""
    settings = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE {table} SET {settings} WHERE id = ?", (*_plain(values), row))


def columns(record: object, *names: str) -> dict[str, Any]:
    """The named fields of a record, as columns."""
    return {name: getattr(record, name) for name in names}


def _plain(values: Mapping[str, Any]) -> tuple[Any, ...]:
    # Money is kept as text, which no database rounds.
    return tuple(str(value) if isinstance(value, Decimal) else value for value in values.values())


@dataclass(frozen=True, slots=True)
class Watched:
    """A watch.

    Attributes
    ----------
    first_draws_calibrated
        Whether its first draws are the calibration's own.
    repeats_itself
        Whether the vendor answers equal requests equally; None: not measured yet.
    live
        Whether a part of its level is for live pictures.
    """

    id: int
    calibration: str
    begun_at: str
    seed: str
    level: float
    first_draws_calibrated: bool
    repeats_itself: bool | None
    live: bool = True


@dataclass(frozen=True, slots=True)
class Canary:
    """A picture sent at every visit; `png` is sent, `upload` is the digest of its pixels."""

    name: str
    upload: str
    png: bytes = field(repr=False)
    width: int
    height: int
    sensitivity: float | None
    id: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class WatchDraw:
    """A draw of the canary at position `canary`. What came is None until the visit is concluded."""

    canary: int
    purpose: Purpose
    index: int
    seed: int | None
    id: int = 0
    state: str | None = None
    file: str | None = None
    model: str | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    cost_usd: Decimal | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    """Measured features; of a repeated answer also `looking.ODD`."""

    @property
    def known(self) -> bool:
        """Whether later draws are compared with its pixels and declarations."""
        return self.purpose in ("chosen", "reference")


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit, with its draws as planned."""

    id: int
    number: int
    begun_at: str
    ended_at: str | None
    verdict: str | None
    draws: tuple[WatchDraw, ...] = ()


@dataclass(frozen=True, slots=True)
class FreshMeasurement:
    """A fresh photograph of a `visit` and its loss at the threshold of `alpha`; None: not measured yet.

    Attributes
    ----------
    beside
        Its loss under the guarantee beside; None: there is none.
    """

    truth: str
    name: str
    alpha: float
    loss: float | None = None
    beside: float | None = None
    visit: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A state of a calibration, since when and why."""

    id: int
    state: State
    at: str
    reason: str
