"""The decode gate: from a file or a vendor's bytes to an 8-bit sRGB picture, or an error that says why not.

`docs/images.md` lists what is read, converted and refused.
"""

import io
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    Image,
    ImageChops,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from blackbox_conformal.errors import ImageError, PayloadError, UsageError
from blackbox_conformal.method.images.bands import Bands, resized_levels
from blackbox_conformal.method.images.deep_files import deep_picture
from blackbox_conformal.method.images.encode import RGBA
from blackbox_conformal.method.images.headers import PNG_SIGNATURE, Container, inspect, refuse_missing_rows, with_tails
from blackbox_conformal.method.images.metadata import Metadata
from blackbox_conformal.method.images.picture import (
    Picture,
    decoding,
    is_blank,
    rows_then_columns,
    too_deep,
    truncated,
    warnings_of,
)
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image as Pixels

# The decoder is Pillow, with checks for damage that Pillow does not report.

# From whatever a decoder hands over to 8-bit sRGB: transparency, palettes, grey, CMYK, ICC profiles.

_MULTIPLIED = "multiplied by alpha"  # Says so of colours, in what Pillow tells of a picture.
_ALPHA_BASE = {"LA": "L", "La": "L", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
LARGEST_PROFILE = 16 * 2**20


def to_srgb(
    image: Image.Image, conversions: list[str], *, transparent: bool = False
) -> tuple[Image.Image, Image.Image | None]:
    """`image` in mode RGB, sRGB, and its alpha channel where something is hidden; `image` is loaded."""
    if image.mode in ("I", "F", "I;16", "I;16L", "I;16B", "I;16N"):
        kind = {"I": "32-bit integers", "F": "floating-point numbers"}.get(image.mode, "16-bit grey")
        raise too_deep(kind)
    image, opacity = _apart(image, conversions, transparent=transparent)
    return _coloured(image, conversions), opacity


def _coloured(image: Image.Image, conversions: list[str]) -> Image.Image:
    """An opaque `image` in mode RGB, sRGB."""
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


def _apart(image: Image.Image, conversions: list[str], *, transparent: bool) -> tuple[Image.Image, Image.Image | None]:
    """`image` without its alpha channel or transparent colour, and that channel; None where it is opaque everywhere."""
    if not image.has_transparency_data:
        return image, None
    profile = image.info.get("icc_profile")
    base = _ALPHA_BASE.get(image.mode, image.mode)
    alpha = image if image.mode in _ALPHA_BASE else image.convert("RGBA")
    opacity = alpha.split()[-1]
    levels = opacity.getextrema()
    opaque = levels == (255, 255)
    if not opaque:
        if not transparent:
            raise ImageError(
                "expected an opaque picture; got one with transparent pixels, whose colours are not defined. Put it on "
                "a background (for example `magick in.png -background white -flatten out.png`) and use that file"
            )
        if image.mode in ("RGBa", "La") or image.info.get(_MULTIPLIED):
            raise ImageError(
                "expected colours beside an alpha channel; got colours that were multiplied by it (associated alpha), "
                "and dividing would round them. Save it with straight alpha (for example `magick in.tif out.png`)"
            )
        if levels == (0, 0):
            raise ImageError(
                "expected a picture of which something shows; every pixel has alpha 0. Give its alpha channel"
            )
        conversions.append("alpha kept apart, colours taken as stored")
    elif image.mode in _ALPHA_BASE:
        conversions.append("fully opaque alpha channel dropped")
    else:
        conversions.append("unused transparent colour dropped")
    if image.mode in ("LA", "La"):
        image = image.split()[0]
    elif image.mode in _ALPHA_BASE:
        image = Image.merge("RGB", (alpha if image.mode != "PA" else alpha.convert("RGBA")).split()[:3])
    elif base != "P":
        image = _without_transparency(image)
    if profile:
        image.info["icc_profile"] = profile
    return image, None if opaque else opacity


def _without_transparency(image: Image.Image) -> Image.Image:
    """A copy that no longer says which of its colours is transparent; its palette holds no alpha."""
    copy = image.copy()
    copy.info.pop("transparency", None)
    return copy


def _replicated(image: Image.Image, conversions: list[str]) -> Image.Image:
    conversions.append("grey replicated to RGB")
    return Image.merge("RGB", (image, image, image))


def _profiled(image: Image.Image, embedded: bytes, conversions: list[str]) -> Image.Image:
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
        # Whatever its name says, a profile that moves no colour of a grid by more than one 8-bit step is sRGB.
        probed = ImageCms.applyTransform(_probe(), transform) if image.mode == "RGB" else None
        if probed and np.abs(np.asarray(probed).astype(int) - np.asarray(_probe()).astype(int)).max() <= 1:
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


# Each decoder is constructed by itself: `Image.open` would try others, and warns through process-wide state.
_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SUBFILE, _BITS, _PHOTOMETRIC, _ORIENTATION, _BANDS, _FURTHER, _NUMBERS = 254, 258, 262, 274, 277, 338, 339
"""Tags of TIFF; `_ORIENTATION` is one of EXIF, too."""
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}
"""Photometric interpretation → bands that are colours."""
_ALPHA = (1, 2)  # Kinds of further bands that are alpha: associated and unassociated.
_STRIP = 256


def decoded(
    content: bytes,
    container: Container,
    check_size: Callable[[int, int], None],
    conversions: list[str],
    *,
    may_be_turned: bool,
    transparent: bool = False,
) -> tuple[Pixels, Metadata, NDArray[np.uint8] | None]:
    """Pixels of a file's `content` in sRGB, upright: (H, W, 3) uint8; what the file says beside them; its alpha.

    `check_size`: Told the (width, height) before anything is decoded; raises if they are refused.
    `conversions`: Every rule that is applied is appended.
    `may_be_turned`: Whether an EXIF orientation is applied; else it is refused.
    `transparent`: Whether pixels may be transparent; else they are refused.
    """
    image, orientation = _load(content, container, check_size)
    if orientation != 1 and not may_be_turned:
        raise ImageError(f"expected a picture without an orientation tag; got EXIF orientation {orientation}")
    converted, opacity = to_srgb(image, conversions, transparent=transparent)
    if orientation != 1:
        # TIFF and HEIC: the pixels were turned while loading.
        if container.format not in ("TIFF", "HEIF"):
            converted = converted.transpose(_TRANSPOSES[orientation])
            opacity = opacity and opacity.transpose(_TRANSPOSES[orientation])
        conversions.append(f"EXIF orientation {orientation} applied")
    exif, xmp = (one if isinstance(one := image.info.get(name), bytes) else b"" for name in ("exif", "xmp"))
    metadata = Metadata(exif, xmp, bool(image.info.get("icc_profile")))
    pixels = np.array(converted, dtype=np.uint8, order="C")
    return pixels, metadata, None if opacity is None else np.array(opacity)


def _load(content: bytes, container: Container, check_size: Callable[[int, int], None]) -> tuple[Image.Image, int]:
    if container.compressed:
        refuse_missing_rows(container)
    with warnings_of(container.format):
        # Before it is opened: of a kind that it does not know, Pillow says the same as of damage.
        tiff = _check_tiff(content) if container.format == "TIFF" else 0
        image = _decoder(container.format)(io.BytesIO(content))
        frames = getattr(image, "n_frames", 1) if container.format in ("AVIF", "HEIF") else 1
        if container.format == "TIFF":
            frames = _without_overviews(image)
    if frames != 1:
        raise ImageError(f"expected one picture; got a {container.format} of {frames} pictures. Save the wanted one")
    orientation = tiff or image.info.get("original_orientation") or _exif_orientation(image.info.get("exif") or b"")
    check_size(*image.size)
    if container.width and image.size != (container.width, container.height):
        raise ImageError("expected one size; the file's headers contradict each other. The file is damaged")
    if container.profile and not image.info.get("icc_profile"):
        raise ImageError("expected a valid ICC profile; the one in the file is damaged. Convert the picture to sRGB")
    image.load()
    # Pillow divides unasked where TIFF or AVIF says so.
    if container.multiplied or 1 in getattr(image, "tag_v2", {}).get(_FURTHER, ()):
        image.info[_MULTIPLIED] = True
    if container.scans:
        # A decoder fills with grey what is missing in the middle of a JPEG.
        with warnings_of("JPEG"):
            again = JpegImagePlugin.JpegImageFile(io.BytesIO(with_tails(content, container.scans)))
        again.load()
        for top in range(0, image.height, _STRIP):
            strip = (0, top, image.width, min(top + _STRIP, image.height))
            if ImageChops.difference(again.crop(strip), image.crop(strip)).getbbox(alpha_only=False) is not None:
                raise truncated("JPEG", "part of its coded pixels is missing")
    return image, orientation


def _without_overviews(tiff: Any) -> int:
    """How many of its pictures are not said to be smaller copies, as a cloud-optimised GeoTIFF has them."""
    own = 1
    try:
        for frame in range(1, tiff.n_frames):
            tiff.seek(frame)
            own += not int(tiff.tag_v2.get(_SUBFILE, 0)) & 1
    except SyntaxError:
        # A further picture of no kind that Pillow knows, such as a mask.
        return 2
    tiff.seek(0)
    return own


def _decoder(kind: str) -> type[ImageFile.ImageFile]:
    if kind != "HEIF":
        return _DECODERS[kind]
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ImageError(
            "expected the extra that reads HEIC; it is not installed. Convert to PNG, or run: pip install pillow-heif "
            "(its wheels hold libx265, which is GPLv2)"
        ) from None
    decoder: type[ImageFile.ImageFile] = HeifImageFile
    return decoder


def _check_tiff(content: bytes) -> int:
    """The orientation, 1 to 8; depth, numbers and bands that no 8-bit picture has are refused (TIFF 6.0, section 8)."""
    tags = TiffImagePlugin.ImageFileDirectory_v2(content[: 16 if content[2:3] == b"+" else 8])
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    bits, bands = tags.get(_BITS, (1,)), tags.get(_BANDS, 1)
    if max(bits) > 8:
        few = "/".join(map(str, bits))
        raise too_deep(f"a TIFF with {few if len(bits) < 5 else f'{bands} bands of {max(bits)}'}")
    if set(tags.get(_NUMBERS, (1,))) - {1, 4}:
        raise ImageError("expected unsigned integers in the TIFF; got signed or floating-point numbers. Convert it")
    alpha = sum(kind in _ALPHA for kind in tags.get(_FURTHER, ()))
    colours = _COLOURS.get(int(tags.get(_PHOTOMETRIC, 1)), int(bands))
    if bands > colours + alpha:
        raise ImageError(
            f"expected grey or colours, and alpha at most, in the TIFF; got {bands} bands, of which {colours} hold "
            "colours, and the others are not said to be alpha. None is dropped unasked: save those that are the "
            "picture (for example `gdal_translate -b 1 -b 2 -b 3 in.tif out.tif`)"
        )
    orientation = tags.get(_ORIENTATION, 1)
    return orientation if orientation in _TRANSPOSES else 1


def _exif_orientation(exif: bytes) -> int:
    """Orientation from an EXIF block; 1 where the block is absent, damaged or says nothing sensible."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, entry)
            if tag == _ORIENTATION and kind == 3:
                return int(value) if value in _TRANSPOSES else 1
    except struct.error:
        pass
    return 1


LARGEST_RESAMPLE = 1.25
LARGEST_OF_COSTLY = 80_000_000
"""Pixels of WebP, AVIF and HEIC; their decoders take up to 18 bytes for each, twice what others take."""

BLANK_NOTE = "the vendor's picture is blank: one colour everywhere"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest picture that is decoded: bytes of the file, pixels in all, pixels along a side; and why, in words."""

    max_bytes: int = 512 * 2**20
    max_pixels: int = 200_000_000
    max_side: int = 30_000
    reason: str = ""


DEFAULT_LIMITS = ImageLimits()


def read_image(
    source: Path | bytes,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    name: str | None = None,
    check_size: Callable[[int, int], None] = lambda *_: None,
    transparent: bool = False,
    bands: Bands | None = None,
) -> Picture:
    """A photograph or an input from a file, or from bytes that are called `name` in messages.

    `bands`: What its numbers are declared to be; None: it is made an 8-bit sRGB picture.
    `check_size`: Gets the width and height before anything is decoded; what it raises is raised.
    `transparent`: Keep alpha apart as the picture's `opacity`; else transparent pixels are refused.
    """
    shown = printable(name if name is not None else source if isinstance(source, Path) else "the picture")
    try:
        content = source if isinstance(source, bytes) else _read_file(source, limits)
        return _decode(content, limits, check_size, bands, strict=False, transparent=transparent)
    except ImageError as error:
        raise ImageError(f"{shown}: {error}") from None


def opacity_of(content: bytes) -> NDArray[np.uint8] | None:
    """The alpha channel of a picture's file that `image_png` wrote; None where every pixel shows wholly."""
    # The byte of its header that tells the colour type: only a picture with alpha is decoded.
    has_alpha = content.startswith(PNG_SIGNATURE) and content[25] == RGBA
    return read_image(content, transparent=True).opacity if has_alpha else None


def read_output(
    content: bytes,
    expected_size: tuple[int, int],
    *,
    resample: bool = False,
    any_scale: bool = False,
    limits: ImageLimits = DEFAULT_LIMITS,
    bands: Bands | None = None,
) -> Picture:
    """A picture from a vendor's bytes; stricter than `read_image`.

    `expected_size`: (height, width) = scale × input.
    `resample`: Bring a picture of another size to the expected one (bicubic), as part of the procedure and noted. A
      side that is off by more than `LARGEST_RESAMPLE` is refused all the same: that is another scale, a crop or a turn.
    `any_scale`: Bring a picture of any scale to the expected size; its proportions may be off by `LARGEST_RESAMPLE` at
      most.
    `bands`: As for `read_image`.
    """
    height, width = expected_size

    def check_fit(arrived_width: int, arrived_height: int) -> None:
        factors = (arrived_width / width, arrived_height / height)
        stretch = (factors[0] / factors[1],) if any_scale else factors
        near = all(1 / LARGEST_RESAMPLE <= factor <= LARGEST_RESAMPLE for factor in stretch)
        if factors != (1, 1) and not ((resample or any_scale) and near):
            raise ImageError(
                f"expected {width}×{height} pixels; got {arrived_width}×{arrived_height}. Check the scale that the "
                "vendor was asked for, or whether it pads, crops or limits its output"
            )

    try:
        arrived = _decode(content, limits, check_fit, bands, strict=True)
    except ImageError as error:
        raise PayloadError(f"the vendor's picture: {error}") from None
    # What was declared of bands is said of the input.
    pixels, notes = arrived.pixels, list(arrived.conversions) if bands is None else []
    if arrived.size != expected_size:
        notes.append(f"vendor's {arrived.size[1]}×{arrived.size[0]} resampled to {width}×{height} (bicubic)")
        if bands is None:
            pixels = np.array(rows_then_columns(Image.fromarray(pixels), (width, height), Image.Resampling.BICUBIC))
        else:
            pixels = resized_levels(pixels, width, height, Image.Resampling.BICUBIC)
    # Told by what arrived: resampling makes overshoots.
    if is_blank(arrived.pixels):
        notes.append(BLANK_NOTE)
    return Picture(pixels, content, tuple(notes), arrived.format)


def _decode(
    content: bytes,
    limits: ImageLimits,
    check_fit: Callable[[int, int], None],
    bands: Bands | None,
    *,
    strict: bool,
    transparent: bool = False,
) -> Picture:
    """The picture in `content`; `check_fit` refuses a (width, height) before decoding. Strict: by vendors' rules."""
    _check_bytes(len(content), limits)
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise UsageError(
            "expected Pillow to refuse truncated files; ImageFile.LOAD_TRUNCATED_IMAGES is on in this process, which "
            "invents pixels. Set it to False"
        )

    def check_size(width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise ImageError(f"expected at least one pixel a side; the header says {width}×{height}")
        if max(width, height) > limits.max_side or width * height > limits.max_pixels:
            raise ImageError(
                f"expected at most {limits.max_side} pixels a side and {limits.max_pixels} in all{limits.reason}; the "
                f"header says {width}×{height}. Crop or split the picture"
            )
        check_fit(width, height)

    if bands is not None:
        # As many bytes as an 8-bit picture of the limit has.
        limits = replace(limits, max_pixels=min(limits.max_pixels, 3 * limits.max_pixels // (2 * bands.count)))
        return deep_picture(content, bands, check_size)
    container = inspect(content)
    if container.format in ("WEBP", "AVIF", "HEIF"):
        limits = replace(limits, max_pixels=min(limits.max_pixels, LARGEST_OF_COSTLY))
    if container.width:
        check_size(container.width, container.height)
    if container.trailing and strict:
        raise ImageError(f"expected nothing after the end of the picture; got {container.trailing} bytes more")
    conversions: list[str] = []
    if container.trailing:
        conversions.append(f"{container.trailing} bytes after the end of the picture ignored")
    if container.lossy and strict:
        conversions.append(f"lossy {container.format}: compression noise is part of every loss")
    with decoding(container.format):
        pixels, metadata, opacity = decoded(
            content, container, check_size, conversions, may_be_turned=not strict, transparent=transparent
        )
    lossy = bool(container.lossy) or container.format in ("AVIF", "HEIF")
    return Picture(pixels, content, tuple(conversions), container.format, metadata, opacity, lossy)


def _read_file(path: Path, limits: ImageLimits) -> bytes:
    try:
        if path.is_dir():
            raise ImageError("expected a picture; got a folder")
        if not path.is_file():
            raise ImageError("expected a picture; there is no such file" if not path.exists() else "not a regular file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > limits.max_bytes else file.read(size + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or 'not a usable path'}") from None
    _check_bytes(max(size, len(content)), limits)
    return content


def _check_bytes(size: int, limits: ImageLimits) -> None:
    if size > limits.max_bytes:
        raise ImageError(f"expected at most {limits.max_bytes} bytes; got {size}")
    if size == 0:
        raise ImageError("expected a picture; the file is empty")
