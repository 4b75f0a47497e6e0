"""A picture's identity is its content."""

import hashlib

import numpy as np
import pytest

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.picture import check_pixels, is_blank, pixels_digest


def noise(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_digest_covers_size_and_pixels() -> None:
    pixels = noise(4, 6)
    header = b"blackbox-conformal picture 1\nsRGB 8-bit RGB 6x4\n"
    assert pixels_digest(pixels) == "sha256:" + hashlib.sha256(header + pixels.tobytes()).hexdigest()
    assert pixels_digest(pixels) != pixels_digest(pixels.reshape(6, 4, 3))
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    assert pixels_digest(changed) != pixels_digest(pixels)


def test_digest_does_not_depend_on_memory_layout() -> None:
    pixels = noise(6, 6)
    assert pixels_digest(pixels[:, ::-1]) == pixels_digest(pixels[:, ::-1].copy())


@pytest.mark.parametrize(
    ("shape", "kind"), [((2, 2), np.uint8), ((2, 2, 4), np.uint8), ((2, 2, 3), np.float32), ((0, 2, 3), np.uint8)]
)
def test_other_arrays_are_refused(shape: tuple[int, ...], kind: type) -> None:
    with pytest.raises(ImageError, match="expected"):
        check_pixels(np.zeros(shape, kind))


def test_something_else_is_refused() -> None:
    with pytest.raises(ImageError, match="list"):
        check_pixels([[0]])


@pytest.mark.parametrize(("spread", "blank"), [(0, True), (3, True), (4, False)])
def test_blank_is_one_colour(spread: int, blank: bool) -> None:
    pixels = np.full((4, 4, 3), (9, 100, 200), np.uint8)
    pixels[2, 2, 1] += spread
    assert is_blank(pixels) is blank
