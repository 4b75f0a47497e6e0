"""Every conversion to 8-bit sRGB that is stated, and refusals of all others."""

import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.picture_files import profile, scene, wide_profile

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.read import to_srgb


def converted(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    conversions: list[str] = []
    result, _ = to_srgb(image, conversions)
    assert result.mode == "RGB"
    return np.asarray(result), conversions


def profile_bytes(kind: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()


def ink_profile() -> bytes:
    """CMYK to Lab by a table of its 16 corners (lut8Type): black ink is black, paper is white, magenta is magenta."""
    corners = b""
    for cyan, magenta, yellow, black in itertools.product((0, 1), repeat=4):
        light = 0 if black else 255 - 60 * (cyan + magenta + yellow)
        corners += bytes([light, 128 if black else 128 + 70 * (magenta - cyan), 128 if black else 128 + 70 * yellow])
    identity = bytes(range(256))
    one = 65536
    matrix = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, one)
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + corners + identity * 3
    return profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def with_profile(image: Image.Image, profile: bytes) -> Image.Image:
    image.info["icc_profile"] = profile
    return image


def test_rgb_stays_as_it_is_and_nothing_is_noted() -> None:
    pixels, conversions = converted(Image.fromarray(scene()))
    assert np.array_equal(pixels, scene())
    assert conversions == []


def test_grey_is_replicated() -> None:
    grey = scene()[..., 0]
    pixels, conversions = converted(Image.fromarray(grey))
    assert np.array_equal(pixels, np.dstack([grey] * 3))
    assert conversions == ["grey replicated to RGB"]


def test_one_bit_becomes_black_and_white() -> None:
    bits = scene()[..., 0] > 100
    pixels, conversions = converted(Image.fromarray(bits))
    assert np.array_equal(pixels[..., 1], bits * np.uint8(255))
    assert conversions == ["1-bit black and white expanded to 8-bit grey", "grey replicated to RGB"]


def test_palette_is_expanded_exactly() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([1, 2, 3, 250, 251, 252])
    image.putdata([1, 0])
    pixels, conversions = converted(image)
    assert pixels.tolist() == [[[250, 251, 252], [1, 2, 3]]]
    assert conversions == ["palette expanded to RGB"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_opaque_alpha_is_dropped_and_transparent_pixels_are_refused(mode: str) -> None:
    grey = np.full((3, 4), 77, np.uint8)
    base = Image.fromarray(grey if mode[:-1] == "L" else np.dstack([grey, grey + 1, grey + 2]))
    opaque = base.convert("P") if mode == "PA" else base
    opaque = opaque.convert({"RGBa": "RGBA", "La": "LA"}.get(mode, mode)).convert(mode)
    pixels, conversions = converted(opaque)
    expected = np.asarray(opaque.convert("RGBA" if mode not in ("RGBa", "La") else mode.upper()).convert("RGB"))
    assert np.array_equal(pixels, expected)
    assert conversions[0] == "fully opaque alpha channel dropped"
    bands = list(opaque.split())
    bands[-1].putpixel((1, 1), 254)
    with pytest.raises(ImageError, match=r"transparent pixels.*-flatten"):
        to_srgb(Image.merge(mode, bands), [])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "L", "RGB"])
def test_alpha_is_kept_apart_and_colours_are_taken_as_stored(mode: str) -> None:
    alpha = np.array([[0, 9, 255, 255]] * 2, np.uint8)
    image = Image.fromarray(np.array([[1, 2, 3, 3]] * 2, np.uint8), "P" if mode in ("PA", "P") else "L")
    if mode in ("PA", "P"):
        image.putpalette([7, 8, 9] * 256)
    if mode in ("PA", "LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(alpha))
    else:
        image.info["transparency"] = bytes([255, 0, 9, 255]) if mode == "P" else 1
        alpha = alpha if mode == "P" else np.where(alpha == 0, 0, 255)
    if mode == "RGB":
        image = image.convert(mode)
        image.info["transparency"] = (1, 1, 1)
    conversions: list[str] = []
    colours, opacity = to_srgb(image, conversions, transparent=True)
    assert opacity is not None
    assert np.array_equal(opacity, alpha)
    expected = [[7, 8, 9]] * 4 if mode in ("PA", "P") else [[1, 1, 1], [2, 2, 2], [3, 3, 3], [3, 3, 3]]
    assert np.asarray(colours)[0].tolist() == expected
    assert conversions[0] == "alpha kept apart, colours taken as stored"


def test_colours_that_were_multiplied_by_alpha_are_refused_and_a_picture_that_is_hidden_whole() -> None:
    for mode in ("RGBa", "La"):
        clear = Image.new(mode[:-1] + "A", (2, 2), 90).convert(mode)
        with pytest.raises(ImageError, match=r"associated alpha.*magick"):
            to_srgb(clear, [], transparent=True)
    with pytest.raises(ImageError, match="every pixel has alpha 0"):
        to_srgb(Image.new("RGBA", (2, 2)), [], transparent=True)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_counts_only_where_it_is_used(mode: str) -> None:
    image = Image.new(mode, (2, 2), 5 if mode != "RGB" else (5, 5, 5))
    image.info["transparency"] = {"L": 9, "RGB": (9, 9, 9), "P": bytes([255] * 9 + [0])}[mode]
    _, conversions = converted(image)
    assert conversions[0] == "unused transparent colour dropped"
    image.putpixel((0, 0), 9 if mode != "RGB" else (9, 9, 9))
    with pytest.raises(ImageError, match="transparent pixels"):
        to_srgb(image, [])


def test_hidden_colours_under_alpha_never_come_through() -> None:
    hidden = np.dstack([scene(), np.zeros(scene().shape[:2], np.uint8)])
    with pytest.raises(ImageError, match="transparent"):
        to_srgb(Image.fromarray(hidden), [])


@pytest.mark.parametrize(("mode", "said"), [("I;16", "16-bit grey"), ("I", "32-bit"), ("F", "floating-point")])
def test_deep_pictures_are_refused(mode: str, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        to_srgb(Image.new(mode, (2, 2)), [])


@pytest.mark.parametrize("mode", ["LAB", "HSV"])
def test_other_colour_spaces_are_refused(mode: str) -> None:
    with pytest.raises(ImageError, match=mode):
        to_srgb(Image.new(mode, (2, 2)), [])


def test_cmyk_needs_its_profile() -> None:
    with pytest.raises(ImageError, match="CMYK without one"):
        to_srgb(Image.new("CMYK", (2, 2)), [])


def test_cmyk_is_converted_by_its_profile() -> None:
    inks = Image.new("CMYK", (3, 1))
    inks.putdata([(0, 0, 0, 0), (0, 255, 0, 0), (0, 0, 0, 255)])
    pixels, conversions = converted(with_profile(inks, ink_profile()))
    paper, magenta, black = pixels[0].astype(int)
    assert paper.min() >= 250
    assert black.max() <= 5
    assert magenta[0] - magenta[1] > 80
    assert conversions == ["ICC profile 'Test space' converted to sRGB (relative colorimetric)"]


def test_srgb_profiles_of_any_name_change_nothing() -> None:
    image = with_profile(Image.fromarray(scene()), profile_bytes("sRGB"))
    pixels, conversions = converted(image)
    assert np.array_equal(pixels, scene())
    assert conversions == []


def test_a_wide_profile_is_converted_and_named() -> None:
    pixels, conversions = converted(with_profile(Image.fromarray(scene()), wide_profile()))
    assert conversions == ["ICC profile 'Test space' converted to sRGB (relative colorimetric)"]
    assert not np.array_equal(pixels, scene())
    # Adobe RGB (128, 128, 128) has the same curve up to sRGB's toe; saturated green leaves the gamut and is clipped.
    patch = Image.fromarray(np.array([[[128, 128, 128], [0, 255, 0]]], np.uint8))
    grey, green = converted(with_profile(patch, wide_profile()))[0][0]
    assert np.abs(grey.astype(int) - 128).max() <= 2
    assert green[1] == 255
    assert green[0] == 0


def test_grey_is_converted_by_a_grey_or_an_rgb_profile() -> None:
    grey = Image.fromarray(scene()[..., 0])
    pixels, conversions = converted(with_profile(grey.copy(), wide_profile(1.0, b"GRAY")))
    assert conversions == ["grey with ICC profile 'Test space' converted to sRGB (relative colorimetric)"]
    assert pixels[..., 0].mean() > scene()[..., 0].mean()
    _, conversions = converted(with_profile(grey.copy(), wide_profile()))
    assert [note.split()[0] for note in conversions] == ["grey", "ICC"]


def test_an_opaque_alpha_picture_keeps_its_profile() -> None:
    plain = with_profile(Image.fromarray(scene()), wide_profile())
    alpha = with_profile(Image.fromarray(scene()).convert("RGBA"), wide_profile())
    assert np.array_equal(converted(alpha)[0], converted(plain)[0])


def test_a_palette_is_converted_by_its_profile() -> None:
    image = Image.new("P", (1, 1))
    image.putpalette([200, 30, 60])
    direct = Image.fromarray(np.array([[[200, 30, 60]]], np.uint8))
    assert np.array_equal(
        converted(with_profile(image, wide_profile()))[0], converted(with_profile(direct, wide_profile()))[0]
    )


@pytest.mark.parametrize("damage", [b"nonsense", b"\0" * 200, "cut"])
def test_a_damaged_profile_is_an_error(damage: bytes | str) -> None:
    content = wide_profile()[:150] if isinstance(damage, str) else damage
    with pytest.raises(ImageError, match="valid ICC profile"):
        to_srgb(with_profile(Image.fromarray(scene()), content), [])


def test_a_profile_for_another_kind_of_picture_is_an_error() -> None:
    with pytest.raises(ImageError, match="for GRAY colours and the picture has RGB"):
        to_srgb(with_profile(Image.fromarray(scene()), wide_profile(2.2, b"GRAY")), [])
    with pytest.raises(ImageError, match="for RGB colours and the picture has CMYK"):
        to_srgb(with_profile(Image.new("CMYK", (2, 2)), wide_profile()), [])


def test_a_hostile_profile_name_is_escaped() -> None:
    content = wide_profile().replace(b"Test space", b"\x1b[31mX\x07 YZ")
    _, conversions = converted(with_profile(Image.fromarray(scene()), content))
    assert "\x1b" not in conversions[0]
    assert "\\x1b" in conversions[0]


def test_conversion_is_the_same_every_time() -> None:
    images = [with_profile(Image.open(io.BytesIO(_encoded())), wide_profile()) for _ in range(2)]
    first, second = (converted(image)[0] for image in images)
    assert np.array_equal(first, second)


def _encoded() -> bytes:
    out = io.BytesIO()
    Image.fromarray(scene()).save(out, "PNG")
    return out.getvalue()
