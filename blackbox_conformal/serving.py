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


def told_to_end(*, while_stdin: bool) -> threading.Event:
    """An event that is set on SIGTERM or SIGINT, or, if it is so wanted, as soon as standard input closes.

    To be called before an address is printed: whoever reads it may tell the server to end at once.
    """
    told = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if while_stdin:
        threading.Thread(target=_read_to_the_end, args=(told,), daemon=True).start()
    return told


def _read_to_the_end(told: threading.Event) -> None:
    # Read past Python's own buffer, whose lock a thread that still reads would hold when the process ends.
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    told.set()
