"""The fault server with a vendor that gives one answer to everything and keeps what it was asked."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.raw_http import Head, Response


class Request(NamedTuple):
    """A request as it arrived."""

    head: Head
    body: bytes


class RecordingServer(FaultServer):
    """Answers each request by `answer`; by default with an empty 200. `options` are those of the fault server."""

    def __init__(self, answer: Callable[[Head], Response] = lambda head: Response(200), **options: Any) -> None:
        super().__init__(vendor=self, **options)
        self.answer = answer
        self.asked: list[Request] = []

    def purpose(self, head: Head) -> str:
        return "other"

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        self.asked.append(Request(head, body))
        return self.answer(head)
