import numpy as np
import pytest
from PIL import Image

from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.certain import certain_curve, statement
from blackbox_conformal.metrics.lab_l1 import LabL1
from blackbox_conformal.metrics.rgb_l1 import RgbL1
from blackbox_conformal.metrics.rgb_linf import RgbLinf

WINDOW = {"order": "difference-of-blurs", "kernel": "gaussian"}


def reduced(truth, scale):
    height, width = truth.shape[:2]
    return np.array(Image.fromarray(truth).resize((width // scale, height // scale), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("metric", [RgbL1, RgbLinf])
@pytest.mark.parametrize("sigma", [4.0, 16.0])
def test_no_truth_with_that_input_exceeds_the_bound(metric, sigma):
    rng = np.random.default_rng(56)
    metric = metric(**WINDOW, sigma=sigma)
    for contrast in (20, 255):
        truth = (128 + contrast * (rng.random((64, 64, 3)) - 0.5)).astype(np.uint8)
        low = reduced(truth, 4)
        smooth = np.array(Image.fromarray(low).resize((64, 64), Image.Resampling.BICUBIC))
        for delivered in (truth, smooth, np.roll(truth, 9, axis=1), np.zeros_like(truth), 255 - truth):
            most = metric.certain_map(low, delivered, 4)
            assert (metric.map(truth, delivered) <= most).all()


def test_a_colour_shift_is_caught_and_invented_texture_is_not():
    rng = np.random.default_rng(57)
    metric = RgbL1(**WINDOW, sigma=8.0)
    truth = np.full((96, 96, 3), 120, np.uint8)
    low = reduced(truth, 4)
    inside = (slice(32, 64), slice(32, 64))
    honest = metric.certain_map(low, truth, 4)[inside].max()
    shifted = metric.certain_map(low, truth + np.uint8(40), 4)[inside].min()
    textured = metric.certain_map(low, (truth + rng.integers(-60, 61, truth.shape)).astype(np.uint8), 4)[inside].max()
    assert honest < 0.12
    assert shifted > honest + 0.4
    assert textured < honest + 0.1


def test_the_staircase_and_the_statement():
    metric = RgbL1(**WINDOW, sigma=8.0)
    picture, scores = np.full((96, 96, 3), 120, np.uint8), np.ones((96, 96), np.float32)
    scores[32:64, 32:64] = 0
    low = reduced(picture, 4)
    curve = certain_curve(metric, low, picture, 4, scores)
    assert 0 < curve.loss(0.5) < curve.loss(np.inf) < 0.4
    assert "Gaussian of sigma 8, this picture's colours" in statement(metric, metric.certain_map(low, picture, 4))
    assert "invented texture passes" in statement(metric, metric.certain_map(low, picture, 4))


@pytest.mark.parametrize(
    ("metric", "shape", "message"),
    [
        (RgbL1(), (32, 32, 3), "linear before its norm"),
        (RgbL1(kernel="gaussian", sigma=4.0), (32, 32, 3), "linear before its norm"),
        (LabL1(**WINDOW, sigma=4.0), (32, 32, 3), "linear before its norm"),
        (RgbL1(**WINDOW, sigma=4.0), (32, 28, 3), "32×32; got 28×32"),
    ],
)
def test_what_the_input_cannot_bound_is_refused(metric, shape, message):
    with pytest.raises(UsageError, match=message):
        metric.certain_map(np.zeros((8, 8, 3), np.uint8), np.zeros(shape, np.uint8), 4)
