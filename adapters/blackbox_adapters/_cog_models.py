"""Inputs of the models that people run on Replicate or as Cog containers, from their published schemas.

A model that is not here works too: its input names are then parameters of the adapter.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from blackbox_adapters._named_inputs import Names
from blackbox_adapters._price_list import flat

_PNG = {"output_format": "png"}
_CRISP = flat("0.006", "the model's page at Replicate, as a third party read it", date(2026, 11, 26))

MODELS: dict[str, Names] = {
    "philz1337x/clarity-upscaler": Names(scale="scale_factor", seed="seed", fixed=_PNG, hazard=True, output="0"),
    "nightmareai/real-esrgan": Names(deterministic=True, max_input_pixels=2_096_704),
    "daanelson/real-esrgan-a100": Names(deterministic=True),
    "xinntao/realesrgan": Names(image="img", deterministic=True),
    "alexgenovese/upscaler": Names(deterministic=True),
    "jingyunliang/swinir": Names(scale=None, scales=(4,), deterministic=True),
    "mv-lab/swin2sr": Names(scale=None, scales=(4,), deterministic=True),
    "fermatresearch/magic-image-refiner": Names(scale=None, seed="seed", output="0", exact=False),
    "fermatresearch/high-resolution-controlnet-tile": Names(
        scale=None, seed="seed", fixed={"format": "png"}, exact=False
    ),
    "cjwbw/supir": Names(scale="upscale", seed="seed", exact=False),
    "zust-ai/supir": Names(scale="upscale", seed="seed", exact=False),
    "fewjative/ultimate-sd-upscale": Names(scale="upscale_by", seed="seed"),
    "csslc/ccsr": Names(scale="sr_scale", seed="seed"),
    "zsxkib/aura-sr-v2": Names(scale=None, scales=(4,), fixed=_PNG),
    "topazlabs/image-upscale": Names(
        scale="upscale_factor", scales=(2, 4, 6), scale_form="2x", fixed=_PNG, official=True
    ),
    "recraft-ai/recraft-crisp-upscale": Names(scale=None, official=True, deterministic=True, exact=False, price=_CRISP),
    "google/upscaler": Names(scale="upscale_factor", scales=(2, 4), scale_form="x2", official=True),
    "megvii-research/nafnet": Names(scale=None, scales=(1,), deterministic=True, degradation="blur:2"),
    "codeslake/ifan-defocus-deblur": Names(scale=None, scales=(1,), deterministic=True, degradation="blur:2"),
    "piddnad/ddcolor": Names(scale=None, scales=(1,), deterministic=True, degradation="grey"),
    "arielreplicate/deoldify_image": Names(
        image="input_image", scale=None, scales=(1,), deterministic=True, exact=False, degradation="grey"
    ),
}
"""``owner/name`` → inputs. SUPIR rounds sizes up to its own grid, so its pictures are resampled.

The limit of Real-ESRGAN is the one that the model states when it refuses a larger picture. Prices are there where
Replicate bills by the picture; most models are billed by the second of a GPU.
"""

TASKS: dict[str, tuple[str, dict[str, str]]] = {
    "jingyunliang/swinir": (
        "task_type",
        {
            "Color Image Denoising": "noise:{noise}",
            "Grayscale Image Denoising": "grey+noise:{noise},grey=true",
            "JPEG Compression Artifact Reduction": "jpeg:{jpeg}",
        },
    ),
    "megvii-research/nafnet": ("task_type", {"Image Denoising": "noise:15"}),
}
"""``owner/name`` → the input that chooses a task, and what is undone at scale 1 by each value of it."""

LEVELS = {"noise": 15, "jpeg": 40}
"""What SwinIR's inputs of these names are unless they are given: grey levels, and JPEG quality."""


def listed(model: str, inputs: Mapping[str, Any]) -> Names:
    """What is known of a model for which the user gives these inputs, one of which may choose what it does."""
    # Names of models are not told apart by their case where people type them.
    names = MODELS.get(model.lower(), Names())
    chooser, tasks = TASKS.get(model.lower(), ("", {}))
    undone = tasks.get(str(inputs.get(chooser)))
    return names if undone is None else replace(names, scales=(1,), degradation=undone.format(**{**LEVELS, **inputs}))
