"""Whole JPEGs of every kind pass; one whose middle is missing, or whose header asks for more, does not."""

import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image
from skimage import data
from support.picture_files import jpeg, saved, scene

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.read import read_image

QUALITIES = (5, 50, 90, 100)
RESTARTS: tuple[dict[str, int], ...] = ({}, {"restart_marker_blocks": 3}, {"restart_marker_rows": 1})


def pictures() -> list[Image.Image]:
    """Photographs, noise, edges, and pictures of one colour, whose files are tiny."""
    rng = np.random.default_rng(4)
    photographs = [data.astronaut()[100:331, 150:470], data.chelsea()[:202, 40:290], data.coffee()[90:250, 200:403]]
    made = [rng.integers(0, 256, (61, 83, 3)), np.kron(rng.integers(0, 2, (9, 11)) * 255, np.ones((16, 16)))]
    return [
        *(Image.fromarray(pixels.astype(np.uint8)) for pixels in (*photographs, *made)),
        Image.new("RGB", (640, 480), (12, 99, 200)),
        Image.new("RGB", (333, 217), (255, 255, 255)),
        Image.new("L", (300, 200), 0),
        Image.new("RGB", (1, 1)),
    ]


def files() -> list[tuple[dict[str, int], bytes]]:
    found = []
    for image, quality, progressive, restart in itertools.product(pictures(), QUALITIES, (False, True), RESTARTS):
        for subsampling in (0, 1, 2) if image.mode == "RGB" else (0,):
            if restart and subsampling == 1:
                continue
            options = {"quality": quality, "progressive": progressive, "subsampling": subsampling, **restart}
            found.append((options, saved(image, "JPEG", **options)))
    return found


def start_of_scan(content: bytes) -> int:
    """Where the first coded pixels are."""
    start = content.index(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")


def cut(content: bytes, share: float) -> bytes:
    """The first part of the coded pixels, and the end marker."""
    start = start_of_scan(content)
    return content[: start + int((len(content) - 2 - start) * share)].rstrip(b"\xff") + b"\xff\xd9"


def test_whole_files_of_every_kind_pass() -> None:
    whole = files()
    assert len(whole) > 400
    for options, content in whole:
        assert np.array_equal(read_image(content).pixels, np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))), (
            options
        )


def test_files_that_are_cut_and_ended_again_are_refused() -> None:
    rng = np.random.default_rng(8)
    large = [(options, content) for options, content in files() if inspect(content).width > 80]
    for index in rng.permutation(len(large))[:300]:
        with pytest.raises(ImageError, match="truncated or damaged"):
            read_image(cut(large[index][1], rng.uniform(0.03, 0.97)))


def test_a_part_that_is_missing_between_restart_markers_is_noticed() -> None:
    content = saved(Image.fromarray(data.astronaut()[:200, :200]), "JPEG", quality=80, restart_marker_rows=1)
    first = content.index(b"\xff\xd0", start_of_scan(content))
    second = content.index(b"\xff\xd1", first)
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(content[: (first + second) // 2].rstrip(b"\xff") + content[second:])


def test_scans_that_are_missing_are_noticed() -> None:
    content = saved(Image.fromarray(scene(64, 64)), "JPEG", quality=80, progressive=True)
    last = content.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="some of its scans are missing"):
        inspect(content[:last] + b"\xff\xd9")


def test_text_between_the_cut_and_the_end_hides_nothing() -> None:
    content = cut(saved(Image.fromarray(data.astronaut()[:200, :200]), "JPEG"), 0.5)
    with pytest.raises(ImageError, match="part of its coded pixels is missing"):
        read_image(content[:-2] + b"\xff\xfe\x00\x06text" + b"\xff\xff\xd9")


def test_space_before_a_marker_may_be_filled() -> None:
    content = jpeg()
    assert np.array_equal(read_image(content[:-2] + b"\xff\xff" + content[-2:]).pixels, read_image(content).pixels)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_header_that_asks_for_far_more_than_there_is_is_refused_before_decoding(progressive: bool) -> None:
    content = saved(Image.new("RGB", (8, 8)), "JPEG", progressive=progressive)
    start = content.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    with pytest.raises(ImageError, match=r"its header asks for at least \d+ bytes of coded pixels; it has \d+\."):
        inspect(content[:start] + struct.pack(">HH", 12_000, 12_000) + content[start + 4 :])


@pytest.mark.parametrize("marker", [0xC3, 0xC9, 0xCA, 0xCD])
def test_kinds_that_nobody_uses_are_refused(marker: int) -> None:
    content = jpeg()
    start = content.index(b"\xff\xc0") + 1
    with pytest.raises(ImageError, match="baseline or progressive"):
        inspect(content[:start] + bytes([marker]) + content[start + 1 :])


@pytest.mark.parametrize(("place", "value"), [(0, 9), (1, 0), (8, 0)])
def test_damaged_headers_are_told(place: int, value: int) -> None:
    """The number of components; of a scan, and a sampling factor that is zero."""
    content = bytearray(jpeg())
    start = content.index(b"\xff\xda" if place == 1 else b"\xff\xc0")
    content[start + {0: 9, 1: 4, 8: 11}[place]] = value
    with pytest.raises(ImageError, match="damaged"):
        inspect(bytes(content))
