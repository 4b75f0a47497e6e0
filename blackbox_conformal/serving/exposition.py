"""What a Prometheus server reads (text format 0.0.4), all of it from the ledger and the book.

So it is right as soon as the gateway is started again, and no counter ever falls.
"""

from collections.abc import Iterator
from pathlib import Path

from blackbox_conformal.sampling.ledger.connection import Connection
from blackbox_conformal.sampling.ledger.queries import ledger_sum
from blackbox_conformal.serving.book import Book
from blackbox_conformal.serving.request import ENDED
from blackbox_conformal.serving.runner import Runner

BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

_PREFIX = "blackbox_conformal_"
Sample = tuple[str, float]


def exposition(book: Book, runner: Runner, run: Path, limits: dict[str, float]) -> str:
    """Every metric as text; `limits` are the gateway's, by name."""
    lines: list[str] = []
    with book.snapshot() as asked:
        for name, kind, about, samples in _metrics(asked, book.trusted_share, runner, run, limits):
            if kind:
                lines += [f"# HELP {_PREFIX}{name} {about}", f"# TYPE {_PREFIX}{name} {kind}"]
            lines += [f"{_PREFIX}{name}{labels} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _metrics(
    asked: Connection, trusted_share: str, runner: Runner, run: Path, limits: dict[str, float]
) -> Iterator[tuple[str, str, str, list[Sample]]]:
    sums = ledger_sum(run)
    accepted = asked.execute("SELECT dialect, COUNT(*) AS n FROM request GROUP BY dialect")
    yield (
        "requests_accepted_total",
        "counter",
        "Requests accepted.",
        [(f'{{dialect="{row["dialect"]}"}}', row["n"]) for row in accepted],
    )
    ended = {row["state"]: row["n"] for row in asked.execute("SELECT state, COUNT(*) AS n FROM request GROUP BY state")}
    yield (
        "requests_ended_total",
        "counter",
        "Requests that ended, by state.",
        [(f'{{state="{state}"}}', ended.get(state, 0)) for state in ENDED],
    )
    masked = asked.execute(
        f"SELECT COUNT(*) AS n, COALESCE(SUM({trusted_share}), 0) AS share FROM request"
        f" WHERE {trusted_share} IS NOT NULL"
    ).fetchone()
    yield "masks_total", "counter", "Pictures answered with a mask.", [("", masked["n"])]
    yield "trusted_shares_total", "counter", "Sum of the trusted shares of those masks.", [("", masked["share"])]
    yield "requests_running", "gauge", "Requests that are worked on.", [("", runner.running)]
    yield "requests_waiting", "gauge", "Requests that are accepted and not begun.", [("", runner.waiting)]
    undelivered = asked.execute("SELECT COUNT(*) AS n FROM notice WHERE delivered IS NULL AND tries > 0").fetchone()[
        "n"
    ]
    yield "webhooks_undelivered", "gauge", "Messages to webhooks that failed at least once.", [("", undelivered)]
    yield "request_seconds", "histogram", "From accepting a request to its end.", []
    yield from _histogram(asked)
    yield "vendor_calls_total", "counter", "Submissions to the vendor.", [("", float(sums["attempts"]))]
    yield "spent_usd_total", "counter", "US dollars booked in the ledger.", [("", float(sums["cost_usd"]))]
    yield "reserved_usd", "gauge", "US dollars held for submissions under way.", [("", float(sums["reserved_usd"]))]
    for name, value in limits.items():
        yield name, "gauge", "A limit that the gateway was started with.", [("", value)]


def _histogram(asked: Connection) -> Iterator[tuple[str, str, str, list[Sample]]]:
    bounds = ", ".join(f"COUNT(*) FILTER (WHERE ended - created <= {bound})" for bound in BUCKETS_S)
    row = asked.execute(
        f"SELECT {bounds}, COUNT(*), COALESCE(SUM(ended - created), 0) FROM request WHERE ended IS NOT NULL"
    ).fetchone()
    *counts, number, total = tuple(row)
    buckets = [(f'{{le="{bound}"}}', count) for bound, count in zip(BUCKETS_S, counts, strict=True)]
    yield "request_seconds_bucket", "", "", [*buckets, ('{le="+Inf"}', number)]
    yield "request_seconds_sum", "", "", [("", total)]
    yield "request_seconds_count", "", "", [("", number)]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
