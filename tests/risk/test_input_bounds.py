import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.risk import resampling, truth_bounds

SIDE = 96


def reduced(truth, scale):
    height, width = truth.shape[:2]
    return np.array(Image.fromarray(truth).resize((width // scale, height // scale), Image.Resampling.BICUBIC))


def blurred(truth, sigma):
    return np.stack(
        [gaussian_filter(plane / 255, sigma, mode="reflect", truncate=4.0) for plane in truth.transpose(2, 0, 1)]
    )


def clipping_lines(scale):
    """Every third value of the horizontal pass falls below 0: black under its middle, white under both sides."""
    phase = (np.arange(SIDE) - scale * 3 // 2) % (3 * scale)
    return np.where((phase < scale / 2) | (phase >= 2.5 * scale), 255, 0)


def truths(scale, sigma):
    """Photographs chosen to break the bound: noise, extremes, patterns near the grid, and the worst of each part."""
    rng = np.random.default_rng(53)
    yield rng.integers(0, 256, (SIDE, SIDE, 3))
    yield rng.integers(0, 2, (SIDE, SIDE, 3)) * 255
    yield np.zeros((SIDE, SIDE, 3))
    yield np.full((SIDE, SIDE, 3), 255)
    rows, columns = np.indices((SIDE, SIDE))
    for period in (1, 2, 3, scale, scale + 1, 2 * scale, 3 * scale):
        yield ((rows // period + columns // period) % 2 * 255)[:, :, None].repeat(3, 2)
        yield (columns // period % 2 * 255)[:, :, None].repeat(3, 2)
        yield (rows // period % 2 * 255)[:, :, None].repeat(3, 2)
    for shift in range(3 * scale):
        yield np.roll(clipping_lines(scale), shift)[None, :, None].repeat(SIDE, 0).repeat(3, 2)
        yield (255 - np.roll(clipping_lines(scale), shift))[:, None, None].repeat(SIDE, 1).repeat(3, 2)
    line = resampling.axis(SIDE, scale, "gaussian", sigma, None)
    reduce, window = resampling.bicubic_matrix(SIDE, scale), resampling.window_matrix(SIDE, "gaussian", sigma, None)
    for p, q in ((0, 0), (48, 48), (49, 50), (3, 95), (47, 2)):
        kernel, approximation = window, line.recover @ reduce
        weights = np.outer(kernel[p], kernel[q]) - np.outer(approximation[p], approximation[q])
        yield ((weights > 0) * 255)[:, :, None].repeat(3, 2)
        yield ((weights < 0) * 255)[:, :, None].repeat(3, 2)


@pytest.mark.parametrize(("scale", "sigma"), [(2, 1.5), (4, 2.0), (4, 4.0), (4, 8.0), (3, 4.0), (8, 10.0)])
def test_the_blurred_truth_lies_inside_whatever_the_truth(scale, sigma):
    closest = []
    for truth in truths(scale, sigma):
        truth = truth.astype(np.uint8)
        interval = truth_bounds.blurred_truth(reduced(truth, scale), scale, window="gaussian", sigma=sigma)
        exact = blurred(truth, sigma)
        assert (exact >= interval.low - 1e-9).all()
        assert (exact <= interval.high + 1e-9).all()
        centre, radius = (interval.high + interval.low) / 2, (interval.high - interval.low) / 2
        open_ended = (interval.low > 0) & (interval.high < 1)
        if open_ended.any():
            closest.append((np.abs(exact - centre) / radius)[open_ended].max())
    # The bound is not idle: some photograph comes within a factor of two of it.
    assert 0.5 < max(closest) <= 1


def test_leaving_the_clipping_of_the_first_pass_out_would_be_wrong():
    """Rows of white between the clipped ones hide the clipping: no value of the input is 0 or 255 there."""
    scale, sigma = 4, 8.0
    line = resampling.axis(SIDE, scale, "gaussian", sigma, None)
    without = truth_bounds._radius(line, line) - line.kernel_mass[:, None] * line.clipped[None, :]
    worst = 0.0
    for shift in range(3 * scale):
        truth = np.roll(clipping_lines(scale), shift)[None, :, None].repeat(SIDE, 0).repeat(3, 2).astype(np.uint8)
        truth[::2] = 255
        low = reduced(truth, scale)
        assert not np.isin(low, (0, 255)).any()
        error = np.abs(blurred(truth, sigma) - line.recover @ (low.transpose(2, 0, 1) / 255) @ line.recover.T)
        worst = max(worst, (error / without).max())
    assert worst > 1


def test_leaving_the_rounding_out_would_be_wrong():
    """Columns of 100 and 101 average to 100.5 everywhere, which is rounded to 101 everywhere; nothing is clipped."""
    scale, sigma = 2, 8.0
    line = resampling.axis(SIDE, scale, "gaussian", sigma, None)
    truth = np.full((SIDE, SIDE, 3), 100, np.uint8)
    truth[:, 1::2] = 101
    low = reduced(truth, scale)
    assert (low[4:-4, 4:-4] == low[9, 9]).all()
    error = np.abs(blurred(truth, sigma) - line.recover @ (low.transpose(2, 0, 1) / 255) @ line.recover.T)
    inside = (slice(None), slice(40, 56), slice(40, 56))
    residual_and_rounding = truth_bounds._radius(line, line) - line.kernel_mass[:, None] * line.clipped[None, :]
    assert (error <= residual_and_rounding).all()
    assert error[inside].min() > 1.5 * line.residual[48]


def test_the_interval_is_a_few_hundredths_wide_for_windows_wider_than_the_scale():
    low = np.full((64, 64, 3), 128, np.uint8)
    half = {}
    for sigma in (2.0, 4.0, 8.0):
        interval = truth_bounds.blurred_truth(low, 4, window="gaussian", sigma=sigma)
        half[sigma] = float((interval.high - interval.low)[:, 128, 128].max() / 2)
    assert half[8.0] < 0.04 < half[4.0] < 0.07 < 0.4 < half[2.0]


def test_a_box_window():
    rng = np.random.default_rng(54)
    truth = (rng.integers(0, 2, (64, 96, 3)) * 255).astype(np.uint8)
    interval = truth_bounds.blurred_truth(reduced(truth, 4), 4, window="box", size=15)
    exact = np.stack([uniform_filter(plane / 255, 15, mode="reflect") for plane in truth.transpose(2, 0, 1)])
    assert interval.low.shape == (3, 64, 96)
    assert (exact >= interval.low).all()
    assert (exact <= interval.high).all()


def test_the_largest_difference_reaches_to_the_farther_end():
    interval = truth_bounds.BlurredTruth(np.full((3, 1, 1), 0.25), np.full((3, 1, 1), 0.5))
    far = interval.largest_difference(np.array([0.1, 0.375, 1.0], np.float32).reshape(3, 1, 1)).ravel()
    assert far == pytest.approx([0.4, 0.125, 0.75], abs=1e-4)
    assert (far >= [0.4, 0.125, 0.75]).all()


@pytest.mark.parametrize(
    ("low", "scale", "error"),
    [
        (np.zeros((8, 8), np.uint8), 4, ImageError),
        (np.zeros((8, 8, 3), np.float32), 4, ImageError),
        (np.zeros((8, 8, 3), np.uint8), 1, UsageError),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(low, scale, error):
    with pytest.raises(error):
        truth_bounds.blurred_truth(low, scale, window="gaussian", sigma=4.0)
