"""Real-ESRGAN's network: what it computes, by definition, and that the weights are those of its makers."""

import numpy as np
import pytest

from blackbox_conformal.embedded.studio import CONVOLUTIONS, RealEsrganNetwork, read_weights
from blackbox_conformal.errors import ImageError, UsageError

PATTERN = (np.arange(10 * 12 * 3).reshape(10, 12, 3) * 37 % 256).astype(np.uint8)


def by_definition(picture: np.ndarray) -> np.ndarray:
    """Pixel by pixel in double precision, before rounding."""
    _, weights = read_weights("real_esrgan_weights.npz")
    height, width = picture.shape[:2]
    features = picture / 255
    for number in range(CONVOLUTIONS):
        kernel, around = weights[f"weight_{number}"].astype(float), np.pad(features, ((1, 1), (1, 1), (0, 0)))
        features = np.array(
            [[np.tensordot(around[y : y + 3, x : x + 3], kernel, 3) for x in range(width)] for y in range(height)]
        )
        features += weights[f"bias_{number}"]
        if number < CONVOLUTIONS - 1:
            features = np.maximum(features, 0) + weights[f"slope_{number}"] * np.minimum(features, 0)
    enlarged = np.empty((4 * height, 4 * width, 3))
    for y, x, colour in np.ndindex(enlarged.shape):
        place = 16 * colour + 4 * (y % 4) + x % 4
        enlarged[y, x, colour] = features[y // 4, x // 4, place] + picture[y // 4, x // 4, colour] / 255
    return np.clip(enlarged * 255, 0, 255)


@pytest.mark.parametrize("size", [(10, 12), (7, 1), (1, 5)])
def test_it_is_what_the_definition_says(size):
    picture = PATTERN[: size[0], : size[1]]
    assert np.abs(RealEsrganNetwork().upscale(picture, 0) - by_definition(picture)).max() <= 0.51


def test_it_answers_as_ncnn_does_with_the_published_files():
    """Some pixels of what ncnn 1.0 made of the pattern with `RealESRGAN_General_x4_v3`."""
    found = RealEsrganNetwork().upscale(PATTERN, 0)[::13, ::16].astype(int)
    published = [
        [[20, 42, 73], [178, 194, 106], [77, 73, 108]],
        [[154, 204, 178], [88, 61, 97], [136, 111, 150]],
        [[37, 99, 118], [171, 126, 79], [162, 171, 199]],
        [[211, 228, 79], [150, 163, 197], [120, 53, 83]],
    ]
    assert np.abs(found - published).max() <= 1


def test_strips_leave_no_seam(monkeypatch):
    tall = np.resize(PATTERN, (150, 3, 3))
    whole = RealEsrganNetwork().upscale(tall, 0)
    monkeypatch.setattr(RealEsrganNetwork, "strip_pixels", 1)
    assert np.abs(RealEsrganNetwork().upscale(tall, 0).astype(int) - whole).max() <= 1


def test_what_is_no_picture_is_refused():
    with pytest.raises(ImageError):
        RealEsrganNetwork().upscale(PATTERN[..., 0], 0)
    with pytest.raises(UsageError):
        RealEsrganNetwork().upscale(PATTERN, -1)
