"""Runware: every request is a list of tasks; upscaling is one task, answered at once.

Sources: the vendor's model pages with their schemas, and its Python SDK of June 2026.
"""

import hashlib
import uuid
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from blackbox_adapters._failures import MODERATION, UNFIT, Failures, Reasons
from blackbox_adapters._hosted import Hosted, JsonObject, PriceList, present
from blackbox_adapters._jobs import polled
from blackbox_adapters._reading import data_link, decoded, document, money, peek, words
from blackbox_conformal.errors import AccountRefusedError, PayloadError, TryLaterError, VendorError
from blackbox_conformal.vendor.adapter import Accepted, Answer, Capabilities, Draw, Flow, Observed, Purpose, Upload
from blackbox_conformal.vendor.example import Example, says

SEEDED = ("runware:500@1", "runware:501@1", "runware:502@1")
DETERMINISTIC = ("runware:503@1", "runware:504@1")
SEEDS = (1, 2**31 - 1)


class Runware(Hosted):
    """Runware's upscalers.

    Clarity is ``runware:500@1``, CCSR ``501@1``, latent ``502@1``, SwinIR ``503@1``, Real-ESRGAN ``504@1``. The picture
    comes inside the answer, as PNG. An answer with HTTP 200 may hold ``errors`` instead of ``data``. Every task has an
    identifier made from the draw's key: a task that took too long, or that the vendor knows already, is asked for under
    it.

    Seeds: the diffusion models (500 to 502) take one in their settings; the others answer equal requests equally.
    """

    name = "runware"
    version = 2
    auth_variable = "RUNWARE_API_KEY"
    documentation = "https://runware.ai/docs/models/clarity"
    evidence = "client"
    failures = Failures(
        message=["errors.0.message", "error.message", "message", "error"],
        code=["errors.0.code"],
        request_id=["errors.0.taskUUID"],
    )
    uncertain = (
        "the vendor's pages call the task upscale and put the picture into inputs; dialect=2025 serves the older form",
        "the range of seeds is not documented; 1 to 2147483647 is used",
        "prices are those of examples, and known for the models 500 to 504 only; the cost of each answer is exact",
    )

    url: str = Field(default="https://api.runware.ai", description="Address of the interface.")
    model: str = Field(default="runware:500@1", description="Model identifier.")
    scale: int = Field(default=2, ge=2, le=4, description="Magnification.")
    settings: JsonObject = Field(
        default_factory=dict, description='Settings of the model, such as {"steps": 20, "strength": 0.3}.'
    )
    prompt: str = Field(default="", description="Text that guides a diffusion model; empty = none.")
    seeded: bool | None = Field(default=None, description="Whether the model takes a seed; None = by identifier.")
    poll_seconds: float = Field(
        default=2.0, ge=0.1, description="Seconds between two questions after a task that is late."
    )
    dialect: Literal["2026", "2025"] = Field(default="2026", description="Form of the task; see uncertain.")

    @property
    def capabilities(self) -> Capabilities:
        seeded = self._seeded()
        return self.listed(
            Capabilities(
                scale_factors=(self.scale,),
                seed_range=SEEDS if seeded else None,
                max_output_side=4096,
                deterministic=self.model in DETERMINISTIC,
                transient_known=True,
            )
        )

    @property
    def price_list(self) -> PriceList | None:
        """Return prices of the vendor's own models, which it bills by computing time; others are unknown."""
        if self.model not in SEEDED + DETERMINISTIC:
            return None
        return PriceList(
            lambda _: (Decimal("0.0013"), Decimal("0.0038")),
            "by computing time, of which only examples are published; answers tell the exact cost",
            "examples in Runware's documentation",
            date(2026, 11, 26),
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        settings = {"positivePrompt": self.prompt, **self.settings} if self.prompt else dict(self.settings)
        if self._seeded() and draw.seed is not None:
            settings["seed"] = draw.seed
        identifier = str(uuid.UUID(bytes=hashlib.sha256(draw.idempotency_key.encode()).digest()[:16], version=4))
        task = present(
            taskUUID=identifier,
            model=self.model,
            upscaleFactor=self.scale,
            outputType="base64Data",
            outputFormat="PNG",
            includeCost=True,
            deliveryMethod="sync",
            settings=settings,
        )
        if self.dialect == "2026":
            task |= {"taskType": "upscale", "inputs": {"image": data_link(upload.png)}}
        else:
            task |= {"taskType": "imageUpscale", "inputImage": data_link(upload.png)}
        answer = yield self.send("POST", "/v1", "submit", json=[task], accept=_OWN_STATUSES)
        if words(answer.json(), *self.failures.code) in _UNDER_WAY:
            yield Accepted(identifier)
            return (yield from self.resume(upload, draw, identifier))
        return (yield from self._shown(self._item(answer, identifier), identifier))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        task = {"taskType": "getResponse", "taskUUID": job}
        poll = self.send("POST", "/v1", "poll", json=[task], accept=_OWN_STATUSES)

        def made(answer: Answer) -> Any:
            item = self._item(answer, job)
            return None if words(item, "status") == "processing" else item

        return (yield from self._shown((yield from polled(poll, self.poll_seconds, made)), job))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        failure = self.failures.read(answer)
        error = None if purpose == "download" else _failure(failure.code, failure.message, failure.request_id)
        return error if failure.code in _codes(document(answer)) else self.failures.error(answer, purpose, failure)

    def _item(self, answer: Answer, identifier: str) -> Any:
        result = answer.json()
        if _codes(result):
            message, code, _ = self.failures.read(answer)
            raise _failure(code, message, identifier)
        items = peek(result, "data")
        mine = [item for item in items if peek(item, "taskUUID") == identifier] if isinstance(items, list) else []
        # A single item can only belong to the one task sent, whatever its name.
        item = mine[0] if mine else peek(result, "data.0")
        if item is None:
            raise PayloadError(f"expected the task's result in data; got {words(result, '') or 'nothing'}")
        return item

    def _shown(self, item: Any, identifier: str) -> Flow:
        yield Observed(cost_usd=money(peek(item, "cost")), model=self.model, request_id=identifier)
        return decoded(peek(item, "imageBase64Data"), "data.imageBase64Data")

    def _seeded(self) -> bool:
        return self.model in SEEDED if self.seeded is None else self.seeded


# A code tells the fault; the HTTP status is 400 whether it concerns the picture, the task or the vendor.
_OWN_STATUSES = frozenset({200, 400})
# Codes of a task that the vendor has, or may have: its result can be requested.
_UNDER_WAY = ("timeoutProvider", "conflictTaskUUID")

_REASONS = Reasons(
    every=("unsupported", "unknown parameter", "unknown model", "incompatible", "missing", "model not found"),
    refused=(*UNFIT, "invalid", "value too", "array too", "media not found"),
    filtered=(*MODERATION, "blocked", "unsafe"),
)


def _codes(result: Any) -> list[str]:
    errors = peek(result, "errors") or peek(result, "error")
    listed = errors if isinstance(errors, list) else [errors] if isinstance(errors, dict) else []
    return [words(error, "code") or "error" for error in listed]


def _failure(code: str, message: str, identifier: str | None) -> VendorError:
    said, lowered = f"{code}: {message}", code.lower()
    if not any(owner in lowered for owner in ("provider", "thirdparty")):
        if any(word in lowered for word in _ACCOUNT):
            return AccountRefusedError(said, request_id=identifier, code=code)
        if any(word in lowered for word in _LATER):
            return TryLaterError(said, request_id=identifier, code=code)
    return _REASONS.error(said, message, code=code, request_id=identifier)


_ACCOUNT = ("credit", "balance", "apikey", "unauthorized", "forbidden", "payment", "quota", "suspended", "permission")
_LATER = ("ratelimit", "concurren", "throttl", "unavailable", "noavailable")

ADAPTER = Runware

EXAMPLE = Example(
    parameters={"model": "runware:500@1", "scale": 4},
    environment={"RUNWARE_API_KEY": "made-up-runware-key"},
    answers=(
        says(
            '{"data":[{"taskType":"upscale","taskUUID":"a1b2c3d4-0000-4000-8000-000000000001",'
            '"imageUUID":"0f6f0a0e-0000-4000-8000-000000000002","imageBase64Data":"{picture-base64}","cost":0.0038}]}'
        ),
    ),
    cost_usd=Decimal("0.0038"),
    failures=((says('{"errors":[{"code":"inferenceError","message":"The task could not be computed."}]}'),),),
)
