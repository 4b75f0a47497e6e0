"""A request that was accepted: what was asked, how far it is, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
