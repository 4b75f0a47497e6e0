"""From whatever a decoder hands over to 8-bit sRGB: transparency, palettes, grey, CMYK, ICC profiles.

Every rule that is applied is appended to `conversions`; every other kind is refused.
"""

import io
from functools import cache

import numpy as np
from PIL import Image, ImageCms

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.picture import too_deep
from blackbox_conformal.support.text import printable

_ALPHA_BASE = {"LA": "L", "La": "L", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
LARGEST_PROFILE = 16 * 2**20


def to_srgb(image: Image.Image, conversions: list[str]) -> Image.Image:
    """`image` in mode RGB, sRGB; `image` is loaded.

    Raises
    ------
    ImageError
        Transparency, CMYK without a profile, a damaged profile, or a kind of picture without a stated conversion.
    """
    if image.mode in ("I", "F", "I;16", "I;16L", "I;16B", "I;16N"):
        kind = {"I": "32-bit integers", "F": "floating-point numbers"}.get(image.mode, "16-bit grey")
        raise too_deep(kind)
    image = _opaque(image, conversions)
    if image.mode == "P":
        conversions.append("palette expanded to RGB")
        image = _without_transparency(image).convert("RGB")
    if image.mode == "1":
        conversions.append("1-bit black and white expanded to 8-bit grey")
        image = image.convert("L")
    if image.mode == "RGBX":
        image = Image.merge("RGB", image.split()[:3])
    profile = image.info.get("icc_profile")
    if profile:
        return _profiled(image, profile, conversions)
    if image.mode == "L":
        return _replicated(image, conversions)
    if image.mode == "YCbCr":
        conversions.append("YCbCr converted to RGB (ITU-R BT.601, full range)")
        return image.convert("RGB")
    if image.mode == "CMYK":
        raise ImageError(
            "expected RGB or grey, or CMYK with its ICC profile; got CMYK without one, which has no defined colours. "
            "Convert it to sRGB with the profile it was made for"
        )
    if image.mode != "RGB":
        raise ImageError(f"expected RGB, grey, palette or CMYK; got Pillow mode {image.mode}. Convert it to 8-bit sRGB")
    return image


def _opaque(image: Image.Image, conversions: list[str]) -> Image.Image:
    """`image` without its alpha channel or transparent colour, provided that it is opaque everywhere."""
    if not image.has_transparency_data:
        return image
    profile = image.info.get("icc_profile")
    base = _ALPHA_BASE.get(image.mode, image.mode)
    alpha = image if image.mode in _ALPHA_BASE else image.convert("RGBA")
    lowest, _ = alpha.split()[-1].getextrema()
    if lowest != 255:
        raise ImageError(
            "expected an opaque picture; got one with transparent pixels, whose colours are not defined. Put it on a "
            "background (for example `magick in.png -background white -flatten out.png`) and use that file"
        )
    dropped = "fully opaque alpha channel" if image.mode in _ALPHA_BASE else "unused transparent colour"
    conversions.append(f"{dropped} dropped")
    if image.mode in ("LA", "La"):
        image = image.split()[0]
    elif image.mode in _ALPHA_BASE:
        image = Image.merge("RGB", (alpha if image.mode != "PA" else alpha.convert("RGBA")).split()[:3])
    elif base != "P":
        image = _without_transparency(image)
    if profile:
        image.info["icc_profile"] = profile
    return image


def _without_transparency(image: Image.Image) -> Image.Image:
    """A copy that no longer says which of its colours is transparent; its palette holds no alpha."""
    copy = image.copy()
    copy.info.pop("transparency", None)
    return copy


def _replicated(image: Image.Image, conversions: list[str]) -> Image.Image:
    conversions.append("grey replicated to RGB")
    return Image.merge("RGB", (image, image, image))


def _profiled(image: Image.Image, embedded: bytes, conversions: list[str]) -> Image.Image:
    """`image` converted from the `embedded` profile to sRGB."""
    try:
        if len(embedded) > LARGEST_PROFILE:
            raise ImageError(f"it has {len(embedded)} bytes")
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        space = profile.profile.xcolor_space.strip()
        name = printable(ImageCms.getProfileDescription(profile).strip() or "unnamed", 60)
        mode = _PROFILE_MODES.get(space)
        if image.mode == "L" and mode == "RGB":
            image = _replicated(image, conversions)
        if mode != image.mode:
            raise ImageError(f"it is for {printable(space, 10)} colours and the picture has {image.mode}")
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if image.mode == "RGB" and _is_identity(transform):
            return image
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        reason = str(error) if isinstance(error, ImageError) else "it cannot be read"
        raise ImageError(
            f"expected a valid ICC profile for this picture; {reason}. Convert the picture to sRGB, or remove the "
            "profile if you know that it is sRGB"
        ) from None
    if converted is None:
        raise ImageError("expected a converted picture from the ICC profile; got none. Convert the picture to sRGB")
    if image.mode == "L":
        conversions.append(f"grey with ICC profile '{name}' converted to sRGB (relative colorimetric)")
    else:
        conversions.append(f"ICC profile '{name}' converted to sRGB (relative colorimetric)")
    return converted


@cache
def _probe() -> Image.Image:
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return Image.fromarray(grid.reshape(27, 27, 3))


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether the profile is sRGB under any name: it moves no colour of a grid by more than one 8-bit step."""
    converted = ImageCms.applyTransform(_probe(), transform)
    if converted is None:
        return False
    return int(np.abs(np.asarray(converted).astype(int) - np.asarray(_probe()).astype(int)).max()) <= 1
