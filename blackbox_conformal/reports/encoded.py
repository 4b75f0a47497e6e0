"""Pictures and bytes in the form in which a page holds them."""

import base64
import io

from PIL import Image as PillowImage

from blackbox_conformal.types import Image

_QUALITY = 72


def base64_text(data: bytes) -> str:
    """`data` in base64."""
    return base64.b64encode(data).decode()


def reduced(pixels: Image, block: int) -> bytes:
    """`pixels` averaged over whole blocks, as WebP."""
    picture = PillowImage.fromarray(pixels)
    return webp(picture.reduce(block) if block > 1 else picture)


def reduced_webp(data: bytes, factor: int) -> bytes:
    """The WebP picture `data` averaged over squares of `factor` pixels a side, as WebP."""
    if factor == 1:
        return data
    with PillowImage.open(io.BytesIO(data)) as picture:
        return webp(picture.convert("RGB").reduce(factor))


def webp(picture: PillowImage.Image, quality: int = _QUALITY) -> bytes:
    """`picture` as WebP bytes without metadata."""
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=quality, method=0)
    return out.getvalue()
