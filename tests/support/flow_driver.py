"""Drives an adapter's steps against given answers or over loopback, and checks the contract's rules on the way.

Checked are the rules that need no sampler: a secret is a `Secret`, a request has one kind of body. Waits are not waited
for.
"""

import http.client
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from blackbox_conformal.errors import VendorError
from blackbox_conformal.study.plugins import adapter_class, adapter_names
from blackbox_conformal.support.secrets import Secret, masked
from blackbox_conformal.testing.rehearsal import Rehearsal, UnexplainedError, rehearse
from blackbox_conformal.vendor.adapter import Adapter, Answer, Draw, Flow, Send, Upload
from blackbox_conformal.vendor.example import Example, example_of

ADDRESS = "http://127.0.0.1:9"
PICTURE = b"\x89PNG\r\n\x1a\nthe finished picture"


class OutOfAnswersError(AssertionError):
    """The flow asked for more than the vendor had to say."""


class UnusedAnswersError(AssertionError):
    """The flow ended before it had asked for every answer."""

    def __init__(self, count: int, picture: bytes) -> None:
        super().__init__(f"{count} answers were never asked for")
        self.picture = picture


def upload(width: int = 16, height: int = 12) -> Upload:
    """A small picture; its bytes are a PNG signature and nothing else."""
    return Upload("cat", "sha256:" + "0" * 64, b"\x89PNG\r\n\x1a\n" + bytes(24), width, height)


def a_draw(index: int = 0, *, seed: int | None = None) -> Draw:
    """Draw `index`, with its own seed and key."""
    return Draw(index, 1000 + index if seed is None else seed, f"key-of-draw-{index}")


def drive(adapter: Adapter, flow: Flow, answers: Iterable[Answer]) -> Rehearsal:
    """Run `flow` to its end; every answer must be used, in order."""
    remaining = iter(answers)
    rehearsal = _checked(adapter, flow, lambda send: next(remaining, None))
    unused = list(remaining)
    if unused:
        raise UnusedAnswersError(len(unused), rehearsal.picture or b"")
    return rehearsal


def drive_over_http(adapter: Adapter, flow: Flow) -> Rehearsal:
    """Run `flow` to its end against whatever serves its addresses on loopback."""
    return _checked(adapter, flow, ask)


def _checked(adapter: Adapter, flow: Flow, answer: Callable[[Send], Answer | None]) -> Rehearsal:
    def checked(send: Send) -> Answer | None:
        check(send)
        return answer(send)

    rehearsal = rehearse(adapter, flow, checked)
    if rehearsal.picture is None:
        raise OutOfAnswersError(f"no answer left for {rehearsal.sends[-1].method} {rehearsal.sends[-1].url}")
    return rehearsal


def ask(send: Send) -> Answer:
    """Send one request with a body of bytes by the standard library."""
    parts = urlsplit(send.url)
    assert parts.hostname == "127.0.0.1", "tests speak to loopback only"

    def plain(values: Any) -> dict[str, str]:
        return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}

    query = urlencode(plain(send.query))
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        target = (parts.path or "/") + (f"?{query}" if query else "")
        connection.request(send.method, target, send.body, plain(send.headers))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def check(send: Send) -> None:
    """The rules that hold for every request."""
    bodies = (send.json is not None, bool(send.files) or send.form is not None, send.body is not None)
    assert sum(bodies) <= 1, "more than one kind of body"
    assert send.url.startswith(("http://", "https://"))
    assert not (send.public and any(isinstance(value, Secret) for value in send.headers.values()))
    for name, value in send.headers.items():
        assert name == name.lower(), f"header {name} is not lower-case"
        if name in ("authorization", "api-key", "api_token", "x-api-key") or name.endswith("-api-key"):
            assert isinstance(value, Secret), f"{name} holds a secret as text"
    if send.json is not None:
        json.dumps(masked(send.json), allow_nan=False)


def failure(adapter: Adapter, flow: Flow, *answers: Answer) -> VendorError:
    """The vendor error that `flow` ends with."""
    try:
        drive(adapter, flow, answers)
    except UnexplainedError:
        raise AssertionError("expected the flow or explain to say what the failed answer means") from None
    except VendorError as error:
        return error
    raise AssertionError("expected a vendor error; the flow ended with a picture")


def modules() -> list[str]:
    """Every shipped adapter that shows an example."""
    return [name.replace("-", "_") for name in adapter_names() if example_of(adapter_class(name)) is not None]


def example(module: str) -> tuple[type[Adapter], Example]:
    """The adapter class and the example of one file or recipe."""
    kind = adapter_class(module)
    shown = example_of(kind)
    assert shown is not None
    return kind, shown


def built(module: str, **parameters: Any) -> Adapter:
    """The adapter of one file's example, with `parameters` over the example's."""
    kind, shown = example(module)
    return kind(**{**shown.parameters, shown.address: ADDRESS, **parameters})


def seeded(adapter: Adapter, index: int = 0) -> Draw:
    """Draw `index` with a seed that the adapter's vendor takes."""
    span = adapter.capabilities.seed_range
    return Draw(index, None if span is None else span[0] + index, f"key-of-draw-{index}")


def answers_of(module: str) -> tuple[Answer, ...]:
    """The answers of one file's example."""
    return example(module)[1].filled(PICTURE, ADDRESS)


def replay(module: str, index: int = 0, **parameters: Any) -> Rehearsal:
    """Draw `index` against the answers of the example."""
    adapter = built(module, **parameters)
    return drive(adapter, adapter.draw(upload(), seeded(adapter, index)), answers_of(module))


def refused(module: str, *answers: Answer, **parameters: Any) -> VendorError:
    """The error that a draw ends with when the vendor gives `answers`."""
    return refused_by(built(module, **parameters), *answers)


def refused_by(adapter: Adapter, *answers: Answer) -> VendorError:
    """The error that a draw of `adapter` ends with when the vendor gives `answers`."""
    return failure(adapter, adapter.draw(upload(), seeded(adapter)), *answers)


def resumed(module: str, job: str, *answers: Answer, **parameters: Any) -> Rehearsal:
    """`resume` of `job` against `answers`."""
    adapter = built(module, **parameters)
    return drive(adapter, adapter.resume(upload(), seeded(adapter), job), answers)


def unresumed(module: str, job: str, *answers: Answer, **parameters: Any) -> VendorError:
    """The error that `resume` of `job` ends with when the vendor gives `answers`."""
    adapter = built(module, **parameters)
    return failure(adapter, adapter.resume(upload(), seeded(adapter), job), *answers)


def assert_error(error: BaseException, kind: type[BaseException], *words: str, **fields: Any) -> None:
    """It is of exactly that kind, its text has all `words`, and its attributes are `fields`."""
    assert type(error) is kind, error
    assert [word for word in words if word not in str(error)] == [], error
    assert {name: getattr(error, name) for name in fields} == fields


def key_of(send: Send, header: str) -> str:
    """The secret in a header, as the vendor sees it."""
    value = send.headers[header]
    assert isinstance(value, Secret)
    return value.reveal()
