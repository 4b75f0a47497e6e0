"""Pictures just beyond each limit that an adapter declares."""

import math
from collections.abc import Iterator

from blackbox_conformal.vendor.adapter import Capabilities, Upload


def beyond(limits: Capabilities, scale: int) -> Iterator[tuple[str, Upload]]:
    """Name of each declared limit, and a picture that breaks it; a limit that no picture can break is left out."""
    sides = {
        "min_side": limits.min_side and limits.min_side - 1,
        "max_side": limits.max_side and limits.max_side + 1,
        "min_output_side": limits.min_output_side and math.ceil(limits.min_output_side / scale) - 1,
        "max_output_side": limits.max_output_side and limits.max_output_side // scale + 1,
        "max_input_pixels": limits.max_input_pixels and math.isqrt(limits.max_input_pixels) + 1,
        "max_output_pixels": limits.max_output_pixels and math.isqrt(limits.max_output_pixels) // scale + 1,
    }
    for limit, side in sides.items():
        if side:
            yield limit, _blank(side, side)
    if limits.max_aspect is not None:
        long = math.ceil(100 * limits.max_aspect) + 1 if math.isfinite(limits.max_aspect) else 10**9
        yield "max_aspect", _blank(long, 100)
    if limits.max_upload_bytes is not None:
        side = math.isqrt(limits.max_upload_bytes) + 1
        yield "max_upload_bytes", _blank(side, side, limits.max_upload_bytes + 1)


def _blank(width: int, height: int, size: int = 0) -> Upload:
    """An upload of this size in pixels and bytes: nothing but these is looked at before it is refused."""
    return Upload("unfit", "sha256:" + "0" * 64, bytes(size), width, height)
