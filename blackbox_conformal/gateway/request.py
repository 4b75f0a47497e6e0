"""A request that was accepted: what was asked, how far it is, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from blackbox_conformal.support.text import name_of

# A request that the gateway does not serve, before anything is accepted or paid.


class NotServedError(Exception):
    """What is wrong with a request, for the client; each dialect says it in its own form.

    Attributes
    ----------
    status
        HTTP status.
    message
        What was expected, what arrived, what to do.
    headers
        Beside those that every answer has.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


# What a request asks for, the same in every dialect.

_LINKS = ("data:", "http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A picture to be super-resolved or restored.

    Attributes
    ----------
    picture
        Its content, or a link: ``data:``, or a file that was uploaded to this gateway.
    name
        For people; stands in the certificate.
    options
        Every other field of the request that is for the vendor. None is dropped: the gateway passes it on or refuses
        it by name.
    model
        The vendor's model as the client names it; None: it names none.
    idempotency_key
        A second request of the same client with this key is the first one.
    webhook, events
        The address that is told, and of what: ``start``, ``completed``.
    echo
        What the dialect wants to find again when it tells of the request.
    """

    picture: bytes | str = field(repr=False)
    name: str = "picture"
    options: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    idempotency_key: str | None = None
    webhook: str | None = None
    events: tuple[str, ...] = ("completed",)
    echo: Mapping[str, Any] = field(default_factory=dict)


def renamed(order: Order, file: str) -> Order:
    """The same with a picture that is named after a client's file."""
    return replace(order, name=name_of(file) or order.name)


def picture_field(given: Mapping[str, Any]) -> str:
    """The one field of a request that holds a link, which is the picture's; services call it differently."""
    fields = [name for name, value in given.items() if isinstance(value, str) and value.startswith(_LINKS)]
    if len(fields) != 1:
        raise NotServedError(422, f"expected one field of the input to be the link of a picture; got {len(fields)}")
    return fields[0]


State = Literal["accepted", "running", "done", "refused", "failed", "cancelled"]

ENDED: tuple[State, ...] = ("done", "refused", "failed", "cancelled")
"""States that a request stays in. ``refused`` is the picture's or the client's fault, ``failed`` the vendor's."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of a request: the digest that it is stored under, and its media type."""

    digest: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutcome:
    """How a request ended.

    Attributes
    ----------
    status
        The HTTP status that fits, for dialects that answer a failure by one.
    error
        What went wrong; None where nothing did.
    facts
        What is known of the result: ``trusted_share``, ``threshold``, ``alpha``, ``certificate`` (its digest),
        ``reason`` (why there is no mask, or why nothing is trusted), ``model``, ``quality`` and
        ``reaches_floor`` (those of the certificate).
    files
        ``picture``, the answer; ``mask``, ``certificate`` where there is a mask; ``delivered`` where the picture that
        the mask is about is not the vendor's file.
    """

    state: State
    status: int = 200
    error: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Kept] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One row of the book.

    Attributes
    ----------
    id
        Unguessable; every caller that knows it may fetch the files.
    owner
        Who asked; see `HttpRequest.owner`.
    input
        Digest of the picture's file.
    base
        Scheme and host of links.
    upgrades, upgrade
        Id of the request whose picture this one masks by a calibration of more draws; id of that one, seen from the
        first. None: there is none.
    created, started, ended
        Seconds since 1970; None: not yet.
    pay_again
        Whether a draw that may be paid for and has no usable picture is bought once more.
    """

    id: str
    owner: str
    dialect: str
    name: str
    model: str | None
    options: Mapping[str, Any]
    echo: Mapping[str, Any]
    strict: bool
    input: str
    base: str
    outcome: RequestOutcome
    created: float
    started: float | None
    ended: float | None
    upgrades: str | None = None
    upgrade: str | None = None
    pay_again: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.outcome.state in ENDED
