"""Bounds in Lab from the truth's averaged colours: exact supports, no truth above them, and some truth near them."""

import itertools

import numpy as np
import pytest
from naive import lab_given_mean as naive
from PIL import Image
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from support.lab_supports import lab_supports

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.method.kernels.distance import lab_planes
from blackbox_conformal.method.kernels.windows import average
from blackbox_conformal.method.metrics.lab_l1 import LabL1
from blackbox_conformal.method.risk import resampling, truth_bounds
from blackbox_conformal.support import catalog

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


@pytest.mark.parametrize(
    ("patterns", "stated", "diameter", "metric"),
    [
        (truth_bounds.SIGNS, truth_bounds.LAB_SUPPORTS, 1.95757, "lab-l1"),
        (truth_bounds.CHROMA_SIGNS, truth_bounds.CHROMA_SUPPORTS, 1.403172, "chroma"),
    ],
)
def test_the_support_values_are_those_of_an_exhaustive_search(patterns, stated, diameter, metric):
    supports = lab_supports(patterns)
    assert (supports + 1e-6 <= stated).all()
    assert (supports + 5e-6 >= stated).all()
    # Opposite supports add up to a width of the gamut; the largest width is its L1 diameter.
    found = max(supports + supports[::-1])
    assert found == pytest.approx(diameter, abs=1e-5)
    assert found < catalog.load("metrics", metric).bound < found * (1 + 2e-5)


@pytest.mark.parametrize(
    ("metric", "farthest", "diameter"),
    [("lab-l1", truth_bounds.farthest_lab_l1, 1.9576), ("chroma", truth_bounds.farthest_chroma, 1.4032)],
)
def test_no_colour_is_farther_and_some_colour_is_as_far(metric, farthest, diameter):
    rng = np.random.default_rng(50)
    delivered = rng.integers(0, 256, (1, 60, 3), dtype=np.uint8)
    delivered[0, :4] = [[0, 255, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255]]
    most = farthest(lab_planes(delivered))
    grid = np.stack(np.meshgrid(*[np.r_[0:256:15]] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3).astype(np.uint8)
    distances = catalog.load("metrics", metric).map(
        np.repeat(grid, 60, axis=1), np.repeat(delivered, len(grid), axis=0)
    )
    assert (distances.max(axis=0) <= most[0]).all()
    assert (distances.max(axis=0) >= most[0] - 0.02).all()
    assert most.max() == pytest.approx(diameter, abs=1e-4)


def test_channels_go_to_the_farther_end():
    planes = truth_bounds.rgb_planes(np.array([[[0, 100, 255]]], np.uint8))
    assert truth_bounds.farthest(planes)[:, 0, 0].tolist() == pytest.approx([1, 155 / 255, 1], abs=1e-4)


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
