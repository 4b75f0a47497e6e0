"""Hugging Face: image-to-image models on its own inference provider, or on your own dedicated endpoint.

Source: huggingface_hub. `hugging_face_providers` serves models that the router hands to a partner.
"""

from typing import Any, Self

from pydantic import Field, model_validator

from blackbox_adapters._failures import UNFIT, Failures, Reasons, not_found
from blackbox_adapters._hosted import Hosted, JsonObject, present
from blackbox_adapters._named_inputs import SEEDS
from blackbox_adapters._reading import base64_text, document, peek, seconds, words
from blackbox_conformal.errors import PayloadError, TryLaterError, VendorError
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Draw, Flow, Observed, Purpose, Upload
from blackbox_conformal.vendor.example import Example, says, shows


class HuggingFace(Hosted):
    """A model behind Hugging Face's inference interface.

    With ``model=owner/name`` the request goes to the router; with ``endpoint=true`` to `url`, a dedicated endpoint. A
    model that is loading answers 503 and says how long. An error of its handler is asked for again, unless it speaks of
    the parameters or of an unreadable picture.

    Seeds: only where `seed-field` names a parameter of the model, as in ``seed-field=seed``.
    """

    name = "hugging-face"
    version = 2
    failures = Failures(
        message=["error", "message", "detail"],
        request_id_header="x-request-id",
        failed=[500],
        reasons=Reasons(every=("unknown parameter", "unexpected keyword"), refused=(*UNFIT, "must be an image")),
    )
    seeds_by_model = True
    auth_variable = "HF_TOKEN"
    documentation = "https://huggingface.co/docs/inference-providers/tasks/image-to-image"
    evidence = "client"
    uncertain = (
        "few upscalers are deployed; whether a model takes a seed or a scale depends on its handler",
        "the answer's file format is the handler's choice",
    )

    url: str = Field(
        default="https://router.huggingface.co/hf-inference", description="Address of the router or the endpoint."
    )
    model: str = Field(
        default="", pattern=r"^([\w.-]+/[\w.-]+)?$", description="owner/name; empty for a dedicated endpoint."
    )
    endpoint: bool = Field(default=False, description="`url` is a dedicated endpoint: nothing is added to it.")
    scale: int = Field(default=4, ge=1, le=16, description="Magnification of the model.")
    target_size: bool = Field(default=False, description="Send the wanted size as parameters.target_size.")
    settings: JsonObject = Field(default_factory=dict, description="Further `parameters` of the model.")
    seed_field: str = Field(default="", description="Name of the parameter that takes a seed; empty = none.")
    revision: str | None = Field(default=None, description="Revision of the model, to name it in the calibration.")
    resample: bool = Field(default=False, description="Resample a result that is not exactly scale times the input.")

    @model_validator(mode="after")
    def _is_addressed(self) -> Self:
        if bool(self.model) == self.endpoint:
            raise ValueError("expected model=owner/name, or url=… with endpoint=true; give one of the two")
        return self

    @property
    def named(self) -> bool:
        return bool(self.model or self.revision)

    @property
    def capabilities(self) -> Capabilities:
        seeded = bool(self.seed_field)
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=SEEDS if seeded else None,
            price=self.given_price,
            output_size="resample" if self.resample else "exact",
            transient_known=True,
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        parameters: dict[str, Any] = dict(self.settings)
        if self.target_size:
            parameters["target_size"] = {"width": upload.width * self.scale, "height": upload.height * self.scale}
        if self.seed_field and draw.seed is not None:
            parameters[self.seed_field] = draw.seed
        body = present(inputs=base64_text(upload.png), parameters=parameters)
        path = "" if self.endpoint else f"/models/{self.model}"
        answer = yield self.send("POST", path, "submit", {"accept": "image/png"}, json=body)
        problem = document(answer)
        if problem is not None:
            message = words(problem, "error", "message") or words(problem, "")
            if words(problem, "error"):
                raise self.failures.reasons.error(f"the model answered with an error: {message}", message, code="error")
            raise PayloadError(f"expected a picture; got JSON: {message}")
        yield Observed(model=self.revision, request_id=answer.headers.get("x-request-id"))
        return answer.body

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read ``{error, estimated_time}``; 503 = the model is loading; a model that is not served is a 400."""
        failure = self.failures.read(answer)
        if answer.status == 503:
            wait = seconds(peek(document(answer), "estimated_time"))
            return TryLaterError(
                f"HTTP 503: {failure.message}", retry_after=wait, request_id=failure.request_id, code="503"
            )
        if answer.status == 400 and "not supported by provider" in failure.message:
            return not_found(failure)
        return super().explain(answer, purpose)


ADAPTER = HuggingFace

EXAMPLE = Example(
    parameters={"model": "someone/upscaler", "seed_field": "seed", "scale": 4},
    environment={"HF_TOKEN": "hf_made_up_for_this_example"},
    answers=(shows(x_request_id="Root=1-made-up"),),
    failures=((says('{"error":"CUDA out of memory"}', 500),),),
    pauses=((1.0, says('{"error":"Model someone/upscaler is currently loading","estimated_time":1.0}', 503)),),
)
