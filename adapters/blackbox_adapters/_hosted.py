"""Base classes of web vendors: an address, a key, a price that the user may know better, and words for failures."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, JsonValue

from blackbox_adapters._failures import Failures
from blackbox_adapters._reading import integer, peek
from blackbox_conformal.errors import VendorError
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.vendor.adapter import Adapter, Answer, Capabilities, Price, Purpose, Send

# Price lists: the price of a draw, by the size of the picture made.

LARGEST = 512_000_000  # Pixels of the largest picture that any vendor makes.
# Megapixels of the output → lowest and highest price. Neither falls as the output grows.
Amounts = Callable[[Decimal], tuple[Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class PriceList:
    """A vendor's prices for given parameters; `currency` and `usd_per_unit` as in `Price`.

    `rule` says the list in words; `source` and `read_on` say where and when it was read. `unit` is the price of
    the unit in which the vendor counts its bill, or None.
    """

    amounts: Amounts
    rule: str
    source: str
    read_on: date | None
    unit: Decimal | None = None
    currency: str = "USD"
    usd_per_unit: Decimal = Decimal(1)

    def of(self, pixels: int) -> Price:
        return self._price(*self.amounts(Decimal(pixels) / 1_000_000))

    def over(self, able: Capabilities) -> Price:
        """Return the price range over all pictures within these limits; the lowest price is rounded down to 0.0001."""
        scale = able.scale_factors[0]
        limits = (
            able.max_output_pixels,
            None if able.max_input_pixels is None else able.max_input_pixels * scale**2,
            None if able.max_side is None else (able.max_side * scale) ** 2,
            None if able.max_output_side is None else able.max_output_side**2,
        )
        # Prices never fall with size, so the smallest and the largest picture give the range.
        fewest = Decimal(((able.min_side or 1) * scale) ** 2) / 1_000_000
        most = Decimal(min([LARGEST, *(limit for limit in limits if limit is not None)])) / 1_000_000
        low = self.amounts(fewest)[0]
        # The low end rounds down: a range may be too wide, but never too narrow.
        rounded = low.quantize(Decimal("0.0001"), ROUND_FLOOR)
        return self._price(low if low == rounded else rounded.normalize(), self.amounts(most)[1])

    def _price(self, low: Decimal, high: Decimal) -> Price:
        return Price(low, high, self.source, self.read_on, self.currency, self.usd_per_unit, self.rule)


def flat(amount: str, source: str, read_on: date) -> PriceList:
    """Return a list with the same price for every size."""
    usd = Decimal(amount)
    return PriceList(lambda _: (usd, usd), "the same for every size", source, read_on, usd)


def per_megapixel(amount: str, source: str, read_on: date) -> PriceList:
    """Return a list with a price per output megapixel; whether a part is billed as a whole is not documented."""
    usd = Decimal(amount)
    rule = f"by output megapixels: {amount} USD each; a part of one may be billed as a whole"
    # The low end bills parts by their size, the high end bills each begun megapixel.
    return PriceList(lambda size: (usd * size, usd * blocks(size, 1)), rule, source, read_on, usd)


def tiers(steps: tuple[tuple[int, str], ...], source: str, read_on: date) -> PriceList:
    """Return a list of prices up to so many output megapixels, in rising order; larger pictures cost as the last
    one."""

    def amounts(size: Decimal) -> tuple[Decimal, Decimal]:
        # A picture larger than the last tier costs at least as much as that tier.
        usd = Decimal(next((amount for most, amount in steps if size <= most), steps[-1][1]))
        return usd, usd

    words = ", ".join(f"{amount} USD up to {most}" for most, amount in steps)
    return PriceList(amounts, f"by output megapixels: {words}", source, read_on)


def blocks(size: Decimal, block: Decimal | int) -> int:
    """Return the number of started blocks of `block` megapixels, at least one."""
    return max(1, math.ceil(size / block))


def _from_text(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"expected JSON; {error}") from None
    return value


# A JSON object, also accepted as the text that a command line carries.
JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_from_text)]
JsonList = Annotated[list[JsonValue], BeforeValidator(_from_text)]  # A JSON array, also accepted as text.


def _number_from_text(value: Any) -> Any:
    # A command line carries only text.
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


FromText = BeforeValidator(_number_from_text)  # Beside a `Literal` of numbers: also accepts such a number as text.


def present(**fields: Any) -> dict[str, Any]:
    """Return the request fields that have a value, without None and empty ones."""
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


class Hosted(Adapter):
    """A vendor behind a web address.

    Subclasses set `auth_header` and `auth_prefix` unless the key travels as ``Authorization: Bearer <key>``, and
    `failures`, which says where a failed answer has the vendor's words. `seeds_by_model` says that a parameter decides
    whether a seed can be sent.
    """

    transient: ClassVar[frozenset[str]] = frozenset({"url", "price_usd", "poll_seconds", "result_hosts"})
    uncertain: ClassVar[tuple[str, ...]] = ()
    auth_header: ClassVar[str] = "authorization"
    auth_prefix: ClassVar[str] = "Bearer "
    failures: ClassVar[Failures] = Failures()
    seeds_by_model: ClassVar[bool] = False

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
        """Return the address without a trailing slash."""
        return self.url.rstrip("/")

    @property
    def given_price(self) -> Price | None:
        return None if self.price_usd is None else Price(self.price_usd, self.price_usd, "given by the user")

    def priced(self, low: str | None, high: str | None, source: str, read_on: date) -> Price | None:
        """Return the user's price, else the vendor's as it stood in `source` on the day `read_on`, else None."""
        # The user's own price comes first: contracts differ from lists.
        if self.price_usd is not None or low is None:
            return self.given_price
        return Price(Decimal(low), Decimal(high or low), source, read_on)

    @property
    def price_list(self) -> PriceList | None:
        """Return the vendor's prices for these parameters, by size; None = `Capabilities.price` says all that is
        known."""
        return None

    def listed(self, able: Capabilities) -> Capabilities:
        """Return `able` with the user's price, else with the range of `price_list` over the allowed sizes."""
        prices = self.price_list
        return replace(able, price=self.given_price or (None if prices is None else prices.over(able)))

    def price_for(self, width: int, height: int) -> Price | None:
        """Return the user's price, else the price in `price_list` for the enlarged picture."""
        prices, able = self.price_list, self.capabilities
        if prices is None or self.price_usd is not None:
            return able.price
        return prices.of(width * height * able.scale_factors[0] ** 2)

    def hosts(self, *of_vendor: str) -> tuple[str, ...]:
        """Return the hosts of results: the vendor's and the ones in `result_hosts`."""
        return of_vendor + tuple(filter(None, self.result_hosts.split(",")))

    def key(self) -> dict[str, str | Secret]:
        """Return the header that carries the key; empty where requests with these parameters carry no key."""
        if self.key_variable is None:
            return {}
        return {self.auth_header: self.credential().prefixed(self.auth_prefix)}

    def send(
        self, method: str, path: str, purpose: Purpose, headers: Mapping[str, str | Secret] | None = None, **body: Any
    ) -> Send:
        """Return a request with the key to `path`, which begins with a slash, below the address."""
        return Send(method, f"{self.base_url}{path}", purpose, headers={**self.key(), **(headers or {})}, **body)

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return self.failures.error(answer, purpose)


class OptionalKey(Hosted):
    """A server that may ask for a key."""

    transient: ClassVar[frozenset[str]] = Hosted.transient | {"authenticate"}
    key_parameters: ClassVar[Mapping[str, str]] = {"authenticate": "true"}

    authenticate: bool = Field(default=False, description="Send the key.")

    @property
    def key_variable(self) -> str | None:
        """Return the key's variable, only with `authenticate`."""
        return self.auth_variable if self.authenticate else None


class OwnServer(Hosted):
    """A server of the user's own, whose address alone does not say which model answers."""

    label: str = Field(
        default="", description="Server, model and version behind the address; empty: the address tells vendors apart."
    )
    resample: bool = Field(default=False, description="Resample a result that is not exactly scale times the input.")

    @property
    def named(self) -> bool:
        return bool(self.label)

    @property
    def output_size(self) -> Literal["exact", "resample"]:
        """Return `resample` in the words of `Capabilities`."""
        return "resample" if self.resample else "exact"


# Editors: models that follow instructions in words, and promise nothing about the size of the result.

RESTORE = (
    "Restore this photograph: reproduce exactly the same picture at higher quality and resolution. Recover sharp, "
    "natural detail; remove blur, noise and compression artifacts. Keep the framing, every object, every face, every "
    "letter, the colours and the light as they are. Add nothing, remove nothing, move nothing, crop nothing."
)

REPAINTS = (
    "an editor paints the whole picture anew: what it shows may have moved or changed, though it looks flawless; the "
    "check that a result shows its input refuses only what is plainly something else"
)

MILLION = Decimal(1_000_000)


class Editor(Hosted):
    """A vendor whose model edits a picture as `prompt` says; results are resampled to `scale` times the input."""

    prompt: str = Field(
        default=RESTORE,
        min_length=1,
        max_length=8000,
        description="What the editor is told, with every picture; part of the procedure, so another is another vendor.",
    )
    scale: int = Field(
        default=2,
        ge=1,
        le=8,
        description="Magnification to which results are resampled, whatever size the editor gives them.",
    )


def tokens(answer: Any, path: str) -> int:
    """Return the number of tokens at `path`; 0 where the answer does not say."""
    return integer(peek(answer, path)) or 0
