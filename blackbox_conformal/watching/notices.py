"""Tells others when a calibration's state changes: a command, a web address, or whatever apprise knows.

A notice is sent when the state changes and not again. One that could not be delivered is kept in the watch file and
sent again with the next visit, in order. Addresses may hold secrets: they are read from the environment, and neither
kept nor shown.
"""

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from blackbox_conformal.support.secrets import Secret, redact
from blackbox_conformal.support.text import printable
from blackbox_conformal.watching.records import Entry
from blackbox_conformal.watching.watch_file import WatchFile

Channel = Callable[[dict[str, Any]], None]
"""Delivers one notice; raises whatever goes wrong."""

TRIES = 3
_PAUSES_S = (1.0, 3.0)
_TIMEOUT_S = 20.0
DEADLINE_S = 30.0
"""Seconds that a delivery to a web address may take in all."""

_LONGEST = 300


class UndeliveredError(Exception):
    """A notice that was not taken, in words."""


def command_channel(words: Sequence[str]) -> Channel:
    """Starts a program with these words as its arguments, no shell between, and writes the notice to its stdin."""

    def deliver(notice: dict[str, Any]) -> None:
        content = json.dumps(notice).encode() + b"\n"
        ended = subprocess.run(list(words), input=content, capture_output=True, timeout=_TIMEOUT_S, check=False)
        if ended.returncode:
            said = ended.stderr.decode("utf-8", "replace").strip()
            raise UndeliveredError(f"it ended with {ended.returncode}: {said or 'it said nothing'}")

    return deliver


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """A notice goes where the user sent it and nowhere else."""


class _Known(urllib.request.AbstractHTTPHandler):
    """Keeps the connections that it makes, so that they can be ended."""

    def __init__(self, made: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._made = made

    def do_open(self, http_class: Any, req: urllib.request.Request, **given: Any) -> http.client.HTTPResponse:
        """Make a connection by `http_class`, ask, and wait for the head of the answer."""

        def make(*where: Any, **how: Any) -> http.client.HTTPConnection:
            self._made.append(http_class(*where, **how))
            return self._made[-1]

        return super().do_open(make, req, **given)


class _Http(_Known, urllib.request.HTTPHandler):
    pass


class _Https(_Known, urllib.request.HTTPSHandler):
    pass


def webhook_channel(address: Secret) -> Channel:
    """Posts the notice as JSON to a web address; see `post`."""

    def deliver(notice: dict[str, Any]) -> None:
        post(address.reveal(), json.dumps(notice).encode(), {"Content-Type": "application/json"})

    return deliver


def post(address: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Post to a web address, which must answer with 2xx within `DEADLINE_S`; redirects are not followed.

    Raises
    ------
    UndeliveredError
        It did not.
    """
    made: list[http.client.HTTPConnection] = []
    # A receiver that sends a byte now and then would never meet the time limit of a single read.
    deadline = threading.Timer(DEADLINE_S, _end, [made])
    deadline.daemon = True
    try:
        request = urllib.request.Request(address, body, dict(headers), method="POST")
        deadline.start()
        with urllib.request.build_opener(_NoRedirects, _Http(made), _Https(made)).open(request, timeout=_TIMEOUT_S):
            pass
    except urllib.error.HTTPError as error:
        raise UndeliveredError(f"HTTP {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UndeliveredError(type(error).__name__) from None
    finally:
        deadline.cancel()


def _end(connections: list[http.client.HTTPConnection]) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)


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
    """What is told of a change of state."""
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
            file.note_notice(entry.id, name, error)
            if error is not None:
                troubles.append(f"the notice to the {name} was not delivered and is kept for the next visit: {error}")
                break
    return troubles


def _tried(channel: Channel, notice: dict[str, Any], sleep: Callable[[float], None]) -> str | None:
    """What went wrong at the last of several tries; None where one was taken."""
    error = None
    for pause in (*_PAUSES_S, 0.0)[:TRIES]:
        try:
            channel(notice)
        except Exception as failed:  # noqa: BLE001 - whatever fails, the visit is made and the notice is kept
            error = printable(
                redact(str(failed) if isinstance(failed, UndeliveredError) else type(failed).__name__), _LONGEST
            )
            sleep(pause)
        else:
            return None
    return error
