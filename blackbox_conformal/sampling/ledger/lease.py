"""One live owner a ledger: who it is, whether it still lives, and how a dead owner's ledger is taken over.

The lease row is renewed by `writer`; nothing else of the ledger is touched here.
"""

import os
import socket
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.errors import LedgerError

TERM_S = 90.0
RENEW_S = 20.0


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _process_space() -> str:
    """Which numbering of processes we see: a container has one of its own, in which its processes have our numbers."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """The kernel's start time of a process, so that a reused pid is not mistaken for its owner; '' if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if len(fields) < 20 or fields[0] in "ZX" else fields[19]


def _alive(pid: int, start: str) -> bool:
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not start or _process_start(pid) == start


@dataclass(frozen=True, slots=True)
class Lease:
    """Our hold on the ledger in the folder `place`; `generation` grows with every owner."""

    generation: int
    place: str

    def guard(self, connection: sqlite3.Connection) -> None:
        """Raise `LedgerError` if the ledger has passed to another owner."""
        row = connection.execute("SELECT generation, pid, host FROM lease WHERE id = 1").fetchone()
        if row is None or row[0] != self.generation:
            owner = "nobody" if row is None else f"process {row[1]} on {row[2]}"
            raise LedgerError(f"this run folder was taken over by {owner}; nothing more is sent from here")

    def renew(self, connection: sqlite3.Connection) -> None:
        """Extend the lease's term."""
        connection.execute("UPDATE lease SET expires = ? WHERE id = 1", (time.time() + TERM_S,))

    def release(self, connection: sqlite3.Connection) -> None:
        """Give the ledger up."""
        connection.execute("UPDATE lease SET pid = NULL, expires = 0 WHERE id = 1")

    def drop(self) -> None:
        """Hold it no longer, whatever the ledger says: on a full disk it cannot be given up there."""
        _held.discard(self)


_held: set[Lease] = set()
"""What this process holds; anything else that bears its number is nobody's."""


def acquire(connection: sqlite3.Connection, run: Path) -> Lease:
    """Become the owner of the ledger.

    A dead owner on this machine is replaced at once; an owner on another machine or in another container, whose life
    cannot be seen, once its term is over.

    Raises
    ------
    LedgerError
        Another live process owns the ledger; the message names it.
    """
    host, boot, place = socket.gethostname(), f"{_boot_id()} {_process_space()}", os.path.realpath(run)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        raise LedgerError(f"the ledger in {run} is locked by another process ({error})") from None
    try:
        row = connection.execute("SELECT * FROM lease WHERE id = 1").fetchone()
        generation = 1
        if row is not None:
            generation = row["generation"] + 1
            if row["pid"] is not None:
                _refuse_living(row, host, boot, run, place)
        connection.execute(
            "INSERT OR REPLACE INTO lease VALUES (1, ?, ?, ?, ?, ?, ?)",
            (os.getpid(), host, boot, _process_start(os.getpid()), time.time() + TERM_S, generation),
        )
        lease = Lease(generation, place)
        _held.add(lease)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back already when the disk is full, and has nothing to roll back before it has begun.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return lease


def _refuse_living(row: sqlite3.Row, host: str, boot: str, run: Path, place: str) -> None:
    owner = f"process {row['pid']} on {row['host']}"
    if row["host"] == host and row["boot"].split(" ")[0] != boot.split(" ")[0]:
        return
    if row["host"] == host and row["boot"] == boot:
        own = row["pid"] == os.getpid()
        if own and Lease(row["generation"], place) in _held:
            raise LedgerError(
                f"{run} is in use by another call in this same process; calls that share a run folder have to take "
                "turns, or each needs a run folder of its own"
            )
        if not own and _alive(row["pid"], row["process_start"]):
            raise LedgerError(f"{run} is in use by {owner}; wait for it, stop it, or use another run folder")
        return
    left = row["expires"] - time.time()
    if 0 < left <= TERM_S:
        raise LedgerError(
            f"{run} is in use by {owner}; if that process is gone, run again in {left:.0f} s, when its hold ends"
        )
