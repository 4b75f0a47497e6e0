"""How long a server process serves: until it is told to end, or until whoever started it is gone."""

import os
import signal
import threading
from argparse import ArgumentParser
from contextlib import suppress
from types import FrameType


def add_option(parser: ArgumentParser) -> None:
    """The option that chooses."""
    parser.add_argument(
        "--while-stdin",
        action="store_true",
        help="serve only until standard input closes, so that the server never outlives the program that started it",
    )


def wait_for_the_end(*, while_stdin: bool) -> None:
    """Return on SIGTERM or SIGINT, or, if it is so wanted, as soon as standard input closes."""
    told = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if while_stdin:
        threading.Thread(target=_read_to_the_end, args=(told,), daemon=True).start()
    told.wait()


def _read_to_the_end(told: threading.Event) -> None:
    # Read past Python's own buffer, whose lock a thread that still reads would hold when the process ends.
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    told.set()
