"""What sentences about errors say of a metric is what the metric does, by twins that import nothing of the package."""

import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter
from support.family_cases import has_difference_of_blurs, metrics_of_pictures_alone, settings

from blackbox_conformal.method.guarantees.corollaries import LARGEST_BLOCK, allowed_detail, level_in_greys, statement
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support import catalog

WINDOWS = [{"sigma": 4}, {"sigma": 1.5}, {"size": 31}, {"sigma": 4, "order": "difference-of-blurs"}]
COLOURS = [name for name in metrics_of_pictures_alone() if has_difference_of_blurs(name)]


def block(side, colours, beside=60):
    """An even picture, and the same with a square of another colour."""
    truth = np.empty((side + 2 * beside, side + 2 * beside, 3), np.uint8)
    truth[:] = colours[0]
    delivered = truth.copy()
    delivered[beside : beside + side, beside : beside + side] = colours[1]
    return truth, delivered


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize("window", [{}, *WINDOWS], ids=str)
@pytest.mark.parametrize("side", [1, 2, 3, 8, 35])
def test_the_error_of_a_wrong_square_is_the_largest_value_of_the_map(name, window, side):
    metric = catalog.load("metrics", name, **window)
    colours = ((0, 255, 0), (0, 0, 255)) if name == "chroma" else ((255, 255, 255), (0, 0, 0))
    largest = metric.capped_map(*block(side, colours)).max()
    assert metric.block_error(side) == pytest.approx(largest, rel=1e-4), (
        f"let `opposite_error` of {name} be the error of {metric.opposites} at one pixel; the map has {largest:.6g}"
    )


WITHOUT_GREYS = {"band-l1", "band-linf", "chroma"}
"""Bands are no greys, and chroma does not tell these apart."""


@pytest.mark.parametrize("name", [name for name in COLOURS if name not in WITHOUT_GREYS])
def test_the_scale_of_greys_gives_the_error_of_one_grey_for_another(name):
    metric = catalog.load("metrics", name)
    greys = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    for grey in (0, 10, 128, 255):
        errors = metric.map(np.full_like(greys, grey), greys)[0]
        np.testing.assert_allclose(np.abs(metric.grey_scale - metric.grey_scale[grey]), errors, atol=5e-5)


@pytest.mark.parametrize("level", [0.02, 0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_the_detail_that_a_statement_allows_passes_and_the_next_one_does_not(window, level):
    metric = catalog.load("metrics", "rgb-linf", **window)
    said = allowed_detail(metric, level)
    side = int(re.search(r"(\d+)×", said).group(1)) if said and "×" in said else int(said is not None)
    wrong = ((255, 255, 255), (0, 0, 0))
    if side:
        assert metric.map(*block(side, wrong)).max() <= level + 1e-6
    if side < LARGEST_BLOCK:
        assert metric.map(*block(side + 1, wrong)).max() > level
    grey, other = map(int, re.findall(r"(?:grey of|back as) (\d+)", level_in_greys(metric, level)))
    assert abs(other - grey) / 255 == pytest.approx(level, abs=1 / 255)


def cases():
    """Every metric that ships, in every window and order that it takes."""
    return [
        catalog.load("metrics", name, **parameters)
        for name in catalog.names("metrics")
        if name not in ("custom-metric", "in-holes")
        for parameters in settings("metrics", name)
    ]


def test_the_default_says_what_it_promises_and_what_not_in_four_sentences():
    metric = catalog.load("metrics", "lab-l1", kernel="gaussian", sigma=4)
    said = statement(guarantee("marked", largest_error=0.3), 0.2, 50, metric.specification())
    promise, size, *not_covered = re.split(r"(?<=\.) (?=[A-Z])", said)
    for words in ("80 % of the detail that the vendor invented or removed is hatched, and", "pixels is at most 0.3"):
        assert words in promise
    assert size.startswith("For scale: 0.3 is an even grey of")
    small, erased = not_covered
    assert "may be wrong all the same" in small
    assert "may lack detail that the input does not show" in erased
    # Each by itself: of single photographs one sentence that joins both would promise too much.
    of_each = statement(guarantee("per-image", of="marked", largest_error=0.3), 0.2, 50, metric.specification())
    assert of_each.count("In at least 90 % of new photographs") == 2


@pytest.mark.parametrize("metric", cases(), ids=lambda metric: str(metric.specification()))
def test_every_statement_names_window_order_and_cap(metric):
    said = statement(guarantee("expected"), 0.1, 40, metric.specification())
    order = getattr(metric, "order", "pointwise")
    assert ("locally averaged" in said) == (order == "blur-of-difference")
    assert ("difference of local averages" in said) == (order == "difference-of-blurs")
    if order != "pointwise":
        assert f"sigma {metric.sigma:g}" in said if metric.sigma else f"{metric.size}×{metric.size}" in said
    if metric.cap is not None:
        assert f"Errors above {metric.cap:g} count as {metric.cap:g}" in said


def as_the_words_say(words, truth, delivered):
    """The errors that a sentence describes: its window and its order are read from its words alone."""
    differences = (truth.astype(float) - delivered) / 255
    sigma, side = re.search(r"Gaussian of sigma ([\d.]+)", words), re.search(r"box of (\d+)×", words)

    def average(values):
        if sigma:
            return gaussian_filter(values, float(sigma.group(1)), mode="reflect", truncate=4)
        return uniform_filter(values, int(side.group(1)), mode="reflect")

    if "difference of local averages" in words:
        return np.max([np.abs(average(differences[..., channel])) for channel in range(3)], axis=0)
    pointwise = np.abs(differences).max(axis=2)
    return average(pointwise) if "locally averaged" in words else pointwise


def a_picture(rng):
    """An even picture, its delivery with single pixels and areas wrong, and scores with ties that know half of it."""
    truth = np.full((24, 24, 3), 128, np.uint8)
    wrong = rng.choice([0, 0, 0, 60, 127], (24, 24, 1)) * rng.choice([-1, 1], (24, 24, 3))
    wrong[:, 12:] = wrong[:, 12:] // 4 + rng.integers(0, 40)
    delivered = np.clip(truth + wrong, 0, 255).astype(np.uint8)
    scores = np.round(uniform_filter(np.abs(wrong).max(axis=2).astype(float), 5) / 8 + 2 * rng.random((24, 24)))
    return truth, delivered, scores.astype(np.float32)


@pytest.mark.parametrize("window", [{}, {"sigma": 1.5}, {"size": 5}, {"sigma": 1.5, "order": "difference-of-blurs"}])
def test_a_statement_holds_as_its_words_say_and_not_without_its_window(window):
    metric = catalog.load("metrics", "rgb-linf", **window)
    rule, alpha, n, rng = guarantee("expected"), 0.2 if window else 0.4, 20, np.random.default_rng(7)
    words = rule.statement(alpha, n, metric.error_in_words)
    as_said, pointwise = [], []
    for _ in range(60):
        calibration = [a_picture(rng) for _ in range(n)]
        curves = [RiskCurve.from_maps(s, metric.capped_map(t, d), bound=metric.capped_bound) for t, d, s in calibration]
        threshold = rule.threshold(CurveSet.of(curves), alpha)
        for truth, delivered, scores in [a_picture(rng) for _ in range(10)]:
            trusted = scores < threshold
            as_said.append(as_the_words_say(words, truth, delivered)[trusted].max(initial=0))
            pointwise.append(np.abs((truth.astype(float) - delivered) / 255).max(axis=2)[trusted].max(initial=0))
    error = np.std(as_said, ddof=1) / np.sqrt(60)
    assert alpha / 4 < np.mean(as_said) <= alpha + 3 * error
    if window:
        # The same words without the window would be false.
        assert np.mean(pointwise) > alpha + 3 * np.std(pointwise, ddof=1) / np.sqrt(60)
