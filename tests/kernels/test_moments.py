"""Moments against exact fractions, in any order, and at the limits of their integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import moments as naive

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.kernels import moments as kernels
from blackbox_conformal.method.kernels.moments import (
    CHUNK,
    MAX_DRAWS,
    MAX_FIXED_POINT_DRAWS,
    SHORT_DRAWS,
    FixedPointMoments,
    Moments,
)

stacks = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.uint8, (*shape, 3), elements=st.integers(0, 255))
)


def _moments(draws):
    moments = Moments(draws[0].shape[:2])
    for draw in draws:
        moments.add(draw)
    return moments


def _fixed(draws):
    moments = FixedPointMoments(draws[0][0].shape)
    for draw in draws:
        moments.add(draw)
    return moments


@settings(deadline=None)
@given(stacks)
def test_moments_equal_exact_fractions(draws):
    moments = _moments(draws)
    np.testing.assert_array_equal(naive.variance(list(draws)), moments.variance())
    np.testing.assert_array_equal(naive.mean(list(draws)), moments.mean())
    np.testing.assert_array_equal(naive.mean_image(list(draws)), moments.mean_image())
    assert (moments.variance().dtype, moments.mean().dtype, moments.mean_image().dtype) == (
        np.float32,
        np.float32,
        np.uint8,
    )


@settings(deadline=None)
@given(stacks, st.randoms(use_true_random=False))
def test_order_and_merging_do_not_change_a_bit(draws, random):
    order = list(range(len(draws)))
    random.shuffle(order)
    cut = random.randint(0, len(draws))
    first, second = Moments(draws[0].shape[:2]), Moments(draws[0].shape[:2])
    for position, index in enumerate(order):
        (first if position < cut else second).add(draws[index])
    first.merge(second)
    assert _moments(draws).variance().tobytes() == first.variance().tobytes()
    assert _moments(draws).mean().tobytes() == first.mean().tobytes()


@settings(deadline=None)
@given(stacks)
def test_variance_is_zero_exactly_where_all_draws_agree(draws):
    agree = (draws == draws[0]).all(axis=(0, 3))
    np.testing.assert_array_equal(agree, _moments(draws).variance() == 0)


@pytest.mark.parametrize("already", [0, SHORT_DRAWS - 2], ids=["16 bits", "32 bits"])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 9])
def test_many_at_once_are_the_same_as_one_by_one(count, already, monkeypatch):
    # Several strips, the last of them shorter, and several chunks in each.
    monkeypatch.setattr(kernels, "STRIP", 2 * CHUNK)
    rng = np.random.default_rng(count)
    draws = rng.integers(0, 256, (count, 3, CHUNK + 5, 3), dtype=np.uint8)
    white = np.full(draws.shape[1:], 255, np.uint8)
    before = _moments([white] * already) if already else Moments(white.shape[:2])
    together, apart = Moments(draws.shape[1:3]), Moments(draws.shape[1:3])
    for moments in (together, apart):
        moments.merge(before)
    together.add(*draws)
    for draw in draws:
        apart.add(draw)
    assert together.draws == apart.draws == count + already
    if together.draws:
        assert together.variance().tobytes() == apart.variance().tobytes()
        assert together.mean().tobytes() == apart.mean().tobytes()


def test_of_several_draws_one_of_which_does_not_fit_none_is_taken():
    moments = Moments((2, 3))
    fits, other = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(ImageError, match=r"3x2 pixels.*got 2x2"):
        moments.add(fits, other)
    assert moments.draws == 0


def test_sums_move_to_more_bits_before_they_overflow():
    rng = np.random.default_rng(0)
    draws = rng.integers(250, 256, (SHORT_DRAWS + 5, 3, 5, 3), dtype=np.uint8)
    moments = _moments(draws[:SHORT_DRAWS])
    assert moments.sums.dtype == np.uint16
    np.testing.assert_array_equal(draws[:SHORT_DRAWS].sum(axis=0, dtype=np.int64), moments.sums)
    for draw in draws[SHORT_DRAWS:]:
        moments.add(draw)
    np.testing.assert_array_equal(draws.sum(axis=0, dtype=np.int64), moments.sums)
    np.testing.assert_array_equal((draws.astype(np.int64) ** 2).sum(axis=(0, 3)), moments.squares)
    np.testing.assert_allclose(moments.variance(), (draws / 255).var(axis=0).sum(axis=2), rtol=1e-6)


def test_merging_makes_room_too():
    white = np.full((2, 3, 3), 255, np.uint8)
    one, two = _moments([white] * 200), _moments([white] * 200)
    one.merge(two)
    assert (one.sums == 400 * 255).all()


def test_cleared_moments_are_as_new_and_those_of_no_draws_add_nothing():
    draws = np.random.default_rng(5).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    moments, empty = Moments((4, 5)), Moments((4, 5))
    moments.add(draws[0])
    moments.clear()
    with pytest.raises(UsageError, match="at least one draw"):
        moments.variance()
    moments.merge(empty)
    for pixels in draws[1:]:
        moments.add(pixels)
    moments.merge(empty)
    empty.merge(moments)
    expected = Moments((4, 5))
    expected.add(draws[2])
    expected.add(draws[1])
    for found in (moments, empty):
        np.testing.assert_array_equal(found.variance(), expected.variance())
        np.testing.assert_array_equal(found.sums, expected.sums)


def test_the_largest_number_of_draws_is_exact_and_one_more_is_refused():
    rng = np.random.default_rng(1)
    draws = rng.integers(0, 256, (43, 2, 2, 3), dtype=np.uint8)
    draws[:, 0, 0] = 255
    moments = _moments(draws)
    expected = moments.variance()
    for _ in range(9):
        moments.merge(moments)
    np.testing.assert_array_equal(expected, moments.variance())
    moments.add(np.full((2, 2, 3), 255, np.uint8))
    assert moments.draws == 43 * 512 + 1 == MAX_DRAWS
    assert moments.squares[0, 0] == 3 * 255**2 * MAX_DRAWS
    assert moments.variance()[0, 0] == 0
    with pytest.raises(UsageError, match=f"at most {MAX_DRAWS} draws.*got {MAX_DRAWS + 1}.*fewer"):
        moments.add(draws[0])


planes = st.tuples(st.integers(1, 5), st.just(3), st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(0, 255, width=32))
)


@settings(deadline=None)
@given(planes, st.randoms(use_true_random=False))
def test_fixed_point_moments_equal_exact_fractions_in_any_order(draws, random):
    expected = naive.fixed_point_variance(list(draws))
    shuffled = list(draws)
    random.shuffle(shuffled)
    one, two = _fixed(shuffled[:1]), _fixed(shuffled[1:]) if len(shuffled) > 1 else FixedPointMoments(draws.shape[2:])
    one.merge(two)
    np.testing.assert_allclose(one.variance(), expected, rtol=2e-7, atol=1e-13)
    assert _fixed(draws).variance().tobytes() == one.variance().tobytes()


def test_fixed_point_moments_hold_the_largest_number_of_draws():
    black, white = np.zeros((3, 2, 2), np.float32), np.full((3, 2, 2), 255, np.float32)
    moments = _fixed([black, white])
    while moments.draws < MAX_FIXED_POINT_DRAWS:
        moments.merge(moments)
    assert (moments.variance() == 0.75).all()
    with pytest.raises(UsageError, match=r"at most 1024 draws.*got 1025"):
        moments.add(white)


def test_what_cannot_be_added_is_refused():
    moments = Moments((2, 3))
    with pytest.raises(ImageError, match=r"3x2 pixels.*got 2x2"):
        moments.add(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ImageError, match=r"uint8.*got float64 of shape \(2, 3, 3\)"):
        moments.add(np.zeros((2, 3, 3)))
    with pytest.raises(ImageError, match="got 2x2"):
        moments.merge(Moments((2, 2)))
    with pytest.raises(ImageError, match="got 2x2"):
        FixedPointMoments((2, 3)).add([np.zeros((2, 2), np.float32)] * 3)
    for ask in (moments.variance, moments.mean, moments.mean_image, FixedPointMoments((2, 3)).variance):
        with pytest.raises(UsageError, match="at least one draw; got none"):
            ask()


def test_views_are_taken_as_they_look():
    rng = np.random.default_rng(2)
    large = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(large[::2, ::-2], _moments([large[::2, ::-2]]).mean_image())
