"""Carry out any recipe: a vendor described by TOML instead of code.

`_recipe_format` has the form of a recipe, `_recipe_reading` reads one and fills its placeholders, and `recipes/` holds
the shipped ones.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from blackbox_adapters import _recipe_format as form
from blackbox_adapters._failures import retry_after
from blackbox_adapters._hosted import Hosted, JsonObject, PriceList, blocks
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._reading import decoded, document, integer, money, peek, shorten, words
from blackbox_adapters._recipe_format import PriceRow, RecipePrices
from blackbox_adapters._recipe_reading import built_in, fill, fill_link, read_recipe, shipped_names
from blackbox_conformal.errors import (
    AccountRefusedError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    UsageError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.secrets import Secret, holds_secret, read_credential, revealed
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Part,
    Purpose,
    Send,
    Step,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

# Turn a recipe's requests into `Send`: placeholders filled, keys and signatures as secrets, one kind of body.

Headers = dict[str, str | Secret]


def request_of(
    asked: form.RecipeRequest,
    spec: form.RecipeFile,
    address: str,
    values: Mapping[str, Any],
    upload: Upload,
    purpose: Purpose,
    more: Mapping[str, Any] | None = None,
) -> Send:
    """Return a recipe's request, with `more` fields in its JSON or form; paths begin at `address`."""
    link = fill_link(asked.path, values)
    values = {**values, "time": int(time.time())}
    if spec.signature is not None and asked.key:
        rule, key = spec.signature, values.get("auth.secret") or values["auth.key"]
        text = str(revealed(fill(rule.text, values)))
        if rule.key == "append":
            digest = hashlib.new(rule.hash, f"{text}{key.reveal()}".encode()).digest()
        else:
            digest = hmac.digest(key.reveal().encode(), text.encode(), rule.hash)
        shown = digest.hex() if rule.encoding == "hex" else base64.b64encode(digest).decode()
        values["signature"] = Secret(shown, lasting=False)
    fields = {**(fill(asked.form, values) or {}), **(more or {} if asked.form or asked.file else {})}
    if asked.form_from is not None:
        given = values[asked.form_from]
        try:
            given = json.loads(given) if isinstance(given, str) else given
        except ValueError:
            given = None
        if not isinstance(given, dict):
            told = str(values[asked.form_from])[:80]
            raise PayloadError(f"expected a JSON object of form fields; got {told!r}")
        fields |= given
    headers: Headers = {name.lower(): _text(fill(value, values)) for name, value in asked.headers.items()}
    if isinstance(asked, form.RecipeSubmit) and asked.idempotency_header:
        headers.setdefault(asked.idempotency_header.lower(), str(values["key"]))
    if asked.body:
        headers.setdefault("content-type", "image/png")
    query = {**asked.query, **({spec.auth.query: "{auth.key}"} if asked.key and spec.auth and spec.auth.query else {})}
    return Send(
        asked.method,
        address + link if link.startswith("/") else link,
        purpose=purpose,
        headers={**headers, **(key_headers(spec, values) if asked.key else {})},
        query={name: _text(value) for name, value in fill(query, values).items()},
        body=upload.png if asked.body else None,
        json=None if asked.json_body is None else {**fill(asked.json_body, values), **(more or {})},
        form={name: _text(value) for name, value in fields.items()} or None,
        files=() if asked.file is None else (Part(asked.file, "input.png", upload.png),),
        public=not asked.key,
    )


def key_headers(spec: form.RecipeFile, values: Mapping[str, Any]) -> Headers:
    headers: Headers = {}
    if spec.auth is not None and spec.auth.header:
        headers[spec.auth.header.lower()] = values["auth.key"].prefixed(spec.auth.prefix)
    if spec.token is not None and "auth.token" in values:
        headers[spec.token.header.lower()] = values["auth.token"].prefixed(spec.token.prefix)
    return headers


def _text(value: Any) -> str | Secret:
    if isinstance(value, str | Secret):
        return value
    text = json.dumps(revealed(value))
    return Secret(text, lasting=False) if holds_secret(value) else text


# The cost of a draw by a recipe: by scale, by options and by the size of the picture.


def price_list(
    prices: RecipePrices, scale: int, options: Mapping[str, Any], usd_per_unit: Decimal | None
) -> PriceList | None:
    """Return the list for draws at `scale` with `options`; None where no row fits, or the currency has no rate.

    `usd_per_unit` is the user's rate of the list's currency in US dollars; None = as the recipe says.
    """
    rate = Decimal(1) if prices.currency == "USD" else usd_per_unit or prices.usd_per_unit
    rows = [row for row in prices.all_rows if _is_about(row, scale, options)]
    if rate is None or not rows:
        return None
    in_credits = prices.currency == "credits"
    worth = rate if in_credits else Decimal(1)

    def amounts(output: Decimal) -> tuple[Decimal, Decimal]:
        size = output / scale**2 if prices.megapixels == "input" else output
        fits = (row for row in rows if row.up_to_megapixels is None or size <= row.up_to_megapixels)
        row = next(fits, rows[-1])
        low, high = row.low, row.low if row.high is None else row.high
        if row.per_megapixels is not None:
            exact, started = size / row.per_megapixels, Decimal(blocks(size, row.per_megapixels))
            low, high = low * (started if row.started else exact), high * (exact if row.started is False else started)
        return low * worth, high * worth

    return PriceList(
        amounts,
        "; ".join(filter(None, (_rule(prices, rows), f"a credit is {rate} USD" if in_credits else ""))),
        prices.source,
        prices.read_on,
        currency="USD" if in_credits else prices.currency,
        usd_per_unit=Decimal(1) if in_credits else rate,
    )


def _is_about(row: PriceRow, scale: int, options: Mapping[str, Any]) -> bool:
    wanted = row.options.items()
    return row.scale in (None, scale) and all(name in options and options[name] == value for name, value in wanted)


def _rule(prices: RecipePrices, rows: Sequence[PriceRow]) -> str:
    if all(row.per_megapixels is None and row.up_to_megapixels is None for row in rows[:1]):
        return ""
    return f"by {prices.megapixels} megapixels: " + ", ".join(_words(row, prices.currency) for row in rows)


def _words(row: PriceRow, currency: str) -> str:
    amount = f"{row.low}" if row.high in (None, row.low) else f"{row.low} to {row.high}"
    each = "" if row.per_megapixels is None else f" for each {row.per_megapixels}"
    most = "" if row.up_to_megapixels is None else f" up to {row.up_to_megapixels}"
    return f"{amount} {currency}{each}{most}"


# Read an answer by a recipe: values by path, the vendor's refusals, and whether a job is over.

HEADER = "header:"
STATUS = "http:status"


def found(answer: Answer, path: str) -> Any:
    """Return the value at `path`: ``header:NAME`` is a header, ``http:status`` the status; other paths lead into
    JSON."""
    if path.startswith(HEADER):
        return answer.headers.get(path.removeprefix(HEADER).strip().lower())
    return answer.status if path == STATUS else peek(document(answer), path)


def kept(answer: Answer, places: dict[str, str]) -> dict[str, str]:
    """Return values of an answer under the names in `keep`; a missing one raises a `PayloadError`."""
    values = {}
    for name, path in places.items():
        value = found(answer, path)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            if not path.startswith(HEADER):
                answer.json()
            raise PayloadError(
                f"expected the {name} at {path or 'the top'!r} of the vendor's answer; got {shorten(value)}."
                " Read the vendor's changelog, or report it to the recipe's author"
            )
        values[name] = str(value)
    return values


def refusal(spec: form.RecipeFile, answer: Answer, job: str | None = None) -> VendorError | None:
    """Return the error of the first row that fits the answer's HTTP status and finds its value; None: no refusal."""
    for rule in spec.refusals:
        about = answer.status in rule.statuses if rule.statuses else 200 <= answer.status < 300
        if not about:
            continue
        value, checks = found(answer, rule.path), rule.model_fields_set
        if "equals" in checks:
            applies = bool(value == rule.equals)
        elif "one_of" in checks:
            applies = value in rule.one_of
        elif "not_equals" in checks:
            applies = value is not None and bool(value != rule.not_equals)
        else:
            text = "" if value is None else shorten(value).lower()
            applies = any(word.lower() in text for word in rule.contains)
        if not applies:
            continue
        message, _, request = spec.errors.read(answer)
        said = f"{rule.message}{f': {message}' if message else ''}"
        code, request = rule.path if isinstance(value, bool) else shorten(value), request or job
        if rule.means == "later":
            asked = retry_after(answer)
            wait = spec.errors.wait if asked is None else asked
            return TryLaterError(said, retry_after=wait, request_id=request, code=code)
        if rule.means == "refused":
            return RefusedError(said, billed=rule.billed, request_id=request, code=code)
        kind = VendorFailedError if rule.means == "failed" else AccountRefusedError
        return kind(said, request_id=request, code=code)
    return None


Ended = tuple[Answer, VendorError | None]  # The last answer of a job, and why it has no picture; None: it has one.


def ended(spec: form.RecipeFile, poll: form.Poll, job: str) -> Callable[[Answer], Ended | None]:
    """Return a function that reads one poll after another of `job` and returns its end, or None to poll again."""
    work = PolledJob(
        "job",
        job,
        status=("state",),
        done=poll.done,
        failed=poll.failed,
        picture="picture",
        reason=("reason",),
        code=("code",),
        reasons=spec.errors.reasons,
    )

    def read(answer: Answer) -> Ended | None:
        error = refusal(spec, answer, job)
        if error is not None:
            return None if isinstance(error, TryLaterError) else (answer, error)
        state = shorten(found(answer, poll.status) or "")
        content = document(answer)
        reason, code = words(content, *spec.errors.message), words(content, *spec.errors.code)
        if state in poll.vendor_failed:
            said = f"the vendor failed at job {job}, which is {state}: {reason or 'no reason given'}"
            return answer, VendorFailedError(said, request_id=job, code=code or state)
        try:
            shown = {"state": state, "picture": _picture(spec, answer), "reason": reason, "code": code}
            return (answer, None) if work.result(shown) else None
        except VendorError as failure:
            return answer, failure

    return read


def _picture(spec: form.RecipeFile, answer: Answer) -> Any:
    # A picture that is the body, or comes with a later request, is judged when it is read.
    place = spec.picture
    return True if place.body or spec.result else found(answer, place.base64 or place.link)


def cost(spec: form.RecipeFile, answer: Answer, usd_per_unit: Decimal | None) -> Decimal | None:
    """Return the draw's cost in US dollars, where the answer tells it and the worth of its units is known."""
    reported, price = spec.reported, spec.price
    currency = reported.currency or ("USD" if price is None else price.currency)
    listed = Decimal(1) if currency == "USD" else None if price is None else price.usd_per_unit
    unit = usd_per_unit or reported.usd_per_unit or listed
    return money(found(answer, reported.cost), unit) if reported.cost and unit is not None else None


def observed(spec: form.RecipeFile, answer: Answer, job: str | None, usd_per_unit: Decimal | None) -> Observed:
    reported, errors = spec.reported, spec.errors
    model = found(answer, reported.model) if reported.model else None
    return Observed(
        cost_usd=cost(spec, answer, usd_per_unit),
        model=None if model in (None, "", [], {}) else shorten(model),
        request_id=answer.headers.get(errors.request_id_header.lower()) or job,
        seed=integer(found(answer, reported.seed)) if reported.seed else None,
    )


class Recipe(Hosted):
    """Any vendor for which there is a recipe: a shipped one by its name, one's own by its path.

    The recipe says seeds, sizes, prices and failures; `options` and `inputs` change what it leaves open.
    """

    name = "recipe"
    version = 2
    documentation = "https://github.com/toml-lang/toml"
    seeds_by_model = True
    transient: ClassVar[frozenset[str]] = Hosted.transient | {"recipe", "usd_per_unit"}
    example: ClassVar[Example]

    recipe: str = Field(description="Path of a TOML file, or the name of a shipped recipe.")
    label: str = Field(
        default="", description="What is behind `url`, where you give one; empty: the address tells vendors apart."
    )
    scale: int | None = Field(default=None, ge=1, le=16, description="Magnification; None = the recipe's default.")
    options: JsonObject = Field(default_factory=dict, description="Values for the recipe's [options], as JSON.")
    inputs: JsonObject = Field(
        default_factory=dict, description="Further fields of the submission's JSON or form, as JSON."
    )
    usd_per_unit: Decimal | None = Field(
        default=None, gt=0, description="US dollars of one unit that the vendor bills in, such as a credit."
    )
    seed_field: str = Field(
        default="", description="Field of the submission that takes a seed, where the recipe names none; empty = none."
    )
    poll_seconds: float | None = Field(
        default=None, ge=0.1, description="Seconds between two polls of a job; None = the recipe's."
    )
    recipe_digest: str = Field(
        default="", description="What the recipe said when it was calibrated; filled in by calibrations, and compared."
    )

    _spec: form.RecipeFile = PrivateAttr()

    @field_validator("recipe")
    @classmethod
    def _can_be_read(cls, name: str) -> str:
        read_recipe(name)
        return name

    @field_validator("scale")
    @classmethod
    def _is_offered(cls, scale: int | None, info: ValidationInfo) -> int | None:
        if "recipe" in info.data and scale is not None:
            factors = read_recipe(info.data["recipe"]).scale.factors
            if scale not in factors:
                does = "restores at the same size" if factors == [1] else f"magnifies by {', '.join(map(str, factors))}"
                raise ValueError(f"this vendor {does}")
        return scale

    @field_validator("options")
    @classmethod
    def _are_known(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "recipe" in info.data:
            offered = read_recipe(info.data["recipe"]).options
            unknown = ", ".join(sorted(options.keys() - offered.keys()))
            if unknown:
                raise ValueError(f"expected options among {', '.join(sorted(offered)) or 'none'}; {unknown} is not one")
        return options

    def model_post_init(self, context: Any, /) -> None:
        self._spec = read_recipe(self.recipe)
        if self.recipe_digest and self.recipe_digest != self._digest:
            raise UsageError(
                f"the recipe {self.recipe} says something else than when this was calibrated; give the same recipe with"
                " -p recipe=FILE, or calibrate again"
            )

    @property
    def _digest(self) -> str:
        return digest_json(self._spec.model_dump(mode="json"))

    @property
    def _factor(self) -> int:
        return self.scale or self._spec.scale.default

    @property
    def base_url(self) -> str:
        return (self.url or self._spec.url).rstrip("/")

    @property
    def named(self) -> bool:
        """Tell whether recipe and address name the vendor; an address other than the recipe's needs a label, unless
        shipped."""
        return not self.url or bool(self.label) or self.recipe in shipped_names()

    @property
    def key_variable(self) -> str | None:
        return None if self._spec.auth is None else self._spec.auth.variable

    @property
    def secret_variable(self) -> str | None:
        return None if self._spec.auth is None else self._spec.auth.secret_variable

    @property
    def further_urls(self) -> tuple[str, ...]:
        """Return the recipe's further addresses; with another address than the recipe's, all requests go there."""
        return () if self.url else self._spec.further_urls

    @property
    def key_in_address(self) -> bool:
        return self._spec.auth is not None and bool(self._spec.auth.query)

    @property
    def fixed_url(self) -> str:
        """Return the address in a shipped recipe; only its author vouches for a file's address."""
        return self._spec.url if self.recipe in shipped_names() else ""

    @property
    def capabilities(self) -> Capabilities:
        spec = self._spec
        seed = spec.seed or (form.Seed() if self.seed_field else None)
        able = Capabilities(
            scale_factors=(self._factor,),
            seed_range=None if seed is None else (seed.lowest, seed.highest),
            default_seed_hazard=seed is not None and seed.hazard,
            lossless_output=spec.lossless,
            output_size=spec.scale.output,
            deterministic=spec.deterministic and not self.seed_field,
            degradation=spec.degradation,
            retired=spec.retired,
            idempotency_header=spec.submit.idempotency_header,
            result_hosts=self.hosts(*spec.picture.hosts),
            transient_known=spec.transient_known,
            cancels=spec.cancel is not None,
            rates=tuple(spec.limits.rates),
            max_concurrency=spec.limits.concurrency,
            **spec.limits.model_dump(exclude={"rates", "concurrency"}),
        )
        return self.listed(able)

    @property
    def price_list(self) -> PriceList | None:
        prices, options = self._spec.price, {**self._spec.options, **self.options}
        return None if prices is None else price_list(prices, self._factor, options, self.usd_per_unit)

    @property
    def unpriced(self) -> str:
        """Say the price in the recipe's currency, where no rate of that currency is known."""
        prices, options = self._spec.price, {**self._spec.options, **self.options}
        if prices is None or self.capabilities.price is not None:
            return ""
        rows = [row for row in prices.all_rows if _is_about(row, self._factor, options)]
        listed = _rule(prices, rows) or "".join(f"{_words(row, prices.currency)} a draw" for row in rows[:1])
        return f"{listed} ({prices.source}); give -p usd-per-unit=… with what one is worth" if listed else ""

    def identity(self) -> dict[str, Any]:
        # A recipe counts by its content, not by its place.
        identity = super().identity()
        identity["parameters"] |= {
            "scale": self._factor,
            "options": {**self._spec.options, **self.options},
            "recipe": self._spec.name,
            "recipe_digest": self._digest,
        }
        return identity

    def example_exchange(self) -> Example:
        spec = self._spec
        answers = tuple(map(_shown, spec.example.answers))
        environment = {} if spec.auth is None else {spec.auth.variable: f"made-up-key-for-{spec.name}"}
        if spec.auth is not None and spec.auth.secret_variable is not None:
            environment[spec.auth.secret_variable] = f"made-up-secret-for-{spec.name}"
        parameters = {"recipe": self.recipe, "poll_seconds": 0.1}
        again = 0 if spec.token is None else 1
        return Example(
            parameters,
            answers,
            environment,
            polls=spec.example.polls,
            again=again,
            cost_usd=spec.example.cost_usd,
            failures=tuple(tuple(map(_shown, failure.answers)) for failure in spec.example.failures),
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        values = yield from self._opened(upload, draw)
        for request in self._spec.before:
            answer = yield from self._asked(request, values, upload, "lookup")
            values |= kept(answer, request.keep)
        more = {**self.inputs, **({self.seed_field: draw.seed} if self.seed_field else {})}
        answer = yield from self._asked(self._spec.submit, values, upload, "submit", more)
        spec = self._spec
        if spec.poll is None:
            link = found(answer, spec.picture.link) if spec.picture.link else None
            if isinstance(link, str) and link and not link.startswith("data:"):
                yield Accepted(link)
            return (yield from self._picture(answer, None, values))
        job = kept(answer, self._spec.submit.keep)["job"]
        yield Accepted(job)
        told = cost(self._spec, answer, self.usd_per_unit)
        if told is not None:
            yield Observed(cost_usd=told, request_id=job)
        return (yield from self._finished(upload, values, spec.poll, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        spec = self._spec
        if spec.poll is None and not spec.picture.link:
            return (yield from super().resume(upload, draw, job))
        if spec.poll is None and not spec.picture.key:
            return (yield from self._fetched(job, {}))
        values = yield from self._opened(upload, draw)
        if spec.poll is None:
            return (yield from self._fetched(job, values))
        return (yield from self._finished(upload, values, spec.poll, job))

    def _finished(self, upload: Upload, values: Mapping[str, Any], poll: form.Poll, job: str) -> Flow:
        spec, values = self._spec, {**values, "job": job}
        request = self._send(poll, values, upload, "poll")
        if poll.statuses:
            request = replace(request, accept=_GOOD | {*poll.statuses})
        cancel = None if spec.cancel is None else self._send(spec.cancel, values, upload, "cancel")
        seconds = self.poll_seconds or poll.seconds
        answer, error = yield from polled(request, seconds, ended(spec, poll, job), cancel=cancel)
        if error is not None:
            seen = observed(spec, answer, job, self.usd_per_unit)
            refunded = isinstance(error, VendorFailedError) and not spec.limits.failures_billed
            yield replace(seen, cost_usd=Decimal(0)) if refunded and seen.cost_usd is None else seen
            raise error
        if spec.result is not None:
            values |= kept(answer, poll.keep)
            answer = yield from self._asked(spec.result, values, upload, "download" if spec.picture.body else "poll")
        return (yield from self._picture(answer, job, values))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        told = None if purpose in ("download", "cancel") else refusal(self._spec, answer)
        return told or self._spec.errors.error(answer, purpose)

    def observe(self, answer: Answer) -> Observed:
        return observed(self._spec, answer, None, self.usd_per_unit)

    def _opened(self, upload: Upload, draw: Draw) -> Generator[Step, Answer, dict[str, Any]]:
        """Return the placeholders' values; ask for a token first, where the vendor wants one."""
        options, token = {**self._spec.options, **self.options}, self._spec.token
        values = built_in(upload, draw, self._factor) | {f"option.{name}": value for name, value in options.items()}
        auth = self._spec.auth
        if auth is not None:
            values["auth.key"] = self.credential()
            if auth.secret_variable is not None:
                values["auth.secret"] = read_credential(auth.secret_variable, self.name)
        if token is None:
            return values
        asked = self._send(token, values, upload, "lookup")
        try:
            answer = yield asked
            text = kept(answer, {"token": token.token})["token"]
        except RunRefusedError:
            raise
        except (RefusedError, PayloadError) as error:
            raise AccountRefusedError(f"no token was given for this key: {error}", code=error.code) from None
        return {**values, "auth.token": Secret(text, lasting=False)}

    def _send(
        self,
        request: form.RecipeRequest,
        values: Mapping[str, Any],
        upload: Upload,
        purpose: Purpose,
        more: Mapping[str, Any] | None = None,
    ) -> Send:
        asked = request_of(request, self._spec, self.base_url, values, upload, purpose, more)
        place = urlsplit(asked.url)
        if self.url and place.netloc in [urlsplit(url).netloc for url in self._spec.further_urls]:
            asked = replace(asked, url=f"{self.base_url}{place.path}")
        return asked

    def _asked(
        self,
        request: form.RecipeRequest,
        values: Mapping[str, Any],
        upload: Upload,
        purpose: Purpose,
        more: Mapping[str, Any] | None = None,
    ) -> Generator[Step, Answer, Answer]:
        """Send a request and return its answer; raise an HTTP 200 that says no, after the cost that it tells."""
        answer = yield self._send(request, values, upload, purpose, more)
        error = refusal(self._spec, answer)
        if error is not None:
            yield observed(self._spec, answer, None, self.usd_per_unit)
            raise error
        return answer

    def _picture(self, answer: Answer, job: str | None, values: Mapping[str, Any]) -> Flow:
        place, errors = self._spec.picture, self._spec.errors
        content = document(answer)
        yield observed(self._spec, answer, job, self.usd_per_unit)
        if place.body:
            if content is not None:
                message = words(content, *errors.message) or words(content, "")
                raise PayloadError(f"expected the picture itself; got JSON: {message}", request_id=job)
            return answer.body
        if place.base64:
            return decoded(found(answer, place.base64), place.base64)
        link = found(answer, place.link)
        if not isinstance(link, str) or not link:
            message = words(content, *errors.message)
            raise PayloadError(f"expected a link to the picture at {place.link}; got none {message}".strip())
        return (yield from self._fetched(link, values))

    def _fetched(self, link: str, values: Mapping[str, Any]) -> Flow:
        link = urljoin(f"{self.base_url}/", link)
        if self._spec.picture.key:
            picture = yield Send("GET", link, purpose="download", headers=key_headers(self._spec, values))
            return picture.body
        if link.startswith("data:"):
            return decoded(link, self._spec.picture.link)
        if not link.startswith(("http://", "https://")):
            raise PayloadError("expected an http(s) or data link to the picture; got another scheme")
        picture = yield Send("GET", link, purpose="download", public=True, accept=_GOOD | {401})
        if picture.status == 401:
            raise AccountRefusedError(
                "the picture's link asks for a key (HTTP 401); if it leads to the vendor's own host, write key = true"
                " below [picture] in the recipe"
            )
        return picture.body


_GOOD = frozenset(range(200, 300))


def _shown(answer: form.ExampleAnswer) -> Answer:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if answer.picture:
        return shows(answer.status, **headers)
    return says(answer.json_text, answer.status, **headers)


ADAPTER = Recipe

EXAMPLE = Recipe(recipe="bria").example_exchange()
