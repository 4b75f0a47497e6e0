"""Energies of detail against the plain loops, exact zeros, and how far a picture was moved."""

import numpy as np
import pytest
from naive import detail as naive
from scipy.ndimage import shift
from support.synthetic import draw, photograph

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels.detail import Energies, Leasts, added, detail_losses, displacement, unexplained


def three(shape, seed=0):
    """A picture, a wrong version of it and a plain one."""
    truth = photograph(seed, shape)
    plain = np.clip(truth.astype(int) + np.random.default_rng(seed).integers(-9, 10, truth.shape), 0, 255)
    return draw(truth, 1), truth, plain.astype(np.uint8)


@pytest.mark.parametrize("high_pass", [True, False])
@pytest.mark.parametrize(("shape", "sigma"), [((17, 22), 1.0), ((16, 20), 4.0), ((1, 1), 4.0), ((2, 7), 3.0)])
def test_energies_equal_the_loops(shape, sigma, high_pass):
    changed, truth, plain = (picture[: shape[0], : shape[1]] for picture in three((24, 24)))
    found = unexplained(changed, truth, plain, sigma, high_pass=high_pass)
    part, whole = naive.unexplained(changed, truth, plain, sigma, high_pass)
    np.testing.assert_allclose(found.whole, whole, rtol=1e-4, atol=1e-3)
    # The twin's grid of blends misses the least energy by at most an eighth of a grid step squared.
    np.testing.assert_allclose(found.part, part, rtol=1e-4, atol=2e-5 * whole.max() + 1e-2)


@pytest.mark.parametrize("high_pass", [True, False])
@pytest.mark.parametrize(("shape", "sigma"), [((17, 22), 1.0), ((16, 20), 4.0), ((1, 1), 4.0), ((2, 7), 3.0)])
def test_energy_that_is_added_alone_equals_the_loops(shape, sigma, high_pass):
    changed, _, plain = (picture[: shape[0], : shape[1]] for picture in three((24, 24)))
    _, whole = naive.unexplained(changed, plain, plain, sigma, high_pass)
    np.testing.assert_allclose(added(changed, plain, sigma, high_pass=high_pass), whole, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", range(3))
@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(("shape", "side"), [((17, 22), 8), ((1, 1), 4), ((9, 3), 16)])
def test_losses_equal_the_loops_rounded_up_by_less_than_a_step(shape, side, empty, kind):
    rng = np.random.default_rng(side)
    scores = (rng.integers(0, 9, shape) / 8).astype(np.float32)
    part = np.zeros(shape, np.float32) if empty else (500 * rng.random(shape) ** 4).astype(np.float32)
    energies = Energies(part, part + (0 if empty else rng.random(shape).astype(np.float32)))
    order = np.argsort(scores, axis=None, kind="stable")
    at, levels = detail_losses(order, scores, energies, np.float32(0.9), side, 64, Leasts(30.0, 2.0, 0.05))[kind]
    assert levels[-1] == 1
    assert (np.diff(at) > 0).all()
    assert (np.diff(levels) > 0).all()
    for threshold in np.arange(0.0625, 0.9, 0.125):
        found = levels[at < threshold][-1:].sum()
        exact = naive.losses(scores, part.astype(float), energies.whole.astype(float), threshold, side, 30, 2, 0.05)
        assert exact[kind] - 1e-9 <= found < exact[kind] + 1 / 64 + 1e-9


def test_nothing_is_unexplained_in_plain_truth_and_blends():
    rng = np.random.default_rng(1)
    plain = rng.integers(100, 140, (20, 24, 3))
    missing = 6 * rng.integers(-10, 11, plain.shape)
    as_picture = lambda values: values.astype(np.uint8)  # noqa: E731
    for sixths in range(7):
        changed = plain + missing // 6 * sixths
        assert not unexplained(*map(as_picture, (changed, plain + missing, plain)), 4.0).part.any()
    for sixths in (-1, 7):
        changed = plain + missing // 6 * sixths
        assert (unexplained(*map(as_picture, (changed, plain + missing, plain)), 4.0).part > 0).all()


def test_what_the_truth_has_elsewhere_explains_nothing():
    plain = np.full((32, 96, 3), 128, np.uint8)
    changed, truth = plain.copy(), plain.copy()
    changed[:, 8:16:2], truth[:, 80:88:2] = 200, 200
    part, whole = unexplained(changed, truth, plain, 4.0)
    np.testing.assert_array_equal(part[:, 8:16], whole[:, 8:16])


@pytest.mark.parametrize("moved", [(0.0, 0.0), (0.5, 0.0), (-0.5, 0.5), (0.0, 1.5)])
def test_a_moved_picture_is_measured(moved):
    truth = photograph(4, (96, 96))
    changed = np.clip(shift(truth.astype(float), (*moved, 0), mode="nearest"), 0, 255).round().astype(np.uint8)
    assert displacement(changed, truth, 4.0) == pytest.approx(moved, abs=0.15)


def test_detail_noise_casts_and_flat_pictures_are_no_displacement():
    truth = photograph(4, (96, 96))
    flat = np.full_like(truth, 90)
    noisy = np.clip(truth + np.random.default_rng(0).normal(0, 40, truth.shape), 0, 255).astype(np.uint8)
    for changed, plain in (
        (noisy, truth),
        (truth // 2, truth),
        (flat, flat),
        (truth, flat),
        (truth[:2], truth[:2] // 2),
    ):
        assert displacement(changed, plain, 4.0) == (0.0, 0.0)


def test_pictures_of_different_sizes_are_refused():
    picture = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ImageError, match="one size"):
        unexplained(picture, picture, picture[:, :4], 4.0)
