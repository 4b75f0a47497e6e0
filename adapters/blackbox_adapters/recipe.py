"""A vendor described by a TOML recipe instead of code: the adapter that carries any recipe out.

`_recipe_format` has the form of a recipe, `_recipe_reading` reads one, `_recipe_fill` fills its placeholders, and
`recipes/` holds the shipped ones.
"""

from collections.abc import Generator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from blackbox_adapters import _recipe_format as form
from blackbox_adapters._hosted import Hosted, JsonObject
from blackbox_adapters._jobs import polled
from blackbox_adapters._pictures import decoded
from blackbox_adapters._price_list import PriceList
from blackbox_adapters._reading import document, words
from blackbox_adapters._recipe_answers import cost, ended, found, kept, observed, refusal
from blackbox_adapters._recipe_fill import built_in
from blackbox_adapters._recipe_prices import price_list
from blackbox_adapters._recipe_reading import read_recipe, shipped_names
from blackbox_adapters._recipe_requests import key_headers
from blackbox_adapters._recipe_requests import request as request_of
from blackbox_conformal.errors import (
    AccountRefusedError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    UsageError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.secrets import Secret, read_credential
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Purpose,
    Send,
    Step,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows


class Recipe(Hosted):
    """Any vendor for which there is a recipe: a shipped one by its name, one's own by its path.

    Seeds, sizes, prices and the reading of failures are those of the recipe; `options` and `inputs` change what it
    leaves open.
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
        default="",
        description="What the recipe said when it was calibrated; filled in by calibrations, and compared.",
    )

    _spec: form.Recipe = PrivateAttr()

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
        """Keep what the recipe says beside the parameters."""
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
        """The recipe's address, unless another was given."""
        return (self.url or self._spec.url).rstrip("/")

    @property
    def named(self) -> bool:
        """By the recipe; another address than the recipe's needs a label, unless the recipe is a known vendor's."""
        return not self.url or bool(self.label) or self.recipe in shipped_names()

    @property
    def key_variable(self) -> str | None:
        """The one that the recipe names."""
        return None if self._spec.auth is None else self._spec.auth.variable

    @property
    def secret_variable(self) -> str | None:
        """The second one that the recipe names."""
        return None if self._spec.auth is None else self._spec.auth.secret_variable

    @property
    def further_urls(self) -> tuple[str, ...]:
        """Those that the recipe names; with another address than the recipe's, all requests go there."""
        return () if self.url else self._spec.further_urls

    @property
    def key_in_address(self) -> bool:
        """Where the recipe says that the vendor takes the key nowhere else."""
        return self._spec.auth is not None and bool(self._spec.auth.query)

    @property
    def fixed_url(self) -> str:
        """The address in a shipped recipe; a file's address is its author's word."""
        return self._spec.url if self.recipe in shipped_names() else ""

    @property
    def capabilities(self) -> Capabilities:
        """What the recipe says."""
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
        """What the recipe's price says of draws with these options."""
        prices, options = self._spec.price, {**self._spec.options, **self.options}
        return None if prices is None else price_list(prices, self._factor, options, self.usd_per_unit)

    def identity(self) -> dict[str, Any]:
        """The recipe counts by what it says, not by where it lies."""
        identity = super().identity()
        identity["parameters"] |= {
            "scale": self._factor,
            "options": {**self._spec.options, **self.options},
            "recipe": self._spec.name,
            "recipe_digest": self._digest,
        }
        return identity

    def example_exchange(self) -> Example:
        """The recipe's own example exchange."""
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
        """The requests before, the submission, and the picture in its answer or behind its job."""
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
        """Poll the job until it is done, then fetch its picture; the job of a vendor without any is the link."""
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
        """Poll a job to its end, and fetch its picture."""
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
        """By the recipe's [[refusals]], else its [errors] table and the status."""
        told = None if purpose in ("download", "cancel") else refusal(self._spec, answer)
        return told or self._spec.errors.error(answer, purpose)

    def observe(self, answer: Answer) -> Observed:
        """By the recipe's [reported] table."""
        return observed(self._spec, answer, None, self.usd_per_unit)

    def _values(self, upload: Upload, draw: Draw) -> dict[str, Any]:
        options = {**self._spec.options, **self.options}
        values = built_in(upload, draw, self._factor) | {f"option.{name}": value for name, value in options.items()}
        auth = self._spec.auth
        if auth is not None:
            values["auth.key"] = self.credential()
            if auth.secret_variable is not None:
                values["auth.secret"] = read_credential(auth.secret_variable, self.name)
        return values

    def _opened(self, upload: Upload, draw: Draw) -> Generator[Step, Answer, dict[str, Any]]:
        """Values of the placeholders; a token is asked for first, where the vendor wants one."""
        values, token = self._values(upload, draw), self._spec.token
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
        request: form.Request,
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
        request: form.Request,
        values: Mapping[str, Any],
        upload: Upload,
        purpose: Purpose,
        more: Mapping[str, Any] | None = None,
    ) -> Generator[Step, Answer, Answer]:
        """The answer to a request; one with HTTP 200 that says no is raised, after the cost that it tells."""
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
        """The picture behind a link, which may be relative to the vendor's address."""
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
