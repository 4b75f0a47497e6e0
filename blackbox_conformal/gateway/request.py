"""An accepted request: its order, state and outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from blackbox_conformal.support.text import name_of

# Refuses a request before anything is accepted or paid.


class NotServedError(Exception):
    """A refusal of a request, which each dialect says in its own form.

    `status`: HTTP status.
    `message`: What was expected, what arrived, what to do.
    `headers`: Further headers, beside every answer's.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


# Orders, the same in every dialect.

_LINKS = ("data:", "http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order for a picture to be super-resolved or restored."""

    # Its content, or a link: ``data:``, or a file that was uploaded to this gateway.
    picture: bytes | str = field(repr=False)
    name: str = "picture"  # For people; stands in the certificate.
    # Every other field for the vendor. None is dropped: the gateway passes it on or refuses it by name.
    options: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None  # The vendor's model as the client names it; None: it names none.
    idempotency_key: str | None = None  # A second request of the same client with this key is the first one.
    # The address to tell, and which events: ``start``, ``completed``.
    webhook: str | None = None
    events: tuple[str, ...] = ("completed",)
    # Fields that the dialect repeats when it tells of the request.
    echo: Mapping[str, Any] = field(default_factory=dict)


def renamed(order: Order, file: str) -> Order:
    """Name the picture after a client's file."""
    return replace(order, name=name_of(file) or order.name)


def picture_field(given: Mapping[str, Any]) -> str:
    """Return the name of the picture's field, the only one with a link; services call it differently."""
    fields = [name for name, value in given.items() if isinstance(value, str) and value.startswith(_LINKS)]
    if len(fields) != 1:
        raise NotServedError(422, f"expected one field of the input to be the link of a picture; got {len(fields)}")
    return fields[0]


State = Literal["accepted", "running", "done", "refused", "failed", "cancelled"]

ENDED: tuple[State, ...] = ("done", "refused", "failed", "cancelled")
"""Final states. ``refused`` is the picture's or client's fault, ``failed`` the vendor's."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of a request: its digest in the store, and its media type."""

    digest: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutcome:
    """How a request ended."""

    state: State
    status: int = 200  # HTTP status, for dialects that answer a failure by one.
    error: str | None = None  # What went wrong; None: nothing.
    # ``trusted_share``, ``threshold``, ``alpha``, ``certificate`` (its digest), ``reason`` (why there is no mask, or
    # why nothing is trusted), ``model``, ``quality`` and ``reaches_floor`` (of the certificate).
    facts: Mapping[str, Any] = field(default_factory=dict)
    # ``picture``, the answer; with a mask ``mask`` and ``certificate``; ``delivered`` if the mask is about another
    # picture than the vendor's file.
    files: Mapping[str, Kept] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One row of the book."""

    id: str  # Unguessable; whoever knows it may fetch the files.
    owner: str  # Who asked; see `HttpRequest.owner`.
    dialect: str
    name: str
    model: str | None
    options: Mapping[str, Any]
    echo: Mapping[str, Any]
    strict: bool
    input: str  # Digest of the picture's file.
    base: str  # Scheme and host of links.
    outcome: RequestOutcome
    # Seconds since 1970; None: not yet.
    created: float
    started: float | None
    ended: float | None
    # Ids of the request that this one masks by a calibration of more draws, and of the request that does so for this
    # one.
    upgrades: str | None = None
    upgrade: str | None = None
    pay_again: bool = False  # Whether a paid but unusable draw is bought once more.

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.outcome.state in ENDED
