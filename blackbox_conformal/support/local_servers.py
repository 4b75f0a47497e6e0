"""Servers on this machine: their names, and when they end."""

import ipaddress
import os
import signal
import threading
from argparse import ArgumentParser
from contextlib import suppress
from types import FrameType


def is_loopback_name(host: str) -> bool:
    """Tell whether a name is ``localhost`` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def add_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--while-stdin",
        action="store_true",
        help="serve only until standard input closes, so that the server never outlives the program that started it",
    )


def end_requested(*, while_stdin: bool) -> threading.Event:
    """Return an event that is set on SIGTERM or SIGINT, and with `while_stdin` when standard input closes.

    Call it before an address is printed: its reader may end the server at once.
    """
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if while_stdin:
        threading.Thread(target=_read_to_the_end, args=(ended,), daemon=True).start()
    return ended


def _read_to_the_end(ended: threading.Event) -> None:
    # Python's own buffer has a lock, which a reading thread would hold when the process ends; so read past it.
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    ended.set()
