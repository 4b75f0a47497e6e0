import itertools

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.degradation import RandomNumbers
from blackbox_conformal.method.risk import resampling

PILLOWS = {"area": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def test_every_filter_is_one_of_pillows():
    assert set(resampling.FILTERS) == set(PILLOWS)


@pytest.mark.parametrize("name", PILLOWS)
@pytest.mark.parametrize(
    ("length", "factor"), [(32, 2), (30, 3), (64, 4), (45, 5), (63, 7), (64, 8), (64, 16), (8, 4), (4, 4), (6, 1)]
)
def test_the_reduction_is_pillows(name, length, factor):
    impulses = Image.fromarray(np.eye(length, dtype=np.float32))
    theirs = np.array(impulses.resize((length // factor, length), PILLOWS[name])).T
    ours = resampling.reduction_matrix(name, length, factor)
    assert np.abs(ours - theirs).max() < 1e-7
    assert ours.sum(axis=1) == pytest.approx(np.ones(length // factor), abs=1e-15)


@pytest.mark.parametrize("degradation", ["area", "bicubic", "lanczos"])
def test_a_step_of_a_chain_has_the_map_of_its_filter(degradation):
    (step,) = Mixture.of_text(degradation).at(4).chains[0].steps
    assert (step.along_axis(32) == resampling.reduction_matrix(degradation, 32, 4)).all()
    assert (step.model_copy(update={"factor": 1}).along_axis(32) == np.eye(32)).all()
    assert step.model_copy(update={"factor": None}).along_axis(32) is None


@pytest.mark.parametrize("length", [5, 40, 130])
def test_the_window_is_the_averaging_with_reflected_borders(length):
    lines = np.eye(length)
    gaussian = gaussian_filter1d(lines, 4.0, axis=0, mode="reflect", truncate=4.0)
    assert np.abs(resampling.window_matrix(length, "gaussian", 4.0, None) - gaussian).max() < 1e-12
    box = uniform_filter1d(lines, 9, axis=0, mode="reflect")
    assert np.abs(resampling.window_matrix(length, "box", None, 9) - box).max() < 1e-12


def test_an_unknown_window_is_refused():
    with pytest.raises(UsageError, match="gaussian window"):
        resampling.window_matrix(10, "triangle", 1.0, None)


@pytest.mark.parametrize("sigma", ["0.3", "1.5", "9"])
@pytest.mark.parametrize("length", [1, 5, 40])
def test_the_map_of_a_blur_is_what_it_does_to_impulses(sigma, length):
    """A blur keeps constants, so blurring along the other axis changes nothing here."""
    (step,) = steps(f"blur:{sigma}")
    matrix = step.along_axis(length)
    for place in range(length):
        impulse = np.zeros((4, length, 3), np.uint8)
        impulse[:, place] = 255
        blurred = step.apply(impulse, RandomNumbers("none"), (4, length))
        assert np.abs(blurred[2, :, 0] - 255 * matrix[:, place]).max() <= 0.5 + 2**-7
    assert steps("blur:0.5-2")[0].along_axis(length) is None


def steps(text):
    return Mixture.of_text(text).chains[0].steps


@pytest.mark.parametrize(
    ("text", "length", "sigma"), [("bicubic:2", 16, 1.5), ("bicubic:4", 16, 4.0), ("lanczos:2", 16, 1.5)]
)
def test_the_clipping_is_the_worst_over_every_line_of_zeros_and_ones(text, length, sigma):
    found = resampling.axis(steps(text), length, "gaussian", sigma, None)
    reduce = steps(text)[0].along_axis(length)
    (only,) = found.passes
    lines = np.array(list(itertools.product([0.0, 1.0], repeat=length)))
    below = np.maximum(-(lines @ reduce.T), 0)
    above = np.maximum(lines @ reduce.T - 1, 0)
    weights = np.maximum(found.recover, 0)
    spare = np.maximum(-found.recover, 0) @ only.negative
    worst = (below @ weights.T).max(axis=0)
    assert only.clipped == pytest.approx(worst + spare, abs=1e-12)
    assert ((above - below) @ found.recover.T).max() <= only.clipped.max() + 1e-12


def test_the_matrices_recover_a_blurred_line():
    rng = np.random.default_rng(52)
    found = resampling.axis(steps("bicubic:4"), 128, "gaussian", 6.0, None)
    line = rng.random(128)
    blurred = gaussian_filter1d(line, 6.0, mode="reflect", truncate=4.0)
    error = np.abs(found.recover @ (resampling.reduction_matrix("bicubic", 128, 4) @ line) - blurred)
    assert (error <= found.residual / 2 + 1e-12).all()
    assert found.residual[64] / 2 < 0.01
    assert found.recover.sum(axis=1) == pytest.approx(np.ones(128))
    assert found.approximation == 0
    assert resampling.axis(steps("bicubic:4"), 128, "gaussian", 12.0, None).approximation == 1e-3


def test_nothing_clips_where_no_tap_is_negative():
    (only,) = resampling.axis(steps("area:4"), 64, "gaussian", 4.0, None).passes
    assert (only.clipped == 0).all()
    assert (only.negative == 0).all()
    assert only.taps == 4


@pytest.mark.parametrize("text", ["bicubic:2+lanczos:2", "area:2+bicubic:2"])
def test_errors_of_a_chain_count_by_what_follows_them(text):
    first, second = steps(text)
    found = resampling.axis((first, second), 64, "gaussian", 4.0, None)
    before, after = first.along_axis(64), second.along_axis(32)
    for step, weights in zip(found.passes, (found.recover @ after @ before, found.recover @ after), strict=True):
        assert step.before == pytest.approx(np.abs(weights).sum(axis=1))
    assert found.passes[0].after == pytest.approx(found.passes[1].before)
    assert found.passes[1].after == pytest.approx(np.abs(found.recover).sum(axis=1))


def test_a_step_that_is_no_map_along_an_axis_is_refused():
    with pytest.raises(UsageError, match="linear map along rows and columns"):
        resampling.axis(steps("grey"), 64, "gaussian", 4.0, None)
