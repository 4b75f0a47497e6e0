"""Begins a ledger in a process that kills itself at the so-manieth thing it does to a file of the run folder.

``python begin_driver.py RUN NUMBER``. Counted are what Python does to files, from opening to
linking and removing, and what SQLite is told to do.
"""

import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from blackbox_conformal.drawing.ledger.backends import Ledger

COUNTED = ("open", "os.link", "os.remove", "os.rename", "os.chmod", "sqlite3.connect", "os.utime")


def main(run: str, number: str) -> None:
    left = int(number)

    def count() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def seen(event: str, given: tuple[Any, ...]) -> None:
        if event in COUNTED and any(run in os.fsdecode(one) for one in given if isinstance(one, str | bytes | Path)):
            count()

    class Traced(sqlite3.Connection):
        def execute(self, *given: Any) -> sqlite3.Cursor:
            count()
            found = super().execute(*given)
            count()
            return found

    real = sqlite3.connect
    sqlite3.connect = lambda *given, **named: real(*given, factory=Traced, **named)  # type: ignore[assignment]
    sys.addaudithook(seen)
    Ledger(Path(run)).close()


if __name__ == "__main__":
    main(*sys.argv[1:])
