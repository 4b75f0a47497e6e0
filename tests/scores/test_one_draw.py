"""The one-draw scores against their definitions, pixel by pixel, and their known zeros."""

import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter
from support.synthetic import draw, photograph

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.images.degrade import bicubic_up, degrade

TRUTH = photograph(1)
LOW = degrade(TRUTH, 4)
DELIVERED = draw(TRUTH, 5)


def naive_bicubic_gap() -> np.ndarray:
    height, width = DELIVERED.shape[:2]
    up = np.asarray(PillowImage.fromarray(LOW).resize((width, height), PillowImage.Resampling.BICUBIC), float)
    return np.abs(DELIVERED - up).sum(2) / 255


def naive_consistency() -> np.ndarray:
    height, width = LOW.shape[:2]
    again = np.asarray(PillowImage.fromarray(DELIVERED).resize((width, height), PillowImage.Resampling.BICUBIC), float)
    residual = np.abs(again - LOW).sum(2) / 255
    out = np.empty(DELIVERED.shape[:2])
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = residual[y // 4, x // 4]
    return out


def naive_texture() -> np.ndarray:
    height, width = DELIVERED.shape[:2]
    value = DELIVERED.astype(float) / 255
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            down = value[min(y + 1, height - 1), x] - value[max(y - 1, 0), x]
            right = value[y, min(x + 1, width - 1)] - value[y, max(x - 1, 0)]
            out[y, x] = ((down / 2) ** 2 + (right / 2) ** 2).sum()
    return out


@pytest.mark.parametrize(
    ("name", "naive"),
    [("bicubic-gap", naive_bicubic_gap), ("consistency", naive_consistency), ("texture", naive_texture)],
)
def test_equals_its_definition(name: str, naive: object) -> None:
    expected = gaussian_filter(naive(), 2.0, mode="reflect")  # type: ignore[operator]
    found = bc.indecision_map([DELIVERED], name, low_resolution=LOW, kernel="gaussian", sigma=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_no_gap_where_the_vendor_added_nothing() -> None:
    assert not bc.indecision_map([bicubic_up(LOW, 4)], "bicubic-gap", low_resolution=LOW).any()


def test_a_faithful_picture_is_consistent() -> None:
    assert not bc.indecision_map([TRUTH], "consistency", low_resolution=LOW).any()


def test_a_flat_picture_has_no_texture() -> None:
    assert not bc.indecision_map([np.full((8, 12, 3), 77, np.uint8)], "texture").any()


@pytest.mark.parametrize("name", ["bicubic-gap", "consistency"])
def test_the_input_is_asked_for(name: str) -> None:
    with pytest.raises(UsageError, match="low_resolution"):
        bc.indecision_map([DELIVERED], name)
