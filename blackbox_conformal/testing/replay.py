"""A vendor that replays an adapter's example exchange to whoever sends the same requests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from blackbox_conformal.testing.account import Account
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.vendor.adapter import Answer, Send

FRAMING = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection"})


class ReplayVendor:
    """Answers each recorded request (told by method and path) with its recorded answers, the last one again and again.

    Parameters
    ----------
    account
        Where each answered submission is billed.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._header = ""
        self._lock = Lock()
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._purposes: dict[tuple[str, str], str] = {}
        self._given: Counter[tuple[str, str]] = Counter()
        self._keyed: dict[str, Response] = {}

    def load(self, sends: Sequence[Send], answers: Sequence[Answer]) -> None:
        """Learn an exchange: the requests of one draw, and their answers."""
        for send, answer in zip(sends, answers, strict=True):
            place = (send.method, urlsplit(send.url).path)
            self._answers.setdefault(place, []).append(answer)
            self._purposes.setdefault(place, send.purpose)

    def honour(self, header: str | None) -> None:
        """Answer a repeated idempotency key in `header` by the stored answer, without a bill."""
        self._header = (header or "").lower()

    def purpose(self, head: Head) -> str:
        """The purpose of the recorded request with this method and path; an unrecorded GET only looks something up."""
        return self._purposes.get((head.method, head.path), "lookup" if head.method == "GET" else "other")

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        """The next recorded answer; an unknown request is answered by 404."""
        place = (head.method, head.path)
        key = head.headers.get(self._header, "") if self._header else ""
        with self._lock:
            if key and key in self._keyed:
                return self._keyed[key]
            answers = self._answers.get(place)
            if answers is None:
                return Response(404, {"Content-Type": "text/plain"}, b"not part of the recorded exchange")
            answer = answers[min(self._given[place], len(answers) - 1)]
            self._given[place] += 1
            headers = {name: value for name, value in answer.headers.items() if name not in FRAMING}
            response = Response(answer.status, headers, answer.body)
            if self._purposes[place] == "submit" and answer.status < 400:
                self._account.bill("replayed", key, "")
                if key:
                    self._keyed[key] = response
            return response
