"""What is counted of requests for metrics, as samples of the Prometheus text format."""

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.gateway.request import ENDED

BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


def counts(asked: Connection, trusted_share: str, condition: str = "1 = 1") -> dict[str, float]:
    """Numbers by the names and labels of their samples, of requests under an SQL condition."""
    accepted = asked.execute(f"SELECT dialect, COUNT(*) AS n FROM request WHERE {condition} GROUP BY dialect")
    found: dict[str, float] = {
        f'requests_accepted_total{{dialect="{row["dialect"]}"}}': row["n"] for row in accepted.fetchall()
    }
    states = asked.execute(f"SELECT state, COUNT(*) AS n FROM request WHERE {condition} GROUP BY state").fetchall()
    ended = {row["state"]: row["n"] for row in states}
    found |= {f'requests_ended_total{{state="{state}"}}': ended.get(state, 0) for state in ENDED}
    masked = asked.execute(
        f"SELECT COUNT(*) AS n, COALESCE(SUM({trusted_share}), 0) AS share FROM request"
        f" WHERE {trusted_share} IS NOT NULL AND {condition}"
    ).fetchone()
    found |= {"masks_total": masked["n"], "trusted_shares_total": masked["share"]}
    bounds = ", ".join(f"COUNT(*) FILTER (WHERE ended - created <= {bound})" for bound in BUCKETS_S)
    row = asked.execute(
        # Prometheus counts cumulatively: each bucket holds all shorter times as well.
        f"SELECT {bounds}, COUNT(*), COALESCE(SUM(ended - created), 0) FROM request"
        f" WHERE ended IS NOT NULL AND {condition}"
    ).fetchone()
    *numbers, number, total = tuple(row)
    found |= {f'request_seconds_bucket{{le="{bound}"}}': n for bound, n in zip(BUCKETS_S, numbers, strict=True)}
    return {
        **found,
        'request_seconds_bucket{le="+Inf"}': number,
        "request_seconds_sum": total,
        "request_seconds_count": number,
    }
