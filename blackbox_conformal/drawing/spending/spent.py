"""Reads a run's cost and its vendor's behaviour from the ledger; a run may go on meanwhile."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from blackbox_conformal.drawing.ledger.backends import reading
from blackbox_conformal.drawing.ledger.money import to_usd
from blackbox_conformal.drawing.ledger.queries import UNPRICED
from blackbox_conformal.drawing.ledger.states import COUNTED, WHOLE
from blackbox_conformal.support.secrets import redact
from blackbox_conformal.support.text import printable

_FAILED = ("refused", "failed", "ambiguous", "expired", "invalid")
_MESSAGES = 20
_ASKED_AT_ONCE = 500
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class AlikeFailures:
    """Attempts that ended alike, with one of the vendor's messages."""

    state: str
    error_class: str
    code: str
    count: int
    message: str


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of the seconds from sending a request until its picture was stored, over `count` draws."""

    count: int
    median: float
    ninety: float
    ninety_nine: float
    longest: float


@dataclass(frozen=True, slots=True)
class Spending:
    """Calls, money, states, failures and latency of one run folder."""

    calls: int
    unpriced: int  # Calls at an unknown price, which `spent_usd` leaves out.
    spent_usd: Decimal
    reserved_usd: Decimal
    states: tuple[tuple[str, int], ...]
    failures: tuple[AlikeFailures, ...]
    latency: Latency | None

    @property
    def stored(self) -> int:
        """Return the number of draws with a picture in the store."""
        return sum(count for state, count in self.states if state in WHOLE)

    @property
    def failed(self) -> int:
        """Return the number of calls that ended without a picture."""
        return sum(count for state, count in self.states if state in _FAILED)


def read_spending(run: Path) -> Spending | None:
    """Read the ledger of `run`; return None if there is none."""
    with reading(run) as connection:
        if connection is None:
            return None
        spent, reserved, calls = connection.execute(
            "SELECT spent_nanousd, reserved_nanousd, calls FROM total WHERE id = 1"
        ).fetchone()
        (unpriced,) = connection.execute(f"SELECT COUNT(*) FROM attempt WHERE {UNPRICED}").fetchone()
        states = connection.execute("SELECT state, COUNT(*) FROM attempt GROUP BY state ORDER BY state").fetchall()
        failures = connection.execute(
            "SELECT state, COALESCE(error_class, ''), COALESCE(code, ''), COUNT(*), COALESCE(MAX(error), '')"
            " FROM attempt WHERE error IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT ?",
            (_MESSAGES,),
        ).fetchall()
        seconds = connection.execute(
            "SELECT stored_at - sent_at FROM attempt WHERE stored_at IS NOT NULL AND sent_at IS NOT NULL"
        ).fetchall()
    return Spending(
        calls=calls,
        unpriced=unpriced,
        spent_usd=to_usd(spent),
        reserved_usd=to_usd(reserved),
        states=tuple((row[0], row[1]) for row in states),
        failures=tuple(
            AlikeFailures(row[0], row[1], row[2], row[3], printable(redact(row[4]), _LONGEST)) for row in failures
        ),
        latency=latency([row[0] for row in seconds]),
    )


@dataclass(frozen=True, slots=True)
class DrawsSpending:
    """Calls and money for some of a run folder's draws, whenever they were made.

    `calls`, `failed`: Submissions of these draws, and submissions that ended without a picture.
    `unpriced`: Calls at an unknown price, which `spent_usd` leaves out.
    `stored`: Draws with a picture in the store.
    `spent_usd`, `reserved_usd`: US dollars booked for these draws, and held for draws under way.
    """

    calls: int
    unpriced: int
    stored: int
    failed: int
    spent_usd: Decimal
    reserved_usd: Decimal
    latency: Latency | None


NOTHING = DrawsSpending(0, 0, 0, 0, Decimal(0), Decimal(0), None)


def spending_on(
    run: Path, keys: Collection[str], *, whole: bool = True, among: Collection[int] | None = None
) -> DrawsSpending:
    """Read the calls and the money for draws with these keys (see `task.task_key`) in `run`.

    `whole`: see `backends.reading`; `among`: only these attempts, by their numbers in the ledger.
    """
    wanted, rows = sorted(frozenset(keys)), []
    with reading(run, whole=whole) as connection:
        if connection is None:
            return NOTHING
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            part = wanted[start : start + _ASKED_AT_ONCE]
            marks = ", ".join("?" * len(part))
            rows += connection.execute(
                f"SELECT id, task, state, {UNPRICED} AS unpriced, cost_nanousd, reserved_nanousd, sent_at, stored_at"
                f" FROM attempt WHERE task IN ({marks})",
                part,
            ).fetchall()
    rows = [row for row in rows if among is None or row["id"] in among]
    states = Counter(row["state"] for row in rows)
    return DrawsSpending(
        calls=sum(states[state] for state in COUNTED),
        unpriced=sum(row["unpriced"] for row in rows),
        stored=len({row["task"] for row in rows if row["state"] in WHOLE}),
        failed=sum(states[state] for state in _FAILED),
        spent_usd=to_usd(sum(row["cost_nanousd"] for row in rows)),
        reserved_usd=to_usd(sum(row["reserved_nanousd"] for row in rows)),
        latency=latency(
            [row["stored_at"] - row["sent_at"] for row in rows if row["stored_at"] is not None and row["sent_at"]]
        ),
    )


def latency(seconds: Sequence[float]) -> Latency | None:
    """Return quantiles of latencies, each an observed one; None if there are none."""
    if not seconds:
        return None
    quantiles = np.quantile(np.asarray(seconds, np.float64), [0.5, 0.9, 0.99, 1.0], method="inverted_cdf")
    return Latency(len(seconds), *(float(value) for value in quantiles))
