"""Hugging Face's partners behind its router, against huggingface_hub."""

from functools import partial
from typing import Any

from clients.case import RESULT, Case, Reading
from clients.exchange import Script, answer, picture
from clients.of_hugging_face import TRACE, enlarged

from blackbox_conformal.vendor.adapter import Upload

HUB = "GET /api/models/fal/AuraSR"
FILE = "GET /files/out.png"
LINK = "{address}/files/out.png"
JSON = "the client names the kind of the picture, and gets JSON with a link"
OTHER_HOST = "the client adds the partner's name to the path at router.huggingface.co only"


def upscale(provider: str, address: str, upload: Upload, seed: int | None) -> bytes:
    return enlarged(address, provider, "fal/AuraSR", upload, prompt="sharpen", seed=seed)


def hub(provider: str, known: str) -> Script:
    mapping = {provider: {"status": "live", "providerId": known, "task": "image-to-image"}}
    return {HUB: (answer({"id": "fal/AuraSR", "inferenceProviderMapping": mapping}),), FILE: (picture(RESULT),)}


def both(method: str, provider: str, path: str, *answers: Any) -> Script:
    """The same answers where the client asks and where the adapter does."""
    return {f"{method} {path}": answers, f"{method} /{provider}{path}": answers}


def parameters(provider: str) -> dict[str, Any]:
    named = {"provider": provider, "prompt": "sharpen", "seed_field": "seed"}
    return {"url": "{address}", "model": "fal/AuraSR", "poll_seconds": 0.1, **named}


def deliberate(submit: str, *polls: str) -> dict[str, str]:
    """What holds for every partner: `submit` and `polls` are the places of its requests."""
    return {
        **{f"{place} header.x-amzn-trace-id": TRACE for place in (HUB, submit, *polls, FILE)},
        **{f"{place} header.accept": JSON for place in (submit, *polls)},
        **{f"{place} header.content-type": "a request without a body needs no type of one" for place in polls},
        **{f"{place} place": OTHER_HOST for place in polls},
    }


FAL = "/fal-ai/aura-sr/requests/r-1"
QUEUED = {"request_id": "r-1", "status": "IN_QUEUE", "response_url": f"https://queue.fal.run{FAL}"}
FAL_SUBMIT = "POST /fal-ai/fal-ai/aura-sr"
WAVE = "/api/v3/predictions/w-1/result"
WAVE_SUBMIT = "POST /wavespeed/api/v3/wavespeed-ai/upscaler"
REPLICATE_SUBMIT = "POST /replicate/v1/models/owner/upscaler/predictions"


def wave(status: str, **more: Any) -> dict[str, Any]:
    return {
        "code": 200,
        "data": {"id": "w-1", "status": status, "urls": {"get": f"https://api.wavespeed.ai{WAVE}"}, **more},
    }


CASES = (
    Case(
        "hugging-face-providers",
        "huggingface_hub",
        "fal's queue",
        partial(upscale, "fal-ai"),
        parameters("fal-ai"),
        {
            **hub("fal-ai", "fal-ai/aura-sr"),
            FAL_SUBMIT: (answer(QUEUED),),
            **both("GET", "fal-ai", f"{FAL}/status", answer({"status": "COMPLETED"})),
            **both("GET", "fal-ai", FAL, answer({"images": [{"url": LINK}]})),
        },
        deliberate(FAL_SUBMIT, f"GET /fal-ai{FAL}/status", f"GET /fal-ai{FAL}"),
        alias={f"GET {FAL}/status": f"GET /fal-ai{FAL}/status", f"GET {FAL}": f"GET /fal-ai{FAL}"},
        readings=(
            Reading(
                "the account has no credit left (402)",
                {FAL_SUBMIT: (answer({"error": "You have exceeded your credits"}, 402),)},
                "HfHubHTTPError",
                "AccountRefusedError",
            ),
            Reading(
                "too many requests (429)",
                {FAL_SUBMIT: (answer({"error": "too many"}, 429),)},
                "HfHubHTTPError",
                "TryLaterError",
            ),
        ),
    ),
    Case(
        "hugging-face-providers",
        "huggingface_hub",
        "WaveSpeed",
        partial(upscale, "wavespeed"),
        parameters("wavespeed"),
        {
            **hub("wavespeed", "wavespeed-ai/upscaler"),
            WAVE_SUBMIT: (answer(wave("created")),),
            **both("GET", "wavespeed", WAVE, answer(wave("processing")), answer(wave("completed", outputs=[LINK]))),
        },
        {
            **deliberate(WAVE_SUBMIT, f"GET /wavespeed{WAVE}"),
            f"{WAVE_SUBMIT} body.image": "the client calls every picture a JPEG; the adapter's is called what it is",
        },
        alias={f"GET {WAVE}": f"GET /wavespeed{WAVE}"},
    ),
    Case(
        "hugging-face-providers",
        "huggingface_hub",
        "Replicate, by an official model",
        partial(upscale, "replicate"),
        parameters("replicate"),
        {
            **hub("replicate", "owner/upscaler"),
            REPLICATE_SUBMIT: (
                answer(
                    {
                        "id": "p-1",
                        "status": "succeeded",
                        "output": LINK,
                        "urls": {"get": "https://api.replicate.com/v1/predictions/p-1"},
                    }
                ),
            ),
        },
        deliberate(REPLICATE_SUBMIT),
    ),
)
