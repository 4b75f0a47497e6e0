"""Lab L1, RGB L1 and RGB Linf: values, orders, windows, bounds, and settings that cannot be meant."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import distance as naive
from naive import windows
from skimage.color import rgb2lab

from blackbox_conformal import catalog
from blackbox_conformal.errors import ImageError, UsageError

NAMES = ["lab-l1", "rgb-l1", "rgb-linf"]
COLOUR = {"lab-l1": naive.lab, "rgb-l1": naive.rgb, "rgb-linf": naive.rgb}
NORM = {"lab-l1": sum, "rgb-l1": sum, "rgb-linf": max}
SETTINGS = [
    {},
    {"kernel": "gaussian", "sigma": 1.1},
    {"kernel": "gaussian", "sigma": 12},
    {"kernel": "box", "size": 3},
    {"order": "difference-of-blurs", "sigma": 1.1},
    {"order": "difference-of-blurs", "size": 3},
]

pairs = arrays(np.uint8, (2, 4, 5, 3), elements=st.sampled_from([0, 1, 9, 128, 254, 255]))


def _map(name, truth, delivered, **parameters):
    return catalog.load("metrics", name, **parameters).map(truth, delivered)


@settings(deadline=None, max_examples=20)
@given(pairs)
@pytest.mark.parametrize("name", NAMES)
def test_maps_equal_their_definitions(name, pair):
    truth, delivered = pair
    pointwise = naive.distance(truth, delivered, COLOUR[name], NORM[name])
    np.testing.assert_allclose(_map(name, truth, delivered), pointwise, atol=1e-5)
    for parameters, weights in (({"sigma": 0.8}, windows.gaussian_weights(0.8)), ({"size": 3}, [1 / 3] * 3)):
        blurred = windows.separable(pointwise, weights)
        np.testing.assert_allclose(_map(name, truth, delivered, **parameters), blurred, atol=1e-5)
        planes = [[windows.separable(plane, weights) for plane in naive.planes(image, COLOUR[name])] for image in pair]
        reduce = np.sum if NORM[name] is sum else np.max
        expected = reduce(np.abs(np.array(planes[0]) - np.array(planes[1])), axis=0)
        found = _map(name, truth, delivered, order="difference-of-blurs", **parameters)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert (found <= _map(name, truth, delivered, **parameters) + 1e-6).all()


@settings(deadline=None, max_examples=30)
@given(pairs)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
def test_maps_stay_between_zero_and_the_bound(name, parameters, pair):
    metric = catalog.load("metrics", name, **parameters)
    values = metric.map(*pair)
    assert values.dtype == np.float32
    assert values.shape == (4, 5)
    assert values.min() >= 0
    assert values.max().astype(np.float64) <= metric.bound
    assert (metric.map(pair[0], pair[0]) == 0).all()


def _support_width(colours, signs):
    support = colours @ np.array(signs, np.float64)
    return support.max() - support.min()


def test_lab_bound_is_the_diameter_of_the_gamut():
    """The L1 distance of two points is the largest, over the sign patterns, of their difference along it.

    So the diameter is the largest width of the gamut over four directions. Searched over every colour on the faces of
    the RGB cube and a lattice of step 5 inside it.
    """
    levels = np.arange(256, dtype=np.uint8)
    lattice = np.stack(np.meshgrid(levels[::5], levels[::5], levels[::5], indexing="ij"), axis=-1).reshape(-1, 3)
    face = np.stack(np.meshgrid(levels, levels, indexing="ij"), axis=-1).reshape(-1, 2)
    faces = [np.insert(face, channel, value, axis=1) for channel, value in itertools.product(range(3), (0, 255))]
    colours = np.concatenate([lattice, *faces]).astype(np.uint8)
    lab = rgb2lab(colours[None])[0] / [100, 254, 254] + [0, 0.5, 0.5]
    widths = {signs: _support_width(lab, signs) for signs in itertools.product((1,), (1, -1), (1, -1))}
    diameter = max(widths.values())
    bound = catalog.load("metrics", "lab-l1").bound
    assert diameter <= bound <= diameter + 1e-4
    support = lab @ np.array(max(widths, key=widths.get))
    ends = {tuple(colours[support.argmax()].tolist()), tuple(colours[support.argmin()].tolist())}
    assert ends == {(0, 255, 0), (0, 0, 255)}
    inside = lattice[((lattice > 0) & (lattice < 255)).all(axis=1)]
    inside_lab = rgb2lab(inside[None])[0] / [100, 254, 254]
    assert all(_support_width(inside_lab, signs) < width for signs, width in widths.items())


@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
@pytest.mark.parametrize(
    ("name", "one", "two", "largest"),
    [
        ("lab-l1", (0, 255, 0), (0, 0, 255), 1.95756602),
        ("rgb-l1", (0, 0, 0), (255, 255, 255), 3),
        ("rgb-linf", (9, 0, 77), (0, 255, 3), 1),
    ],
)
def test_bounds_are_attained(name, one, two, largest, parameters):
    truth, delivered = np.full((6, 7, 3), one, np.uint8), np.full((6, 7, 3), two, np.uint8)
    values = _map(name, truth, delivered, **parameters)
    np.testing.assert_allclose(values, largest, rtol=2e-6)


@settings(deadline=None, max_examples=50)
@given(pairs)
@pytest.mark.parametrize("name", NAMES)
def test_pointwise_maps_bound_the_root_mean_square_in_their_space(name, pair):
    metric = catalog.load("metrics", name)
    assert metric.pointwise_root_mean_square
    coordinates = [naive.planes(image, COLOUR[name]) for image in pair]
    root = np.sqrt(((coordinates[0] - coordinates[1]) ** 2).mean(axis=0))
    assert (metric.map(*pair) >= root - 1e-5).all()


@pytest.mark.parametrize("name", NAMES)
def test_averages_claim_no_root_mean_square(name):
    for parameters in SETTINGS[1:]:
        assert not catalog.load("metrics", name, **parameters).pointwise_root_mean_square


def test_spaces():
    assert [catalog.load("metrics", name).space for name in NAMES] == ["normalised Lab", "sRGB", "sRGB"]
    assert [catalog.load("metrics", name).bound for name in NAMES] == [1.9576, 3.0, 1.0]


def test_an_average_forgives_what_cancels_only_as_a_difference_of_blurs():
    truth = np.full((20, 20, 3), 128, np.uint8)
    delivered = truth.copy()
    delivered[::2] += 20
    delivered[1::2] -= 20
    assert _map("rgb-linf", truth, delivered, sigma=4).min() > 0.07
    assert _map("rgb-linf", truth, delivered, sigma=4, order="difference-of-blurs").max() < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_equal_settings_have_one_specification(name):
    def specification(**parameters):
        return catalog.load("metrics", name, **parameters).specification()

    assert specification() == specification(order="pointwise") == specification(kernel=None)
    blurred = specification(kernel="gaussian", sigma=4)
    assert blurred == specification(order="blur-of-difference") == specification(kernel="gaussian")
    assert blurred == specification(sigma="4")
    assert specification(size=31) == specification(kernel="box")
    assert specification(order="difference-of-blurs")["kernel"] == "gaussian"
    for parameters in SETTINGS:
        found = catalog.load("metrics", name, **parameters)
        fields = {key: value for key, value in found.specification().items() if key in type(found).model_fields}
        assert catalog.load("metrics", name, **fields) == found


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_mean_nothing_are_refused(name):
    for parameters, message in (
        ({"order": "pointwise", "sigma": 2}, "expected no window in order pointwise; got sigma.*Leave it out"),
        ({"order": "blurred"}, "order.*one of pointwise, blur-of-difference, difference-of-blurs"),
        ({"kernel": "box", "sigma": 2}, "expected size with a box kernel; got sigma"),
        ({"size": 2}, "expected an odd number of pixels"),
        ({"sigma": math.inf}, "sigma"),
        ({"blur": 2}, "no parameter 'blur'"),
    ):
        with pytest.raises(UsageError, match=message):
            catalog.load("metrics", name, **parameters)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
def test_pictures_that_cannot_be_compared_are_refused(name, parameters):
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ImageError, match="one size; got 5x4 and 4x4"):
        _map(name, image, image[:, :4], **parameters)
    with pytest.raises(ImageError, match=r"uint8.*got float64"):
        _map(name, image / 255, image, **parameters)
