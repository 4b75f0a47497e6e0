"""What a decoded picture is: its pixels, its identity and everything that was done to get there."""

import hashlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.metadata import Metadata
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.types import Image

# What becomes of Pillow's warnings while it opens a file.

_lock = threading.Lock()


@contextmanager
def warnings_of(kind: str) -> Iterator[None]:
    """Pillow reports damage as warnings: of the picture itself in TIFF, elsewhere of metadata that are not kept.

    The list of filters is shared by all threads, hence the lock, and a filter for Pillow's own warnings only.
    """
    with _lock, warnings.catch_warnings():
        warnings.filterwarnings("error" if kind == "TIFF" else "ignore", module=r"PIL\.")
        yield


def rows_then_columns(
    picture: PillowImage.Image, size: tuple[int, int], resampling: PillowImage.Resampling
) -> PillowImage.Image:
    """Resize to (width, height), along rows first and then along columns.

    Since version 13 Pillow chooses the order by shape. Where it rounds and clips between the two passes, the order
    changes bytes: bounds of what an input tells need one order, and so do inputs that calibrations name by digest.
    """
    return picture.resize((size[0], picture.height), resampling).resize(size, resampling)


BLANK_RANGE = 3
"""8-bit steps: a picture is blank, of one colour, when in each channel largest and smallest value differ by no more."""


@dataclass(frozen=True)
class Picture:
    """A picture that passed the decode gate."""

    pixels: Image = field(repr=False)  # (H, W, 3) uint8 sRGB, or (H, W, bands) uint16 of declared bands, C-contiguous.
    content: bytes = field(repr=False)  # The file's bytes.
    conversions: tuple[str, ...]  # Every rule that was applied between the file and `pixels`, in words, in order.
    format: str  # ``PNG``, ``JPEG``, ``WEBP``, ``AVIF``, ``HEIF``, ``TIFF``, ``BMP`` or ``NPY``.
    metadata: Metadata = field(default=Metadata(), repr=False)  # EXIF and XMP, which are never uploaded.
    # (H, W) uint8, the alpha channel: 0 is hidden. None where every pixel shows wholly.
    opacity: NDArray[np.uint8] | None = field(default=None, repr=False)
    # Whether the format of the file loses something, as JPEG does, or nearly always does (AVIF, HEIC).
    lossy: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of `pixels`."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @cached_property
    def file_digest(self) -> str:
        """``sha256:…`` of the file's bytes."""
        return digest_bytes(self.content)

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of size and pixels: equal for equal content, whatever file it came from."""
        return pixels_digest(self.pixels)


def is_blank(pixels: Image) -> bool:
    """Whether `pixels` are one colour, of declared bands exactly, else up to `BLANK_RANGE` steps a channel."""
    flat = pixels.reshape(-1, pixels.shape[2])
    most = BLANK_RANGE if pixels.dtype == np.uint8 else 0
    # A look at every 997th pixel settles it for nearly every picture.
    return all(int(np.ptp(band)) <= most for part in (flat[::997], flat) for band in part.T)


def check_pixels(pixels: Image) -> Image:
    """`pixels` if they are a picture as this project keeps it, C-contiguous."""
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        arrived = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ImageError(f"expected (H, W, 3) uint8 pixels; got {arrived}. {_conversion(pixels)}")
    if pixels.size == 0:
        raise ImageError(f"expected at least one pixel; got a picture of {pixels.shape[1]}×{pixels.shape[0]}")
    return np.ascontiguousarray(pixels)


def check_any_pixels(pixels: Image) -> Image:
    """`pixels`, C-contiguous, if `check_pixels` takes them or they are levels of bands: (H, W, bands) uint16."""
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint16 and pixels.ndim == 3 and pixels.size:
        return np.ascontiguousarray(pixels)
    return check_pixels(pixels)


def _conversion(pixels: object) -> str:
    if isinstance(pixels, np.ndarray) and pixels.dtype.kind == "f" and pixels.ndim == 3 and pixels.shape[2] == 3:
        return "If they are sRGB from 0 to 1, give (255 * pixels).round().astype('uint8')"
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 2:
        return "Give grey pixels as np.stack([pixels] * 3, axis=2)"
    if isinstance(pixels, np.ndarray) and pixels.dtype.kind in "uif" and pixels.ndim in (2, 3):
        count = 1 if pixels.ndim == 2 else pixels.shape[2]
        return f"Convert to 8-bit sRGB, or declare what the numbers are, such as bands={count}:0:65535"
    return "Convert to 8-bit sRGB first"


def pixels_digest(pixels: Image) -> str:
    """``sha256:…`` over a tagged header with the size, and the pixels: the identity of their content."""
    pixels = check_any_pixels(pixels)
    height, width, bands = pixels.shape
    kind = "sRGB 8-bit RGB" if pixels.dtype == np.uint8 else f"16-bit levels of {bands} bands"
    digest = hashlib.sha256(f"blackbox-conformal picture 1\n{kind} {width}x{height}\n".encode())
    digest.update(pixels.data if pixels.dtype == np.uint8 else pixels.astype("<u2").data)
    return "sha256:" + digest.hexdigest()


def shown_digest(pixels: Image, opacity: NDArray[np.uint8] | None) -> str:
    """`pixels_digest`, and of a picture with alpha that of both together."""
    return pixels_digest(pixels if opacity is None else np.dstack([pixels, opacity]).astype(np.uint16))


def too_deep(bits: object) -> ImageError:
    """The refusal of more than 8 bits a channel."""
    return ImageError(
        f"expected 8 bits a channel; got {bits}. Cutting them silently would change every loss: calibrate on files by "
        "-p bands=COUNT:LOW:HIGH of --adapter folder, or convert the picture to 8-bit PNG yourself (for example "
        "`magick in.png -depth 8 out.png`) and use that file throughout"
    )


@contextmanager
def decoding(kind: str) -> Iterator[None]:
    """Whatever a decoder raises on the way, its file is damaged; errors of pictures stay as they are."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 - a hostile byte leads decoders to exceptions of every kind
        raise ImageError(
            f"expected a whole {kind} picture; it cannot be decoded ({type(error).__name__}). The file is truncated or "
            "damaged: get it again"
        ) from None


def truncated(kind: str, missing: str) -> ImageError:
    """The refusal of a file that ends early, or whose middle is missing."""
    return ImageError(f"expected a whole {kind} file; {missing}. The file is truncated or damaged: get it again")


def luma_of(pixels: Image) -> NDArray[np.float32]:
    """The luma that JPEG computes (ITU-R BT.601) of (H, W, 3) uint8, the same to the bit on every processor."""
    red, green, blue = (pixels[:, :, channel].astype(np.float32) for channel in range(3))
    light: NDArray[np.float32] = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return light
