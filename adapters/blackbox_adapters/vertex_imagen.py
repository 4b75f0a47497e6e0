"""Google Vertex AI: Imagen's upscaling mode, through predict.

Sources: the vendor's Python SDK and documentation of 2026.
"""

from typing import Annotated, Literal

from pydantic import Field

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import FromText, Hosted, present
from blackbox_adapters._reading import base64_text, decoded, peek, words
from blackbox_conformal.errors import PayloadError, RefusedError
from blackbox_conformal.vendor.adapter import Capabilities, Draw, Flow, Observed, Rate, Upload
from blackbox_conformal.vendor.example import Example, says

_PAGE = "docs.cloud.google.com/vertex-ai/generative-ai/docs/image/upscale-image"


class VertexImagen(Hosted):
    """Imagen's upscaler on Vertex AI.

    The key is an OAuth access token, good for about an hour: ``gcloud auth print-access-token`` prints one. A filtered
    picture is an HTTP 200 with a reason instead of the picture; it is booked at its price.

    Seeds: none.
    """

    name = "vertex-imagen"
    version = 2
    auth_variable = "GOOGLE_OAUTH_ACCESS_TOKEN"
    documentation = "https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-upscale-api"
    evidence = "client"
    failures = Failures(
        message=["error.message", "0.error.message", "error"],
        code=["error.status"],
        request_id_header="x-goog-request-id",
        failed=[499, 500, 503, 504],
    )
    transient = Hosted.transient | {"project", "location"}
    uncertain = (
        "whether the preview model outlived the shutdown of other Imagen models in June 2026; model=… names another",
        "whether repeated calls differ",
        "every picture carries the vendor's invisible watermark, which is left on as the vendor has it",
        "no price of upscaling could be read in the vendor's documents: give price-usd",
    )

    url: str = Field(default="", description="Address of the interface; empty = by location.")
    project: str = Field(pattern=r"^[a-z0-9:.-]+$", description="Google Cloud project.")
    location: str = Field(default="us-central1", pattern=r"^[a-z0-9-]+$", description="Google Cloud region.")
    model: str = Field(default="imagen-4.0-upscale-preview", pattern=r"^[\w.@-]+$", description="Model.")
    scale: Annotated[Literal[2, 3, 4], FromText] = Field(default=4, description="Magnification.")
    enhance_input: bool | None = Field(default=None, description="Clean the picture first; None = the default.")
    preservation: float | None = Field(
        default=None, ge=0.0, le=1.0, description="How faithful to stay; None = the vendor's default."
    )

    @property
    def base_url(self) -> str:
        return self.url.rstrip("/") or f"https://{self.location}-aiplatform.googleapis.com"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scale_factors=(self.scale,),
            max_output_pixels=17_000_000,
            max_upload_bytes=10_000_000,
            price=self.given_price,
            transient_known=True,
            rates=(Rate(50, 60.0, "submit"),),
            retired=f"2026-06-30, {_PAGE}: {self.model}" if self.model.startswith("imagegeneration@") else "",
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        upscale = present(
            upscaleFactor=f"x{self.scale}",
            enhanceInputImage=self.enhance_input,
            imagePreservationFactor=self.preservation,
        )
        body = {
            "instances": [{"prompt": "", "image": {"bytesBase64Encoded": base64_text(upload.png)}}],
            "parameters": {
                "mode": "upscale",
                "sampleCount": 1,
                "upscaleConfig": upscale,
                "outputOptions": {"mimeType": "image/png"},
                "includeRaiReason": True,
            },
        }
        path = f"/v1/projects/{self.project}/locations/{self.location}/publishers/google/models/{self.model}:predict"
        answer = yield self.send("POST", path, "submit", json=body)
        result = answer.json()
        picture = peek(result, "predictions.0.bytesBase64Encoded")
        if not picture:
            reason = words(result, "predictions.0.raiFilteredReason", "raiFilteredReason")
            if reason or peek(result, "predictions") == []:
                raise RefusedError(f"filtered: {reason or 'no reason given'}", billed=True, code="raiFilteredReason")
            raise PayloadError(f"expected predictions.0.bytesBase64Encoded; got {words(result, '') or 'nothing'}")
        yield Observed(model=words(result, "deployedModelId", "modelVersionId") or self.model)
        return decoded(picture, "predictions.0.bytesBase64Encoded")


ADAPTER = VertexImagen

EXAMPLE = Example(
    parameters={"project": "made-up-project"},
    environment={"GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.made-up-for-this-example"},
    answers=(says('{"predictions":[{"mimeType":"image/png","bytesBase64Encoded":"{picture-base64}"}]}'),),
    failures=((says('{"error":{"code":500,"message":"Internal error encountered.","status":"INTERNAL"}}', 500),),),
)
