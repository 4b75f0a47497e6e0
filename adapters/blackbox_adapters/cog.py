"""A Cog container, the form of every Replicate model on a machine of one's own, in both dialects.

Cog 0.9 (FastAPI) and 0.23 (coglet) refuse differently. A prediction cannot be fetched later, so only the synchronous
form is used and there are no jobs to resume.
"""

from pydantic import Field

from blackbox_adapters._named_inputs import ModelSchema, NamedInputs, Names, fit, listed
from blackbox_adapters._reading import data_link, document, peek, shorten, words
from blackbox_conformal.errors import PayloadError, TryLaterError, VendorError
from blackbox_conformal.vendor.adapter import (
    FREE,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Inspection,
    Observed,
    Purpose,
    Upload,
    Wait,
)
from blackbox_conformal.vendor.example import Example, says


class Cog(NamedInputs):
    """A model in a Cog container, by default on this machine's port 5000.

    The container answers when it is done. HTTP 409 means busy, also for a moment after a prediction, and is a wait. A
    model that raises an exception answers HTTP 200 with the status ``failed``: it is asked again, unless it speaks of a
    picture that can never be read.

    Seeds: as the model names them; give `seed-input` for a model that is not in the table.
    """

    name = "cog"
    version = 3
    documentation = "https://github.com/replicate/cog/blob/main/docs/http.md"
    evidence = "real-server"

    url: str = Field(default="http://127.0.0.1:5000", description="Address of the container.")
    model: str | None = Field(
        default=None, description="owner/name of the model, to take its input names from the table."
    )
    digest: str | None = Field(
        default=None, description="Digest of the container image: names the model version that a calibration holds for."
    )

    @property
    def named(self) -> bool:
        return bool(self.digest)

    @property
    def capabilities(self) -> Capabilities:
        return self.model_capabilities(price=self.given_price or FREE, transient_known=True, max_concurrency=1)

    def table(self) -> Names:
        return listed(self.model or "", self.inputs)

    def inspect(self) -> Inspection:
        """Read the model's inputs once the container is ready; containers that publish none answer 503 for good."""
        while True:
            published = yield self.send("GET", "/openapi.json", "lookup", accept=frozenset({200, 404, 503}))
            if published.status == 200:
                return fit(self, ModelSchema.read(published.json()))
            health = yield self.send("GET", "/health-check", "lookup", accept=frozenset({200, 404, 503}))
            if words(document(health), "status") != "STARTING":
                return None
            yield Wait(2.0)

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        inputs = self.model_inputs(data_link(upload.png), draw)
        answer = yield self.send("POST", "/predictions", "submit", json={"input": inputs})
        prediction = answer.json()
        job = words(prediction, "id") or None
        status = peek(prediction, "status")
        if status in ("failed", "canceled"):
            reason = words(prediction, "error")
            message = reason or words(prediction, "logs") or "no reason given"
            raise self.failures.reasons.error(
                f"the model {status}: {message}", reason, code=str(status), request_id=job
            )
        output = peek(prediction, "output")
        if not output:
            raise PayloadError(f"expected an output of the model; got none and the status {status!r}", request_id=job)
        yield Observed(model=self.digest, request_id=job)
        return (yield from self.output_picture(output, self.base_url))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read both dialects: ``detail`` as text or as a list of problems, or ``error``; 409 = every slot is busy."""
        problem = document(answer)
        details, complaints = peek(problem, "detail"), []
        for detail in details if isinstance(details, list) else ():
            place = peek(detail, "loc")
            steps = [str(step) for step in place if step != "body"] if isinstance(place, list) else []
            complaints.append(": ".join(filter(None, [".".join(steps), words(detail, "msg")])))
        message = shorten("; ".join(filter(None, complaints))) or words(problem, "detail", "error")
        message = message or words(answer.body.decode("utf-8", "replace"), "")
        if answer.status == 409:
            return TryLaterError(f"the container is busy: {message}", retry_after=0.5, code="409")
        if answer.status == 503:
            return TryLaterError(f"the container is not ready: {message}", retry_after=2.0, code="503")
        return self.failures.error(answer, purpose, self.failures.read(answer)._replace(message=message))


ADAPTER = Cog

EXAMPLE = Example(
    parameters={"model": "csslc/ccsr", "scale": 4},
    answers=(
        says(
            '{"id":"pred_1","status":"succeeded","output":"data:image/png;base64,{picture-base64}",'
            '"metrics":{"predict_time":0.4},"logs":""}'
        ),
    ),
    failures=((says('{"id":"pred_2","status":"failed","output":null,"error":"CUDA error: out of memory"}'),),),
)
