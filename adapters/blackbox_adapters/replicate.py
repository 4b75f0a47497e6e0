"""Replicate: predictions over its HTTP API, as its OpenAPI document of April 2026 describes them.

The model decides which inputs take the picture, the magnification and the seed: see `_named_inputs`.
"""

from collections.abc import Generator
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from blackbox_adapters._failures import MODERATION, Failures, Reasons, not_found
from blackbox_adapters._hosted import PriceList
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._named_inputs import ModelSchema, NamedInputs, Names, fit, listed
from blackbox_adapters._reading import data_link, document, money, peek, require, words
from blackbox_conformal.errors import PayloadError, VendorError
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Inspection,
    Observed,
    Part,
    Purpose,
    Rate,
    Step,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

DATA_LINK_LIMIT = 256_000


class Replicate(NamedInputs):
    """Any model on Replicate that upscales or restores.

    A picture of up to 256 kB travels inside the request, a larger one through the files interface. A prediction's id
    comes back at once, so that a broken connection loses nothing. The result's link needs no token and dies after
    about an hour; it is fetched as soon as it appears.

    Before the first paid draw the model's published schema is read: it names the inputs of models that are not in the
    table, and what does not fit is refused.

    Seeds: a fresh one each draw for models whose schema has one (Clarity answers from 1337 unless told); a model that
    is not in the table has none until `seed-input` names it.

    A prediction that fails, is cancelled or is interrupted (code PA) is asked for again, unless it speaks of
    moderation or of a size that never fits, as E1001 does (the vendor's list of error codes: input too large for the
    model's memory). The vendor bills the time in which a model works: a prediction that was never started, or that was
    interrupted (code PA) and tells no time, costs nothing; any other failure may cost as much as a draw.
    """

    name = "replicate"
    version = 3
    auth_variable = "REPLICATE_API_TOKEN"
    documentation = "https://replicate.com/docs/reference/http"
    evidence = "openapi"
    failures = Failures(message=["detail", "title"], request_id_header="cf-ray")
    transient = NamedInputs.transient | {"cancel_after", "usd_per_second"}
    uncertain = (
        "schemas of topazlabs/image-upscale, recraft-ai/recraft-crisp-upscale and google/upscaler come from third "
        "parties; correct them with scale-input, image-input and inputs",
        "most models are billed by the second of a GPU, so that the price of a draw is not known beforehand: give "
        "price-usd as its highest, and usd-per-second for the exact bill; how Topaz is billed could not be read",
        "links on replicate.delivery are fetched without the token",
    )

    url: str = Field(default="https://api.replicate.com/v1", description="Address of the interface.")
    model: str = Field(
        pattern=r"^\w[\w.-]*/\w[\w.-]*(:[0-9a-f]{64})?$",
        description="Model, such as nightmareai/real-esrgan, or owner/name:version to pin the version that a "
        "calibration holds for.",
    )
    route: Literal["auto", "version", "official", "deployment"] = Field(
        default="auto", description="How the model is addressed; auto: official where that is known, else by version."
    )
    cancel_after: str = Field(
        default="30m", pattern=r"^(\d+h)?(\d+m)?(\d+s)?$", description="When the vendor stops an abandoned prediction."
    )
    usd_per_second: Decimal | None = Field(
        default=None,
        gt=0,
        description="US dollars that a second of the model's hardware costs; predictions tell their seconds.",
    )
    poll_seconds: float = Field(default=2.0, ge=0.5, description="Seconds between two polls of a prediction.")

    @property
    def capabilities(self) -> Capabilities:
        return self.listed(
            self.model_capabilities(
                price=None,
                max_upload_bytes=100_000_000,
                result_hosts=self.hosts("replicate.delivery", ".replicate.delivery"),
                transient_known=True,
                # Replicate bills no prediction that never began, and none without a counted second.
                free_answers=True,
                rates=(Rate(600, 60.0, "submit"), Rate(3000, 60.0, "poll")),
                cancels=True,
            )
        )

    @property
    def price_list(self) -> PriceList | None:
        return self.names().price

    def table(self) -> Names:
        return listed(self.model.partition(":")[0], self.inputs)

    def inspect(self) -> Inspection:
        """Read the inputs of the version that answers: the pinned one, the deployment's, or the model's latest."""
        name, _, version = self.model.partition(":")
        if self.route == "deployment":
            # A deployment runs its own release, which need not be the model's latest.
            release = peek((yield self.send("GET", f"/deployments/{name}", "lookup")).json(), "current_release")
            name, version = words(release, "model") or name, words(release, "version")
        path = f"/models/{name}/versions/{version}" if version else f"/models/{name}"
        published = (yield self.send("GET", path, "lookup")).json()
        document = peek(published, "openapi_schema" if version else "latest_version.openapi_schema")
        return fit(self, ModelSchema.read(document))

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        link = data_link(upload.png)
        if len(upload.png) > DATA_LINK_LIMIT:
            stored = yield self.send("POST", "/files", "lookup", files=(Part("content", "input.png", upload.png),))
            link = require(stored.json(), "urls.get", "a file's link")
        # Looked up before the paid request, so that a vanished model costs nothing.
        path, version = yield from self._address()
        body = {"input": self.model_inputs(link, draw)} | ({"version": version} if version else {})
        created = yield self.send("POST", path, "submit", {"cancel-after": self.cancel_after}, json=body)
        job = require(created.json(), "id", "a prediction's id")
        # Kept before the first poll, so that a process that dies now fetches this prediction and does not pay again.
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job, created))

    def resume(self, upload: Upload, draw: Draw, job: str, answer: Answer | None = None) -> Flow:
        work = PolledJob("prediction", job, done=("succeeded",), picture="output", reasons=_REASONS)

        def over(answer: Answer) -> Any:
            prediction = answer.json()
            output = peek(prediction, "output")
            if words(prediction, "status") in _FAILED:
                return prediction
            # Waiting no longer helps, and the draw is paid: an error beats polling until the deadline.
            if peek(prediction, "data_removed") is True and not output:
                raise PayloadError(
                    f"prediction {job} succeeded but Replicate has deleted its output (it keeps one for an hour)",
                    request_id=job,
                )
            # The output may be there while the status still says processing.
            return prediction if output or work.result(prediction) else None

        path = f"/predictions/{quote(job, safe='')}"
        poll, cancel = self.send("GET", path, "poll"), self.send("POST", f"{path}/cancel", "cancel")
        prediction = yield from polled(poll, self.poll_seconds, over, answer, cancel)
        status, rate = words(prediction, "status"), self.usd_per_second
        cost = None if rate is None else money(peek(prediction, "metrics.predict_time"), rate)
        if status in _FAILED:
            cost = Decimal(0) if _never_worked(prediction) else cost
            if cost is not None:
                yield Observed(cost_usd=cost, request_id=job)
            raise work.failure(words(prediction, "error"), status, status)
        yield Observed(cost_usd=cost, model=words(prediction, "version") or None, request_id=job)
        return (yield from self.output_picture(peek(prediction, "output")))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read Replicate's problem documents: title, detail, status; a missing version is a 422."""
        if words(document(answer), "title").lower().startswith("invalid version"):
            return not_found(self.failures.read(answer))
        return super().explain(answer, purpose)

    def _address(self) -> Generator[Step, Answer, tuple[str, str]]:
        """Return the path that creates predictions, and the version to name; an unpinned model is looked up first."""
        name, _, version = self.model.partition(":")
        route = self.route
        if route == "auto":
            # The official route takes no version, so a pinned model goes by its version.
            route = "official" if self.names().official and not version else "version"
        if route != "version":
            return f"/{'models' if route == 'official' else 'deployments'}/{name}/predictions", ""
        if not version:
            answer = yield self.send("GET", f"/models/{name}", "lookup")
            version = require(answer.json(), "latest_version.id", "the model's latest version")
        return "/predictions", version


_REASONS = Reasons(filtered=(*MODERATION, "e1001"))
"""E1001, "Model Out of Memory": the model has worked until then. See replicate.com/docs/reference/error-codes."""

_FAILED = ("failed", "canceled", "aborted")
_UNWORKED = ("(code: pa)", "e6716")  # Prediction interrupted, and timeout starting prediction.


def _never_worked(prediction: Any) -> bool:
    """Tell whether the vendor says that the model has not worked on this prediction, or not to its end."""
    if peek(prediction, "metrics.predict_time"):
        return False
    reason = words(prediction, "error").lower()
    told = "started_at" in prediction or "metrics" in prediction
    return any(code in reason for code in _UNWORKED) or (told and not peek(prediction, "started_at"))


ADAPTER = Replicate

EXAMPLE = Example(
    parameters={"model": "philz1337x/clarity-upscaler", "scale": 4, "poll_seconds": 0.5},
    environment={"REPLICATE_API_TOKEN": "r8_made_up_for_this_example"},
    polls=2,
    answers=(
        says('{"owner":"philz1337x","name":"clarity-upscaler","latest_version":{"id":"' + "ab" * 32 + '"}}'),
        says(
            '{"id":"gm3qorzdhgbfurvjtvhg6dckhu","version":"' + "ab" * 32 + '","input":{},"output":null,"error":null,'
            '"logs":"","status":"starting","urls":{"get":"{address}/predictions/gm3qorzdhgbfurvjtvhg6dckhu"}}',
            201,
        ),
        says('{"id":"gm3qorzdhgbfurvjtvhg6dckhu","status":"processing","output":null,"error":null}'),
        says(
            '{"id":"gm3qorzdhgbfurvjtvhg6dckhu","status":"succeeded","error":null,"version":"' + "ab" * 32 + '",'
            '"output":["{address}/xezq/output.png"],"metrics":{"predict_time":11.2,"total_time":14.0}}'
        ),
        shows(),
    ),
    failures=(
        (
            says('{"owner":"philz1337x","name":"clarity-upscaler","latest_version":{"id":"' + "ab" * 32 + '"}}'),
            says('{"id":"gm3qorzdhgbfurvjtvhg6dckhv","output":null,"error":null,"status":"starting"}', 201),
            says(
                '{"id":"gm3qorzdhgbfurvjtvhg6dckhv","status":"failed","output":null,"started_at":null,'
                '"error":"Prediction interrupted; please retry (code: PA)"}'
            ),
        ),
        (
            says('{"owner":"philz1337x","name":"clarity-upscaler","latest_version":{"id":"' + "ab" * 32 + '"}}'),
            says('{"id":"gm3qorzdhgbfurvjtvhg6dckhw","output":null,"error":null,"status":"starting"}', 201),
            says('{"id":"gm3qorzdhgbfurvjtvhg6dckhw","status":"failed","output":null,"error":"E1000 - Unknown Error"}'),
        ),
    ),
    pauses=(
        (1.0, says('{"detail":"Request was throttled. Your rate limit resets in ~1s.","status":429}', 429)),
        (1.0, says('{"detail":"Request was throttled.","status":429,"retry_after":1}', 429)),
    ),
)
