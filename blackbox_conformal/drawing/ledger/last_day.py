"""What was booked of submissions of the last 24 hours, kept by the minute while a ledger is open.

It is a temporary table of the connection that writes the ledger: filled from the attempts when the limit begins, and
moved by a trigger with every cost that is booked, so that an operation that is undone undoes it too.
"""

import time

from blackbox_conformal.drawing.ledger.connection import Connection

_DAY_S = 24 * 3600
_MINUTE_S = 60

_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS booked_by_minute (
        minute INTEGER PRIMARY KEY,
        nanousd INTEGER NOT NULL
    )
"""
_TRIGGER = f"""
    CREATE TEMPORARY TRIGGER IF NOT EXISTS book_by_minute
    AFTER UPDATE OF cost_nanousd ON main.attempt WHEN NEW.cost_nanousd != OLD.cost_nanousd
    BEGIN
        INSERT INTO booked_by_minute
        VALUES (CAST(COALESCE(NEW.intent_at, 0) / {_MINUTE_S} AS INTEGER), NEW.cost_nanousd - OLD.cost_nanousd)
        ON CONFLICT (minute) DO UPDATE SET nanousd = nanousd + excluded.nanousd;
    END
"""


def begin(connection: Connection) -> None:
    """Keep the sums on this connection from now on; whatever the ledger holds already is counted."""
    connection.execute(_TABLE)
    connection.execute("DELETE FROM booked_by_minute")
    connection.execute(
        f"INSERT INTO booked_by_minute SELECT CAST(intent_at / {_MINUTE_S} AS INTEGER), SUM(cost_nanousd) FROM attempt"
        " WHERE intent_at >= ? AND cost_nanousd > 0 GROUP BY 1",
        (time.time() - _DAY_S - _MINUTE_S,),
    )
    connection.execute(_TRIGGER)


def spent_nanousd(connection: Connection) -> int:
    """Nano-dollars booked of submissions of the last 24 hours, and of those of the minute before."""
    first = int((time.time() - _DAY_S) // _MINUTE_S)
    connection.execute("DELETE FROM booked_by_minute WHERE minute < ?", (first,))
    row = connection.execute("SELECT COALESCE(SUM(nanousd), 0) FROM booked_by_minute").fetchone()
    return int(row[0])
