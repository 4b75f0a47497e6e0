"""Staircases against brute force: at every threshold, with ties, NaN, signs, and maps of every kind of order."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import staircase as naive

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.kernels import staircase as kernels
from blackbox_conformal.method.kernels.staircase import share_staircase, staircase, staircase_and_area, survey_maps

shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
tied_scores = st.sampled_from([-3.5, -1e-40, -0.0, 0.0, 1e-45, 0.1, 0.25, 1.0, 3e38, float("nan")])
any_scores = st.floats(-(2.0**100), 2.0**100, width=32)
tied_losses = st.sampled_from([0.0, -0.0, 1e-45, 0.5, 0.6, 0.7, 0.75, 1.0, 1.9576])
maps = shapes.flatmap(
    lambda shape: st.tuples(
        st.one_of(
            arrays(np.float32, shape, elements=tied_scores.map(np.float32)),
            arrays(np.float32, shape, elements=any_scores),
        ),
        st.one_of(
            arrays(np.float32, shape, elements=tied_losses.map(np.float32)),
            arrays(np.float32, shape, elements=st.floats(0, 3, width=32)),
        ),
    )
)


def area_grid(scores, steps=256):
    """The numbers of trusted pixels alone, whatever they lose."""
    return staircase_and_area(scores, np.zeros_like(scores), steps)[1]


def _thresholds(scores):
    finite = np.unique(scores[np.isfinite(scores)]).astype(np.float64)
    return [-np.inf, *finite.tolist(), *np.nextafter(finite, np.inf).tolist(), np.inf]


def _check_form(steps):
    scores, values = steps
    assert scores.dtype == np.float32
    assert (np.diff(scores) > 0).all()
    assert (np.diff(values) > 0).all()
    assert (values > 0).all()
    assert np.isfinite(scores).all()


@settings(deadline=None)
@given(maps, st.sampled_from([1, 2, 15]))
def test_staircase_is_the_supremum_below_every_threshold(pair, bits):
    scores, losses = pair
    with mock.patch.object(kernels, "BITS", bits):
        steps = staircase(scores, losses)
    _check_form(steps)
    assert steps[1].dtype == np.float32
    assert naive.records(scores, losses) == list(zip(*(values.tolist() for values in steps), strict=True))
    for threshold in _thresholds(scores):
        assert naive.supremum(scores, losses, threshold) == naive.value(steps, threshold)


@settings(deadline=None)
@given(maps, st.randoms(use_true_random=False))
def test_order_of_pixels_does_not_matter(pair, random):
    scores, losses = pair
    order = list(range(scores.size))
    random.shuffle(order)
    shuffled = staircase(
        scores.reshape(-1)[order].reshape(scores.shape), losses.reshape(-1)[order].reshape(scores.shape)
    )
    for expected, found in zip(staircase(scores, losses), shuffled, strict=True):
        assert expected.tobytes() == found.tobytes()


@settings(deadline=None)
@given(maps, st.sampled_from([0.0, 0.5, 0.6, 0.7, 2.0, 1e300]), st.sampled_from([1, 2, 5, 1024]))
def test_share_is_never_too_low_and_exact_when_there_are_steps_enough(pair, tolerance, steps):
    scores, losses = pair
    found = share_staircase(scores, losses, tolerance, steps)
    _check_form(found)
    assert found[0].size <= steps
    wrong = np.sum((losses > np.float64(tolerance)) & ~np.isnan(scores))
    for threshold in _thresholds(scores):
        exact = naive.share(scores, losses, tolerance, threshold)
        value = naive.value(found, threshold)
        assert exact <= value <= 1
        if steps >= wrong:
            assert value == float(np.float32(float(exact))) or np.nextafter(np.float32(value), np.float32(0)) < exact
        if exact == 0 and steps >= wrong:
            assert value == 0
    assert naive.share(scores, losses, tolerance, np.inf) >= (found[1][-1] * (1 - 2**-23) if found[1].size else 0)


@settings(deadline=None)
@given(maps, st.sampled_from([1, 2, 5, 256]), st.sampled_from([1, 2, 15]))
def test_area_grid_counts_exactly_at_its_scores(pair, steps, bits):
    scores, _ = pair
    # With few buckets the small maps of this test are sorted into them, too, and crowded ones divided again and again.
    with mock.patch.object(kernels, "BITS", bits):
        grid, counts = area_grid(scores, steps)
    _check_form((grid, counts))
    assert counts.dtype == np.int64
    assert grid.size <= 2 * steps + 2
    for score, count in zip(grid.tolist(), counts.tolist(), strict=True):
        assert naive.trusted(scores, np.nextafter(score, np.inf)) == count
    known = naive.trusted(scores, np.inf)
    for threshold in _thresholds(scores):
        exact = naive.trusted(scores, threshold)
        assert exact - known / steps <= naive.value((grid, counts), threshold) <= exact
    assert known == (counts[-1] if counts.size else 0)


@settings(deadline=None)
@given(maps, st.sampled_from([1, 5, 256]))
def test_together_they_are_what_they_are_alone(pair, steps):
    scores, losses = pair
    for survey in (None, survey_maps(scores, losses)):
        records, area = staircase_and_area(scores, losses, steps, survey)
        for expected, found in zip(staircase(scores, losses) + area_grid(scores, steps), records + area, strict=True):
            assert (expected.dtype, expected.tobytes()) == (found.dtype, found.tobytes())


@settings(deadline=None)
@given(maps)
def test_a_look_tells_how_many_are_known_and_the_largest_loss(pair):
    scores, losses = pair
    survey = survey_maps(scores, losses)
    assert survey.in_order
    assert survey.scored == naive.trusted(scores, np.inf)
    assert survey.largest_loss == losses.max()


def _sorted_records(scores, losses):
    order = np.argsort(scores, axis=None, kind="stable")
    ordered, running = scores.flat[order], np.maximum.accumulate(losses.flat[order])
    last = np.append(ordered[1:] != ordered[:-1], True)
    ordered, running = ordered[last], running[last]
    grows = running > np.append(0, running[:-1])
    return ordered[grows], running[grows]


@pytest.mark.parametrize(
    "kind", ["unrelated", "plateau", "few-values", "nearly-ordered", "ordered", "narrow", "signed"]
)
def test_larger_maps_of_every_kind_equal_sorting(kind):
    rng = np.random.default_rng(7)
    scores, losses = rng.random((2, 90, 70)).astype(np.float32)
    if kind == "plateau":
        scores[scores < 0.6] = 0
    elif kind == "few-values":
        scores = np.floor(scores * 12) / 12
    elif kind == "nearly-ordered":
        losses = 0.9 * scores + 0.1 * losses
    elif kind == "ordered":
        losses = np.sqrt(scores)
    elif kind == "narrow":
        scores = 1 + scores * np.float32(1e-5)
    elif kind == "signed":
        scores = scores - np.float32(0.5)
    for expected, found in zip(_sorted_records(scores, losses), staircase(scores, losses), strict=True):
        np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize(
    "kind", ["unrelated", "plateau", "few-values", "narrow", "signed", "skewed", "stripes", "octave"]
)
@pytest.mark.parametrize("steps", [1, 7, 256])
@pytest.mark.parametrize("height", [90, 490])
def test_areas_of_larger_maps_are_right_at_their_scores_and_nowhere_off_by_more_than_a_step(kind, steps, height):
    rng = np.random.default_rng(3)
    scores = rng.random((height, 70)).astype(np.float32)
    if kind == "plateau":
        scores[scores < 0.6] = 0
    elif kind == "few-values":
        scores = np.floor(scores * 12) / 12
    elif kind == "narrow":
        scores = 1 + scores * np.float32(1e-5)
    elif kind == "signed":
        scores = scores - np.float32(0.5)
    elif kind == "skewed":
        scores = scores ** np.float32(40)
    elif kind == "octave":
        scores = 2 + 2 * scores
        scores[0, 0] = 0
    elif kind == "stripes":
        scores[:, ::2] = np.nan
    grid, counts = area_grid(scores, steps)
    _check_form((grid, counts))
    assert grid.size <= 2 * steps + 2
    ordered = np.sort(scores[~np.isnan(scores)])
    np.testing.assert_array_equal(np.searchsorted(ordered, grid, side="right"), counts)
    thresholds = np.append(ordered, np.nextafter(ordered, np.float32(np.inf)))
    exact = np.searchsorted(ordered, thresholds)
    found = np.append(0, counts)[np.searchsorted(grid, thresholds)]
    assert (found <= exact).all()
    assert (exact - found).max() <= ordered.size / steps


def test_every_pixel_can_be_a_record():
    scores = np.arange(6400, dtype=np.float32).reshape(80, 80)
    steps = staircase(scores, scores)
    np.testing.assert_array_equal(np.arange(1, 6400), steps[0])
    np.testing.assert_array_equal(np.arange(1, 6400), steps[1])


def test_nothing_trusted_or_nothing_wrong_gives_no_steps():
    nothing, ones = np.full((2, 3), np.nan, np.float32), np.ones((2, 3), np.float32)
    for steps in (
        staircase(nothing, ones),
        staircase(ones, ones * 0),
        share_staircase(nothing, ones, 0.5),
        share_staircase(ones, ones, 1.0),
        area_grid(nothing),
    ):
        assert [values.size for values in steps] == [0, 0]


def test_shares_count_pixels_that_are_never_trusted_in_the_whole():
    scores = np.array([[np.nan, 1.0, 2.0, 3.0]], np.float32)
    _, shares = share_staircase(scores, np.ones((1, 4), np.float32), 0.5)
    np.testing.assert_array_equal([0.25, 0.5, 0.75], shares)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_scores_are_refused(value):
    scores, losses = np.zeros((40, 30), np.float32), np.ones((40, 30), np.float32)
    scores[31, 7] = value
    for make in (staircase, lambda s, d: share_staircase(s, d, 0.5), lambda s, d: area_grid(s)):
        with pytest.raises(MapError, match=f"finite scores.*got {value} at row 31, column 7.*score NaN"):
            make(scores, losses)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-45])
@pytest.mark.parametrize("score", [0.0, np.nan])
def test_losses_that_are_no_losses_are_refused(value, score):
    scores, losses = np.zeros((40, 30), np.float32), np.ones((40, 30), np.float32)
    scores[31, 7], losses[31, 7] = score, value
    for make in (staircase, lambda s, d: share_staircase(s, d, 0.5)):
        with pytest.raises(MapError, match=r"finite losses >= 0.*at row 31, column 7.*Correct the metric"):
            make(scores, losses)


def test_maps_that_do_not_fit_are_refused():
    ones = np.ones((2, 3), np.float32)
    with pytest.raises(MapError, match=r"one shape; got \(2, 3\) and \(2, 2\)"):
        staircase(ones, ones[:, :2])
    with pytest.raises(MapError, match=r"the score map.*float32.*got float64"):
        staircase(ones.astype(np.float64), ones)
    with pytest.raises(MapError, match=r"the error map.*got list"):
        staircase(ones, [[1.0]])
    with pytest.raises(UsageError, match="tolerance >= 0; got nan"):
        share_staircase(ones, ones, float("nan"))
    with pytest.raises(UsageError, match="at least one step; got 0"):
        share_staircase(ones, ones, 0.0, 0)
