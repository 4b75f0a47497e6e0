"""Records of a watch file, and how rows become records and records rows."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

# The findings of a visit, and the state that they lead to.

Layer = Literal["identity", "pixels", "canaries", "harm", "inputs", "answers"]
"""Layers of a watch: the vendor's declarations; answers to equal requests; answers of a vendor that varies; the risk
itself; inputs of masked pictures; answers to masked pictures.
"""

Verdict = Literal["same", "note", "changed", "above", "cannot tell", "not watched"]
"""``note``: differs, but is no alarm. ``changed``: not the calibrated vendor. ``above``: the risk is above what the
guarantee allows; only harm is ``above``, and harm is never ``changed``.
"""

State = Literal["watched", "suspended", "void", "accepted"]
"""State of a calibration. ``suspended``: the vendor changed, so the guarantee may not hold. ``void``: the risk is above
what the guarantee allows. ``accepted``: used all the same, for a recorded reason.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of one layer."""

    layer: Layer
    verdict: Verdict
    statement: str  # One sentence for people.
    # The figure behind the statement: wealth, or the largest difference of pixels, 0 to 255; None: no figure.
    value: float | None = None


def state_after(findings: Sequence[Finding], before: State) -> State:
    """Return the calibration's state after a visit with these findings."""
    verdicts = {finding.verdict for finding in findings}
    # "above" first: too high a risk is worse than a changed vendor.
    if "above" in verdicts:
        return "void"
    return "suspended" if "changed" in verdicts else before


def outcome(findings: Sequence[Finding]) -> Literal["same", "changed", "cannot tell"]:
    """Return the outcome of a visit; "cannot tell" where a watched layer could not."""
    verdicts = {finding.verdict for finding in findings}
    if {"changed", "above"} & verdicts:
        return "changed"
    # A layer that could not tell must not pass for one that found nothing.
    return "cannot tell" if "cannot tell" in verdicts else "same"


Purpose = Literal["chosen", "reference", "repeat", "fresh"]
"""``chosen``: a draw of the calibration that chose the canary. ``reference``: another draw of the calibration, or one
of the first visit. ``repeat``: an earlier draw, requested again with its seed. ``fresh``: a new draw.

Only fresh draws bet. The calibration's come from one session, perhaps from one of many machines, so only their pixels
and declarations are compared.
"""

Record = TypeVar("Record")


_form: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def records(kind: type[Record], rows: Iterable[Mapping[str, Any] | sqlite3.Row]) -> list[Record]:
    """Make a record of each row, from the columns named like its fields."""
    return [_form(kind).validate_python(dict(row)) for row in rows]


def insert(connection: sqlite3.Connection, table: str, **values: Any) -> int:
    """Write a row, and return its id."""
    marks = ", ".join("?" * len(values))
    row = connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", _plain(values)).lastrowid
    # Later rows refer to an id that the database gave.
    assert row is not None
    return row


def update(connection: sqlite3.Connection, table: str, row: int, **values: Any) -> None:
    """Change columns of the row with this id."""
    settings = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE {table} SET {settings} WHERE id = ?", (*_plain(values), row))


def columns(record: object, *names: str) -> dict[str, Any]:
    """Return the named fields of a record as columns."""
    return {name: getattr(record, name) for name in names}


def _plain(values: Mapping[str, Any]) -> tuple[Any, ...]:
    # Money is text: a database may round numbers.
    return tuple(str(value) if isinstance(value, Decimal) else value for value in values.values())


@dataclass(frozen=True, slots=True)
class Watched:
    """A watch."""

    id: int
    calibration: str
    begun_at: str
    seed: str
    level: float
    first_draws_calibrated: bool  # Whether the watch's first draws are the calibration's own.
    repeats_itself: bool | None  # Whether the vendor gives equal answers to equal requests; None: not measured yet.
    live: bool = True  # Whether live pictures have a part of the level.


@dataclass(frozen=True, slots=True)
class Canary:
    """A picture sent at every visit: `png` is its file, `upload` the digest of its pixels."""

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
    """A draw of the canary at position `canary`; fields about its answer are None until the visit is concluded."""

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
    """Measured features; a repeated answer also has `looking.ODD`."""

    @property
    def known(self) -> bool:
        """Whether later draws are compared with this one's pixels and declarations."""
        return self.purpose in ("chosen", "reference")


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit with its planned draws."""

    id: int
    number: int
    begun_at: str
    ended_at: str | None
    verdict: str | None
    draws: tuple[WatchDraw, ...] = ()


@dataclass(frozen=True, slots=True)
class FreshMeasurement:
    """A fresh photograph of a `visit`, and its loss at the threshold of `alpha`; None: not measured yet."""

    truth: str
    name: str
    alpha: float
    loss: float | None = None
    beside: float | None = None  # Its loss under the guarantee beside; None: no such guarantee.
    visit: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A state of a calibration: since when, and why."""

    id: int
    state: State
    at: str
    reason: str
