"""The tables and keys of a recipe's TOML file."""

from datetime import date
from decimal import Decimal
from operator import not_
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from blackbox_adapters._failures import Failures
from blackbox_conformal.vendor.adapter import Rate

_MOST = 1_000_000  # Larger amounts and megapixels are misprints.
# HTTP statuses. A key that a recipe left out when a calibration was made is not in its digest: hence `exclude_if`.
Statuses = Annotated[list[Annotated[int, Field(ge=200, le=599)]], Field(exclude_if=not_)]


def _rate(value: Any) -> Rate:
    return value if isinstance(value, Rate) else Rate.of_text(str(value))


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_HEADER = r"^([A-Za-z][A-Za-z0-9_-]*)?$"
_VARIABLE = r"^[A-Z][A-Z0-9_]*_API_(KEY|TOKEN)$"
_CURRENCY = r"^([A-Z]{3}|credits)$"
_OF_CURRENCY = "the three capitals of a currency, such as EUR, or credits"
_OF_VARIABLE = (
    "the name of an environment variable in capitals that ends in _API_KEY or _API_TOKEN, such as ACME_API_KEY, and"
    " never the key itself"
)


class Auth(_Table):
    """Where the key comes from and how it is sent: in a header, in the address (`query`), or as `{auth.key}`.

    A second secret, such as an OAuth client's, is `{auth.secret}`. `hosts` are further hosts of the vendor that see the
    key; each is a whole name.
    """

    variable: str = Field(pattern=_VARIABLE, description=_OF_VARIABLE)
    header: str = Field(default="", pattern=_HEADER, description="the name of a header, such as X-Api-Key")
    prefix: str = ""
    query: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$", description="the name of a field of the address")
    secret_variable: str | None = Field(default=None, pattern=_VARIABLE, description=_OF_VARIABLE)
    hosts: list[Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]] = Field(default=[], exclude_if=not_)


class RecipeSignature(_Table):
    """How to sign requests that hold `{signature}`: a digest of a text and the second secret, else the key."""

    text: str
    hash: Literal["sha1", "sha256", "sha512"] = "sha256"
    key: Literal["append", "hmac"] = "hmac"  # Put the secret after the text, or make it the key of an HMAC.
    encoding: Literal["hex", "base64"] = "hex"


class Scale(_Table):
    """Magnifications, and whether results have exactly the requested size."""

    factors: list[Annotated[int, Field(ge=1, le=16)]] = Field(min_length=1)
    default: int
    output: Literal["exact", "resample"] = "exact"


class Seed(_Table):
    """The inclusive range of seeds; `hazard`: the vendor has a fixed default."""

    lowest: int = 0
    highest: int = 2**31 - 1
    hazard: bool = False


class RecipeLimits(_Table):
    """Limits on pictures, on requests (`rates`, such as ``50/hour submit``) and on draws at once; and the billing."""

    min_side: int | None = None
    max_side: int | None = None
    max_input_pixels: int | None = None
    max_output_pixels: int | None = None
    min_output_side: int | None = None
    max_output_side: int | None = None
    max_aspect: float | None = None
    max_upload_bytes: int | None = None
    failures_billed: bool = True
    free_answers: bool = False  # Book a cost of 0 that the vendor tells with a picture, as where it gives credits away.
    rates: list[Annotated[Rate, BeforeValidator(_rate)]] = []
    concurrency: int | None = Field(default=None, ge=1)


class PriceRow(_Table):
    """A price; the first row that fits a draw counts.

    A row fits by magnification, option values and picture size, each where given; pictures larger than all rows cost as
    the last. The price, `low` to `high`, is for the picture, or for each `per_megapixels`. `started`: a begun part is
    billed as a whole; without `started` nobody knows, and both are in the range.
    """

    scale: int | None = None
    options: dict[str, Any] = {}
    up_to_megapixels: Decimal | None = Field(default=None, gt=0, le=_MOST)
    low: Decimal = Field(ge=0, le=_MOST)
    high: Decimal | None = Field(default=None, ge=0, le=_MOST)
    per_megapixels: Decimal | None = Field(default=None, ge=Decimal("0.001"), le=_MOST)
    started: bool | None = None


class RecipePrices(_Table):
    """The cost of a draw: one range, or `rows`; with the currency, and where it was read.

    `megapixels`: whether rows count the pixels made or the pixels sent. A price in `credits` is known only with
    `usd_per_unit`.
    """

    low: Decimal | None = Field(default=None, ge=0, le=_MOST)
    high: Decimal | None = Field(default=None, ge=0, le=_MOST)
    rows: list[PriceRow] = []
    megapixels: Literal["output", "input"] = "output"
    currency: str = Field(default="USD", pattern=_CURRENCY, description=_OF_CURRENCY)
    usd_per_unit: Decimal | None = Field(default=None, gt=0, le=_MOST)
    source: str = Field(min_length=1)
    read_on: date | None = None

    @property
    def all_rows(self) -> list[PriceRow]:
        """Return the rows, or the one range as a row."""
        return self.rows if self.low is None else [PriceRow(low=self.low, high=self.high)]


class RecipeRequest(_Table):
    """One request: a path below the address or a whole link, and at most one kind of body.

    `json` is sent as JSON. `form` is sent as a form with tables written as JSON, with or without `file` (the name of
    the part that takes the picture). `form_from` names a kept value that is itself a JSON object of form fields. With
    `body` the picture's file is the whole body. `keep` stores values of the answer under names for later placeholders.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    path: str
    headers: dict[str, str] = {}
    json_body: dict[str, Any] | None = Field(default=None, alias="json")
    form: dict[str, Any] | None = None
    form_from: str | None = None
    query: dict[str, str] = {}
    file: str | None = None
    body: bool = False
    keep: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], str] = {}
    key: bool = True


class RecipeSubmit(RecipeRequest):
    """The billed request; `idempotency_header` carries the draw's key, so that the vendor bills it once."""

    idempotency_header: str | None = Field(
        default=None, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="the name of a header, such as Idempotency-Key"
    )


class Poll(RecipeRequest):
    """How to poll a job; a status in none of the three lists means: poll again.

    `failed` ends the job, as its reason says; `vendor_failed`: the vendor failed on its own, whatever the reason.
    `statuses`: HTTP statuses besides 2xx that come with the job's status.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    seconds: float = Field(default=2.0, ge=0.1)
    status: str
    done: list[str] = Field(min_length=1)
    failed: list[str] = []
    vendor_failed: list[str] = []
    statuses: Statuses = []


class Token(RecipeRequest):
    """The request that exchanges the key for a token; every other request with a key then carries the token."""

    token: str = "access_token"
    header: str = Field(default="Authorization", pattern=_HEADER, description="the name of a header")
    prefix: str = "Bearer "


class RecipeResult(RecipeRequest):
    """The request for the result of a finished job; it may use values from the last poll's `keep`."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"


class RecipePicture(_Table):
    """Where the picture is: the whole `body`, a `base64` value, or behind a `link`."""

    body: bool = False
    base64: str = ""
    link: str = ""
    key: bool = False
    hosts: list[str] = []


class Refusal(_Table):
    """A value in an answer that means no: one it equals, one it does not equal (if there is any), or its words.

    `statuses`: the HTTP statuses to look at; none: every 2xx. `means`: the picture is refused (`billed`, if only after
    it was made), the vendor failed on its own, it asks to wait, or it says no to the key or account.
    """

    path: str
    equals: Any = None
    one_of: list[Any] = []
    not_equals: Any = None
    contains: list[str] = []
    statuses: Statuses = []
    message: str
    means: Literal["refused", "failed", "later", "account"] = "refused"
    billed: bool = False


class Reported(_Table):
    """Where an answer names the cost, the model and the seed: paths, or `header:NAME`.

    The cost is in units of `usd_per_unit`; without it, in `currency`, else in the currency of `price`, else in US
    dollars. A cost in credits of unknown worth is booked only where the user gives `usd_per_unit`.
    """

    cost: str = ""
    currency: str | None = Field(default=None, pattern=_CURRENCY, description=_OF_CURRENCY, exclude_if=not_)
    usd_per_unit: Decimal | None = Field(default=None, gt=0, le=_MOST)
    model: str = ""
    seed: str = ""


class ExampleAnswer(_Table):
    """One answer of the example: a JSON text, or the picture itself."""

    status: int = 200
    headers: dict[str, str] = {}
    json_text: str = Field(default="", alias="json")
    picture: bool = False


class ExampleFailure(_Table):
    """A draw that ends because the vendor fails on its own: its answers in order."""

    answers: list[ExampleAnswer] = Field(min_length=1)


class ExampleExchange(_Table):
    """A draw for the contract checks: its answers in order, where `resume` begins, and the US dollars that they tell.

    `failures` are further draws, one for each way in which the vendor may fail on its own.
    """

    answers: list[ExampleAnswer] = Field(min_length=1)
    polls: int | None = None
    cost_usd: Decimal | None = Field(default=None, ge=0, le=_MOST)
    failures: list[ExampleFailure] = []


class RecipeFile(_Table):
    """A vendor, described without code. Fields marked `exclude` change no picture, so the digest leaves them out.

    `extends` names a shipped recipe whose tables this one takes over, except the ones in `without`.
    """

    extends: str = Field(default="", exclude=True)
    without: list[str] = Field(default=[], exclude=True)

    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$", description="small letters, digits and dashes, such as acme-2", exclude=True
    )
    title: str = Field(min_length=1, exclude=True)
    about: str = Field(default="", exclude=True)
    documentation: str = Field(
        pattern=r"^https?://", description="the address of a page that begins with https:// or http://", exclude=True
    )
    evidence: Literal["openapi", "real-server", "client", "documents"] = Field(default="documents", exclude=True)
    uncertain: list[str] = Field(default=[], exclude=True)
    retired: str = Field(
        default="",
        pattern=r"^(\d{4}-\d\d-\d\d, .+)?$",
        description="the day and where the vendor says so, such as 2026-08-19, acme.example/news",
        exclude=True,
    )
    url: str = Field(pattern=r"^https?://", description="the address of the interface, beginning with https://")
    auth: Auth | None = None
    token: Token | None = None
    signature: RecipeSignature | None = None
    scale: Scale
    seed: Seed | None = None
    limits: RecipeLimits = Field(default=RecipeLimits(), exclude=True)
    price: RecipePrices | None = Field(default=None, exclude=True)
    seeds_by_model: bool = Field(default=False, exclude=True)
    degradation: str = Field(default="bicubic", exclude=True)
    deterministic: bool = False
    lossless: bool = True
    options: dict[str, Any] = {}
    before: list[RecipeRequest] = []
    submit: RecipeSubmit
    poll: Poll | None = None
    result: RecipeResult | None = None
    cancel: RecipeRequest | None = Field(default=None, exclude=True)
    picture: RecipePicture
    refusals: list[Refusal] = []
    errors: Failures = Failures()
    reported: Reported = Reported()
    example: ExampleExchange = Field(exclude=True)

    @property
    def further_urls(self) -> tuple[str, ...]:
        tokens = () if self.token is None or self.token.path.startswith("/") else (self.token.path,)
        return (*tokens, *(f"https://{host}" for host in (self.auth.hosts if self.auth else ())))

    @property
    def transient_known(self) -> bool:
        """Tell whether the recipe describes the vendor's own failures."""
        named = self.poll is not None and bool(self.poll.vendor_failed)
        return named or any(rule.means == "failed" for rule in self.refusals) or bool(self.errors.failed)
