"""AUTOMATIC1111's web interface, also in Forge and SD.Next, which keep its routes: extras and img2img.

Source: the server's own `modules/api`. It works on one request at a time, so draws queue up.
"""

import json
from typing import Any, Literal

from pydantic import Field

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import JsonObject, OptionalKey, OwnServer
from blackbox_adapters._reading import base64_text, decoded, document, peek, words
from blackbox_conformal.errors import VendorError
from blackbox_conformal.vendor.adapter import FREE, Answer, Capabilities, Draw, Flow, Observed, Purpose, Upload
from blackbox_conformal.vendor.example import Example, says


class Automatic1111(OptionalKey, OwnServer):
    """A Stable Diffusion web interface started with ``--api``, by default on this machine's port 7860.

    ``img2img`` paints the enlarged picture anew and varies with the seed; ``extras`` runs an upscaler such as R-ESRGAN
    and does not. With ``--api-auth user:password`` set ``authenticate=true`` and put ``base64(user:password)`` into
    AUTOMATIC1111_API_AUTH. An exception of the server, such as exhausted memory, is asked for again; a picture that the
    server cannot decode is not.

    Seeds: img2img takes one (-1 would mean random); extras takes none.
    """

    name = "automatic1111"
    version = 2
    auth_variable = "AUTOMATIC1111_API_AUTH"
    documentation = "https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/API"
    evidence = "real-server"
    auth_prefix = "Basic "
    failures = Failures(message=["error"], code=["error"], failed=[500])
    uncertain = (
        "pictures come in the server's samples_format: leave it at png",
        "img2img may round sides that are not multiples of 8 (from memory): then set resample=true",
        "extras was seen on SD.Next of July 2026; img2img, and the other two servers, are from their source only",
    )

    url: str = Field(default="http://127.0.0.1:7860", description="Address of the server.")
    mode: Literal["img2img", "extras"] = Field(default="img2img", description="Which route enlarges the picture.")
    scale: int = Field(default=4, ge=1, le=8, description="Magnification.")
    upscaler: str = Field(
        default="R-ESRGAN 4x+", description="extras: upscaler, a name from /sdapi/v1/upscalers; None does nothing."
    )
    prompt: str = Field(default="a photograph", description="img2img: what the picture shows.")
    denoising_strength: float = Field(default=0.35, ge=0.0, le=1.0, description="img2img: how much is painted anew.")
    steps: int = Field(default=20, ge=1, le=150, description="img2img: sampling steps.")
    settings: JsonObject = Field(
        default_factory=dict, description='Further fields of the request, such as {"sampler_name": "DPM++ 2M"}.'
    )
    checkpoint: str | None = Field(
        default=None, description="Checkpoint to load for each request (override_settings); None = the loaded one."
    )
    authenticate: bool = Field(default=False, description="Send the user and password of --api-auth.")

    @property
    def capabilities(self) -> Capabilities:
        paints = self.mode == "img2img"
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=(0, 2**32 - 1) if paints else None,
            price=self.given_price or FREE,
            output_size=self.output_size,
            deterministic=not paints,
            transient_known=True,
            max_concurrency=1,
            answer_timeout_s=1800.0,
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        body: dict[str, Any] = dict(self.settings)
        if self.mode == "extras":
            body |= {
                "image": base64_text(upload.png),
                "resize_mode": 0,
                "upscaling_resize": self.scale,
                "upscaler_1": self.upscaler,
            }
            route, where = "extra-single-image", "image"
        else:
            body = {"prompt": self.prompt, "steps": self.steps, "denoising_strength": self.denoising_strength} | body
            body |= {
                "init_images": [base64_text(upload.png)],
                "width": upload.width * self.scale,
                "height": upload.height * self.scale,
                "batch_size": 1,
                "n_iter": 1,
                "seed": -1 if draw.seed is None else draw.seed,
            }
            if self.checkpoint is not None:
                body["override_settings"] = {"sd_model_checkpoint": self.checkpoint}
            route, where = "img2img", "images.0"
        answer = yield self.send("POST", f"/sdapi/v1/{route}", "submit", json=body)
        try:
            # `info` is JSON in a text; SD.Next gives the checkpoint's hash alone.
            info = json.loads(peek(document(answer), "info"))
        except (ValueError, TypeError, RecursionError):
            info = None
        name, digest = words(info, "sd_model_name"), words(info, "sd_model_hash")
        asked = (self.upscaler if self.mode == "extras" else self.checkpoint) or ""
        yield Observed(model=" ".join(filter(None, [name or asked, digest and f"[{digest}]"])) or None)
        return decoded(peek(answer.json(), where), where)

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        failure = self.failures.read(answer)
        message = ": ".join(filter(None, (failure.message, words(document(answer), "detail", "errors"))))
        return self.failures.error(answer, purpose, failure._replace(message=message))


ADAPTER = Automatic1111

EXAMPLE = Example(
    parameters={"mode": "img2img", "scale": 4},
    answers=(
        says(
            '{"images":["{picture-base64}"],"parameters":{},"info":"{\\"seed\\": 1000, \\"all_seeds\\": [1000],'
            ' \\"sd_model_name\\": \\"sd_xl_base\\", \\"sd_model_hash\\": \\"31e35c80fc\\"}"}'
        ),
    ),
    failures=((says('{"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory."}', 500),),),
)
