"""Bounds in Lab from the truth's averaged colours: exact supports, no truth above them, and some truth near them."""

import numpy as np
import pytest
from naive import lab_given_mean as naive
from support.lab_supports import lab_supports

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.kernels.distance import lab_planes
from blackbox_conformal.method.kernels.windows import average
from blackbox_conformal.method.metrics.lab_l1 import LabL1
from blackbox_conformal.method.risk import resampling, truth_bounds

SIDE = 64
CORNERS = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)
METRICS = [
    LabL1(kernel="gaussian", sigma=4.0),
    LabL1(kernel="box", size=15),
    LabL1(kernel="gaussian", sigma=14.0),
    LabL1(order="difference-of-blurs", kernel="gaussian", sigma=4.0),
    LabL1(order="difference-of-blurs", kernel="box", size=9),
]


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(truth_bounds.SLOPES)))
def test_the_supports_are_those_of_an_exhaustive_search(index):
    supports = lab_supports(slope=tuple(truth_bounds.SLOPES[index]))
    assert (supports <= truth_bounds.SUPPORTS[index]).all()
    assert (supports + 3e-6 >= truth_bounds.SUPPORTS[index]).all()


def test_no_random_colour_exceeds_the_supports():
    colours = np.random.default_rng(60).integers(0, 256, (1, 100_000, 3), dtype=np.uint8)
    colours[0, :8] = CORNERS
    signed = truth_bounds.SIGNS @ lab_planes(colours).reshape(3, -1).astype(np.float64)
    for slope, supports in zip(truth_bounds.SLOPES, truth_bounds.SUPPORTS, strict=True):
        values = (signed - slope @ colours[0].T / 255).max(axis=1)
        assert (values <= supports).all()
        assert (values + 0.1 >= supports).all()


def checkerboard(first, second, period):
    rows, columns = np.indices((SIDE, SIDE))
    return np.where(((rows // period + columns // period) % 2)[:, :, None], first, second).astype(np.uint8)


def dithered(rng, picture):
    """Corners of the colour cube at random, so that each pixel's expected colour is that of `picture`."""
    return (255 * (rng.random(picture.shape) < picture / 255.0)).astype(np.uint8)


def truths_and_delivered():
    """Pictures that try to break the bound: saturated colours, checkerboards, dither, noise, each against others."""
    rng = np.random.default_rng(61)
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, SIDE).astype(np.uint8)[:, None, None], (SIDE, SIDE, 3)).copy()
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    yield grey, noise
    for picture in (grey, ramp, checkerboard((0, 128, 255), (255, 60, 0), 24)):
        yield dithered(rng, picture), picture
        yield picture, dithered(rng, picture)
    for first in range(0, 8, 2):
        for second in range(1, 8, 2):
            fine = checkerboard(CORNERS[first], CORNERS[second], 1)
            mean = np.broadcast_to((CORNERS[first] / 2 + CORNERS[second] / 2).astype(np.uint8), fine.shape).copy()
            yield fine, mean
            yield fine, 255 - fine
            yield checkerboard(CORNERS[first], CORNERS[second], 8), fine
    for corner in CORNERS:
        flat = np.broadcast_to(corner, (SIDE, SIDE, 3)).copy()
        yield flat, 255 - flat
        yield flat, grey


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("text", ["bicubic:4", "area:2", "blur:1.5+lanczos:4"])
def test_no_truth_exceeds_the_bound_and_the_delivered_colours_alone_say_no_less(metric, text):
    mixture = Mixture.of_text(text)
    steps, scale = mixture.chains[0].steps, mixture.scale
    nearest = 0.0
    for truth, delivered in truths_and_delivered():
        most = metric.bound_from_input(mixture.apply(truth, scale), delivered, steps, scale)
        found = metric.map(truth, delivered)
        assert (found <= most).all()
        assert (most <= metric.bound_from_delivered(delivered)).all()
        nearest = max(nearest, float((found / most).max()))
    assert nearest > 0.8


@pytest.mark.parametrize("metric", METRICS[::3], ids=str)
def test_supports_that_are_too_small_by_a_tenth_would_be_noticed(metric, monkeypatch):
    monkeypatch.setattr(truth_bounds, "SUPPORTS", truth_bounds.SUPPORTS - 0.1)
    mixture = Mixture.of_text("area:2")
    assert any(
        (
            metric.map(truth, delivered)
            > metric.bound_from_input(mixture.apply(truth, 2), delivered, mixture.chains[0].steps, 2)
        ).any()
        for truth, delivered in truths_and_delivered()
    )


@pytest.mark.parametrize("metric", [METRICS[0], METRICS[3]], ids=str)
def test_the_bound_is_that_of_plain_loops(metric):
    rng = np.random.default_rng(62)
    truth, delivered = (rng.integers(0, 256, (24, 24, 3), dtype=np.uint8) for _ in range(2))
    mixture = Mixture.of_text("bicubic:4")
    steps, low = mixture.chains[0].steps, mixture.apply(truth, 4)
    most = metric.bound_from_input(low, delivered, steps, 4)
    known = truth_bounds.blurred_truth(low, steps, 4, window="gaussian", sigma=4.0)
    window = resampling.window_matrix(24, "gaussian", 4.0, None)
    colours = lab_planes(delivered).astype(float).reshape(3, -1).T.tolist()
    twin, slopes = naive.distance_of_averages, len(truth_bounds.SLOPES)
    if metric.order == "blur-of-difference":
        twin, slopes = naive.average_of_distances, truth_bounds.AVERAGED
    for p, q in ((0, 0), (11, 12), (23, 5)):
        weights = np.outer(window[p], window[q]).reshape(-1).tolist()
        ends = known.low[:, p, q].tolist(), known.high[:, p, q].tolist()
        table = truth_bounds.SLOPES[:slopes].tolist(), truth_bounds.SUPPORTS[:slopes].tolist()
        expected = twin(weights, colours, *ends, *table)
        assert expected <= most[p, q] <= min(expected + 2e-4, metric.bound)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_a_known_mean_lowers_the_bound_of_dark_colours(metric):
    """Only dark colours have a dark average, however they are mixed."""
    mixture = Mixture.of_text("bicubic:2")
    dark = np.full((SIDE, SIDE, 3), 20, np.uint8)
    most = metric.bound_from_input(mixture.apply(dark, 2), dark, mixture.chains[0].steps, 2)
    assert most.max() < 0.85 * metric.bound_from_delivered(dark).max()


def test_averages_are_those_of_the_metric():
    """The map is averaged as the metric averages: a box of one pixel averages nothing."""
    lab = lab_planes(np.random.default_rng(63).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    nothing_known = truth_bounds.BlurredTruth(np.zeros((3, 8, 8)), np.ones((3, 8, 8)))
    most = truth_bounds.average_of_distances(
        lab, nothing_known, lambda values: average(values, "box", None, 1, overwrite=True)
    )
    assert most == pytest.approx(truth_bounds.farthest_lab_l1(lab), abs=1e-5)
