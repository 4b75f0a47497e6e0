"""Magnific, also sold as Freepik's upscaler: creative and precision, submitted as tasks.

Sources: the vendor's documentation pages and their OpenAPI fragments; clients of 2026 for the new name.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import FromText, Hosted, JsonObject, PriceList
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._reading import base64_text, document, fetched, peek, require, words
from blackbox_conformal.errors import VendorError
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Purpose,
    Rate,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

PATHS = {
    "creative": "image-upscaler",
    "precision": "image-upscaler-precision",
    "precision-v2": "image-upscaler-precision-v2",
}
STEPS = (
    (Decimal("1.3"), Decimal("0.143")),
    (Decimal(3), Decimal("0.286")),
    (Decimal("6.4"), Decimal("0.429")),
    (Decimal("Infinity"), Decimal("1.716")),
)
"""Megapixels that go into a 2x step, at most → the step's price in euros."""

RATES = (Rate(1250, 86400.0, "submit"), Rate(1200, 120.0), Rate(250, 5.0))
"""An account's tasks a day, and an address's requests in two minutes and in five seconds (docs.freepik.com)."""

VARIABLES = {"freepik": "FREEPIK_API_KEY", "magnific": "MAGNIFIC_API_KEY"}


class Magnific(Hosted):
    """Magnific's upscalers under either of its names.

    ``brand=freepik`` talks to api.freepik.com with FREEPIK_API_KEY, ``brand=magnific`` to api.magnific.com with
    MAGNIFIC_API_KEY. Links may lead to JPEG files: the format cannot be chosen. A picture that the vendor flags is
    booked at its price, since it was made; any other failed task is asked for again.

    Seeds: none; the creative upscaler differs from call to call.
    """

    name = "magnific"
    version = 2
    auth_variable = "FREEPIK_API_KEY"
    documentation = "https://docs.freepik.com/api-reference/image-upscaler-creative/image-upscaler"
    failures = Failures(message=["message", "error.message", "error", "problems"])
    transient = Hosted.transient | {"brand", "usd_per_eur"}
    uncertain = (
        "api.magnific.com and its header are known from third-party clients of 2026",
        "prices are a third party's reading, in euros; answers do not tell what was billed",
        "whether precision varies between calls is not documented",
        "the hosts of results are not documented; name others in result-hosts if one is refused",
        "the limit of 1250 tasks in a day is that of the image upscaler in the premium plan: --rate replaces it",
        "precision of the first version has no documented scale_factor; its results are resampled",
    )

    url: str = Field(default="", description="Address of the interface; empty = by brand.")
    brand: Literal["freepik", "magnific"] = Field(default="freepik", description="Under which name it is bought.")
    mode: Literal["creative", "precision", "precision-v2"] = Field(
        default="creative", description="creative: invents detail; precision: faithful."
    )
    scale: Annotated[Literal[2, 4, 8, 16], FromText] = Field(default=4, description="Magnification.")
    settings: JsonObject = Field(
        default_factory=dict, description='Further fields of the request, such as {"creativity": 3, "hdr": 0}.'
    )
    usd_per_eur: Decimal = Field(
        default=Decimal("1.19"), gt=0, description="US dollars of a euro, in which the vendor's prices are."
    )
    poll_seconds: float = Field(default=10.0, ge=1.0, description="Seconds between two polls of a task.")

    @property
    def base_url(self) -> str:
        return self.url.rstrip("/") or f"https://api.{self.brand}.com/v1/ai"

    @property
    def key_variable(self) -> str | None:
        return VARIABLES[self.brand]

    @property
    def capabilities(self) -> Capabilities:
        return self.listed(
            Capabilities(
                scale_factors=(self.scale,),
                min_side=None if self.mode == "precision" else 160,
                max_aspect=None if self.mode == "precision" else 3.0,
                max_output_side=10060 if self.mode == "precision-v2" else None,
                max_output_pixels=25_300_000 if self.mode == "creative" else None,
                lossless_output=False,
                output_size="resample",
                result_hosts=self.hosts(".freepik.com", ".magnific.com"),
                transient_known=True,
                rates=RATES,
            )
        )

    @property
    def price_list(self) -> PriceList:
        """Return a price in euros for each 2x step, by its input: a later step works on four times the pixels."""

        def amounts(size: Decimal) -> tuple[Decimal, Decimal]:
            inputs = [size / 4 ** (step + 1) for step in range(self.scale.bit_length() - 1)]
            total = sum((next(price for most, price in STEPS if given <= most) for given in inputs), Decimal(0))
            return total, total

        *steps, (_, dearest) = STEPS
        words = ", ".join(f"{price} EUR up to {most}" for most, price in steps)
        return PriceList(
            amounts,
            f"for each 2x step, by the megapixels that it enlarges: {words}, {dearest} EUR beyond; "
            f"a euro is {self.usd_per_eur} USD",
            "ComfyUI's nodes for Magnific, and their rate of the euro",
            date(2026, 11, 26),
            currency="EUR",
            usd_per_unit=self.usd_per_eur,
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        body: dict[str, Any] = dict(self.settings)
        body["image"] = base64_text(upload.png)
        if self.mode == "creative":
            body["scale_factor"] = f"{self.scale}x"
        if self.mode == "precision-v2":
            body["scale_factor"] = self.scale
        answer = yield self.send("POST", f"/{PATHS[self.mode]}", "submit", json=body)
        task = require(_task(answer.json()), "task_id", "a task id")
        yield Accepted(task)
        return (yield from self.resume(upload, draw, task))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        task = PolledJob(
            "task",
            job,
            status=("status", "task_status"),
            done=("COMPLETED",),
            failed=("FAILED", "ERROR"),
            picture="generated.0",
        )

        def generated(answer: Answer) -> Any:
            state = _task(answer.json())
            if peek(state, "has_nsfw.0") is True and not peek(state, "generated"):
                raise task.failure("flagged as not safe for work", "has_nsfw")
            return task.result(state)

        poll = self.send("GET", f"/{PATHS[self.mode]}/{quote(job, safe='')}", "poll")
        picture = yield from polled(poll, self.poll_seconds, generated)
        yield Observed(request_id=job)
        if isinstance(picture, dict):
            picture = picture.get("url")
        return (yield from fetched(picture, "generated.0"))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read ``{message}`` or ``{error}``, sometimes with the list of invalid fields."""
        failure = self.failures.read(answer)
        message = f"{failure.message} {words(document(answer), 'invalid_params')}".strip()
        return self.failures.error(answer, purpose, failure._replace(message=message))

    def key(self) -> dict[str, str | Secret]:
        return {f"x-{self.brand}-api-key": self.credential()}


def _task(answer: Any) -> Any:
    """Return the task, which some routes wrap in ``data``."""
    return peek(answer, "data") or answer


ADAPTER = Magnific

EXAMPLE = Example(
    parameters={"mode": "creative", "scale": 4, "poll_seconds": 1.0},
    environment={"FREEPIK_API_KEY": "FPSX-made-up-for-this-example"},
    polls=1,
    answers=(
        says('{"data":{"task_id":"046b6c7f-0b8a-43b9-b35d-6489e6daee91","status":"CREATED","generated":[]}}'),
        says('{"data":{"task_id":"046b6c7f-0b8a-43b9-b35d-6489e6daee91","status":"IN_PROGRESS","generated":[]}}'),
        says(
            '{"data":{"task_id":"046b6c7f-0b8a-43b9-b35d-6489e6daee91","status":"COMPLETED",'
            '"generated":["{address}/results/out.png"],"has_nsfw":[false]}}'
        ),
        shows(),
    ),
    failures=(
        (
            says('{"data":{"task_id":"5c1f7a52-1f5e-4f0e-9a44-0d6e4f0b7a11","status":"CREATED","generated":[]}}'),
            says('{"data":{"task_id":"5c1f7a52-1f5e-4f0e-9a44-0d6e4f0b7a11","status":"FAILED","generated":[]}}'),
        ),
    ),
)
