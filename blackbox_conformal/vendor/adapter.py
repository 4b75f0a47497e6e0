"""The adapter contract: how to speak to one vendor, as a generator of steps.

An adapter knows its vendor's wire format and nothing of the network, retries, limits, budgets, ledgers or caches. A
draw reads like the vendor's documentation::

    def draw(self, upload, draw):
        answer = yield Send("POST", f"{self.url}/jobs", purpose="submit", files=(...), headers=...)
        yield Accepted(answer.json()["id"])
        return (yield from self.resume(upload, draw, answer.json()["id"]))

    def resume(self, upload, draw, job):
        while True:
            answer = yield Send("GET", f"{self.url}/jobs/{job}", purpose="poll")
            if answer.json()["status"] == "done":
                break
            yield Wait(2.0)
        picture = yield Send("GET", answer.json()["output"], purpose="download")
        return picture.body
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from blackbox_conformal.errors import AdapterError, PayloadError, VendorError
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.secrets import Secret, read_credential
from blackbox_conformal.vendor.rates import Purpose as Purpose
from blackbox_conformal.vendor.rates import Rate as Rate

if TYPE_CHECKING:
    from blackbox_conformal.support.types import Map  # numpy, which takes longer to load than a list of vendors

# What one draw costs, as a vendor publishes it.


@dataclass(frozen=True, slots=True)
class Price:
    """Price of one draw, as a range, with where and when it was read.

    Attributes
    ----------
    low, high, currency, usd_per_unit
        The range, the ISO 4217 code of its currency, and what one unit of that is in US dollars.
    source, read_on
        Where, and when, the price and the rate of its currency were read.
    rule
        What the price depends on, such as ``by output megapixels: 0.03 USD each``; empty = on nothing.
    """

    low: Decimal
    high: Decimal
    source: str
    read_on: date | None = None
    currency: str = "USD"
    usd_per_unit: Decimal = Decimal(1)
    rule: str = ""

    @property
    def low_usd(self) -> Decimal:
        """`low` in US dollars."""
        return self.low * self.usd_per_unit

    @property
    def high_usd(self) -> Decimal:
        """`high` in US dollars."""
        return self.high * self.usd_per_unit


FREE = Price(Decimal(0), Decimal(0), "nothing is billed")


@dataclass(frozen=True, slots=True)
class Upload:
    """The input that every draw of one photograph sends.

    Attributes
    ----------
    name
        The file's stem, for people; never used as a path or a key.
    digest
        ``sha256:…`` of the pixels and size: the picture's identity.
    png
        The picture as an 8-bit RGB PNG without metadata.
    width, height
        Its size in pixels.
    """

    name: str
    digest: str
    png: bytes = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Draw:
    """One of the M draws of one upload: its index from 0, its seed (None where the vendor takes none), its key."""

    index: int
    seed: int | None
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a multipart form."""

    name: str
    filename: str
    content: bytes = field(repr=False)
    content_type: str = "image/png"


@dataclass(frozen=True, slots=True)
class Send:
    """Send one request; the flow receives its answer.

    Attributes
    ----------
    purpose
        ``submit`` is billed and never repeated blindly; ``poll``, ``download``, ``lookup`` and ``quote`` are free and
        may be repeated; ``cancel`` is best effort.
    headers, query, json, form, files, body
        At most one kind of body: `json`; `form` and `files`; or `body`. Secret values are `Secret`, never text.
    accept
        Statuses handed to the adapter; any other becomes an error. None = every 2xx.
    public
        The link needs no credentials (a result on a content network), so a client without any fetches it.
    once
        A free request that the vendor answers once: if the connection breaks, it is not repeated, and the job counts as
        failed by the vendor.
    """

    method: str
    url: str
    purpose: Purpose
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    query: Mapping[str, str | Secret] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str | Secret] | None = None
    files: tuple[Part, ...] = ()
    body: bytes | None = field(default=None, repr=False)
    accept: frozenset[int] | None = None
    public: bool = False
    once: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait at least this many seconds before the next step."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor took the job: `job` (any text that `resume` understands) is stored before the next step runs."""

    job: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What the vendor said about this draw besides the picture; every field is optional."""

    cost_usd: Decimal | None = None
    model: str | None = None
    request_id: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, headers with lower-case names, whole body, and the seconds it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    seconds: float = 0.0

    def json(self) -> Any:
        """The body as JSON; anything else is a `PayloadError` that says what came instead."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "no content type")
            raise PayloadError(
                f"expected JSON from the vendor; got {kind}, {len(self.body)} bytes, HTTP {self.status}"
            ) from None


EMPTY_ANSWER = Answer(0, {}, b"")
"""What every step but a `Send` is answered by."""

Step = Send | Wait | Accepted | Observed
Flow = Generator[Step, Answer, bytes]
"""Yields steps; a `Send` is answered by its `Answer`, other steps by `EMPTY_ANSWER`; returns the picture's bytes."""

Quote = Generator[Step, Answer, Decimal]
"""Yields steps whose every `Send` has the purpose ``quote``; returns US dollars."""

Inspection = Generator[Step, Answer, str | None]
"""Yields steps whose every `Send` has the purpose ``lookup``; returns what was taken from the answers, in words."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an adapter declares about its vendor; every limit is checked before anything is sent.

    Attributes
    ----------
    scale_factors
        Magnifications that the vendor offers; 1 is restoration at the same size.
    seed_range, default_seed_hazard
        The inclusive range of seeds that the vendor takes, None = it takes none; and whether it answers from a fixed
        seed unless one is sent, so that M draws would be equal.
    min_side, max_side, max_input_pixels, max_upload_bytes
        Limits on what is sent; None = none known. `max_upload_bytes` counts the PNG before it is written as base64.
    min_output_side, max_output_side, max_output_pixels
        Limits on what comes back, at scale times what is sent.
    max_aspect
        How many times longer than the other a side may be.
    price
        Price of a draw over all sizes of pictures (see `Adapter.price_for`); None = unknown, which forbids
        ``--max-cost``.
    failures_billed
        Whether the vendor bills its own failures; True if unknown.
    free_answers
        Whether the vendor answers some calls for nothing, so that a reported cost of 0 is booked. Otherwise a priced
        call is booked at its price, whatever a vendor that bills later reports.
    transient_known
        Whether the vendor's documents name its own failures, and the adapter reads them; its example then shows one.
    job_timeout_s
        Seconds that a job may take by the vendor's documents, if longer than usual; ``--job-timeout`` overrides.
    rates, max_concurrency, answer_timeout_s
        Requests that the vendor takes in a time, draws at once (None = no known limit), and seconds for one answer, if
        longer than usual; ``--rate``, ``--concurrency``, ``--timeout`` override.
    cancels
        Whether a job that takes too long is cancelled.
    lossless_output
        Whether the vendor can return its picture without lossy compression.
    output_size
        ``exact``: anything but scale × input is an error. ``resample``: another size is resampled to the grid, as part
        of the procedure, unless a side is off by more than a quarter. ``any``: the vendor chooses the size, so any
        scale is resampled; only the proportions must be the input's.
    idempotency_header
        Header in which the vendor takes an idempotency key; None = it takes none.
    local
        Draws come from this machine's disk: no call, no price, no ledger.
    deterministic
        The vendor is known to answer equal bytes for equal requests.
    degradation
        What the vendor undoes, as typed for ``--degradation``, unless the user says how inputs are made.
    retired
        Day on which the vendor took the service away, and where it says so, such as ``2026-08-19, acme.example/news``:
        nothing is drawn any more. Empty = it is offered.
    result_hosts
        Further hosts from which results may be fetched; a leading dot admits subdomains.
    """

    scale_factors: tuple[int, ...]
    seed_range: tuple[int, int] | None = None
    default_seed_hazard: bool = False
    min_side: int | None = None
    max_side: int | None = None
    max_input_pixels: int | None = None
    max_output_pixels: int | None = None
    min_output_side: int | None = None
    max_output_side: int | None = None
    max_aspect: float | None = None
    max_upload_bytes: int | None = None
    price: Price | None = None
    failures_billed: bool = True
    free_answers: bool = False
    rates: tuple[Rate, ...] = ()
    max_concurrency: int | None = None
    answer_timeout_s: float | None = None
    job_timeout_s: float | None = None
    cancels: bool = False
    transient_known: bool = False
    lossless_output: bool = True
    output_size: Literal["exact", "resample", "any"] = "exact"
    idempotency_header: str | None = None
    local: bool = False
    deterministic: bool = False
    degradation: str = "bicubic"
    retired: str = ""
    result_hosts: tuple[str, ...] = ()

    @property
    def seedable(self) -> bool:
        """Whether the vendor takes a seed."""
        return self.seed_range is not None


Evidence = Literal["openapi", "real-server", "client", "own-software", "documents"]
"""What an adapter was checked against: the vendor's OpenAPI document, server software or client, our own, or words."""


class Box(NamedTuple):
    """A part of a picture, in pixels of the input."""

    top: int
    bottom: int
    left: int
    right: int


class Pasted(NamedTuple):
    """An answer to the part `sent` of a picture, of which `kept` is delivered."""

    answer: bytes
    sent: Box
    kept: Box


FORETOLD_PSNR = "foretold-psnr"
"""In a rule in the place of a score: PSNR of an answer against the picture that is known without the truth, in dB."""


class Judge(Protocol):
    """Scores answers for a procedure, which knows how inputs are made."""

    def specified(self, score: str) -> dict[str, Any]:
        """The whole specification of a score of one draw that is typed so."""

    def scores(self, score: Mapping[str, Any], upload: Upload, answer: bytes, size: str) -> Map:
        """The score of each pixel of an answer; `size`: `output_size`.

        Raises
        ------
        PayloadError
            It is no picture.
        """

    def figure(self, score: Mapping[str, Any], below: float | None, scores: Map) -> float:
        """The mean score of an answer or of a part of it, the share of pixels below `below`, or its foretold PSNR."""

    def cut(self, upload: Upload, boxes: Sequence[Box], digests: Sequence[str]) -> tuple[Upload, ...]:
        """These parts of an input, encoded when they are sent; `digests`: theirs, empty where they are not known."""

    def pasted(self, upload: Upload, below: bytes | None, above: Sequence[Pasted], size: str) -> bytes:
        """The answer `below` to a picture with parts of other answers on it, as a PNG; equal ones give equal bytes.

        Raises
        ------
        PayloadError
            One of them is no picture.
        """


class Adapter(BaseModel, ABC):
    """One vendor interface; its fields are its parameters (`-p KEY=VALUE`), checked on construction.

    Subclasses set `name` (= file name with dashes), `version` (raised whenever the requests it makes change),
    `capabilities`, `auth_variable`, `documentation` and `evidence`, and define `draw`, plus `resume` when the
    vendor works with jobs and `quote` when it tells a price beforehand. Fields listed in `transient` (where the vendor
    is reached, how long to wait) do not identify the procedure; every other field does. An adapter behind whose address
    anything may be says in `named` whether its fields tell what is there; where they do not, the address identifies.
    `key_parameters` are those with which the key is sent, with usual values, where it is not sent without them.
    `example` is an `example.Example`, where the module has no `EXAMPLE`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: ClassVar[str]
    version: ClassVar[int] = 1
    auth_variable: ClassVar[str | None] = None
    documentation: ClassVar[str] = ""
    evidence: ClassVar[Evidence] = "documents"
    transient: ClassVar[frozenset[str]] = frozenset()
    key_parameters: ClassVar[Mapping[str, str]] = {}
    example: ClassVar[Any] = None

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the vendor can do with these parameters."""

    @property
    @abstractmethod
    def base_url(self) -> str:
        """The vendor's own address; it and those of `further_urls` alone see the key. Empty: nothing leaves here."""

    @property
    def members(self) -> tuple[Adapter, ...]:
        """The vendors that it asks one after the other, each with its own price and pace; empty: it is one itself."""
        return ()

    def speaks_of(self, upload: Upload, answer: bytes) -> bool:
        """Whether a calibration counts a picture with this answer; one of pictures that go on leaves others out."""
        return True

    def without_last(self) -> Self:
        """What a cascade delivers of pictures that go on where its last member cannot be had."""
        raise AdapterError(f"adapter {self.name} has no members; give a cascade where there is a fallback")

    def suited(self, judge: Judge) -> Self:
        """This adapter with what scores answers, for one that has to choose among those of its members."""
        return self

    def figure(self, place: int, upload: Upload, answer: bytes) -> float:
        """What the rule after its member at `place` looks at in an answer."""
        raise AdapterError(f"adapter {self.name} has no members and judges no answers")

    @property
    def in_tiles(self) -> bool:
        """Whether a member may be sent parts of a picture."""
        return False

    def turn(self, place: int) -> tuple[int, int]:
        """How often the vendor that its member at `place` is stands among its members before, and in all."""
        return 0, 1

    def sent(self, place: int, upload: Upload) -> tuple[Upload, ...]:
        """All that its member at `place` may be sent for a picture: the picture, or its tiles."""
        return (upload,)

    def passed_on(self, place: int, upload: Upload, answer: bytes) -> tuple[Upload, ...]:
        """What the member after `place` is sent, by an answer, empty where there is none: nothing where it suffices."""
        raise AdapterError(f"adapter {self.name} has no members and judges no answers")

    def pasted(self, place: int, upload: Upload, below: bytes | None, tiles: Mapping[str, bytes]) -> bytes:
        """The answer `below` with the answers of its member at `place` to tiles, by their digests, on it, as a PNG."""
        raise AdapterError(f"adapter {self.name} has no members and sends no tiles")

    def given_input(self, name: str) -> Path | None:
        """The file of the input that came with the photograph `name`; None where inputs are made of photographs."""
        return None

    @property
    def key_variable(self) -> str | None:
        """The variable of the key that requests with these parameters carry; None when they carry none."""
        return self.auth_variable

    @property
    def secret_variable(self) -> str | None:
        """The variable of a second secret that goes where the key goes; None where there is none."""
        return None

    @property
    def further_urls(self) -> tuple[str, ...]:
        """Addresses on other hosts of the vendor that see the key too, such as one that takes uploads."""
        return ()

    @property
    def key_in_address(self) -> bool:
        """Whether the vendor takes its key in the query of an address only, where others' logs may keep it."""
        return False

    @property
    def fixed_url(self) -> str:
        """The address that the adapter's own code fixes; empty where only a parameter or a file names one."""
        field = type(self).model_fields.get("url")
        if field is None:
            host = urlsplit(self.base_url).hostname or ""
            return "" if any(host in str(value) for value in self.model_dump().values()) else self.base_url
        return "" if field.is_required() else self.model_copy(update={"url": field.get_default()}).base_url

    def price_for(self, width: int, height: int) -> Price | None:
        """Price of one draw of an upload of this size with these parameters; None = unknown.

        An adapter whose vendor bills by size overrides it; `Capabilities.price` is then the range over all sizes, and
        its `rule` says in words how the price depends on the size.
        """
        return self.capabilities.price

    @property
    def unpriced(self) -> str:
        """What the vendor asks where no price in US dollars is known, and what to give; empty: that is not known."""
        return ""

    def sent_inputs(self) -> Mapping[str, Any]:
        """What every request says besides picture and seed, by the vendor's own names, JSON-ready; empty: not told.

        Clients of the gateway may say the same, as they would to the vendor.
        """
        return {}

    @abstractmethod
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """Steps of one draw."""

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        """Steps that fetch the picture of a job that was accepted earlier."""
        yield Wait(0.0)
        raise VendorError(f"adapter {self.name} answers at once and has no jobs; it cannot resume {job!r}")

    def quote(self, upload: Upload) -> Quote | None:
        """Steps that ask the vendor, free of charge, what one draw of `upload` costs; None where it cannot be asked.

        What is asked may depend on the parameters and on the picture's size, and on nothing else of the picture.
        """
        return None

    def inspect(self) -> Inspection | None:
        """Steps that read, free of charge, what the vendor publishes of itself; None where it publishes nothing.

        They are run once before the first paid draw of a run. What does not fit these parameters is raised as a
        `NotFoundError` that names the parameter to give. An answer that failed is raised inside the generator, which
        may go on without it. What is read may be kept in a private attribute, for the draws that follow.
        """
        return None

    def answer(self, step: Send) -> Answer:
        """What a request is answered by where `base_url` is empty: within this program, from several threads."""
        raise AdapterError(
            f"adapter {self.name} has no base_url and answers nothing itself; for a function use bc.from_function"
        )

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """The error that a failed answer means to this vendor; None: judge it by the HTTP status."""
        return None

    def observe(self, answer: Answer) -> Observed | None:
        """What a failed answer to a submission says besides its error, such as a cost; None: nothing."""
        return None

    def open(self) -> Adapter:
        """Start what must run before drawing; returns the adapter to draw with. `close` ends it."""
        return self

    def close(self) -> None:
        """Release what `open` started."""

    def credential(self) -> Secret:
        """The key from the environment variable `key_variable`, or from the file that `<variable>_FILE` names."""
        return read_credential(self.key_variable or "", self.name)

    @property
    def named(self) -> bool:
        """Whether the identifying fields say which vendor is behind the address; True where there is only one."""
        return True

    def identity(self) -> dict[str, Any]:
        """What makes this vendor procedure this one, in canonical JSON form; never a key.

        Draws are stored and found again by it. ``address``, a digest of host, port and path, is there only where
        nothing else tells two vendors of one adapter apart.
        """
        identity = {
            "adapter": self.name,
            "adapter_version": self.version,
            "parameters": self.model_dump(mode="json", exclude=set(self.transient)),
        }
        return identity if self.named else {**identity, "address": digest_json(place(self.base_url))}


def place(address: str) -> list[Any]:
    """Host, port and path of a web address, in one spelling; not its query, which may hold a secret."""
    parts = urlsplit(address)
    return [parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme), parts.path.rstrip("/")]
