"""A colour scale that is read by its lightness, and a map that shows order."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from blackbox_conformal.errors import MapError
from blackbox_conformal.images.heat_map import colour_scale, heat_map


def lightness(colours: np.ndarray) -> np.ndarray:
    return rgb2lab(colours.reshape(1, -1, 3))[0, :, 0]


def test_lightness_rises_evenly() -> None:
    found = lightness(colour_scale())
    assert found[0] == pytest.approx(8, abs=1.5)
    assert found[-1] == pytest.approx(96, abs=1.5)
    assert (np.diff(found) > 0).all()
    assert np.abs(found - np.linspace(found[0], found[-1], 256)).max() < 1.5


def test_neighbouring_colours_are_equally_far_apart_to_the_eye() -> None:
    lab = rgb2lab(colour_scale()[::8].reshape(1, -1, 3))[0]
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() < 3 * steps.min()


def test_the_order_survives_red_green_blindness() -> None:
    """Brightness as the blue-yellow eye has it: without the red-green difference, only lightness and b* are left."""
    lab = rgb2lab(colour_scale().reshape(1, -1, 3))[0]
    steps = np.linalg.norm(np.diff(lab[::8][:, [0, 2]], axis=0), axis=1)
    assert steps.min() > 2


def test_larger_scores_are_lighter() -> None:
    values = np.linspace(0, 5, 64, dtype=np.float32).reshape(8, 8)
    picture = heat_map(values, bar=False)
    assert picture.shape == (8, 8, 3)
    assert (np.diff(lightness(picture)) > 0).all()
    assert np.array_equal(picture[0, 0], colour_scale()[0])
    assert np.array_equal(picture[-1, -1], colour_scale()[255])


def test_limits_hold_across_maps_and_clip() -> None:
    values = np.array([[-1.0, 0.0, 5.0, 10.0, 99.0]], np.float32)
    picture = heat_map(values, (0.0, 10.0), bar=False)
    scale = colour_scale()
    assert np.array_equal(picture[0], scale[[0, 0, 128, 255, 255]])


def test_pixels_without_a_score_are_a_grey_that_is_not_in_the_scale() -> None:
    picture = heat_map(np.array([[0.0, np.nan, np.inf, 1.0]], np.float32), bar=False)
    assert picture[0, 1].tolist() == picture[0, 2].tolist() == [128, 128, 128]
    assert not (colour_scale() == 128).all(axis=1).any()
    assert heat_map(np.full((2, 2), np.nan, np.float32), bar=False).tolist() == [[[128] * 3] * 2] * 2


def test_the_bar_runs_upwards_and_has_five_ticks() -> None:
    values = np.zeros((240, 300), np.float32)
    picture = heat_map(values)
    bar = picture[:, 300:]
    assert bar.shape == (240, 20, 3)
    middle = lightness(bar[:, 10])
    assert (np.diff(middle) <= 0).all()
    assert middle[0] - middle[-1] > 80
    ticks = (bar[:, -4] == 0).all(axis=1)
    assert (np.diff(ticks.astype(int)) == 1).sum() + int(ticks[0]) == 5


def test_a_constant_map_and_a_tiny_map_are_drawn() -> None:
    assert heat_map(np.full((3, 4), 2.0, np.float32), bar=False).tolist() == [[colour_scale()[0].tolist()] * 4] * 3
    assert heat_map(np.ones((1, 1), np.float32)).shape[0] == 1


def test_what_is_no_map_is_refused() -> None:
    for values in (np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), int), np.zeros((0, 2), np.float32)):
        with pytest.raises(MapError, match="float map"):
            heat_map(values)
    for limits in ((1.0, 0.0), (0.0, float("nan")), (0.0, float("inf"))):
        with pytest.raises(MapError, match="limits"):
            heat_map(np.zeros((2, 2), np.float32), limits)
