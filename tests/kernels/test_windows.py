"""Window means against direct sums and scipy, and what must hold for every map: range, constants, ties, borders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import windows as naive
from scipy import ndimage

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.kernels.windows import WIDE_SIGMA, average, box, gaussian, gaussian_taps, reflected

SHAPES = [(1, 1), (1, 9), (7, 1), (2, 3), (13, 17)]


def _map(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random(shape).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.1, 0.7, 1.0, 2.3])
def test_gaussian_equals_the_direct_sum(shape, sigma):
    values = _map(shape)
    np.testing.assert_allclose(gaussian(values, sigma), naive.gaussian(values, sigma), rtol=2e-6)
    precise = gaussian(values.astype(np.float64), sigma)
    assert precise.dtype == np.float64
    np.testing.assert_allclose(precise, naive.gaussian(values, sigma), rtol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 5, 31])
def test_box_equals_the_direct_sum(shape, size):
    values = _map(shape)
    np.testing.assert_allclose(box(values, size), naive.box(values, size), rtol=1e-7)
    np.testing.assert_allclose(box(values.astype(np.float64), size), naive.box(values, size), rtol=1e-12)


@pytest.mark.parametrize("sigma", [0.5, 1.5, 4.0, 11.9])
def test_narrow_gaussian_agrees_with_scipy(sigma):
    values = _map((40, 50), 1)
    expected = ndimage.gaussian_filter(values, sigma, truncate=4, mode="reflect")
    np.testing.assert_allclose(gaussian(values, sigma), expected, rtol=1e-5)


@pytest.mark.parametrize("sigma", [WIDE_SIGMA, 17.3, 64.0])
@pytest.mark.parametrize("shape", [(1, 50), (5, 3), (45, 60)])
def test_wide_gaussian_agrees_with_scipy(shape, sigma):
    values = _map(shape, 2)
    values[:, ::2] += 1
    expected = ndimage.gaussian_filter(values.astype(np.float64), sigma, truncate=4, mode="reflect")
    assert np.abs(gaussian(values, sigma) - expected).max() < 5.6e-4 * np.ptp(values)


@pytest.mark.parametrize("sigma", [12.0, 13.0, 15.99, 16.0, 19.5, 27.0, 64.0, 100.0])
def test_wide_kernel_differs_from_the_sampled_gaussian_by_at_most_what_is_stated(sigma):
    """Results cannot differ by more than half the L1 distance of the kernels, an axis, times the range of the map."""
    radius = int(4 * sigma + 0.5)
    margin = int(5.5 * sigma)
    length = 2 * margin + int(sigma)
    coarse = naive.wide_matrix(length, sigma)
    weights = np.array(naive.gaussian_weights(sigma))
    assert coarse.min() >= 0
    np.testing.assert_allclose(coarse.sum(axis=1), 1, rtol=1e-12)
    for x in range(margin, length - margin):
        exact = np.zeros(length)
        exact[x - radius : x + radius + 1] = weights
        assert np.abs(coarse[x] - exact).sum() < 5.6e-4
        places = np.arange(length) - x
        assert abs((coarse[x] * places).sum()) < 1e-9
        assert abs((coarse[x] * places**2).sum() / (exact * places**2).sum() - 1) < 1e-9


@pytest.mark.parametrize("sigma", [12.0, 18.0])
@pytest.mark.parametrize("shape", [(30, 41), (6, 100), (1, 7)])
def test_wide_gaussian_is_the_kernel_that_was_measured(shape, sigma):
    values = _map(shape, 3)
    expected = naive.wide_matrix(shape[0], sigma) @ values @ naive.wide_matrix(shape[1], sigma).T
    np.testing.assert_allclose(gaussian(values, sigma), expected, atol=1e-6)
    np.testing.assert_allclose(gaussian(values.astype(np.float64), sigma), expected, atol=1e-14)


means = st.one_of(
    st.sampled_from([1, 3, 9]).map(lambda size: lambda values: box(values, size)),
    st.sampled_from([0.4, 1.0, 2.0, 12.0, 15.0]).map(lambda sigma: lambda values: gaussian(values, sigma)),
)
maps = arrays(
    np.float32,
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    elements=st.floats(-(2.0**80), 2.0**80, width=32),
)


@settings(deadline=None, max_examples=60)
@given(maps, means)
def test_means_stay_within_the_range_of_the_map(values, mean):
    result = mean(values)
    assert result.dtype == np.float32
    assert result.shape == values.shape
    assert values.min() <= result.min()
    assert result.max() <= values.max()


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)), means)
def test_means_of_a_turned_map_are_turned_means(values, mean):
    np.testing.assert_allclose(mean(values.T.copy()), mean(values).T, atol=1e-6)
    np.testing.assert_allclose(mean(values[::-1].copy()), mean(values)[::-1], atol=3e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3.7, 1e-30, 2.0**100])
@pytest.mark.parametrize("mean", [lambda v: gaussian(v, 3.3), lambda v: gaussian(v, 40.0), lambda v: box(v, 7)])
def test_constants_are_kept_exactly(value, mean):
    values = np.full((9, 6), value, np.float32)
    np.testing.assert_array_equal(values, mean(values))


def test_nearly_constant_maps_are_kept_within_their_range():
    values = np.full((30, 30), 1000, np.float32)
    values[4, 5] = np.nextafter(np.float32(1000), np.float32(2000))
    for mean in (lambda v: gaussian(v, 2.0), lambda v: gaussian(v, 13.0), lambda v: box(v, 5)):
        np.testing.assert_allclose(mean(values), 1000, rtol=1e-6)


def test_running_sums_do_not_drift():
    """Large values leave no trace behind: zero windows are exactly 0, equal windows equal to the bit."""
    rng = np.random.default_rng(4)
    values = np.zeros((12, 60), np.float32)
    values[:, :20] = rng.random((12, 20)) * 1e6
    values[:, 40:] = np.tile(rng.random((12, 2)).astype(np.float32), (1, 10))
    result = box(values, 5)
    assert (result[:, 22:38] == 0).all()
    assert (result >= 0).all()
    np.testing.assert_array_equal(result[:, 43:55], result[:, 45:57])


def test_box_of_whole_numbers_is_exact():
    values = np.random.default_rng(5).integers(0, 200_000_000, (11, 14)).astype(np.float64)
    padded = np.pad(values, 3, mode="symmetric").astype(np.int64)
    sums = sum(padded[y : y + 11, x : x + 14] for y in range(7) for x in range(7))
    np.testing.assert_array_equal(sums / 49, box(values, 7))


@given(st.integers(-60, 60), st.integers(1, 9))
def test_reflection(index, length):
    assert naive.reflected(index, length) == reflected(index, length)


def test_taps_sum_to_one_and_end_at_four_sigma():
    for sigma in (0.1, 1.0, 4.0, 64.0):
        taps = gaussian_taps(sigma)
        assert taps.size == int(4 * sigma + 0.5) + 1
        assert (taps >= 0).all()
        assert abs(taps[0] + 2 * taps[1:].sum() - 1) < 1e-14


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [*SHAPES, (40, 9), (300, 2)])
def test_a_mean_can_take_the_place_of_its_map(shape, dtype):
    for window in ({"sigma": 0.3}, {"sigma": 1.0}, {"sigma": 4.0}, {"sigma": 20.0}, {"size": 1}, {"size": 7}):
        mean = gaussian if "sigma" in window else box
        values = _map(shape, 1, dtype)
        expected = mean(values, *window.values())
        assert mean(values, *window.values(), overwrite=True) is values
        np.testing.assert_array_equal(values, expected)


def test_average_by_name():
    values = _map((6, 8))
    np.testing.assert_array_equal(gaussian(values, 2.0), average(values, "gaussian", 2.0, None))
    np.testing.assert_array_equal(box(values, 3), average(values, "box", None, 3))
    with pytest.raises(UsageError, match="gaussian window with sigma or a box with size"):
        average(values, "gaussian", None, 3)


@pytest.mark.parametrize("sigma", [0, -1, float("nan"), float("inf"), 5000])
def test_sigma_out_of_range_is_refused(sigma):
    with pytest.raises(UsageError, match="expected sigma in"):
        gaussian(_map((3, 3)), sigma)


@pytest.mark.parametrize("size", [0, 2, -3, 4097, 3.0])
def test_size_out_of_range_is_refused(size):
    with pytest.raises(UsageError, match="expected an odd window size"):
        box(_map((3, 3)), size)


@pytest.mark.parametrize("mean", [lambda v: gaussian(v, 1.0), lambda v: box(v, 3)])
def test_maps_that_cannot_be_averaged_are_refused(mean):
    with pytest.raises(MapError, match=r"float32 or float64.*got int64 of shape \(3, 3\)"):
        mean(np.zeros((3, 3), np.int64))
    with pytest.raises(MapError, match=r"got float32 of shape \(3, 0\)"):
        mean(np.zeros((3, 0), np.float32))
    with pytest.raises(MapError, match="got list"):
        mean([[1.0]])
    for value in (np.nan, np.inf, -np.inf):
        spoiled = _map((4, 5))
        spoiled[2, 3] = value
        with pytest.raises(MapError, match=f"got {value} at row 2, column 3"):
            mean(spoiled)


def test_views_are_averaged_as_they_look():
    values = _map((12, 14))
    view = values[::2, ::-2]
    np.testing.assert_array_equal(gaussian(view.copy(), 1.0), gaussian(view, 1.0))
    np.testing.assert_array_equal(box(view.copy(), 3), box(view, 3))
