"""Every conversion to 8-bit sRGB that is stated, and refusals of all others."""

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


def test_rgb_stays_as_it_is_and_nothing_is_noted_with_an_srgb_profile_of_any_name_too() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image in (Image.fromarray(scene()), with_profile(Image.fromarray(scene()), srgb)):
        pixels, conversions = converted(image)
        assert np.array_equal(pixels, scene())
        assert conversions == []


def test_grey_is_replicated_one_bit_becomes_black_and_white_and_a_palette_is_expanded() -> None:
    grey, bits = scene()[..., 0], scene()[..., 0] > 100
    palette = Image.new("P", (2, 1))
    palette.putpalette([1, 2, 3, 250, 251, 252])
    palette.putdata([1, 0])
    replicated, expanded = "grey replicated to RGB", "1-bit black and white expanded to 8-bit grey"
    for image, expected, said in (
        (Image.fromarray(grey), np.dstack([grey] * 3), [replicated]),
        (Image.fromarray(bits), np.dstack([bits * np.uint8(255)] * 3), [expanded, replicated]),
        (palette, [[[250, 251, 252], [1, 2, 3]]], ["palette expanded to RGB"]),
    ):
        pixels, conversions = converted(image)
        assert np.array_equal(pixels, expected)
        assert conversions == said


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


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.fromarray(np.dstack([scene(), np.zeros(scene().shape[:2], np.uint8)])), "transparent"),
        (Image.new("I;16", (2, 2)), "16-bit grey"),
        (Image.new("I", (2, 2)), "32-bit"),
        (Image.new("F", (2, 2)), "floating-point"),
        (Image.new("LAB", (2, 2)), "LAB"),
        (Image.new("HSV", (2, 2)), "HSV"),
        (Image.new("CMYK", (2, 2)), "CMYK without one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hidden_colours_deep_pictures_and_other_spaces_are_refused(image: Image.Image, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        to_srgb(image, [])


def test_cmyk_is_converted_by_its_profile() -> None:
    inks = Image.new("CMYK", (3, 1))
    inks.putdata([(0, 0, 0, 0), (0, 255, 0, 0), (0, 0, 0, 255)])
    pixels, conversions = converted(with_profile(inks, ink_profile()))
    paper, magenta, black = pixels[0].astype(int)
    assert paper.min() >= 250
    assert black.max() <= 5
    assert magenta[0] - magenta[1] > 80
    assert conversions == ["ICC profile 'Test space' converted to sRGB (relative colorimetric)"]


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


def test_an_opaque_alpha_picture_keeps_its_profile_and_a_palette_is_converted_by_its_own() -> None:
    palette = Image.new("P", (1, 1))
    palette.putpalette([200, 30, 60])
    direct, whole = Image.fromarray(np.array([[[200, 30, 60]]], np.uint8)), Image.fromarray(scene())
    for one, other in ((palette, direct), (whole.convert("RGBA"), whole)):
        pair = [converted(with_profile(image, wide_profile()))[0] for image in (one, other)]
        assert np.array_equal(*pair)


def test_a_damaged_profile_and_one_for_another_kind_of_picture_are_errors() -> None:
    for size, mode, content, said in (
        *((32, "RGB", damaged, "valid ICC profile") for damaged in (b"nonsense", b"\0" * 200, wide_profile()[:150])),
        (32, "RGB", wide_profile(2.2, b"GRAY"), "for GRAY colours and the picture has RGB"),
        (2, "CMYK", wide_profile(), "for RGB colours and the picture has CMYK"),
    ):
        with pytest.raises(ImageError, match=said):
            to_srgb(with_profile(Image.new(mode, (size, size)), content), [])


def test_a_hostile_profile_name_is_escaped_and_conversion_is_the_same_every_time() -> None:
    content = wide_profile().replace(b"Test space", b"\x1b[31mX\x07 YZ")
    first, second = (converted(with_profile(Image.fromarray(scene()), content)) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert "\x1b" not in first[1][0]
    assert "\\x1b" in first[1][0]
