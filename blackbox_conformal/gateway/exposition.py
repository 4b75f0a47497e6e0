"""What a Prometheus server reads (text format 0.0.4), all of it from the ledger and the book.

So it is right as soon as the gateway is started again, and no counter ever falls, also where old requests are deleted.
"""

from collections.abc import Iterator
from pathlib import Path

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.drawing.money import to_usd
from blackbox_conformal.gateway.book import Book
from blackbox_conformal.gateway.counts import counts
from blackbox_conformal.gateway.gateway import Gateway

_PREFIX = "blackbox_conformal_"
_COUNTED = {
    "requests_accepted_total": ("counter", "Requests accepted."),
    "requests_ended_total": ("counter", "Requests that ended, by state."),
    "masks_total": ("counter", "Pictures answered with a mask."),
    "trusted_shares_total": ("counter", "Sum of the trusted shares of those masks."),
    "request_seconds": ("histogram", "From accepting a request to its end."),
}
Sample = tuple[str, float]


def exposition(gateway: Gateway, run: Path, limits: dict[str, float]) -> str:
    """Every metric as text; `limits` are the gateway's, by name."""
    lines: list[str] = []
    with gateway.book.snapshot() as asked:
        for name, kind, about, samples in _metrics(asked, gateway, run, limits):
            lines += [f"# HELP {_PREFIX}{name} {about}", f"# TYPE {_PREFIX}{name} {kind}"]
            lines += [f"{_PREFIX}{sample} {_number(value)}" for sample, value in samples]
    return "\n".join(lines) + "\n"


def _metrics(
    asked: Connection, gateway: Gateway, run: Path, limits: dict[str, float]
) -> Iterator[tuple[str, str, str, list[Sample]]]:
    book, runner = gateway.book, gateway.runner
    counted = _with_deleted(asked, book)
    for name, (kind, about) in _COUNTED.items():
        yield name, kind, about, [(sample, value) for sample, value in counted.items() if sample.startswith(name)]
    undelivered = asked.execute("SELECT COUNT(*) AS n FROM notice WHERE delivered IS NULL AND tries > 0").fetchone()
    sums = ledger_sum(run)
    single: tuple[tuple[str, str, str, float], ...] = (
        ("requests_running", "gauge", "Requests that are worked on.", runner.running),
        ("requests_waiting", "gauge", "Requests that are accepted and not begun.", runner.waiting),
        ("webhooks_undelivered", "gauge", "Messages to webhooks that failed at least once.", undelivered["n"]),
        ("vendor_calls_total", "counter", "Submissions to the vendor.", float(sums["attempts"])),
        ("spent_usd_total", "counter", "US dollars booked in the ledger.", float(sums["cost_usd"])),
        ("reserved_usd", "gauge", "US dollars held for submissions under way.", float(sums["reserved_usd"])),
        ("vendor_down", "gauge", "1 while the vendor gives no usable answers.", float(gateway.vendor_is_down)),
        *((name, "gauge", "A limit that the gateway was started with.", value) for name, value in limits.items()),
    )
    for name, kind, about, value in single:
        yield name, kind, about, [(name, value)]
    owners = asked.execute("SELECT owner, calls, cost_nanousd FROM account ORDER BY owner").fetchall()
    spent = [(f'token_spent_usd_total{{token="{row["owner"]}"}}', float(to_usd(row["cost_nanousd"]))) for row in owners]
    yield "token_spent_usd_total", "counter", "US dollars booked for requests, by the name of their token.", spent
    calls = [(f'token_calls_total{{token="{row["owner"]}"}}', row["calls"]) for row in owners]
    yield "token_calls_total", "counter", "Submissions to the vendor for requests, by the name of their token.", calls


def _with_deleted(asked: Connection, book: Book) -> dict[str, float]:
    counted = counts(asked, book.trusted_share)
    for row in asked.execute("SELECT sample, value FROM deleted"):
        counted[row["sample"]] = counted.get(row["sample"], 0) + row["value"]
    return counted


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
