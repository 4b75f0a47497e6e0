"""One picture's own bound: no truth exceeds it, it says what it says, and metrics without one refuse."""

import math
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from support.family_cases import cases, interpreted_kernels, metrics_of_pictures_alone

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Chain, Mixture
from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.guarantees.guarantee import guarantee, threshold
from blackbox_conformal.method.guarantees.instance_bound import (
    bound_curve,
    input_statement,
    refuse_bound,
    rule_for_picture,
)
from blackbox_conformal.method.metrics.lab_l1 import LabL1
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.metrics.rgb_l1 import RgbL1
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.support import catalog

NAMES = [name for name in metrics_of_pictures_alone() if "order" in catalog.member("metrics", name).model_fields]
CASES = [(name, parameters) for name, parameters in cases("metrics", NAMES) if "kernel" not in parameters]


def bounds_its_map(method: str, *pictures: object):
    """The metrics and settings that one picture bounds by that method."""
    for name, parameters in CASES:
        with suppress(UsageError):
            with interpreted_kernels():
                getattr(catalog.load("metrics", name, **parameters), method)(*pictures)
            yield name, parameters


FLAT = np.zeros((8, 8, 3), np.uint8)
BICUBIC = Mixture.of_text("bicubic:4")
STEPS = BICUBIC.chains[0].steps
FROM_DELIVERED = list(bounds_its_map("bound_from_delivered", FLAT))
FROM_INPUT = [
    (name, {**parameters, **({"sigma": sigma} if "sigma" in parameters else {})})
    for name, parameters in bounds_its_map("bound_from_input", FLAT[:2, :2], FLAT, STEPS, 4)
    for sigma in (4.0, 16.0)
]

WINDOW = {"order": "difference-of-blurs", "kernel": "gaussian"}


def test_these_metrics_have_bounds_of_their_own_and_others_are_refused():
    assert {name for name, _ in FROM_DELIVERED} >= {"lab-l1", "rgb-l1", "rgb-linf"}
    assert {name for name, _ in FROM_INPUT} >= {"rgb-l1", "rgb-linf", "lab-l1"}
    with pytest.raises(UsageError, match="the metric's own bound holds"):
        Metric().bound_from_delivered(np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize(("name", "parameters"), FROM_DELIVERED, ids=str)
def test_no_truth_exceeds_the_bound(name, parameters):
    rng = np.random.default_rng(55)
    metric = catalog.load("metrics", name, **parameters)
    delivered = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    most = metric.bound_from_delivered(delivered)
    corners = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)
    closest = 0.0
    flat = [np.broadcast_to(corner, (24, 24, 3)).copy() for corner in corners]
    farthest_corner = np.argmax([catalog.load("metrics", name).map(truth, delivered) for truth in flat], axis=0)
    truths = [*flat, corners[farthest_corner], *rng.integers(0, 256, (20, 24, 24, 3), dtype=np.uint8)]
    for truth in (*truths, *corners[rng.integers(0, 8, (20, 24, 24))]):
        found = metric.map(truth, delivered)
        assert (found <= most).all()
        closest = max(closest, float((found / most).max()))
    assert closest > 0.9
    assert float(most.mean()) < metric.bound


def test_the_staircase_lowers_the_least_number_of_photographs():
    metric = LabL1(kernel="gaussian", sigma=2.0)
    delivered = np.full((16, 16, 3), 128, np.uint8)
    rule = guarantee("expected", bound_from="delivered")
    bounded = rule_for_picture(rule, metric, delivered, None, np.zeros((16, 16), np.float32), BICUBIC)
    empty = [RiskCurve(np.empty(0), np.empty(0), metric.bound)] * 12
    assert threshold(empty, 0.1) == -np.inf
    assert threshold(empty, 0.1, bounded) == np.inf


def test_the_staircase_is_the_largest_bound_among_trusted_pixels():
    rng = np.random.default_rng(51)
    scores, most = rng.integers(0, 9, (7, 8)).astype(np.float32), rng.random((7, 8), np.float32) * 3
    curve = bound_curve(scores, most, 2.0)
    for t in (-math.inf, 0.0, 1.0, 4.5, 8.0, math.inf):
        inside = most[trusted(scores, t)]
        assert curve.loss(t) == min(inside.max(initial=0), 2.0)


@pytest.mark.parametrize(("name", "parameters"), FROM_INPUT, ids=str)
def test_no_truth_with_that_input_exceeds_the_bound(name, parameters):
    rng = np.random.default_rng(56)
    metric = catalog.load("metrics", name, **parameters)
    for contrast in (20, 255):
        truth = (128 + contrast * (rng.random((64, 64, 3)) - 0.5)).astype(np.uint8)
        low = BICUBIC.apply(truth, 4)
        smooth = np.array(Image.fromarray(low).resize((64, 64), Image.Resampling.BICUBIC))
        for delivered in (truth, smooth, np.roll(truth, 9, axis=1), np.zeros_like(truth), 255 - truth):
            most = metric.bound_from_input(low, delivered, STEPS, 4)
            assert (metric.map(truth, delivered) <= most).all()


def test_a_colour_shift_is_caught_and_invented_texture_is_not():
    rng = np.random.default_rng(57)
    metric = RgbL1(**WINDOW, sigma=8.0)
    truth = np.full((96, 96, 3), 120, np.uint8)
    low = BICUBIC.apply(truth, 4)
    inside = (slice(32, 64), slice(32, 64))
    honest = metric.bound_from_input(low, truth, STEPS, 4)[inside].max()
    shifted = metric.bound_from_input(low, truth + np.uint8(40), STEPS, 4)[inside].min()
    texture = (truth + rng.integers(-60, 61, truth.shape)).astype(np.uint8)
    textured = metric.bound_from_input(low, texture, STEPS, 4)[inside].max()
    assert honest < 0.12
    assert shifted > honest + 0.4
    assert textured < honest + 0.1


def test_the_staircase_and_the_statement_of_the_input():
    metric = RgbL1(**WINDOW, sigma=8.0)
    picture, scores = np.full((96, 96, 3), 120, np.uint8), np.ones((96, 96), np.float32)
    scores[32:64, 32:64] = 0
    low = BICUBIC.apply(picture, 4)
    curve = rule_for_picture(guarantee("expected", bound_from="input"), metric, picture, low, scores, BICUBIC).own_bound
    assert 0 < curve.loss(0.5) < curve.loss(np.inf) < 0.4
    assert "Gaussian of sigma 8, this picture's colours" in input_statement(metric, picture, low, BICUBIC)
    assert "invented texture passes" in input_statement(metric, picture, low, BICUBIC)
    assert input_statement(RgbL1(), picture, low, BICUBIC) is None
    assert input_statement(LabL1(kernel="gaussian", sigma=8.0), picture, low, BICUBIC) is None
    averaged = input_statement(LabL1(**WINDOW, sigma=8.0), picture, low, BICUBIC)
    assert "this picture's colours in normalised Lab differ" in averaged
    assert input_statement(metric, picture, None, BICUBIC) is None


def test_the_bound_of_an_input_that_is_not_known_is_refused():
    rule = guarantee("expected", bound_from="input")
    with pytest.raises(UsageError, match=r"it is not known\. Give low_resolution"):
        rule_for_picture(rule, RgbL1(), np.zeros((8, 8, 3), np.uint8), None, np.zeros((8, 8), np.float32), BICUBIC)


@pytest.mark.parametrize(
    ("metric", "shape", "message"),
    [
        (RgbL1(), (32, 32, 3), "says nothing as it is set"),
        (RgbL1(kernel="gaussian", sigma=4.0), (32, 32, 3), "says nothing as it is set"),
        (LabL1(), (32, 32, 3), "says nothing as it is set"),
        (LabL1(kernel="gaussian", sigma=4.0), (32, 28, 3), "32×32; got 28×32"),
        (RgbL1(**WINDOW, sigma=4.0), (32, 28, 3), "32×32; got 28×32"),
    ],
)
def test_what_the_input_cannot_bound_is_refused(metric, shape, message):
    with pytest.raises(UsageError, match=message):
        metric.bound_from_input(np.zeros((8, 8, 3), np.uint8), np.zeros(shape, np.uint8), STEPS, 4)


LINEAR = ["bicubic:4", "area:4", "lanczos:4", "bicubic:2+area:2", "lanczos:2+bicubic:2", "blur:1.5+bicubic:4"]
UNKNOWN_MAPS = ["blur:1,chance=0.5", "noise:3", "jpeg:75", "grey", "grey:chance=0.5"]


class CalledLinear(Degradation):
    """A step without a map."""

    linear = True


@pytest.mark.parametrize("text", LINEAR)
def test_each_linear_reduction_has_a_bound_of_its_own(text):
    rng = np.random.default_rng(58)
    metric, mixture = RgbL1(**WINDOW, sigma=4.0), Mixture.of_text(text)
    rule = guarantee("expected", bound_from="input")
    refuse_bound(rule, metric, mixture, 4)
    truth = (255 * (rng.random((64, 64, 3)) < 0.5)).astype(np.uint8)
    for delivered in (truth, 255 - truth, np.roll(truth, 9, axis=0)):
        low, scores = mixture.apply(truth, 4), rng.integers(0, 4, (64, 64)).astype(np.float32)
        bound = rule_for_picture(rule, metric, delivered, low, scores, mixture).own_bound
        loss = RiskCurve.from_maps(scores, metric.map(truth, delivered), bound=metric.bound)
        for t in (1.0, 2.0, 3.0, 4.0):
            assert loss.loss(t) <= bound.loss(t)
    assert f"was made from it by {text}, in 8 bits" in input_statement(metric, truth, low, mixture)


@pytest.mark.parametrize(
    ("text", "scale", "reason"),
    [
        *((f"{step}+bicubic:4", 4, f"{step} is no known linear map") for step in ("blur:0.5-2", "jpeg:75")),
        *((f"bicubic:4+{step}", 4, f"{step} is no known linear map") for step in UNKNOWN_MAPS),
        ("60% bicubic:4 | 40% area:4", 4, "it is not known which chain"),
        ("blur:2", 1, "makes no picture smaller"),
        ("grey", 1, "makes no picture smaller"),
        ("bicubic", 1, "changes nothing at that size"),
        ("area:2", 4, "makes pictures 4 times smaller"),
    ],
)
def test_other_degradations_have_none(text, scale, reason):
    metric, mixture = RgbL1(**WINDOW, sigma=4.0), Mixture.of_text(text)
    with pytest.raises(UsageError, match=reason):
        refuse_bound(guarantee("expected", bound_from="input"), metric, mixture, scale)
    side = 8 * scale
    delivered = np.zeros((side, side, 3), np.uint8)
    assert input_statement(metric, delivered, np.zeros((8, 8, 3), np.uint8), mixture) is None
    for source in ("delivered", "metric"):
        refuse_bound(guarantee("expected", bound_from=source), metric, mixture, scale)
    called_linear = Mixture((1.0,), (Chain((*STEPS, CalledLinear())),))
    with pytest.raises(UsageError, match="no known linear map"):
        refuse_bound(guarantee("expected", bound_from="input"), metric, called_linear, 4)
