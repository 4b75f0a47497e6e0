"""Learning the weights of `learned`: the gradient, and what steps do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import learned_training as naive

from blackbox_conformal.method.scores import _learned_training
from blackbox_conformal.method.scores._learned_network import NAMES, log_multipliers, own_network, spread
from blackbox_conformal.method.scores._learned_training import (
    Lesson,
    Pass,
    Trusted,
    learn,
    soft_worth,
    usual_error,
)
from blackbox_conformal.method.scores._weights_file import written

FEATURES = len(NAMES)


@given(
    st.lists(st.tuples(st.floats(-4, 1), st.floats(0, 0.6)), min_size=1, max_size=12),
    st.floats(0.03, 1.5),
    st.floats(0.12, 0.5),
    st.floats(5, 80),
)
def test_the_gradient_is_that_of_the_twin(cells, multiplier, temperature, sharpness):
    log_multipliers, errors = np.array(cells).T
    found, gradient = soft_worth(log_multipliers, errors, multiplier, temperature, sharpness)
    rest = (multiplier, temperature, sharpness)
    assert found == pytest.approx(naive.soft_worth(log_multipliers, errors, *rest), rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(gradient, naive.gradient(log_multipliers, errors, *rest), rtol=1e-4, atol=1e-6)


def lessons(count: int, seed: int = 0) -> list[Lesson]:
    """Pictures whose errors follow one feature that the package's own weights make little of."""
    random, found = np.random.default_rng(seed), []
    for _ in range(count):
        coarse = random.normal(size=(FEATURES, 5, 5)).astype(np.float32)
        maps = coarse.repeat(4, axis=1).repeat(4, axis=2)
        errors = 0.2 * np.exp(maps[-2]) * random.uniform(0.8, 1.2, (20, 20))
        found.append(Lesson.of(maps, errors.astype(np.float32)))
    return found


def test_the_gradient_by_every_weight_is_that_of_differences():
    random = np.random.default_rng(0)
    weights = {name: values.copy() for name, values in own_network().arrays.items()}
    weights |= {name: random.normal(0, 0.2, weights[name].shape).astype(np.float32) for name in ("picture", "skip")}
    maps = random.normal(size=(FEATURES, 7, 9)).astype(np.float32)
    mean, by_multipliers = maps.mean(axis=(1, 2)), random.normal(size=(7, 9)).astype(np.float32)
    gradient = Pass(weights, maps, mean).gradient(by_multipliers)
    assert gradient.keys() == weights.keys()
    for name, values in weights.items():
        assert gradient[name].shape == values.shape
        direction = gradient[name] / np.linalg.norm(gradient[name])
        ends = [
            Pass({**weights, name: values + sign * np.float32(1e-3) * direction}, maps, mean).log_multipliers
            for sign in (np.float32(1), np.float32(-1))
        ]
        difference = float(((ends[0] - ends[1]).astype(np.float64) * by_multipliers).sum()) / 2e-3
        assert difference == pytest.approx(np.linalg.norm(gradient[name]), rel=0.03), name


def test_a_pass_gives_the_prices_of_the_network():
    maps = np.random.default_rng(0).normal(size=(FEATURES, 7, 9)).astype(np.float32)
    found = spread(Pass(own_network().arrays, maps, maps.mean(axis=(1, 2))).log_multipliers)
    np.testing.assert_allclose(found, log_multipliers(own_network().arrays, maps), rtol=1e-4, atol=1e-4)


@pytest.fixture
def fewer_steps(monkeypatch):
    """So many are enough to see whether weights help."""
    monkeypatch.setattr(_learned_training, "STEPS", 40)
    monkeypatch.setattr(_learned_training, "LOOKED", 10)


@pytest.mark.usefixtures("fewer_steps")
def test_learning_lets_more_be_trusted_of_photographs_that_teach_and_of_those_that_do_not():
    learned = learn(own_network().arrays, lessons(15), lessons(5, seed=1), seed=0)
    assert learned.weights is not None
    assert learned.taught_after > learned.taught_before + 0.05
    assert learned.after > learned.before + 0.03
    assert (learned.weights["tail"] != own_network().arrays["tail"]).any()


def test_the_same_lessons_and_seed_give_the_same_bytes(monkeypatch):
    monkeypatch.setattr(_learned_training, "STEPS", 12)
    monkeypatch.setattr(_learned_training, "LOOKED", 4)
    first, again, other = (
        written(learn(own_network().arrays, lessons(15), lessons(5, seed=1), seed=seed).weights or {})
        for seed in (3, 3, 4)
    )
    assert first != written({})
    assert first == again
    assert first != other


@pytest.mark.usefixtures("fewer_steps")
def test_weights_that_only_help_those_that_taught_are_not_kept():
    """On what is kept apart the package's own values are the errors themselves, and nothing orders cells better."""
    apart = []
    for one in lessons(5, seed=1):
        multipliers = log_multipliers(own_network().arrays, one.maps.astype(np.float32))
        apart.append(Lesson(one.maps, one.mean, np.exp(np.clip(multipliers, -4, 0))))
    learned = learn(own_network().arrays, lessons(15), apart, seed=0)
    assert learned.weights is None
    assert learned.after == learned.before
    assert learned.taught_after == learned.taught_before


def unrelated(count: int, seed: int) -> list[Lesson]:
    """Pictures whose errors follow no feature."""
    random, found = np.random.default_rng(seed), []
    for _ in range(count):
        maps = random.normal(size=(FEATURES, 5, 5)).astype(np.float32).repeat(4, axis=1).repeat(4, axis=2)
        errors = 0.2 * np.exp(random.normal(size=(5, 5)))
        found.append(Lesson.of(maps, errors.repeat(4, axis=0).repeat(4, axis=1).astype(np.float32)))
    return found


@pytest.mark.parametrize("seed", [2, 10])
def test_weights_that_seem_to_help_by_chance_are_not_kept(monkeypatch, seed):
    monkeypatch.setattr(_learned_training, "STEPS", 20)
    monkeypatch.setattr(_learned_training, "LOOKED", 4)
    learned = learn(own_network().arrays, unrelated(10, 100 + seed), unrelated(6, 200 + seed), seed=seed)
    assert learned.least_gain < 0, "some look seemed to gain"
    assert (learned.weights, learned.after) == (None, learned.before)


def test_what_is_gained_at_least_is_below_what_is_gained_and_surer_with_more_pictures():
    random = np.random.default_rng(0)
    few, many = (random.uniform(0, 0.3, (n, 40)).cumsum(axis=1) / 4 for n in (6, 60))
    gains = []
    for largest in (few, many):
        shares = np.broadcast_to(np.linspace(0, 1, 40), largest.shape)
        before, after = Trusted(largest, shares), Trusted(0.8 * largest, shares)
        gains.append((after.least_gain(before, 0.01, np.random.default_rng(1)), after.share - before.share))
        assert before.least_gain(before, 0.01, np.random.default_rng(1)) == 0
        assert before.least_gain(after, 0.01, np.random.default_rng(1)) < 0
    assert all(0 < least < gain for least, gain in gains)
    assert gains[0][1] - gains[0][0] > gains[1][1] - gains[1][0]


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (300, 2)])
def test_the_middle_of_a_picture_of_any_size_is_kept(shape):
    maps, errors = np.ones((FEATURES, *shape), np.float32), np.ones(shape, np.float32)
    lesson = Lesson.of(maps, errors)
    assert lesson.maps.shape == (FEATURES, *lesson.errors.shape)
    assert lesson.errors.shape == tuple(min(side, 128) for side in shape)


def test_the_usual_error_is_of_pictures_with_errors():
    maps = [np.full((2, 2), error, np.float32) for error in (0, 0.5, 0.25, 1)]
    found = [Lesson.of(np.ones((FEATURES, 2, 2), np.float32), errors) for errors in maps]
    assert usual_error(found) == 0.5
    assert usual_error(found[:1]) == 0
