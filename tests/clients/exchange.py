"""A scripted vendor on loopback, and what two callers asked of it, field by field."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from support.recording_server import RecordingServer, Request

from blackbox_conformal.drawing.http.transport import Transport
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.testing.raw_http import Head, Response, multipart
from blackbox_conformal.testing.rehearsal import Rehearsal, rehearse
from blackbox_conformal.vendor.adapter import Adapter, Draw, Upload
from blackbox_conformal.vendor.example import ADDRESS

Script = Mapping[str, tuple[Response, ...]]
"""``METHOD /path`` → the answers to it in turn; the last one again and again."""

CERTIFICATE = Path(__file__).with_name("loopback.pem")

# Of the connection or of the HTTP library, and of no meaning to a vendor.
OF_THE_LIBRARY = frozenset(
    {"host", "user-agent", "accept-encoding", "connection", "content-length", "transfer-encoding"}
)


def answer(document: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer; underscores in header names read as dashes."""
    return Response(status, {"content-type": "application/json"}, json.dumps(document).encode()).with_headers(**headers)


def picture(content: bytes) -> Response:
    """An answer that is a picture."""
    return Response(200, {"content-type": "image/png"}, content)


class ScriptedVendor(RecordingServer):
    """Answers by method and path, its address in the place of ``{address}``; what is not in the script is a 404."""

    def __init__(self, script: Script, secure: bool) -> None:
        super().__init__(self._next, certificate=CERTIFICATE if secure else None)
        self._script = script
        self._given: Counter[str] = Counter()

    def forget(self) -> None:
        """Begin anew."""
        self.asked.clear()
        self._given.clear()

    def _next(self, head: Head) -> Response:
        place = f"{head.method} {head.path}"
        answers = self._script.get(place)
        if answers is None:
            return answer({"detail": f"the script has no {place}"}, 404)
        self._given[place] += 1
        said = answers[min(self._given[place], len(answers)) - 1]
        return Response(said.status, said.headers, said.body.replace(ADDRESS, self.url.encode()))


@contextmanager
def vendor(script: Script, secure: bool = False) -> Iterator[ScriptedVendor]:
    """A vendor that answers by `script`; `secure`: with the certificate of loopback."""
    with ScriptedVendor(script, secure) as server:
        assert isinstance(server, ScriptedVendor)
        yield server


def draw_ours(adapter: Adapter, upload: Upload, draw: Draw, job: str = "") -> Rehearsal:
    """One draw, or the end of `job`, through the product's own transport; waits are not waited for."""
    transport = Transport(adapter.base_url, adapter.capabilities.result_hosts, Limits(attempt_timeout_s=20))
    try:
        flow = adapter.resume(upload, draw, job) if job else adapter.draw(upload, draw)
        return rehearse(adapter, flow, transport.send)
    finally:
        transport.close()


def asked(requests: list[Request], alias: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Each request that was made, by method and path, as its fields; of equal ones the first.

    `alias` gives a request of one caller the name that the other has for the same.
    """
    fields: dict[str, dict[str, Any]] = {}
    for request in requests:
        place = f"{request.head.method} {request.head.path}"
        name = (alias or {}).get(place, place)
        fields.setdefault(name, _fields(request) | ({} if name == place else {"place": place}))
    return fields


def differences(ours: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """``METHOD /path`` or ``METHOD /path field`` → what is ours and what is theirs."""
    found = {}
    for place in dict.fromkeys([*ours, *theirs]):
        if place not in ours or place not in theirs:
            found[place] = "only ours" if place in ours else "only theirs"
            continue
        for field in dict.fromkeys([*ours[place], *theirs[place]]):
            mine, yours = ours[place].get(field), theirs[place].get(field)
            if mine != yours:
                found[f"{place} {field}"] = f"ours {_short(mine)}, theirs {_short(yours)}"
    return found


def _short(value: Any) -> str:
    return repr(value) if len(repr(value)) < 200 else f"{repr(value)[:200]}…"


def _fields(request: Request) -> dict[str, Any]:
    head = request.head
    kind = head.headers.get("content-type", "").partition(";")[0]
    fields: dict[str, Any] = {f"query.{name}": value for name, value in parse_qsl(urlsplit(head.target).query)}
    for name, value in head.headers.items():
        if name not in OF_THE_LIBRARY and (name, value) != ("accept", "*/*"):
            fields[f"header.{name}"] = {"content-type": kind, "x-amz-date": "now"}.get(name, value)
    if kind == "multipart/form-data":
        fields |= {f"part.{name}": content for name, content in multipart(head, request.body).items()}
    elif kind == "application/json" and request.body:
        fields |= dict(leaves(json.loads(request.body), "body"))
    elif request.body:
        fields["body"] = request.body
    return fields


def leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Each value of a JSON document with its place; files by content, whichever alphabet of base64 wrote them."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{place}.{name}")
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from leaves(item, f"{place}.{number}")
    elif isinstance(value, str) and value.startswith("data:"):
        kind, _, content = value.partition(",")
        yield place, (kind, base64.b64decode(content))
    elif isinstance(value, str) and re.fullmatch(r"[\w+/-]{64,}=*", value):
        yield place, base64.b64decode(value, altchars=b"-_" if re.search("[-_]", value) else None)
    else:
        yield place, value
