"""What holds of every metric: definition, range, bound, settings, windows, what it claims and what it refuses."""

import itertools
import math
import sys
from typing import ClassVar

import flip_evaluator
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import delta_e, distance, metrics, similarity, windows
from support.family_cases import cases, has_difference_of_blurs, is_windowed, metrics_of_pictures_alone

from blackbox_conformal.errors import ImageError, MapError, UsageError
from blackbox_conformal.method.metrics.rgb_l1 import RgbL1
from blackbox_conformal.support import catalog

CORNERS = np.array(list(itertools.product((0, 255), repeat=3)), np.uint8)


def load(name, **parameters):
    return catalog.load("metrics", name, **parameters)


def twin(name):
    """The definition of the metric in `naive.metrics`, where there is one."""
    return getattr(metrics, name.replace("-", "_"), None)


NAMES = metrics_of_pictures_alone()
CASES = cases("metrics", NAMES)
NORMS = [name for name in NAMES if has_difference_of_blurs(name)]
WINDOWED = [name for name in NAMES if is_windowed("metrics", name)]

pairs = arrays(np.uint8, (2, 4, 5, 3), elements=st.sampled_from([0, 1, 9, 128, 254, 255]))


def random_pair(shape=(12, 14), seed=0):
    """Two pictures that differ by at most 30 levels, so that nothing is clipped everywhere."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    return truth, np.clip(truth.astype(int) + rng.integers(-30, 31, truth.shape), 0, 255).astype(np.uint8)


def test_two_pictures_are_enough_but_for_what_a_person_or_program_decides_and_what_the_input_tells():
    needing_more = {"custom-metric", "in-holes", "invention", "omission", "semantic"}
    assert set(catalog.names("metrics")) - set(NAMES) == needing_more


def test_every_definition_is_that_of_a_metric():
    """A metric that is renamed does not lose its definition unnoticed."""
    functions = {
        name for name, value in vars(metrics).items() if isinstance(value, tuple) or hasattr(value, "__code__")
    }
    assert functions <= {name.replace("-", "_") for name in catalog.names("metrics")}


@settings(deadline=None, max_examples=20)
@given(pairs)
@pytest.mark.parametrize("name", [name for name in NORMS if twin(name)])
def test_norms_equal_their_definitions(name, pair):
    truth, delivered = pair
    colour, norm = twin(name)
    pointwise = distance.distance(truth, delivered, colour, norm)
    np.testing.assert_allclose(load(name).map(truth, delivered), pointwise, atol=1e-5)
    for parameters, weights in (({"sigma": 0.8}, windows.gaussian_weights(0.8)), ({"size": 3}, [1 / 3] * 3)):
        blurred = windows.separable(pointwise, weights)
        np.testing.assert_allclose(load(name, **parameters).map(truth, delivered), blurred, atol=1e-5)
        planes = [[windows.separable(plane, weights) for plane in distance.planes(image, colour)] for image in pair]
        expected = norm(np.abs(np.array(planes[0]) - np.array(planes[1])), axis=0)
        of_blurs = load(name, order="difference-of-blurs", **parameters).map(truth, delivered)
        np.testing.assert_allclose(of_blurs, expected, atol=1e-5)
        assert (of_blurs <= load(name, **parameters).map(truth, delivered) + 1e-6).all()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [case for case in CASES if twin(case[0]) and case[0] not in NORMS and "kernel" not in case[1]],
    ids=str,
)
def test_other_maps_equal_their_definitions(name, parameters):
    truth, delivered = random_pair()
    # Half of the picture is as wrong as can be, so that a cap clips.
    delivered[:6] = 255 - truth[:6]
    windowed = {key: value for key, value in parameters.items() if key in ("sigma", "size")}
    expected = twin(name)(truth, delivered, **{key: parameters[key] for key in parameters.keys() - windowed})
    if windowed:
        sigma, size = windowed.get("sigma"), windowed.get("size")
        expected = windows.separable(expected, windows.gaussian_weights(sigma) if sigma else [1 / size] * size)
    typed = {key: str(value) for key, value in parameters.items()}
    np.testing.assert_allclose(load(name, **typed).map(truth, delivered), expected, atol=2e-5)


@settings(deadline=None, max_examples=10)
@given(pairs)
@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_maps_stay_between_zero_and_the_bound_and_are_zero_where_nothing_is_wrong(name, parameters, pair):
    metric = load(name, **parameters)
    values = metric.map(*pair)
    assert values.dtype == np.float32
    assert values.shape == (4, 5)
    assert values.flags.c_contiguous
    assert values.min() >= 0
    assert values.max().astype(np.float64) <= metric.bound
    assert (metric.map(pair[0], pair[0].copy()) == 0).all()


@pytest.mark.parametrize(("name", "parameters"), cases("metrics", NORMS), ids=str)
def test_two_flat_corners_of_the_gamut_attain_the_bound_of_a_norm(name, parameters):
    """To 2 parts in 100,000, as a bound may be rounded up. A flat picture stays what it is in every window."""
    metric = load(name, **parameters)
    flat = [np.full((6, 7, 3), corner, np.uint8) for corner in CORNERS]
    smallest, largest = max(
        (values.min(), values.max()) for pair in itertools.combinations(flat, 2) for values in [metric.map(*pair)]
    )
    assert largest - smallest <= 2e-6 * metric.bound
    # The map cuts off what lies above its bound, so the bound is held against the definition, too.
    if twin(name):
        found = max(
            distance.distance(*pair, *twin(name)).max() for pair in itertools.combinations(CORNERS[:, None, None], 2)
        )
        assert metric.bound * (1 - 2e-5) <= found <= metric.bound * (1 + 1e-9), (
            f"expected the bound of {name}, `largest`, to be the difference of two corners of the gamut, {found:.9g}, "
            f"rounded up in the sixth digit; got {metric.bound:.9g}"
        )
    assert metric.bound * (1 - 2e-5) <= largest <= metric.bound


@settings(deadline=None, max_examples=50)
@given(pairs)
@pytest.mark.parametrize("name", [name for name in NAMES if load(name).pointwise_root_mean_square])
def test_a_claimed_root_mean_square_is_bounded_in_the_metrics_space(name, pair):
    metric = load(name)
    differences = metric.channel_differences(*pair)
    assert differences.shape == (3, 4, 5)
    assert (metric.map(*pair) >= np.sqrt((differences.astype(np.float64) ** 2).mean(axis=0)) - 1e-5).all()
    if twin(name):
        truth, delivered = (distance.planes(image, twin(name)[0]) for image in pair)
        np.testing.assert_allclose(differences, truth - delivered, atol=1e-5)


@pytest.mark.parametrize("name", WINDOWED)
def test_averages_claim_no_root_mean_square(name):
    for window in ({"sigma": 1.1}, {"size": 3}):
        metric = load(name, **window)
        assert not metric.pointwise_root_mean_square
        assert metric.channel_differences(*random_pair()) is None


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_a_specification_gives_the_same_metric(name, parameters):
    metric = load(name, **parameters)
    specification = metric.specification()
    assert catalog.load("metrics", specification.pop("name"), **specification) == metric


@pytest.mark.parametrize("name", WINDOWED)
def test_equal_windows_have_one_specification(name):
    def specification(**parameters):
        return load(name, **parameters).specification()

    assert specification() == specification(order="pointwise") == specification(kernel=None)
    blurred = specification(kernel="gaussian", sigma=4)
    assert blurred == specification(order="blur-of-difference") == specification(kernel="gaussian")
    assert blurred == specification(sigma="4")
    assert specification(size=31) == specification(kernel="box")
    if name in NORMS:
        assert specification(order="difference-of-blurs")["kernel"] == "gaussian"


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_that_there_is_not_is_refused(name):
    with pytest.raises(UsageError, match="no parameter 'blur'"):
        load(name, blur=2)


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_that_mean_nothing_are_refused(name):
    for parameters, message in (
        ({"order": "pointwise", "sigma": 2}, "expected no window in order pointwise; got sigma.*Leave it out"),
        ({"order": "blurred"}, "order.*one of pointwise, blur-of-difference"),
        ({"kernel": "box", "sigma": 2}, "expected size with a box kernel; got sigma"),
        ({"size": 2}, "expected an odd number of pixels"),
        ({"sigma": math.inf}, "sigma"),
    ):
        with pytest.raises(UsageError, match=message):
            load(name, **parameters)
    if name not in NORMS:
        with pytest.raises(UsageError, match="has no difference of blurs"):
            load(name, order="difference-of-blurs")


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_pictures_that_cannot_be_compared_are_refused(name, parameters):
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ImageError, match="one size; got 5x4 and 4x4"):
        load(name, **parameters).map(image, image[:, :4])
    with pytest.raises(ImageError, match=r"uint8.*got float64"):
        load(name, **parameters).map(image / 255, image)


def _pictures(height=12, width=14, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return truth, np.clip(truth.astype(int) + rng.integers(-30, 31, truth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("cap", ["0.5", "7", "20", "97.3"])
def test_the_cap_is_the_bound_and_clips_before_averaging(cap):
    metric = catalog.load("metrics", "delta-e-2000", cap=cap)
    assert metric.bound == float(cap)
    truth, delivered = _pictures()
    delivered[:6] = 255 - truth[:6]
    expected = np.minimum(delta_e.difference(truth, delivered), float(cap))
    np.testing.assert_allclose(metric.map(truth, delivered), expected, atol=2e-5)
    assert metric.map(truth, delivered).max().astype(np.float64) <= metric.bound
    averaged = catalog.load("metrics", "delta-e-2000", cap=cap, size=3).map(truth, delivered)
    np.testing.assert_allclose(averaged, windows.box(expected, 3), atol=2e-5)


@pytest.mark.parametrize("cap", [0, -1, 121, "nan", "inf"])
def test_a_cap_that_is_no_cap_is_refused(cap):
    with pytest.raises(UsageError, match="cap"):
        catalog.load("metrics", "delta-e-2000", cap=cap)


def test_downsampling_shows_each_value_at_its_four_pixels():
    truth, delivered = _pictures(9, 11)
    found = catalog.load("metrics", "gms", downsample="true").map(truth, delivered)
    np.testing.assert_allclose(found, 1 - similarity.gms(truth, delivered, True), atol=1e-6)
    np.testing.assert_array_equal(found[0:8:2], found[1:8:2])


def test_flip_sees_less_from_farther_away():
    truth, delivered = _pictures(40, 40)
    near, far = (catalog.load("metrics", "flip", pixels_per_degree=ppd).map(truth, delivered) for ppd in (20, 200))
    np.testing.assert_allclose(near, metrics.flip(truth, delivered, 20.0), atol=1e-6)
    assert far.mean() < near.mean()


def test_flip_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    truth, delivered = _pictures()
    with pytest.raises(UsageError, match=r"pip install 'blackbox-conformal\[flip\]'"):
        catalog.load("metrics", "flip").map(truth, delivered)


@pytest.mark.parametrize("answer", [np.full((12, 14, 1), 1.5), np.full((12, 14, 1), np.nan), np.zeros((14, 12, 1))])
def test_flip_answers_that_are_no_map_are_refused(monkeypatch, answer):
    monkeypatch.setattr(flip_evaluator, "evaluate", lambda *_, **__: (answer.astype(np.float32), -1, {}))
    with pytest.raises(MapError, match="expected a FLIP map of 14x12 values"):
        catalog.load("metrics", "flip").map(*_pictures())


def test_spaces_and_bounds():
    metrics = [catalog.load("metrics", name) for name in ("lab-l1", "chroma", "rgb-l1", "rgb-linf")]
    assert [(metric.space, metric.bound) for metric in metrics] == [
        ("normalised Lab", 1.9576),
        ("a and b of normalised Lab", 1.40318),
        ("sRGB", 3.0),
        ("sRGB", 1.0),
    ]


def test_an_average_forgives_what_cancels_only_as_a_difference_of_blurs():
    truth = np.full((20, 20, 3), 128, np.uint8)
    delivered = truth.copy()
    delivered[::2] += 20
    delivered[1::2] -= 20
    assert catalog.load("metrics", "rgb-linf", sigma=4).map(truth, delivered).min() > 0.07
    of_blurs = catalog.load("metrics", "rgb-linf", sigma=4, order="difference-of-blurs")
    assert of_blurs.map(truth, delivered).max() < 0.01


def test_chroma_is_the_error_of_colour_alone():
    rng = np.random.default_rng(5)
    truth, delivered = rng.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    chroma, all_of_it = (catalog.load("metrics", name).map(truth, delivered) for name in ("chroma", "lab-l1"))
    assert (chroma <= all_of_it).all()
    grey = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert catalog.load("metrics", "chroma").map(grey, grey[:, ::-1]).max() < 1e-4
    red, green = (np.array([[colour]], np.uint8) for colour in ((220, 60, 60), (60, 140, 60)))
    assert catalog.load("metrics", "chroma").map(red, green)[0, 0] > 0.4


BLACK, WHITE = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)


class TooSmall(RgbL1):
    """It claims a little less than black beside white."""

    largest: ClassVar[float] = 2.9


@pytest.mark.parametrize("order", ["pointwise", "blur-of-difference", "difference-of-blurs"])
def test_a_bound_that_a_picture_exceeds_is_refused(order: str) -> None:
    assert RgbL1(order=order).map(BLACK, WHITE).max() == pytest.approx(3.0)
    with pytest.raises(UsageError, match=r"up to its bound of 2\.9; got 3.*Set `largest` of TooSmall"):
        TooSmall(order=order).map(BLACK, WHITE)
