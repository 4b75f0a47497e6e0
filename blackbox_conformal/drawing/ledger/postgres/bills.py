"""What other processes were billed meanwhile, and whether one of them is about to learn what a draw costs."""

from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.billed import AwaitedBillError, Bill, DearerError
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.states import RESERVING, WHOLE, WITH_JOB

_HIGHEST = (
    "SELECT cost_nanousd, listed_nanousd FROM attempt WHERE identity = ? AND listed_nanousd > 0 AND cost_nanousd > 0"
    " ORDER BY (CAST(cost_nanousd AS DOUBLE PRECISION) / listed_nanousd) DESC LIMIT 1"
)
_HIGHEST_UNLISTED = (
    "SELECT cost_nanousd FROM attempt WHERE identity = ? AND listed_nanousd IS NULL AND cost_nanousd > 0"
    " ORDER BY cost_nanousd DESC LIMIT 1"
)
_LARGEST = f"SELECT pixels FROM attempt WHERE identity = ? AND state IN {WHOLE} ORDER BY pixels DESC LIMIT 1"
_UNDER_WAY = (
    "SELECT 1 FROM attempt WHERE owner IS NOT NULL AND identity = ? AND pixels > ?"
    # Pictures below the largest one that was answered are priced by it.
    f" AND state IN {(*RESERVING, *WITH_JOB)} LIMIT 1"
)
INDEXES = (
    "CREATE INDEX attempt_bill ON attempt (identity, (CAST(cost_nanousd AS DOUBLE PRECISION) / listed_nanousd))"
    " WHERE listed_nanousd > 0 AND cost_nanousd > 0",
    "CREATE INDEX attempt_unlisted ON attempt (identity, cost_nanousd)"
    " WHERE listed_nanousd IS NULL AND cost_nanousd > 0",
    f"CREATE INDEX attempt_largest ON attempt (identity, pixels) WHERE state IN {WHOLE}",
)
"""Without them, every reservation would read all attempts of the procedure."""


def require_known_price(connection: Connection, spec: AttemptSpec, price_nanousd: int, *, alone: bool) -> None:
    """Refuse to reserve less than the vendor bills, and a draw that goes `alone` beside another one that does."""
    if spec.listed_nanousd:
        # Another process may have been billed more than this one knows, so the table is asked in the transaction.
        row = connection.execute(_HIGHEST, (spec.identity,)).fetchone()
        if row is not None and Bill(*row).raised(spec.listed_nanousd) > price_nanousd:
            raise DearerError(*row)
    elif spec.listed_nanousd is None:
        row = connection.execute(_HIGHEST_UNLISTED, (spec.identity,)).fetchone()
        if row is not None and row[0] > price_nanousd:
            raise DearerError(row[0], None)
    if alone:
        row = connection.execute(_LARGEST, (spec.identity,)).fetchone()
        largest = 0 if row is None else row[0]
        unknown = spec.pixels > largest
        # Two draws that both go alone would each learn the price, and both pay it.
        if unknown and connection.execute(_UNDER_WAY, (spec.identity, largest)).fetchone() is not None:
            raise AwaitedBillError
