"""Reference adapters for the fault server's two dialects; also the shortest examples of the contract.

They are not listed by `adapters list`: their vendor exists on loopback only.
"""

from decimal import Decimal
from typing import ClassVar

from blackbox_conformal.adapter import (
    Accepted,
    Adapter,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Part,
    Price,
    Send,
    Upload,
    Wait,
)
from blackbox_conformal.errors import MaybeSentError, PayloadError, RefusedError
from blackbox_conformal.redaction import Secret


class _Reference(Adapter):
    """What both dialects share.

    Parameters
    ----------
    url
        Address of the fault server.
    scale
        Magnification to ask for.
    seedable
        Send the draw's seed.
    idempotent
        Send the draw's idempotency key, and declare that the vendor honours it.
    price_usd
        Price to declare; None declares none.
    keyed
        Send the key from the environment variable FAULT_VENDOR_KEY.
    """

    auth_variable: ClassVar[str | None] = "FAULT_VENDOR_KEY"
    documentation: ClassVar[str] = "python -m blackbox_conformal.testing --help"
    evidence: ClassVar = "real-server"
    transient: ClassVar[frozenset[str]] = frozenset({"url", "keyed"})

    url: str
    scale: int = 4
    seedable: bool = True
    idempotent: bool = False
    price_usd: Decimal | None = Decimal("0.01")
    keyed: bool = False

    @property
    def capabilities(self) -> Capabilities:
        price = self.price_usd
        return Capabilities(
            scale_factors=(2, 4),
            seedable=self.seedable,
            seed_range=(0, 2**31 - 1) if self.seedable else None,
            price=None if price is None else Price(price, price, "the fault server's price list"),
            idempotency_header="Idempotency-Key" if self.idempotent else None,
            max_side=4096,
        )

    @property
    def base_url(self) -> str:
        return self.url

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
    """``POST /v1/upscale``: a PNG goes, a PNG comes."""

    name: ClassVar[str] = "fault-synchronous"

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """One request."""
        answer = yield Send(
            "POST",
            f"{self.url}/v1/upscale",
            purpose="submit",
            headers={**self._headers(draw), "Content-Type": "image/png"},
            query=self._fields(draw),
            body=upload.png,
        )
        yield Observed(
            cost_usd=Decimal(answer.headers["x-cost-usd"]) if "x-cost-usd" in answer.headers else None,
            model=answer.headers.get("x-model"),
            request_id=answer.headers.get("x-request-id"),
        )
        return answer.body


class JobVendor(_Reference):
    """``POST /v1/jobs``, polls, and a link to the result.

    Parameters
    ----------
    lookup
        After a lost answer, ask the vendor for the job by its reference.
    poll_seconds
        How long to wait between two readings of the job.
    """

    name: ClassVar[str] = "fault-jobs"
    transient: ClassVar[frozenset[str]] = frozenset({"url", "keyed", "poll_seconds"})

    lookup: bool = False
    poll_seconds: float = 0.02

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
            job = str(answer.json()["id"])
        except MaybeSentError:
            if not self.lookup:
                raise
            found = yield Send(
                "GET",
                f"{self.url}/v1/jobs",
                purpose="lookup",
                headers=self._headers(),
                query={"reference": draw.idempotency_key},
            )
            jobs = found.json()["jobs"]
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
            state = answer.json()
            if state["status"] == "failed":
                raise RefusedError(f"the vendor's job failed: {state['error']}")
            if state["status"] == "succeeded" and state["output"]:
                break
            empty += state["status"] == "succeeded"
            if empty > 2:
                raise PayloadError(f"expected a link to the result of job {job}; got {state['output']!r} three times")
            yield Wait(self.poll_seconds)
        yield Observed(
            cost_usd=Decimal(state["cost_usd"]), model=state["model"], request_id=answer.headers.get("x-request-id")
        )
        picture = yield Send("GET", state["output"], purpose="download", public=True)
        return picture.body
