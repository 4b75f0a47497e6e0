"""Posts messages to users' web addresses, without redirects and with one deadline for the whole exchange."""

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

_TIMEOUT_S = 20.0
DEADLINE_S = 30.0  # Seconds for one delivery in all.


class UndeliveredError(Exception):
    """A web address did not take a notice; the text says why."""


# A redirection could lead a signed notice to another host.
class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow no redirection."""


# Keeps its connections, so that `_end` can end them.
class _Known(urllib.request.AbstractHTTPHandler):
    def __init__(self, made: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._made = made

    def do_open(self, http_class: Any, req: urllib.request.Request, **given: Any) -> http.client.HTTPResponse:
        def make(*where: Any, **how: Any) -> http.client.HTTPConnection:
            self._made.append(http_class(*where, **how))
            return self._made[-1]

        return super().do_open(make, req, **given)


class _Http(_Known, urllib.request.HTTPHandler):
    pass


class _Https(_Known, urllib.request.HTTPSHandler):
    pass


def post(address: str, body: bytes, headers: Mapping[str, str], largest: int = 0) -> bytes:
    """Post to a web address, and return its answer, if `largest`, its bytes at most, is not 0.

    Raises `UndeliveredError` unless it answers 2xx within `DEADLINE_S`.
    """
    made: list[http.client.HTTPConnection] = []
    # A receiver that sends a byte now and then would never hit the time limit of a single read.
    deadline = threading.Timer(DEADLINE_S, _end, [made])
    deadline.daemon = True
    try:
        request = urllib.request.Request(address, body, dict(headers), method="POST")
        deadline.start()
        opener = urllib.request.build_opener(_NoRedirects, _Http(made), _Https(made))
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            content: bytes = answer.read(largest + 1) if largest else b""
    except urllib.error.HTTPError as error:
        raise UndeliveredError(f"HTTP {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UndeliveredError(type(error).__name__) from None
    finally:
        deadline.cancel()
    if len(content) > largest:
        raise UndeliveredError(f"an answer of more than {largest} bytes")
    return content


def _end(connections: list[http.client.HTTPConnection]) -> None:
    for connection in connections:
        # Shutting down wakes the thread that waits for a byte; closing alone would not.
        with contextlib.suppress(OSError):
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
