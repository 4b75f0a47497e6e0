"""AVIF and HEIC: pixels and orientation, what is refused, and bytes that are damaged."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.picture_files import exif, saved

from blackbox_conformal.errors import ImageError, PayloadError
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.read import _DECODERS, read_image, read_output
from blackbox_conformal.study.result_files import VENDOR_ENDINGS

Y, X = np.mgrid[:48, :64]
PIXELS = np.stack([X * 4 % 256, Y * 5 % 256, (X + Y) * 2 % 256], -1).astype(np.uint8)

HEIC = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "heic").iterdir()}
"""Written by pillow-heif 1.8.1 (libheif, x265) from `PIXELS`: plain, turned, with alpha, with 10 bits, two in one."""


def avif(picture: Image.Image | None = None, **options: Any) -> bytes:
    return saved(picture or Image.fromarray(PIXELS), "AVIF", quality=95, **options)


def heic(name: str) -> bytes:
    pytest.importorskip("pillow_heif")
    return HEIC[name]


@pytest.mark.parametrize("make", [avif, lambda: heic("plain")])
def test_pixels_are_those_that_were_written(make: Any) -> None:
    content = make()
    picture = read_image(content)
    assert np.abs(picture.pixels.astype(int) - PIXELS).mean() < 1.5
    assert picture.conversions == ()
    answer = read_output(content, (48, 64))
    assert (answer.pixels == picture.pixels).all()
    assert inspect(content).format in VENDOR_ENDINGS


@pytest.mark.parametrize(("make", "size"), [(lambda: avif(exif=exif(6)), (48, 64)), (lambda: heic("turned"), (64, 48))])
def test_photographs_are_turned_upright_and_answers_are_refused(make: Any, size: tuple[int, int]) -> None:
    picture = read_image(make())
    assert picture.conversions == ("EXIF orientation 6 applied",)
    assert np.abs(picture.pixels.astype(int) - np.rot90(PIXELS, -1)).mean() < 1.5
    with pytest.raises(PayloadError, match="without an orientation tag"):
        read_output(make(), size)


def with_alpha() -> Image.Image:
    picture = Image.fromarray(PIXELS)
    picture.putalpha(Image.fromarray((X * 4).astype(np.uint8)))
    return picture


def of_colours(primaries: int, transfer: int) -> bytes:
    content = avif()
    at = content.index(b"nclx") + 4
    return content[:at] + primaries.to_bytes(2, "big") + transfer.to_bytes(2, "big") + content[at + 4 :]


def with_ten_bits() -> bytes:
    content = bytearray(avif())
    content[content.index(b"av1C") + 6] |= 0x40
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: avif(with_alpha()), "expected an opaque picture"),
        (lambda: heic("alpha"), "expected an opaque picture"),
        (with_ten_bits, "expected 8 bits a channel; got an AVIF with 10 bits"),
        (lambda: heic("deep"), "expected 8 bits a channel; got a HEIC with 10 bits"),
        (lambda: avif(save_all=True, append_images=[Image.fromarray(255 - PIXELS)]), "got a film"),
        (lambda: heic("two"), "expected one picture; got a HEIF of 2 pictures"),
        (lambda: of_colours(9, 16), r"another colour space \(primaries 9, transfer 16"),
        (lambda: of_colours(12, 13), r"another colour space \(primaries 12, transfer 13"),
    ],
)
def test_what_a_decoder_would_change_unasked_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(make())


@pytest.mark.parametrize(
    ("make", "turns"),
    [
        (lambda: avif(with_alpha()), 0),
        (lambda: heic("alpha"), 0),
        (lambda: saved(with_alpha(), "WEBP", lossless=True), 0),
        (lambda: saved(with_alpha(), "TIFF"), 0),
        (lambda: saved(with_alpha(), "PNG"), 0),
        (lambda: saved(with_alpha(), "PNG", exif=exif(6)), -1),
    ],
)
def test_alpha_of_a_picture_to_be_masked_is_kept_apart(make: Any, turns: int) -> None:
    picture = read_image(make(), transparent=True)
    assert picture.opacity is not None
    assert np.abs(picture.opacity.astype(int) - np.rot90(X * 4, turns)).mean() < 1.5
    seen = picture.opacity > 0
    assert np.abs(picture.pixels.astype(int) - np.rot90(PIXELS, turns))[seen].mean() < 2
    with pytest.raises(ImageError, match="expected an opaque picture"):
        read_image(make())


def associated() -> bytes:
    """A TIFF whose further band is said to be alpha that the colours were multiplied by."""
    tag = b"\x52\x01\x03\0\x01\0\0\0"
    content = saved(with_alpha(), "TIFF")
    assert content.count(tag + b"\x02") == 1
    return content.replace(tag + b"\x02", tag + b"\x01")


@pytest.mark.parametrize("make", [lambda: avif(with_alpha(), alpha_premultiplied=True), associated])
def test_colours_that_a_file_holds_multiplied_by_alpha_are_refused(make: Any) -> None:
    with pytest.raises(ImageError, match=r"associated alpha.*straight alpha"):
        read_image(make(), transparent=True)


def test_a_profile_says_the_colours_whatever_the_container_says() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = avif(icc_profile=profile)
    assert b"colrprof" in content
    assert np.abs(read_image(content).pixels.astype(int) - PIXELS).mean() < 1.5


@pytest.mark.parametrize("make", [avif, lambda: heic("plain")])
def test_no_cut_file_is_read_bytes_after_the_end_are_noted_and_damaged_ones_end_in_a_sentence(make: Any) -> None:
    content, rng, read = make(), np.random.default_rng(5), 0
    for end in range(4, len(content)):
        with pytest.raises(ImageError):
            read_image(content[:end])
    assert read_image(content + b"\0more bytes").conversions == ("11 bytes after the end of the picture ignored",)
    with pytest.raises(PayloadError, match="nothing after the end"):
        read_output(content + b"\0more bytes", (48, 64))
    for _ in range(200):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        with contextlib.suppress(ImageError):
            read_image(bytes(damaged))
            read += 1
    assert read < 180


def test_every_format_that_is_read_has_an_ending_and_a_heic_without_the_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(VENDOR_ENDINGS) == {*_DECODERS, "HEIF"}
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"Convert to PNG, or run: pip install pillow-heif .*GPLv2"):
        read_image(HEIC["plain"])
