"""Whether a picture keeps the limits on sizes that the vendor states, said before anything is sent."""

from blackbox_conformal.vendor.adapter import Capabilities, Upload


def misfit(width: int, height: int, limits: Capabilities, scale: int) -> str | None:
    """Which limit an input of this size breaks, in words that go on after the vendor's name; None: it keeps them."""
    shown, output = f"the input is {width}×{height}", width * height * scale**2
    by = "it" if scale == 1 else f"×{scale}"
    made = f"{by} would make {width * scale}×{height * scale}"
    short, long = min(width, height), max(width, height)
    if limits.min_side is not None and short < limits.min_side:
        return f"takes sides of at least {limits.min_side} pixels; {shown}"
    if limits.max_side is not None and long > limits.max_side:
        return f"takes sides of at most {limits.max_side} pixels; {shown}"
    if limits.min_output_side is not None and short * scale < limits.min_output_side:
        return f"returns sides of at least {limits.min_output_side} pixels; {made}"
    if limits.max_output_side is not None and long * scale > limits.max_output_side:
        return f"returns sides of at most {limits.max_output_side} pixels; {made}"
    if limits.max_aspect is not None and long > limits.max_aspect * short:
        return f"takes sides of which one is at most {limits.max_aspect:g} times the other; {shown}"
    if limits.max_input_pixels is not None and width * height > limits.max_input_pixels:
        return f"takes at most {limits.max_input_pixels} input pixels; the input has {width * height}"
    if limits.max_output_pixels is not None and output > limits.max_output_pixels:
        return f"returns at most {limits.max_output_pixels} pixels; {by} would make {output}"
    return None


def too_many_bytes(upload: Upload, limits: Capabilities) -> str | None:
    """What `misfit` says, of the size of the file that is sent; encoded only where it might be too large."""
    most = limits.max_upload_bytes
    if most is None or png_bound(upload.width * upload.height, upload.height) <= most or len(upload.png) <= most:
        return None
    return f"takes files of at most {most} bytes; the input has {len(upload.png)} as PNG"


def png_bound(pixels: int, rows: int) -> int:
    """Bytes that the PNG of an 8-bit RGB picture does not exceed: deflate adds little to what it cannot compress."""
    raw = 3 * pixels + rows
    return raw + raw // 400 + 128
