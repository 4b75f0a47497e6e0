"""Reference adapters for the fault server's two dialects; also the shortest examples of the contract.

`list adapters` leaves them out: their vendor exists on loopback only.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import Field

from blackbox_conformal.errors import (
    DeadlineError,
    JobCancelledError,
    MaybeSentError,
    PayloadError,
    RefusedError,
    VendorFailedError,
)
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Adapter,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Part,
    Price,
    Quote,
    Send,
    Upload,
    Wait,
)
from blackbox_conformal.vendor.example import Example, says, shows


class _Reference(Adapter):
    auth_variable: ClassVar[str | None] = "FAULT_VENDOR_KEY"
    documentation: ClassVar[str] = "python -m blackbox_conformal.testing --help"
    evidence: ClassVar = "own-software"
    transient: ClassVar[frozenset[str]] = frozenset({"url", "keyed"})

    url: str = Field(description="Address of the fault server.")
    scale: int = Field(default=4, description="Magnification to ask for.")
    seedable: bool = Field(default=True, description="Send the draw's seed.")
    idempotent: bool = Field(default=False, description="Send the draw's idempotency key, as one that is honoured.")
    price_usd: Decimal | None = Field(default=Decimal("0.01"), description="Price to declare; None declares none.")
    keyed: bool = Field(default=False, description="Send the key from FAULT_VENDOR_KEY.")
    failures_billed: bool = Field(default=True, description="Whether the vendor bills its own failures.")

    @property
    def capabilities(self) -> Capabilities:
        price = self.price_usd
        return Capabilities(
            scale_factors=(2, 4),
            seed_range=(0, 2**31 - 1) if self.seedable else None,
            price=None if price is None else Price(price, price, "the fault server's price list"),
            idempotency_header="Idempotency-Key" if self.idempotent else None,
            max_side=4096,
            failures_billed=self.failures_billed,
        )

    @property
    def key_variable(self) -> str | None:
        return self.auth_variable if self.keyed else None

    @property
    def base_url(self) -> str:
        return self.url

    def quote(self, upload: Upload) -> Quote:
        size = {"width": str(upload.width), "height": str(upload.height), "scale": str(self.scale)}
        answer = yield Send("GET", f"{self.url}/v1/price", purpose="quote", headers=self._headers(), query=size)
        price = text_field(answer, "cost_usd")
        try:
            return Decimal(price)
        except ArithmeticError:
            raise PayloadError(f"expected cost_usd in US dollars; got {price[:80]!r}") from None

    def _headers(self, draw: Draw | None = None) -> dict[str, str | Secret]:
        headers: dict[str, str | Secret] = {}
        if self.keyed:
            headers["Authorization"] = self.credential().prefixed("Bearer ")
        if draw is not None and self.idempotent:
            headers["Idempotency-Key"] = draw.idempotency_key
        return headers

    def _fields(self, draw: Draw) -> dict[str, str]:
        fields = {"scale": str(self.scale), "reference": draw.idempotency_key}
        return {**fields, "seed": str(draw.seed)} if self.seedable else fields


class SynchronousVendor(_Reference):
    """The synchronous dialect, ``POST /v1/upscale``: a PNG goes, a PNG comes."""

    name: ClassVar[str] = "fault-synchronous"
    example: ClassVar[Example] = Example(
        parameters={"keyed": True},
        environment={"FAULT_VENDOR_KEY": "made-up-key"},
        answers=(shows(x_cost_usd="0.01", x_model="fault-vendor-1", x_request_id="request-1"),),
        cost_usd=Decimal("0.01"),
        quotes=(says('{"cost_usd": "0.01"}'),),
    )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send(
            "POST",
            f"{self.url}/v1/upscale",
            purpose="submit",
            headers={**self._headers(draw), "Content-Type": "image/png"},
            query=self._fields(draw),
            body=upload.png,
        )
        yield self.observe(answer)
        return answer.body

    def observe(self, answer: Answer) -> Observed:
        return Observed(
            cost_usd=Decimal(answer.headers["x-cost-usd"]) if "x-cost-usd" in answer.headers else None,
            model=answer.headers.get("x-model"),
            request_id=answer.headers.get("x-request-id"),
        )


class JobVendor(_Reference):
    """The job dialect: ``POST /v1/jobs``, polls, and a link to the result."""

    name: ClassVar[str] = "fault-jobs"
    transient: ClassVar[frozenset[str]] = frozenset({"url", "keyed", "poll_seconds", "cancels"})
    example: ClassVar[Example] = Example(
        parameters={"keyed": True},
        environment={"FAULT_VENDOR_KEY": "made-up-key"},
        polls=1,
        answers=(
            says('{"id": "job-0", "status": "queued"}', 201),
            says('{"id": "job-0", "status": "processing", "output": null, "model": "fault-vendor-1"}'),
            says(
                '{"id": "job-0", "status": "succeeded", "output": "{address}/results/token", '
                '"model": "fault-vendor-1", "cost_usd": "0.01"}'
            ),
            shows(),
        ),
        cost_usd=Decimal("0.01"),
        failures=(
            (
                says('{"id": "job-1", "status": "queued"}', 201),
                says('{"id": "job-1", "status": "crashed", "output": null, "error": "out of memory"}'),
            ),
        ),
        quotes=(says('{"cost_usd": "0.01"}'),),
    )

    lookup: bool = Field(default=False, description="After a lost answer, look the job up by its reference.")
    refusals_billed: bool = Field(default=False, description="Whether the vendor bills what it refuses to deliver.")
    cancels: bool = Field(default=False, description="Cancel a job that takes too long.")
    poll_seconds: float = Field(default=0.02, description="Seconds between two readings of a job.")

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, transient_known=True, cancels=self.cancels)

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """Submit, then as `resume`."""
        try:
            answer = yield Send(
                "POST",
                f"{self.url}/v1/jobs",
                purpose="submit",
                headers=self._headers(draw),
                form=self._fields(draw),
                files=(Part("image", "image.png", upload.png),),
            )
            job = text_field(answer, "id")
        except MaybeSentError:
            if not self.lookup:
                raise
            listed = yield Send(
                "GET",
                f"{self.url}/v1/jobs",
                purpose="lookup",
                headers=self._headers(),
                query={"reference": draw.idempotency_key},
            )
            jobs = document(listed).get("jobs")
            if not jobs:
                raise
            job = str(jobs[0]["id"])
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        """Read the job until it is done, then fetch its result."""
        empty = 0
        while True:
            answer = yield Send("GET", f"{self.url}/v1/jobs/{job}", purpose="poll", headers=self._headers())
            state = document(answer)
            status, output = text_field(answer, "status"), state.get("output")
            if status == "failed":
                raise RefusedError(f"the vendor's job failed: {state.get('error')}", billed=self.refusals_billed)
            if status == "crashed":
                raise VendorFailedError(f"the vendor's machine failed: {state.get('error')}")
            if status == "succeeded" and isinstance(output, str):
                break
            empty += status == "succeeded"
            if empty > 2:
                raise PayloadError(f"expected a link to the result of job {job}; got {output!r} three times")
            try:
                yield Wait(self.poll_seconds)
            except DeadlineError:
                if self.cancels:
                    link = f"{self.url}/v1/jobs/{job}/cancel"
                    cancelled = yield Send("POST", link, purpose="cancel", headers=self._headers())
                    if cancelled.status == 200:
                        raise JobCancelledError(f"the vendor cancelled job {job}") from None
                raise
        yield Observed(
            cost_usd=Decimal(text_field(answer, "cost_usd")) if "cost_usd" in state else None,
            model=text_field(answer, "model"),
            request_id=answer.headers.get("x-request-id"),
        )
        picture = yield Send("GET", output, purpose="download", public=True)
        return picture.body


def document(answer: Answer) -> dict[str, Any]:
    """Return the answer's JSON object."""
    value = answer.json()
    if not isinstance(value, dict):
        raise PayloadError(f"expected a JSON object from the vendor; got {type(value).__name__}")
    return value


def text_field(answer: Answer, field: str) -> str:
    """Return a text in the answer's JSON object."""
    value = document(answer).get(field)
    if not isinstance(value, str):
        raise PayloadError(f"expected {field!r} as text in the vendor's answer; got {value!r}")
    return value
