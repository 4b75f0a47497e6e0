"""Pictures and bytes in the form in which a page holds them."""

import base64
import io
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydantic import PlainSerializer, PlainValidator, Strict
from pydantic_core.core_schema import SerializationInfo

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.support.types import Image

_QUALITIES = {"WEBP": 72, "JPEG": 75}
_KEPT_QUALITY = 90


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


Bytes = Annotated[bytes, Strict()]  # Bytes as a field of a stored document; text is refused.


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if not isinstance(value, bytes):
        raise ValueError("bytes are expected")
    return value


def _as_stored(values: NDArray[Any], info: SerializationInfo) -> Any:
    # Little-endian, in base64 only where JSON alone carries the values.
    data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data.cast("B")
    return base64_text(bytes(data)) if info.mode == "json" else data


Doubles = Annotated[
    NDArray[np.float64],
    PlainValidator(lambda value: np.frombuffer(_bytes_of(value), "<f8").astype(np.float64)),
    PlainSerializer(_as_stored),
]
"""(n,) float64 as a field of a stored document, exact to the last bit."""

Singles = Annotated[
    NDArray[np.float32],
    PlainValidator(lambda value: np.frombuffer(_bytes_of(value), "<f4").astype(np.float32)),
    PlainSerializer(_as_stored),
]
"""A map of float32 as a field of a stored document, read flat: its shape follows from other fields."""


def kept_picture(pixels: Image, block: int) -> bytes:
    """Average `pixels` over whole blocks into a JPEG for `page_picture`, in a quarter of WebP's time."""
    out = io.BytesIO()
    _reduced(PillowImage.fromarray(pixels), block).save(out, "JPEG", quality=_KEPT_QUALITY, subsampling="4:4:4")
    return out.getvalue()


def page_picture(data: bytes, factor: int, side: int, form: Literal["WEBP", "JPEG"] = "WEBP") -> bytes:
    """Average a picture of `kept_picture` over squares of `factor` pixels a side.

    A JPEG is as good as the WebP and a quarter larger. Browsers put a JPEG into a PDF file as it is, but any other
    picture pixel by pixel, in ten times as many bytes.
    """
    if factor == 1 and form == "WEBP" and data[:4] == b"RIFF":
        # Earlier versions kept WebP.
        return data
    out = io.BytesIO()
    try:
        with PillowImage.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as picture:
            if max(picture.size) > side:
                raise ValueError(f"{picture.width}×{picture.height} pixels")
            # Method 3 is slower than the method of `webp`, but makes pictures a fifth smaller.
            how = {"method": 3} if form == "WEBP" else {"progressive": True, "optimize": True}
            _reduced(picture.convert("RGB"), factor).save(out, form, quality=_QUALITIES[form], **how)
    except (OSError, ValueError, PillowImage.DecompressionBombError) as error:
        raise FileFormatError(
            f"expected a picture of at most {side} pixels a side in the report's material; got {type(error).__name__}. "
            "Audit or mask again"
        ) from None
    return out.getvalue()


def reduced(pixels: Image, block: int) -> bytes:
    """Average `pixels` over whole blocks into WebP bytes."""
    return webp(_reduced(PillowImage.fromarray(pixels), block))


def webp(picture: PillowImage.Image, quality: int = _QUALITIES["WEBP"]) -> bytes:
    """Encode `picture` as WebP without metadata."""
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=quality, method=0)
    return out.getvalue()


def _reduced(picture: PillowImage.Image, factor: int) -> PillowImage.Image:
    return picture.reduce(factor) if factor > 1 else picture
