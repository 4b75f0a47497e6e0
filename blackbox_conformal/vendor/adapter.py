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
    """Price of one draw: a range, with where and when it was read.

    `low`, `high`, `currency`, `usd_per_unit`: The range, its currency (ISO 4217), and how many US dollars one unit of
      the currency is.
    `source`, `read_on`: Where and when the price and the rate of the currency were read.
    `rule`: How the price varies, such as ``by output megapixels: 0.03 USD each``; empty = it is fixed.
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
        """Return `low` in US dollars."""
        return self.low * self.usd_per_unit

    @property
    def high_usd(self) -> Decimal:
        """Return `high` in US dollars."""
        return self.high * self.usd_per_unit


FREE = Price(Decimal(0), Decimal(0), "nothing is billed")


@dataclass(frozen=True, slots=True)
class Upload:
    """The input that every draw of one photograph sends.

    `name`: The file's stem, for people; never used as a path or a key.
    `digest`: ``sha256:…`` of the pixels and size: the picture's identity.
    `png`: The picture as an 8-bit RGB PNG without metadata.
    `width`, `height`: Sides in pixels.
    """

    name: str
    digest: str
    png: bytes = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Draw:
    """One of the M draws of one upload: index from 0, seed (None if the vendor takes none), idempotency key."""

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
    """A request to send; the flow receives the vendor's answer.

    `purpose`: ``submit`` is billed and never repeated blindly; ``poll``, ``download``, ``lookup`` and ``quote`` are
      free and may be repeated; ``cancel`` is best effort.
    `headers`, `query`, `json`, `form`, `files`, `body`: At most one kind of body: `json`; `form` and `files`; or
      `body`. Secret values are `Secret`, never text.
    `accept`: Statuses handed to the adapter; any other becomes an error. None = every 2xx.
    `public`: The link needs no credentials (a result on a content network), so a client without credentials fetches it.
    `once`: A free request that the vendor answers once: if the connection breaks, the request is not repeated, and the
      job counts as failed by the vendor.
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
    """A pause of at least this many seconds before the next step."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor took the job: `job` (any text that `resume` understands) is stored before the next step."""

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
        """Return the body as JSON; raise a `PayloadError` that says what came instead."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "no content type")
            raise PayloadError(
                f"expected JSON from the vendor; got {kind}, {len(self.body)} bytes, HTTP {self.status}"
            ) from None


EMPTY_ANSWER = Answer(0, {}, b"")
"""The answer to every step except a `Send`."""

Step = Send | Wait | Accepted | Observed
Flow = Generator[Step, Answer, bytes]
"""Yields steps; a `Send` gets its `Answer`, other steps get `EMPTY_ANSWER`; returns the picture's bytes."""

Quote = Generator[Step, Answer, Decimal]
"""Yields steps, each `Send` with the purpose ``quote``; returns US dollars."""

Inspection = Generator[Step, Answer, str | None]
"""Yields steps, each `Send` with the purpose ``lookup``; returns in words what it found."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an adapter declares about its vendor; every limit is checked before anything is sent.

    `scale_factors`: Magnifications that the vendor offers; 1 is restoration at the same size.
    `seed_range`: The inclusive range of seeds that the vendor takes; None = it takes none.
    `default_seed_hazard`: The vendor answers from a fixed seed unless one is sent, so that M draws would be equal.
    `min_side`, `max_side`, `max_input_pixels`, `max_upload_bytes`: Limits on the input; None = none known.
      `max_upload_bytes` counts the PNG before base64.
    `min_output_side`, `max_output_side`, `max_output_pixels`: Limits on the output, which is scale times the input.
    `max_aspect`: Largest ratio of the longer side to the shorter.
    `price`: Price of a draw over all sizes of pictures (see `Adapter.price_for`); None = unknown, which forbids
      ``--max-cost``.
    `failures_billed`: The vendor bills its own failures; True if unknown.
    `free_answers`: The vendor answers some calls for nothing, so a reported cost of 0 is booked. Otherwise a priced
      call is booked at its price, whatever a vendor that bills later reports.
    `transient_known`: The vendor's documents name its own failures, and the adapter reads them; its example then shows
      one.
    `job_timeout_s`: Seconds that a job may take by the vendor's documents, if longer than usual; ``--job-timeout``
      overrides.
    `rates`, `max_concurrency`, `answer_timeout_s`: Requests that the vendor takes in a time, draws at once (None = no
      known limit), and seconds for one answer, if longer than usual; ``--rate``, ``--concurrency``, ``--timeout``
      override.
    `cancels`: A job that takes too long is cancelled.
    `lossless_output`: The vendor can return its picture without lossy compression.
    `output_size`: ``exact``: anything but scale × input is an error. ``resample``: another size is resampled to the
      grid, as part of the procedure, unless a side is off by more than a quarter. ``any``: the vendor chooses the size,
      so any scale is resampled; only the proportions must be the input's.
    `idempotency_header`: Header in which the vendor takes an idempotency key; None = it takes none.
    `local`: Draws come from this machine's disk: no call, no price, no ledger.
    `deterministic`: The vendor is known to answer equal bytes for equal requests.
    `degradation`: What the vendor undoes, as typed for ``--degradation``, unless the user says how inputs are made.
    `retired`: Day on which the vendor ended the service, and where it says so, such as ``2026-08-19,
      acme.example/news``; nothing is drawn any more. Empty = it is offered.
    `result_hosts`: Further hosts from which results may be fetched; a leading dot admits subdomains.
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
        """Tell whether the vendor takes a seed."""
        return self.seed_range is not None


Evidence = Literal["openapi", "real-server", "client", "own-software", "documents"]
"""What an adapter was checked against: the vendor's OpenAPI document, server or client, our own software, or words."""


class Box(NamedTuple):
    """A part of a picture, in pixels of the input."""

    top: int
    bottom: int
    left: int
    right: int


class Pasted(NamedTuple):
    """An answer to the part `sent` of a picture; only its part `kept` is delivered."""

    answer: bytes
    sent: Box
    kept: Box


FORETOLD_PSNR = "foretold-psnr"
"""In a rule, in place of a score: PSNR in dB between an answer and the picture known without the truth."""


class Judge(Protocol):
    """Scores answers for a procedure, which knows how inputs are made."""

    def specified(self, score: str) -> dict[str, Any]:
        """Return the whole specification of a score of one draw, from the text a user typed."""

    def scores(self, score: Mapping[str, Any], upload: Upload, answer: bytes, size: str) -> Map:
        """Return the score of each pixel of an answer; `size` is `output_size`.

        Raises `PayloadError`: The answer is no picture.
        """

    def figure(self, score: Mapping[str, Any], below: float | None, scores: Map) -> float:
        """Return the mean of `scores`, the share of pixels below `below`, or the foretold PSNR."""

    def cut(self, upload: Upload, boxes: Sequence[Box], digests: Sequence[str]) -> tuple[Upload, ...]:
        """Cut `boxes` out of an input; each is encoded when sent. `digests`: the parts' digests, empty if unknown."""

    def pasted(self, upload: Upload, below: bytes | None, above: Sequence[Pasted], size: str) -> bytes:
        """Paste parts of other answers on the answer `below` and return a PNG; equal answers give equal bytes.

        Raises `PayloadError`: An answer is no picture.
        """


class Adapter(BaseModel, ABC):
    """One vendor interface; its fields are its parameters (`-p KEY=VALUE`), checked on construction.

    Subclasses set `name` (= file name with dashes), `version` (raised whenever the requests change), `capabilities`,
    `auth_variable`, `documentation` and `evidence`. They define `draw`, plus `resume` if the vendor works with jobs and
    `quote` if it tells a price beforehand.

    Every field identifies the procedure, except the fields listed in `transient` (where the vendor is reached, how long
    to wait). If an address may lead to any vendor, `named` says whether the fields identify it; if not, the address
    does.

    `key_parameters` gives the parameters, with usual values, that an adapter needs before it sends a key. `example` is
    an `example.Example`, for a module without `EXAMPLE`.
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
        """Return what the vendor can do with these parameters."""

    @property
    @abstractmethod
    def base_url(self) -> str:
        """Return the vendor's own address. Only it and `further_urls` see the key. Empty: nothing leaves here."""

    @property
    def members(self) -> tuple[Adapter, ...]:
        """Return the vendors of a cascade in order, each with its own price and pace; empty for a single vendor."""
        return ()

    def speaks_of(self, upload: Upload, answer: bytes) -> bool:
        """Tell whether a calibration counts a picture with this answer; for passed-on pictures, it counts no others."""
        return True

    def without_last(self) -> Self:
        """Return what a cascade delivers of pictures that go on if its last member cannot be had."""
        raise AdapterError(f"adapter {self.name} has no members; give a cascade where there is a fallback")

    def suited(self, judge: Judge) -> Self:
        """Return this adapter with a `judge`, if it has to choose among its members' answers."""
        return self

    def figure(self, place: int, upload: Upload, answer: bytes) -> float:
        """Return the number that the rule after the member at `place` reads from an answer."""
        raise AdapterError(f"adapter {self.name} has no members and judges no answers")

    @property
    def in_tiles(self) -> bool:
        """Tell whether a member may be sent parts of a picture."""
        return False

    def turn(self, place: int) -> tuple[int, int]:
        """Return how often the vendor of the member at `place` stands among earlier members, and among all."""
        return 0, 1

    def sent(self, place: int, upload: Upload) -> tuple[Upload, ...]:
        """Return all that the member at `place` may be sent for a picture: the picture, or its tiles."""
        return (upload,)

    def passed_on(self, place: int, upload: Upload, answer: bytes) -> tuple[Upload, ...]:
        """Return what the member after `place` is sent, given an answer; empty if it suffices or is the last."""
        raise AdapterError(f"adapter {self.name} has no members and judges no answers")

    def pasted(self, place: int, upload: Upload, below: bytes | None, tiles: Mapping[str, bytes]) -> bytes:
        """Paste answers to tiles, by digest, of the member at `place` on the answer `below`; return a PNG."""
        raise AdapterError(f"adapter {self.name} has no members and sends no tiles")

    def given_input(self, name: str) -> Path | None:
        """Return the file of the input that came with the photograph `name`; None if inputs are made of photographs."""
        return None

    @property
    def key_variable(self) -> str | None:
        """Return the variable of the key that requests with these parameters carry; None if they carry none."""
        return self.auth_variable

    @property
    def secret_variable(self) -> str | None:
        """Return the variable of a second secret that goes where the key goes; None if there is none."""
        return None

    @property
    def further_urls(self) -> tuple[str, ...]:
        """Return the vendor's addresses on other hosts that see the key too, such as one for uploads."""
        return ()

    @property
    def key_in_address(self) -> bool:
        """Tell whether the vendor takes its key only in an address's query, where others' logs may keep it."""
        return False

    @property
    def fixed_url(self) -> str:
        """Return the address that the adapter's code fixes; empty if only a parameter or a file names one."""
        field = type(self).model_fields.get("url")
        if field is None:
            host = urlsplit(self.base_url).hostname or ""
            return "" if any(host in str(value) for value in self.model_dump().values()) else self.base_url
        return "" if field.is_required() else self.model_copy(update={"url": field.get_default()}).base_url

    def price_for(self, width: int, height: int) -> Price | None:
        """Return the price of one draw of an upload of this size with these parameters; None = unknown.

        An adapter whose vendor bills by size overrides this; `Capabilities.price` is then the range over all sizes, and
        its `rule` says in words how the price depends on the size.
        """
        return self.capabilities.price

    @property
    def unpriced(self) -> str:
        """Say what the vendor asks if no price in US dollars is known, and what to give; empty: not known."""
        return ""

    def sent_inputs(self) -> Mapping[str, Any]:
        """Return all inputs of every request but picture and seed, by the vendor's names, JSON-ready; empty: not told.

        Clients of the gateway may send the same inputs, as they would to the vendor.
        """
        return {}

    @abstractmethod
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """Yield the steps of one draw."""

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        """Yield the steps that fetch the picture of a job that was accepted earlier."""
        yield Wait(0.0)
        raise VendorError(f"adapter {self.name} answers at once and has no jobs; it cannot resume {job!r}")

    def quote(self, upload: Upload) -> Quote | None:
        """Yield the steps that ask, free of charge, what one draw of `upload` costs; None if the vendor cannot tell.

        The request may depend on the parameters and the picture's size, and on nothing else of the picture.
        """
        return None

    def inspect(self) -> Inspection | None:
        """Yield the steps that read, free of charge, what the vendor publishes of itself; None if it publishes nothing.

        The steps run once before the first paid draw of a run. If the findings do not fit the parameters, raise a
        `NotFoundError` that names the parameter to give. A failed answer is raised inside the generator, which may go
        on without it. The generator may keep findings in a private attribute for later draws.
        """
        return None

    def answer(self, step: Send) -> Answer:
        """Answer a request within this program, if `base_url` is empty; called from several threads."""
        raise AdapterError(
            f"adapter {self.name} has no base_url and answers nothing itself; for a function use bc.from_function"
        )

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Return the error that a failed answer means to this vendor; None: judge it by the HTTP status."""
        return None

    def observe(self, answer: Answer) -> Observed | None:
        """Return what a failed answer to a submission says besides its error, such as a cost; None: nothing."""
        return None

    def open(self) -> Adapter:
        """Start what must run before drawing; return the adapter to draw with. `close` ends it."""
        return self

    def close(self) -> None:
        """Release what `open` started."""

    def credential(self) -> Secret:
        """Read the key from the environment variable `key_variable`, or from the file that `<variable>_FILE` names."""
        return read_credential(self.key_variable or "", self.name)

    @property
    def named(self) -> bool:
        """Tell whether the identifying fields say which vendor is behind the address; True if there is only one."""
        return True

    def identity(self) -> dict[str, Any]:
        """Return what identifies this vendor procedure, in canonical JSON form; never a key.

        Draws are stored and found by this identity. ``address``, a digest of host, port and path, is present only if
        nothing else tells two vendors of one adapter apart.
        """
        identity = {
            "adapter": self.name,
            "adapter_version": self.version,
            "parameters": self.model_dump(mode="json", exclude=set(self.transient)),
        }
        return identity if self.named else {**identity, "address": digest_json(place(self.base_url))}


def place(address: str) -> list[Any]:
    """Return host, port and path of a web address in one spelling, without its query, which may hold a secret."""
    parts = urlsplit(address)
    return [parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme), parts.path.rstrip("/")]
