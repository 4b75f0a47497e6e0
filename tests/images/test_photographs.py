"""Which files count as photographs, which of them count twice, and the inputs that are made from them."""

import itertools
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.picture_files import png, saved, scene
from support.synthetic import reduced

from blackbox_conformal.errors import CalibrationError, FileFormatError, ImageError, UsageError
from blackbox_conformal.method.images.duplicates import Distinct, Sketch, sketch
from blackbox_conformal.method.images.encode import upload_png
from blackbox_conformal.method.images.making_inputs import bicubic_up, crop_note, crop_to_multiple, upload_from
from blackbox_conformal.method.images.photographs import demo_photographs, find_photographs, left_out
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.stages.prepare import picture_room


def test_folders_are_searched_files_are_taken_and_each_comes_once(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "sub/c.tiff", "notes.txt", ".hidden.png", ".git/d.png", "sub/odd.dat"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png())
    found = find_photographs([tmp_path, tmp_path / "a.jpg", str(tmp_path / "sub" / "odd.dat")])
    paths = [one.path.relative_to(tmp_path).as_posix() for one in found]
    assert paths == ["a.jpg", "b.PNG", "sub/c.tiff", "sub/odd.dat"]
    assert [one.name for one in found] == ["a", "b", "c", "odd"]


def test_what_is_left_out_of_a_folder_is_counted_by_kind(tmp_path: Path) -> None:
    names = ["a.png", "b.PSD", "c.psd", "sub/d.gif", "README", ".hidden.psd", ".git/e.psd", "named.dat"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png())
    said = left_out([tmp_path, tmp_path / "sub", tmp_path / "named.dat"])
    assert said is not None
    assert said.startswith("4 files left out: 2 .psd, 1 ")
    assert all(kind in said for kind in ("1 .gif", "1 without an ending", "what is read is .avif, .bmp"))
    assert left_out([tmp_path / "a.png"]) is None
    (tmp_path / "sub" / "d.\x1b[2J").write_bytes(b"")
    assert "\x1b" not in str(left_out([tmp_path / "sub"]))


def test_order_does_not_depend_on_how_they_are_named_and_a_link_is_the_same_photograph(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / name).write_bytes(png())
    found = find_photographs([tmp_path])
    assert find_photographs([tmp_path / name for name in ("3.png", "1.png", "2.png")]) == found
    (tmp_path / "4.png").symlink_to(tmp_path / "1.png")
    assert len(find_photographs([tmp_path])) == len(found) == 3


def test_missing_and_empty_places_are_errors(tmp_path: Path) -> None:
    for places, said in (
        ([tmp_path / "no\x1bwhere"], "does not exist"),
        ([tmp_path], "found none in .*"),
        ([], "found none in nothing"),
        (["nul\0byte"], "x00"),
    ):
        with pytest.raises(UsageError, match=said):
            find_photographs(places)


def test_the_demonstration_has_photographs_that_all_pass_the_gate() -> None:
    found = demo_photographs()
    assert len(found) == 21
    for one in found:
        picture = read_image(one.path)
        assert min(picture.size) >= 300
        assert "grey replicated to RGB" not in picture.conversions


def test_every_photograph_has_its_author_licence_and_source_beside_it() -> None:
    folder = demo_photographs()[0].path.parent
    rows = re.findall(r"^\| `(\w[\w-]*\.jpg)` \|(.*)\|$", (folder / "README.md").read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == [one.path.name for one in demo_photographs()]
    for _, row in rows:
        shows, author, licence, source = (cell.strip() for cell in row.split("|"))
        assert shows
        assert author
        assert licence in ("public domain", "CC0 1.0")
        assert source.endswith("`")


# Half of them, and not trestle-trail: it is so dark that more contrast turns nearly all of it black.
PHOTOGRAPHS = {one.name: read_image(one.path).pixels for one in demo_photographs()[1::2]}


def jpeg_again(pixels: np.ndarray) -> np.ndarray:
    return read_image(saved(Image.fromarray(pixels), "JPEG", quality=60)).pixels


def resized(pixels: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(pixels).resize((pixels.shape[1] * 3 // 5, pixels.shape[0] * 3 // 5)))


CHANGES = {
    "the same": np.copy,
    "compressed": jpeg_again,
    "resized": resized,
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upside down": lambda pixels: pixels[::-1],
    "turned left": lambda pixels: np.rot90(pixels),
    "turned about": lambda pixels: np.rot90(pixels, 2),
    "turned right": lambda pixels: np.rot90(pixels, 3),
    "transposed": lambda pixels: np.swapaxes(pixels, 0, 1),
    "brighter": lambda pixels: np.minimum(pixels.astype(int) + 12, 255).astype(np.uint8),
    "more contrast": lambda pixels: np.clip(128 + 1.1 * (pixels.astype(float) - 128), 0, 255).astype(np.uint8),
    "resized, turned and compressed": lambda pixels: jpeg_again(np.rot90(resized(pixels)).copy()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_both_names_are_told(change: str) -> None:
    sketches = {f"{name}.png": sketch(pixels) for name, pixels in PHOTOGRAPHS.items()}
    for name, photograph in PHOTOGRAPHS.items():
        seen = Distinct()
        for other, sketched in sketches.items():
            seen.add(other, sketched)
        with pytest.raises(CalibrationError, match=f"expected different photographs.*{name}.png and copy.png"):
            seen.add("copy.png", sketch(CHANGES[change](photograph)))


def test_different_photographs_tiles_of_one_and_smooth_pictures_pass() -> None:
    whole, in_tiles, smooth = Distinct(), Distinct(), Distinct()
    for name, pixels in PHOTOGRAPHS.items():
        whole.add(name, sketch(pixels))
        rows, columns = (range(0, side - 127, 128) for side in pixels.shape[:2])
        for row, column in itertools.product(rows, columns):
            tile = sketch(pixels[row : row + 128, column : column + 128])
            if not tile.flat:
                in_tiles.add(f"{name}-{row}-{column}", tile)
    smooth.add("blue", sketch(sky((60, 110, 190), (170, 200, 235))))
    smooth.add("teal", sketch(sky((40, 140, 150), (150, 225, 220))))
    smooth.add("evening", sketch(sky((70, 60, 120), (240, 170, 120))))


def test_frames_of_one_clip_may_look_alike_but_not_be_equal_and_those_of_two_clips_not() -> None:
    first, photograph = Distinct(), PHOTOGRAPHS["coffee"]
    frames = [sketch(photograph), sketch(CHANGES["brighter"](photograph)), sketch(CHANGES["more contrast"](photograph))]
    for number, frame in enumerate(frames[:2]):
        first.add(str(number), frame, "clip")
    with pytest.raises(CalibrationError, match="0 and 2 show the same"):
        first.add("2", frames[2], "another clip")
    with pytest.raises(CalibrationError, match="0 and 2 hold the same pixels"):
        first.add("2", frames[0], "clip")


def sky(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> np.ndarray:
    """A clear sky, which has no detail: from one colour to another, a little curved, with grain."""
    down = np.linspace(0, 1, 200)[:, None, None] ** 1.3
    plain = np.array(top) * (1 - down) + np.array(bottom) * down + np.zeros((1, 300, 1))
    return np.clip(plain + np.random.default_rng(sum(top)).normal(0, 2, plain.shape), 0, 255).astype(np.uint8)


def test_a_sketch_is_the_same_after_it_was_written() -> None:
    one = sketch(next(iter(PHOTOGRAPHS.values())))
    again = Sketch.from_text(one.digest, one.text)
    assert len(one.text) == 576
    np.testing.assert_array_equal(again.thumbnail, one.thumbnail)
    for text in ("", "AAAA", "!" * 576, one.text + "AAAA"):
        with pytest.raises(FileFormatError, match="sketch"):
            Sketch.from_text(one.digest, text)


def test_flat_pictures_are_compared_by_their_pixels_only_and_hostile_names_are_escaped() -> None:
    seen, pixels = Distinct(), next(iter(PHOTOGRAPHS.values()))
    for name, first in (
        ("black", np.zeros((64, 64, 3), np.uint8)),
        ("nearly black", np.ones((64, 64, 3), np.uint8)),
        ("a.png", pixels),
    ):
        seen.add(name, sketch(first))
    for name, twice, said in (
        ("again", np.zeros((64, 64, 3), np.uint8), "black and again hold the same pixels"),
        ("a.png", pixels, r"a\.png and a\.png hold the same pixels"),
        ("b\u202e\x1b[2J.png", pixels, r"^[^\x1b]* and b\\u202e\\x1b\[2J\.png hold the same pixels[^\x1b]*$"),
    ):
        with pytest.raises(CalibrationError, match=said):
            seen.add(name, sketch(twice))


def keys(x: float) -> float:
    """Keys 1981 with a = -1/2."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def naive_rows(pixels: np.ndarray, size: int) -> np.ndarray:
    """One pass over the rows: kernel widened when it shrinks, cut at the border and normalised, rounded to 8 bits."""
    scale = len(pixels) / size
    width = max(scale, 1.0)
    out = np.zeros((size, *pixels.shape[1:]))
    for row in range(size):
        centre = (row + 0.5) * scale
        first = max(0, math.floor(centre - 2 * width + 0.5))
        last = min(len(pixels), math.floor(centre + 2 * width + 0.5))
        weights = np.array([keys((index + 0.5 - centre) / width) for index in range(first, last)])
        out[row] = np.tensordot(weights / weights.sum(), pixels[first:last].astype(float), 1)
    return np.clip(np.floor(out + 0.5), 0, 255)


def naive_bicubic(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    across = naive_rows(np.swapaxes(pixels, 0, 1), width)
    return naive_rows(np.swapaxes(across, 0, 1), height)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_degrade_is_bicubic(scale: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 48, 3), dtype=np.uint8)
    low = reduced(pixels, scale)
    assert low.shape == (24 // scale, 48 // scale, 3)
    assert np.abs(low - naive_bicubic(pixels, 24 // scale, 48 // scale)).max() <= 1


def test_bicubic_up_is_bicubic_flat_pictures_stay_flat_and_degrading_commutes_with_mirrors() -> None:
    low, flat = scene(5, 6), np.full((16, 24, 3), (3, 128, 250), np.uint8)
    assert np.abs(bicubic_up(low, 4) - naive_bicubic(low, 20, 24)).max() <= 1
    assert np.array_equal(reduced(flat, 4), flat[::4, ::4])
    assert np.array_equal(bicubic_up(reduced(flat, 4), 4), flat)
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.abs(reduced(pixels[:, ::-1], 4).astype(int) - reduced(pixels, 4)[:, ::-1]).max() <= 1


def test_a_size_off_the_grid_is_refused_and_cut_only_when_asked_and_too_small_a_picture_too() -> None:
    pixels = scene(23, 30)
    with pytest.raises(ImageError, match="multiples of 4; got 30×23"):
        reduced(pixels, 4)
    cut = crop_to_multiple(pixels, 4)
    assert np.array_equal(cut, pixels[:20, :28])
    assert cut.flags.c_contiguous
    said = "cut to 28×20, a multiple of 4: 2 columns on the right and 3 rows at the bottom dropped"
    assert (crop_note((23, 30), 4), crop_note((20, 28), 4)) == (said, None)
    with pytest.raises(ImageError, match="at least 4 pixels for scale 4; got 30×3"):
        crop_to_multiple(scene(3, 30), 4)
    for function in (crop_to_multiple, bicubic_up):
        with pytest.raises(ImageError, match="scale of at least 1"):
            function(scene(), 0)


def test_the_upload_is_its_pixels() -> None:
    upload = upload_from(scene(), "cat")
    assert (upload.name, upload.width, upload.height) == ("cat", 32, 24)
    assert upload.digest == pixels_digest(scene())
    assert upload.png == upload_png(scene())
    picture = read_image(upload.png)
    assert picture.digest == upload.digest
    assert picture.conversions == ()


MIB = 2**20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_rooms_are_apart_and_can_be_filled() -> None:
    one, other = picture_room(3, 5), picture_room(3, 5)
    one[...] = 7
    other[...] = 9
    assert (one.shape, one.dtype, one.flags.c_contiguous, one.flags.writeable) == ((3, 5, 3), np.uint8, True, True)
    assert (one == 7).all()
    assert (other == 9).all()
    view = one[1:]
    del one
    assert (view == 7).all()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_room_that_is_dropped_is_given_back_at_once() -> None:
    kept = [picture_room(1000, 2000) for _ in range(3)]
    for room in kept:
        room[...] = 1
    full = resident()
    # Dropped from the middle, where an allocator that grows and shrinks at its end could give nothing back.
    del kept[1], room
    assert full - resident() > 4 * MIB
