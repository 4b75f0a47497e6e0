"""What a request asks for, the same in every dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from blackbox_conformal.gateway.not_served import NotServedError
from blackbox_conformal.support.text import name_of

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
