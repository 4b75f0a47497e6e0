"""Learning the last layer of `predicted-invention`: what it fits, what it keeps, and which files it takes."""

import numpy as np
import pytest
from support.synthetic import draw, photograph, reduced

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.scores import _weights_file
from blackbox_conformal.method.scores._invention_training import InventionLesson, learn_invention
from blackbox_conformal.method.scores._weights_file import written
from blackbox_conformal.method.scores.predicted_invention import INPUTS, expected_share, last_hidden, own_network
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.support import catalog

OWN = own_network(light=True).arrays
SIDE = 12


def lessons(count: int, seed: int, effect: float = 4) -> list[InventionLesson]:
    """Pictures whose invention follows a feature, more than the given weights make of it, by `effect`."""
    random, found = np.random.default_rng(seed), []
    for _ in range(count):
        seen = random.normal(size=(INPUTS[0], SIDE, SIDE)).astype(np.float32)
        whole = np.exp(random.normal(3, 1, (SIDE, SIDE))).astype(np.float32)
        logit = effect * seen[3] + random.normal(0, 1, (SIDE, SIDE))
        invented = (whole / (1 + np.exp(-logit))).astype(np.float32)
        inputs = np.concatenate((last_hidden(OWN, seen), seen)).reshape(-1, SIDE * SIDE).T.astype(np.float16)
        found.append(InventionLesson(inputs, np.ones(SIDE**2, np.float32), invented.ravel(), whole.ravel()))
    return found


def seen_by(one: InventionLesson) -> np.ndarray:
    """What the first layer sees, (F, n, 1)."""
    return np.ascontiguousarray(one.inputs[:, -INPUTS[0] :].T.astype(np.float32))[:, :, None]


def test_what_a_vendor_makes_up_is_learned():
    learned = learn_invention(OWN, lessons(24, 0), seed=0)
    assert learned.weights is not None
    assert learned.least_gain > 0.1
    assert learned.after > learned.before + 0.1
    one = lessons(1, 99)[0]
    expected = expected_share(learned.weights, seen_by(one))
    before = expected_share(OWN, seen_by(one))
    share = one.invented / one.whole
    assert np.corrcoef(expected.ravel(), share.ravel())[0, 1] > np.corrcoef(before.ravel(), share.ravel())[0, 1] + 0.2
    assert abs(float(expected.mean() - share.mean())) < 0.05


def test_the_fit_is_the_minimum_of_the_penalised_cross_entropy():
    """The gradient by each weight of the definition, in float64, is 0 at the ridge that was chosen."""
    taught = lessons(24, 0)
    weights = learn_invention(OWN, taught, seed=0).weights
    seen = np.concatenate([seen_by(one)[:, :, 0] for one in taught], axis=1)
    invented, whole = (np.concatenate([getattr(one, name).ravel() for one in taught]) for name in ("invented", "whole"))
    counted = np.concatenate([(one.whole + 1).ravel() / np.sqrt(one.whole.mean() + 9) for one in taught])
    expected = expected_share(weights, seen.reshape(INPUTS[0], -1, 1)).ravel()
    left = counted * (expected - invented / (whole + 1)) / counted.sum()
    # The constant is not penalised; a linear weight's gradient is balanced by the pull on what it has moved.
    assert abs(left.sum()) < 1e-4
    mean = (counted * seen).sum(axis=1) / counted.sum()
    deviation = np.sqrt((counted * (seen - mean[:, None]) ** 2).sum(axis=1) / counted.sum())
    slopes = ((seen - mean[:, None]) / deviation[:, None]) @ left
    moved = weights["skip"][0] * deviation
    ridge = -(slopes @ moved) / (moved @ moved) * len(taught)
    assert min(abs(ridge - one) / one for one in (0.03, 0.3, 3)) < 0.05
    np.testing.assert_allclose(slopes, -ridge / len(taught) * moved, atol=2e-3 * abs(slopes).max() + 1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_kept_where_nothing_is_to_be_learned(seed):
    random = np.random.default_rng(seed)
    for_nothing = [
        InventionLesson(
            one.inputs, one.added, (one.whole * random.random(one.whole.shape)).astype(np.float32), one.whole
        )
        for one in lessons(24, seed)
    ]
    learned = learn_invention(OWN, for_nothing, seed=seed)
    assert learned.weights is None
    assert learned.least_gain <= 0
    assert learned.after == learned.before


def test_the_same_again_gives_the_same_bytes():
    first, again = (written(learn_invention(OWN, lessons(20, 1), seed=3).weights or {}) for _ in range(2))
    assert first == again != written({})


TRUTH = photograph(1, (64, 96))


def made(score, delivered):
    return accumulated_map(score, [delivered], Context(delivered, reduced(TRUTH, 4), 4))


@pytest.mark.parametrize("light", [True, False])
def test_a_file_of_weights_says_itself_what_it_compares_with(light, tmp_path):
    own = own_network(light=light)
    changed = {**own.arrays, "skip": np.full((1, INPUTS[not light]), 0.05, np.float32)}
    file = tmp_path / "weights.npz"
    file.write_bytes(written(changed))
    score = catalog.load("scores", "predicted-invention", weights=file)
    assert score.light is light
    assert score.fitted_weights == file.read_bytes()
    usual = catalog.load("scores", "predicted-invention", light=light)
    _weights_file._weights_in.cache_clear()  # As after many other files.
    assert usual.fitted_weights is None
    answer = draw(TRUTH, 2)
    assert (made(score, answer) != made(usual, answer)).any()
    # A calibration gets it again by the digest, wherever the file has gone; and nothing else in its place.
    file.unlink()
    again = catalog.of_specification("scores", score.specification(), weights=score.fitted_weights)
    np.testing.assert_array_equal(made(again, answer), made(score, answer))
    assert str(file) not in str(score.specification())
    with pytest.raises(UsageError, match="expected the weights sha256"):
        catalog.of_specification("scores", score.specification())
    changed["skip"] = changed["skip"] * 2
    with pytest.raises(UsageError, match="expected the weights sha256"):
        catalog.of_specification("scores", score.specification(), weights=written(changed))
    # A skip of zeros, with weights as they are, gives the package's own map.
    none = catalog.load("scores", "predicted-invention", weights=written({**changed, "skip": 0 * changed["skip"]}))
    np.testing.assert_array_equal(made(none, answer), made(usual, answer))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first": np.zeros((24, 7), np.float32)}, "an array first of 34 or 66 columns; got shape"),
        ({"first": np.zeros((65, 34), np.float32)}, "an array first of 1 to 64 rows"),
        ({"skip": np.zeros((1, 66), np.float32)}, r"skip of shape \(1, 34\)"),
        ({"more": np.zeros(3, np.float32)}, "the arrays first"),
        ({"last_bias": np.full(1, np.nan, np.float32)}, "last_bias within ±1000"),
    ],
)
def test_other_weights_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        catalog.load("scores", "predicted-invention", weights=written({**OWN, **changes}))
