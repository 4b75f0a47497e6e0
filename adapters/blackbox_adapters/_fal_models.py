"""Inputs of fal's endpoints that upscale or restore, from the types that its official client generates.

A model that is not here works too: its input names are then parameters of the adapter.
"""

from datetime import date

from blackbox_adapters._named_inputs import Names
from blackbox_adapters._price_list import PriceList, flat, per_megapixel, tiers

_FACTOR = "upscale_factor"
_OUT = "image.url"
_OPEN = {"enable_safety_checker": False}
_OPEN_CREATIVE = {"enable_safety_checks": False}
_PAGE = ("the model's page at fal", date(2026, 11, 26))
_REPORTED = ("the model's page at fal, as a third party read it", date(2026, 9, 9))
_TOPAZ = ("the model's page at fal for both ends, Topaz's prices at Comfy between them", date(2026, 11, 26))


def _restorer(degradation: str, price: PriceList | None = None) -> Names:
    """A network that answers at the size of the input; its seed is taken, and changes nothing."""
    return Names(
        image="image_url",
        scale=None,
        scales=(1,),
        seed="seed",
        deterministic=True,
        output=_OUT,
        price=price,
        degradation=degradation,
    )


MODELS: dict[str, Names] = {
    "fal-ai/clarity-upscaler": Names(
        image="image_url",
        scale=_FACTOR,
        seed="seed",
        fixed=_OPEN,
        output=_OUT,
        price=per_megapixel("0.03", *_PAGE),
    ),
    "fal-ai/ccsr": Names(image="image_url", seed="seed", output=_OUT),
    "fal-ai/seedvr/upscale/image": Names(
        image="image_url",
        scale=_FACTOR,
        seed="seed",
        fixed={"upscale_mode": "factor", "output_format": "png"},
        output=_OUT,
        price=per_megapixel("0.001", *_REPORTED),
        exact=False,
    ),
    "fal-ai/aura-sr": Names(image="image_url", scale=_FACTOR, scales=(4,), output=_OUT),
    "fal-ai/esrgan": Names(image="image_url", fixed={"output_format": "png"}, deterministic=True, output=_OUT),
    "fal-ai/topaz/upscale/image": Names(
        image="image_url",
        scale=_FACTOR,
        scales=(1, 2, 3, 4),
        fixed={"output_format": "png"},
        output=_OUT,
        price=tiers(((24, "0.08"), (48, "0.16"), (96, "0.32"), (512, "1.36")), *_TOPAZ),
    ),
    "fal-ai/creative-upscaler": Names(image="image_url", seed="seed", fixed=_OPEN_CREATIVE, output=_OUT),
    "fal-ai/flux-vision-upscaler": Names(
        image="image_url",
        scale=_FACTOR,
        scales=(1, 2, 3, 4),
        seed="seed",
        fixed=_OPEN,
        output=_OUT,
        price=per_megapixel("0.1", *_PAGE),
    ),
    "fal-ai/recraft/upscale/crisp": Names(
        image="image_url",
        scale=None,
        fixed=_OPEN,
        deterministic=True,
        output=_OUT,
        exact=False,
        price=flat("0.004", *_REPORTED),
    ),
    "fal-ai/recraft/upscale/creative": Names(
        image="image_url", scale=None, fixed=_OPEN, output=_OUT, exact=False, price=flat("0.25", *_REPORTED)
    ),
    "fal-ai/drct-super-resolution": Names(
        image="image_url",
        scale=_FACTOR,
        scales=(4,),
        deterministic=True,
        output=_OUT,
        price=per_megapixel("0.0045", *_REPORTED),
    ),
    "fal-ai/ideogram/upscale": Names(
        image="image_url",
        scale=None,
        seed="seed",
        output="images.0.url",
        exact=False,
        price=flat("0.06", *_REPORTED),
    ),
    "clarityai/crystal-upscaler": Names(
        image="image_url",
        scale="scale_factor",
        output="images.0.url",
        price=per_megapixel("0.016", *_REPORTED),
    ),
    "bria/upscale/creative": Names(image="image_url", scale=None, seed="seed", hazard=True, output=_OUT, exact=False),
    "fal-ai/nafnet/denoise": _restorer("noise:15", price=per_megapixel("0.0225", *_PAGE)),
    "fal-ai/nafnet/deblur": _restorer("blur:2"),
    "fal-ai/ddcolor": _restorer("grey"),
    "bria/fibo-edit/colorize": Names(
        image="image_url",
        scale=None,
        scales=(1,),
        fixed={"color": "contemporary color"},
        output=_OUT,
        exact=False,
        degradation="grey",
    ),
}
"""Endpoint → inputs. The safety checker is turned off where it may be: it replaces pictures by black ones.

SeedVR was seen to round sides to multiples of 16, so its pictures are resampled."""

UNKNOWN = Names(image="image_url", scale=_FACTOR, output=_OUT)
