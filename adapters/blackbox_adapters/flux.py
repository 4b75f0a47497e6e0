"""FLUX of Black Forest Labs as an editor: FLUX.1 Kontext, FLUX.2 and FLUX Deblur, submitted as tasks.

Sources: the vendor's documentation pages with fragments of its OpenAPI document, its integration guide for agents, and
clients of 2026.
"""

import json
import math
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import Field

from blackbox_adapters._failures import Failures, Reasons
from blackbox_adapters._hosted import REPAINTS, Editor
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._reading import base64_text, fetched, integer, money, peek, require
from blackbox_conformal.errors import JobError
from blackbox_conformal.vendor.adapter import Accepted, Capabilities, Draw, Flow, Observed, Price, Send, Upload
from blackbox_conformal.vendor.example import Example, says, shows

USD_PER_CREDIT = Decimal("0.01")
KONTEXT = {"flux-kontext-pro": "0.04", "flux-kontext-max": "0.08"}  # Price of a picture, whatever its size.
MEGAPIXELS = {"flux-2-pro": ("0.03", "0.015"), "flux-2-max": ("0.07", "0.03"), "flux-2-flex": ("0.05", "0.05")}
"""Price of the first megapixel made, and of every further one made or sent."""
REWRITERS = ("kontext-pro", "kontext-max", "flex")
"""Models that turn rewriting of the prompt off by prompt_upsampling; all others use disable_pup."""
SOURCE = ("Black Forest Labs' integration guide, January 2026", date(2026, 11, 26))  # Where prices were read, and when.
DEBLUR = "flux-tools/deblur-v1"
MOST, STEP = 4_000_000, 16
STORES = (".bfl.ai", "bfldeliveryprod.blob.core.windows.net", "bfldeliverysc.blob.core.windows.net")


class Flux(Editor):
    """FLUX.1 Kontext and FLUX.2, told to restore.

    An editor, not an upscaler: it paints the picture anew and may move or change what it shows. Kontext gives about one
    megapixel in the input's proportions; FLUX.2 is asked for the wanted size, up to 4 megapixels. Both are resampled. A
    task is polled at the address that its submission names, without the key on another host. Links end after ten
    minutes. 24 tasks may be at work at a time, 6 of kontext-max.

    FLUX Deblur (``model=flux-tools/deblur-v1``, ``scale=1``) takes no prompt and up to 4 megapixels.

    Seeds: 0 to 4294967295; without one the vendor draws its own.
    """

    name = "flux"
    auth_variable = "BFL_API_KEY"
    auth_header = "x-key"
    auth_prefix = ""
    documentation = "https://docs.bfl.ai/kontext/kontext_image_editing"
    evidence = "client"
    failures = Failures(message=["detail", "detail.0.msg", "message", "error"], later=[503], failed=[500])
    uncertain = (
        REPAINTS,
        "whether a task that ends with an error, or that moderation ends, is billed is not documented; it is booked at "
        "the cost that its submission told",
        "the words that end a task without a picture are those of the vendor's pages, and its client has others; at "
        "any other word a task is polled until its time is over",
        "the range of seeds is not documented",
        "the hosts of results are from clients; name others in result-hosts if one is refused",
        "the price of FLUX Deblur could not be read, nor whether its pictures have the size of the input: they are "
        "resampled, and the cost that its submission tells is booked",
        "the field by which FLUX.2 pro and max are told not to rewrite the prompt, disable_pup, is from clients",
    )

    url: str = Field(
        default="https://api.bfl.ai", description="Address of the interface; https://api.eu.bfl.ai keeps to the EU."
    )
    model: str = Field(
        default="flux-kontext-pro",
        pattern=r"^flux-[a-z0-9.-]+(/[a-z0-9.-]+)?$",
        description="flux-kontext-pro, flux-kontext-max, flux-2-pro, flux-2-max, flux-2-flex or flux-tools/deblur-v1.",
    )
    safety_tolerance: int = Field(default=2, ge=0, le=6, description="From 0, strict, to 6; FLUX.2 to 5.")
    poll_seconds: float = Field(default=1.0, ge=0.1, description="Seconds between two polls of a task.")

    @property
    def capabilities(self) -> Capabilities:
        deblurs = self.model == DEBLUR
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=(0, 2**32 - 1),
            min_side=64,
            max_input_pixels=MOST if deblurs else 20_000_000,
            max_upload_bytes=15_000_000,
            max_aspect=21 / 9,
            max_concurrency=6 if self.model == "flux-kontext-max" else 24,
            price=self._price(),
            transient_known=True,
            output_size="any",
            degradation="blur:2" if deblurs else "bicubic",
            result_hosts=self.hosts(*STORES),
        )

    def price_for(self, width: int, height: int) -> Price | None:
        """Return Kontext's price per picture; FLUX.2's by started megapixels made and sent."""
        if self.price_usd is not None or self.model not in MEGAPIXELS:
            return self._price()
        made = math.prod(self.size(width, height))
        return self.priced(self._usd(_megapixels(made), _megapixels(width * height)), None, *SOURCE)

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        wanted: dict[str, Any] = {"image": base64_text(upload.png)}
        if self.model != DEBLUR:
            wanted = {"prompt": self.prompt, "input_image": base64_text(upload.png)}
            # Unless told not to, the vendor rewrites a prompt, differently each time.
            wanted |= {"prompt_upsampling": False} if self.model.endswith(REWRITERS) else {"disable_pup": True}
            if not self.model.startswith("flux-kontext"):
                wanted["width"], wanted["height"] = self.size(upload.width, upload.height)
        wanted |= {"output_format": "png", "safety_tolerance": self.safety_tolerance, "seed": draw.seed}
        answer = yield self.send("POST", f"/v1/{self.model}", "submit", json=wanted)
        task = answer.json()
        name = require(task, "id", "a task's id")
        link = peek(task, "polling_url") or f"{self.base_url}/v1/get_result?id={quote(name, safe='')}"
        job = json.dumps({"id": name, "polling_url": link, "cost": peek(task, "cost")})
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        try:
            kept = json.loads(job)
        except ValueError:
            raise JobError(f"expected what this adapter keeps of a task; got {job!r}") from None
        name, link = require(kept, "id", "a task's id"), require(kept, "polling_url", "a link")
        yield Observed(cost_usd=money(peek(kept, "cost"), USD_PER_CREDIT), request_id=name)
        task = PolledJob(
            "task",
            name,
            done=("Ready",),
            failed=("Error", "Failed", "Request Moderated", "Content Moderated", "Task not found"),
            picture="result.sample",
            reason=("details", "result", "error"),
            reasons=Reasons(refused=("request moderated",), filtered=("content moderated",)),
        )
        own = urlsplit(link).netloc == urlsplit(self.base_url).netloc
        poll = Send("GET", link, "poll", headers=self.key() if own else {}, public=not own)
        answer = yield from polled(
            poll, self.poll_seconds, lambda answer: answer.json() if task.result(answer.json()) else None
        )
        cost = money(peek(answer, "cost"), USD_PER_CREDIT)
        yield Observed(cost_usd=cost, request_id=name, seed=integer(peek(answer, "result.seed")))
        return (yield from fetched(peek(answer, "result.sample"), "result.sample"))

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the size to ask of FLUX.2: the wanted one, or what 4 megapixels hold."""
        factor = min(self.scale, math.sqrt(MOST / (width * height)))
        return max(64, int(width * factor) // STEP * STEP), max(64, int(height * factor) // STEP * STEP)

    def _price(self) -> Price | None:
        if self.model in MEGAPIXELS:
            return self.priced(self._usd(1, 1), self._usd(4, 20), *SOURCE)
        return self.priced(KONTEXT.get(self.model), None, *SOURCE)

    def _usd(self, made: int, sent: int) -> str:
        first, further = map(Decimal, MEGAPIXELS[self.model])
        return str(first + further * (made - 1 + sent))


def _megapixels(pixels: int) -> int:
    return math.ceil(pixels / 1_000_000)


ADAPTER = Flux

EXAMPLE = Example(
    parameters={"poll_seconds": 0.1},
    environment={"BFL_API_KEY": "bfl_made_up_for_this_example"},
    polls=1,
    answers=(
        says('{"id":"7e4f","polling_url":"{address}/v1/get_result?id=7e4f","cost":4.0,"input_mp":0.1,"output_mp":1.0}'),
        says('{"id":"7e4f","status":"Pending","result":null,"progress":null}'),
        says(
            '{"id":"7e4f","status":"Ready","result":{"sample":"{address}/results/sample.png","seed":1000},"cost":4.0}'
        ),
        shows(),
    ),
    cost_usd=Decimal("0.04"),
    failures=(
        (
            says('{"id":"7e50","polling_url":"{address}/v1/get_result?id=7e50","cost":4.0}'),
            says('{"id":"7e50","status":"Error","result":null,"progress":null}'),
        ),
        (says('{"detail":"Internal server error"}', 500),),
    ),
)
