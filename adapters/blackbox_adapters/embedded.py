"""The vendor that comes with blackbox-conformal: small networks and a denoiser behind a real HTTP server.

It lets you try the method without a key; nothing is billed and nothing leaves this machine.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import Field, PrivateAttr, model_validator

from blackbox_adapters._failures import Failures
from blackbox_adapters.http import observed
from blackbox_conformal.errors import AdapterError, VendorError
from blackbox_conformal.vendor.adapter import FREE, Adapter, Answer, Capabilities, Draw, Flow, Purpose, Send, Upload
from blackbox_conformal.vendor.example import Example, shows

if TYPE_CHECKING:
    from blackbox_conformal.embedded.process import VendorProcess


class EmbeddedTask(NamedTuple):
    """A task of the vendor: its magnification, and the damage that it undoes."""

    scale: int
    degradation: str


TASKS = {
    "upscale": EmbeddedTask(4, "bicubic"),
    "colourise": EmbeddedTask(1, "grey"),
    "denoise": EmbeddedTask(1, "noise:15"),
}
FAILURES = Failures(message=["error.message"], code=["error.code"], request_id_header="x-request-id")


class Embedded(Adapter):
    """Magnifies by 4, colours a grey picture or removes noise, on loopback.

    Draws with different seeds differ in what they invent; the denoiser and `realesr-general-x4v3` take no seed. `open`
    starts the server as a process on a free port, unless `url` names one that runs; `close` ends it.
    """

    name = "embedded"
    documentation = "https://www.rfc-editor.org/rfc/rfc9110.html"
    evidence = "own-software"
    transient = frozenset({"url"})

    task: Literal["upscale", "colourise", "denoise"] = Field(
        default="upscale",
        description="`upscale` magnifies by 4; `colourise` colours a grey picture, whose luma it keeps; `denoise` "
        "removes noise, always alike, so that one draw of each picture is all there is.",
    )
    model: Literal["", "realesr-general-x4v3"] = Field(
        default="",
        description="What upscales: empty for a small network of the package, whose draws differ, or Real-ESRGAN's GAN "
        "`realesr-general-x4v3` (BSD-3-Clause), which is as sharp as paid services and always answers alike.",
    )
    url: str = Field(default="", description="Address of an embedded vendor that runs already; empty: one is started.")

    _process: "VendorProcess | None" = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _model_upscales(self) -> Self:
        if self.model and self.task != "upscale":
            raise ValueError(f"expected no model with the task {self.task}; {self.model} upscales")
        return self

    @property
    def capabilities(self) -> Capabilities:
        alike = self.task == "denoise" or bool(self.model)
        return Capabilities(
            scale_factors=(TASKS[self.task].scale,),
            degradation=TASKS[self.task].degradation,
            seed_range=None if alike else (0, 2**32 - 1),
            deterministic=alike,
            max_input_pixels=4_000_000,
            max_upload_bytes=32 * 2**20,
            price=FREE,
            idempotency_header="Idempotency-Key",
        )

    @property
    def base_url(self) -> str:
        return self.url.rstrip("/")

    def identity(self) -> dict[str, Any]:
        """Return the usual identity without default choices, so that calibrations older than the choice stay valid."""
        identity = super().identity()
        for name, usual in (("task", "upscale"), ("model", "")):
            if identity["parameters"][name] == usual:
                del identity["parameters"][name]
        return identity

    def open(self) -> Self:
        """Return the same adapter bound to a running server."""
        if self.url:
            return self
        from blackbox_conformal.embedded.process import VendorProcess

        process = VendorProcess()
        opened = self.model_copy(update={"url": process.url})
        # Both hold the process, so that closing either ends the server.
        opened._process = self._process = process
        return opened

    def close(self) -> None:
        """End the server that `open` started; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        if not self.url:
            raise AdapterError("expected a running embedded vendor; call open() first, or give url")
        seed = {} if draw.seed is None else {"seed": str(draw.seed)}
        answer = yield Send(
            "POST",
            f"{self.base_url}/v1/{f'{self.task}/{self.model}'.rstrip('/')}",
            purpose="submit",
            headers={"content-type": "image/png", "idempotency-key": draw.idempotency_key},
            query={"scale": str(TASKS[self.task].scale), **seed},
            body=upload.png,
        )
        yield observed(answer)
        return answer.body

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return FAILURES.error(answer, purpose)


ADAPTER = Embedded

EXAMPLE = Example(
    parameters={},
    answers=(shows(x_model="embedded-1", x_cost_usd="0.00", x_request_id="req_1", x_seed="7"),),
    cost_usd=Decimal(0),
)
