"""A search for pictures that break each metric's bound: gamut corners, extreme textures, borders, climbing.

Nothing may lie above a bound, and something must come within 1 % of it, or the bound would cost photographs.
"""

import itertools

import numpy as np
import pytest
from support.family_cases import cases, metrics_of_pictures_alone

from blackbox_conformal.method.kernels.delta_e import delta_e_2000
from blackbox_conformal.method.metrics.custom_metric import from_function
from blackbox_conformal.support import catalog

CORNERS = [np.array(corner, np.uint8) for corner in itertools.product((0, 255), repeat=3)]
SIZE = 14

# A window that is wider than the pictures has no pattern inside it; flat colours are tried in `test_every_metric`.
CASES = [case for case in cases("metrics", metrics_of_pictures_alone()) if "kernel" not in case[1]]


def _patterns():
    """Two-valued (SIZE, SIZE) patterns: flat, edges, lines and dots at every border, gratings, checks, noise."""
    y, x = np.mgrid[:SIZE, :SIZE]
    yield from (np.zeros((SIZE, SIZE), int), x == 0, x == SIZE - 1, y == 0, (x == 0) & (y == 0), (x < 2) & (y < 2))
    yield from ((x == SIZE // 2) & (y == SIZE // 2), x < SIZE // 2, (x < SIZE // 2) & (y < SIZE // 2), x < y, x <= y)
    for period in (1, 2, 3, 4):
        yield from ((x // period) % 2, (y // period) % 2, (x // period + y // period) % 2, ((x + y) // period) % 2)
    rng = np.random.default_rng(0)
    yield from (rng.random((SIZE, SIZE)) < share for share in (0.05, 0.5, 0.95))


def _coloured(pattern, off, on):
    return np.where(np.asarray(pattern, bool)[:, :, None], on, off).astype(np.uint8)


def _pairs():
    """Pairs of pictures in gamut corners: every pattern against flat colours, its inverse and its shift."""
    colours = [(off, on) for off, on in itertools.product(CORNERS, repeat=2) if (off <= on).all()]
    for off, on in itertools.product(CORNERS, repeat=2):
        yield _coloured(np.zeros((SIZE, SIZE)), off, off), _coloured(np.zeros((SIZE, SIZE)), on, on)
    for pattern in _patterns():
        for off, on in [*colours[1:8:2], (CORNERS[1], CORNERS[2])]:
            truth = _coloured(pattern, off, on)
            yield truth, _coloured(pattern, on, off)
            yield truth, np.roll(truth, 1, axis=1)
            yield truth, _coloured(np.zeros((SIZE, SIZE)), off, off)


def _climb(metric, truth, delivered, steps=150):
    """Random changes of pixels that are kept when the largest value grows."""
    rng = np.random.default_rng(1)
    largest = metric.map(truth, delivered).max()
    for _ in range(steps):
        changed = [truth.copy(), delivered.copy()]
        row, column = rng.integers(0, SIZE, 2)
        picture = changed[rng.integers(0, 2)]
        picture[row, column] = CORNERS[rng.integers(0, 8)] if rng.random() < 0.7 else rng.integers(0, 256, 3)
        found = metric.map(*changed).max()
        if found >= largest:
            (truth, delivered), largest = changed, found
    return largest


@pytest.fixture(scope="module")
def pairs():
    """All pairs of pictures that are tried."""
    return list(_pairs())


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_nothing_lies_above_the_bound_and_something_near_it(name, parameters, pairs):
    metric = catalog.load("metrics", name, **parameters)
    # Every pair in the usual setting, each pair of flat colours and some others in the rest.
    tried = pairs[:64] + pairs[64::5] if parameters else pairs
    largest, best = np.float32(0), tried[0]
    for pair in tried:
        values = metric.map(*pair)
        assert values.min() >= 0
        assert float(values.max()) <= metric.bound
        if values.max() > largest:
            largest, best = values.max(), pair
    largest = _climb(metric, *best)
    assert float(largest) <= metric.bound
    assert float(largest) >= 0.99 * metric.bound, (
        f"the largest error that was found in {name} is {largest:.6g}, and its bound is {metric.bound:.6g}. Lower the "
        "bound, which costs photographs, or add pictures that come near it to _patterns"
    )


def test_every_gamut_corner_and_face_stays_below_the_largest_cap():
    """CIEDE2000 has no bound in closed form; 120, the largest cap, is above everything that a search finds."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 1, 3000, 3)).astype(np.uint8)
    pixels = np.where(rng.random(pixels.shape) < 0.5, pixels // 128 * 255, pixels).astype(np.uint8)
    values = delta_e_2000(*pixels)
    for step in np.geomspace(60, 1, 250).astype(int):
        moves = rng.integers(-step, step + 1, pixels.shape) * (rng.random(pixels.shape) < 0.5)
        changed = np.clip(pixels + moves, 0, 255).astype(np.uint8)
        found = delta_e_2000(*changed)
        better = found > values
        pixels[:, better], values[better] = changed[:, better], found[better]
    assert 119.4 < values.max() < 119.5
    assert catalog.load("metrics", "delta-e-2000", cap=120).map(*pixels).max() == values.max()


def test_a_users_metric_may_reach_its_bound_exactly():
    metric = from_function("whole", lambda truth, _: np.full(truth.shape[:2], 0.1), 0.1)
    values = metric.map(*(np.zeros((2, 3, 4, 3), np.uint8)))
    assert 0.1 - 1e-8 < float(values.max()) <= metric.bound
