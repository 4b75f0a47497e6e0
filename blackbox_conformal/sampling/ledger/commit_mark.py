"""How many commits a ledger has seen, written down beside it after each of them.

A ledger that knows of fewer was restored from an older copy, or lost its newest entries with a damaged WAL file: what
they paid for would be paid again. The mark is never ahead of the ledger, since it is written once a commit is durable.
"""

from pathlib import Path

from blackbox_conformal.errors import LedgerError


def mark_path(run: Path) -> Path:
    """Where a run folder keeps the number."""
    return run / "ledger.commits"


def marked(run: Path) -> int:
    """The number that is written down; 0 when none can be read, for then nothing is compared."""
    try:
        return int(mark_path(run).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def refuse_older(run: Path, commits: int, last: int) -> None:
    """Refuse a ledger that has seen fewer commits than were written down.

    Raises
    ------
    LedgerError
        It has.
    """
    if commits < last:
        raise LedgerError(
            f"the ledger in {run} is older than its folder: it knows {commits} commits of {last}, and what the others"
            f" paid for would be paid again. Restore the newest ledger, or delete {mark_path(run)} to go on with this"
            " one"
        )
