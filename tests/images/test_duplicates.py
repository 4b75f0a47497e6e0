"""Photographs that would count twice are found; different ones are not taken for each other."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from blackbox_conformal.errors import CalibrationError, FileFormatError
from blackbox_conformal.method.images.duplicates import Distinct, Sketch, sketch
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image

# Half of them, and not trestle-trail: it is so dark that more contrast turns nearly all of it black.
PHOTOGRAPHS = {one.name: read_image(one.path).pixels for one in demo_photographs()[1::2]}


def jpeg_again(pixels: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=60)
    return read_image(out.getvalue()).pixels


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


def test_different_photographs_pass() -> None:
    seen = Distinct()
    for name, pixels in PHOTOGRAPHS.items():
        seen.add(name, sketch(pixels))


def test_tiles_of_one_photograph_are_different_pictures() -> None:
    seen = Distinct()
    for name, pixels in PHOTOGRAPHS.items():
        rows, columns = (range(0, side - 127, 128) for side in pixels.shape[:2])
        for row, column in itertools.product(rows, columns):
            tile = sketch(pixels[row : row + 128, column : column + 128])
            if not tile.flat:
                seen.add(f"{name}-{row}-{column}", tile)


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


def test_different_smooth_pictures_pass() -> None:
    seen = Distinct()
    seen.add("blue", sketch(sky((60, 110, 190), (170, 200, 235))))
    seen.add("teal", sketch(sky((40, 140, 150), (150, 225, 220))))
    seen.add("evening", sketch(sky((70, 60, 120), (240, 170, 120))))


def test_a_sketch_is_the_same_after_it_was_written() -> None:
    one = sketch(next(iter(PHOTOGRAPHS.values())))
    again = Sketch.from_text(one.digest, one.text)
    assert len(one.text) == 576
    np.testing.assert_array_equal(again.thumbnail, one.thumbnail)
    for text in ("", "AAAA", "!" * 576, one.text + "AAAA"):
        with pytest.raises(FileFormatError, match="sketch"):
            Sketch.from_text(one.digest, text)


def test_flat_pictures_are_compared_by_their_pixels_only() -> None:
    seen = Distinct()
    seen.add("black", sketch(np.zeros((64, 64, 3), np.uint8)))
    seen.add("nearly black", sketch(np.ones((64, 64, 3), np.uint8)))
    with pytest.raises(CalibrationError, match="black and again hold the same pixels"):
        seen.add("again", sketch(np.zeros((64, 64, 3), np.uint8)))


def test_the_same_name_twice_is_the_same_file_twice() -> None:
    seen = Distinct()
    pixels = next(iter(PHOTOGRAPHS.values()))
    seen.add("a.png", sketch(pixels))
    with pytest.raises(CalibrationError, match=r"a\.png and a\.png hold the same pixels"):
        seen.add("a.png", sketch(pixels))


def test_hostile_names_are_escaped() -> None:
    seen = Distinct()
    pixels = next(iter(PHOTOGRAPHS.values()))
    seen.add("a\x1b[2J.png", sketch(pixels))
    with pytest.raises(CalibrationError) as found:
        seen.add("b\u202e.png", sketch(pixels))
    assert "\x1b" not in str(found.value)
    assert "\\u202e" in str(found.value)
