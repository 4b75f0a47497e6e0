"""What every paid or self-hosted web vendor has in common: an address, and a price that the user may know better.

No vendor's wire format lives here.
"""

import json
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, JsonValue

from blackbox_conformal.adapter import Adapter, Price
from blackbox_conformal.secrets import Secret

READ_ON = date(2026, 11, 24)
"""The day on which the prices in this package were last compared with the vendors' public pages."""


def _from_text(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"expected JSON; {error}") from None
    return value


JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_from_text)]
"""A JSON object, also accepted as the text that a command line carries."""

JsonList = Annotated[list[JsonValue], BeforeValidator(_from_text)]
"""A JSON array, also accepted as text."""


def _number_from_text(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


FromText = BeforeValidator(_number_from_text)
"""Beside a `Literal` of numbers: such a number is also accepted as text."""


class Hosted(Adapter):
    """A vendor behind a web address."""

    transient: ClassVar[frozenset[str]] = frozenset({"url", "price_usd", "poll_seconds", "result_hosts"})
    uncertain: ClassVar[tuple[str, ...]] = ()

    url: str = Field(default="", description="Address of the interface; change it for a proxy or a test server.")
    price_usd: Decimal | None = Field(
        default=None, ge=0, description="Price of one draw in US dollars, where you know it better than this adapter."
    )

    result_hosts: str = Field(
        default="",
        pattern=r"^[\w.,-]*$",
        description="Further hosts that results may come from, parted by commas; a leading dot: with subdomains.",
    )

    @property
    def base_url(self) -> str:
        """The address without a trailing slash."""
        return self.url.rstrip("/")

    def priced(self, low: str | None, high: str | None = None, source: str = "") -> Price | None:
        """The user's price, else the vendor's as last seen, else None."""
        if self.price_usd is not None:
            return Price(self.price_usd, self.price_usd, "given by the user")
        if low is None:
            return None
        return Price(Decimal(low), Decimal(high or low), source, READ_ON)

    def hosts(self, *known: str) -> tuple[str, ...]:
        """Hosts of results: the vendor's as far as known, and the user's."""
        return known + tuple(filter(None, self.result_hosts.split(",")))

    def bearer(self) -> dict[str, str | Secret]:
        """The header ``Authorization: Bearer <key>``."""
        return {"authorization": self.credential().prefixed("Bearer ")}
