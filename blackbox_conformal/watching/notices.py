"""Tells others when a calibration's state changes: a command, a web address, or whatever apprise knows.

A notice is sent when the state changes and not again. One that could not be delivered is kept in the watch file and
sent again with the next visit, in order. Addresses may hold secrets: they are read from the environment, and neither
kept nor shown.
"""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from blackbox_conformal.drawing.http.posting import UndeliveredError, post
from blackbox_conformal.support.secrets import Secret, redact
from blackbox_conformal.support.text import printable
from blackbox_conformal.watching.records import Entry
from blackbox_conformal.watching.watch_file import WatchFile

Channel = Callable[[dict[str, Any]], None]
"""Delivers one notice; raises whatever goes wrong."""

TRIES = 3
_PAUSES_S = (1.0, 3.0)
_TIMEOUT_S = 20.0

_LONGEST = 300


def command_channel(words: Sequence[str]) -> Channel:
    """Starts a program with these words as its arguments, no shell between, and writes the notice to its stdin."""

    def deliver(notice: dict[str, Any]) -> None:
        content = json.dumps(notice).encode() + b"\n"
        # Words of their own and no shell, so that no notice can add a command.
        ended = subprocess.run(list(words), input=content, capture_output=True, timeout=_TIMEOUT_S, check=False)
        if ended.returncode:
            said = ended.stderr.decode("utf-8", "replace").strip()
            raise UndeliveredError(f"it ended with {ended.returncode}: {said or 'it said nothing'}")

    return deliver


def webhook_channel(address: Secret) -> Channel:
    """Posts the notice as JSON to a web address; see `post`."""

    def deliver(notice: dict[str, Any]) -> None:
        post(address.reveal(), json.dumps(notice).encode(), {"Content-Type": "application/json"})

    return deliver


def apprise_channel(address: Secret) -> Channel:
    """Sends the notice's title and text through the library apprise, which is installed with the extra of that name."""

    def deliver(notice: dict[str, Any]) -> None:
        try:
            service = import_module("apprise").Apprise()
        except ImportError:
            raise UndeliveredError("apprise is not installed: pip install 'blackbox-conformal[apprise]'") from None
        if not service.add(address.reveal()):
            raise UndeliveredError("apprise knows no such address; its pages list those that it does")
        if not service.notify(title=notice["title"], body=notice["text"]):
            raise UndeliveredError("apprise could not send it")

    return deliver


def notice_of(entry: Entry, calibration: str, file: str) -> dict[str, Any]:
    """What a notice says of a change of state."""
    return {
        "title": f"calibration {entry.state}: {file}",
        "text": f"{file} is {entry.state} since {entry.at}: {entry.reason}",
        "state": entry.state,
        "at": entry.at,
        "reason": entry.reason,
        "calibration": calibration,
        "file": file,
    }


def deliver(
    file: WatchFile,
    calibration: str,
    named: str,
    channels: Mapping[str, Channel],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Send what each channel has not been told yet; what could not be delivered, in words.

    Parameters
    ----------
    named
        The calibration's file, as it is told.
    channels
        ``command``, ``webhook`` or ``apprise`` → who delivers.
    """
    troubles = []
    for name, channel in channels.items():
        for entry in file.untold(calibration, name):
            error = _tried(channel, notice_of(entry, calibration, named), sleep)
            # Also what failed: the next visit sends it again, and says that it was not delivered.
            file.note_notice(entry.id, name, error)
            if error is not None:
                troubles.append(f"the notice to the {name} was not delivered and is kept for the next visit: {error}")
                # In order: an earlier notice that waits must not arrive after a later one.
                break
    return troubles


def _tried(channel: Channel, notice: dict[str, Any], sleep: Callable[[float], None]) -> str | None:
    """What went wrong at the last of several tries; None where one was taken."""
    error = None
    # The last try has no pause after it.
    for pause in (*_PAUSES_S, 0.0)[:TRIES]:
        try:
            channel(notice)
        except Exception as failed:  # noqa: BLE001 - whatever fails, the visit is made and the notice is kept
            # Only our own words: an error of a library may quote the address, which may be secret.
            error = printable(
                redact(str(failed) if isinstance(failed, UndeliveredError) else type(failed).__name__), _LONGEST
            )
            sleep(pause)
        else:
            return None
    return error
