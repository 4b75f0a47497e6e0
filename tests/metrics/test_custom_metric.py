"""A user's own metric and score: values, bounds, what is refused, and that name and version are the procedure."""

import numpy as np
import pytest

from blackbox_conformal.errors import ImageError, MapError, ProcedureMismatchError, UsageError
from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.method.metrics import custom_metric as metrics
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.scores import custom_score as scores
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.study.mask.array_maps import error_map, metric_bound, score_map
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.settings import set_up, set_up_as
from blackbox_conformal.support import catalog


def _pictures(count=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)


def _green(truth, delivered):
    return np.abs(truth[:, :, 1].astype(float) - delivered[:, :, 1]) / 255


def _red_only(delivered, low_resolution, scale):
    return delivered[:, :, 0]


class Squared(Metric):
    """A subclass, as a user may write it."""

    @property
    def bound(self):
        return 1.0

    def map(self, truth, delivered):
        return (_green(truth, delivered) ** 2).astype(np.float32)


def test_one_function_is_a_metric():
    truth, delivered = _pictures()
    metric = metrics.from_function("green-channel", _green, 1)
    found = error_map(truth, delivered, metric)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _green(truth, delivered), atol=1e-7)
    assert metric_bound(metric) == 1
    assert not metric.pointwise_root_mean_square
    named = {"metric": "green-channel", "version": "1", "largest": 1.0}
    assert metric.specification() == {"name": "custom-metric", **named}


def test_a_subclass_is_a_metric():
    truth, delivered = _pictures()
    np.testing.assert_allclose(error_map(truth, delivered, Squared()), _green(truth, delivered) ** 2, atol=1e-7)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([(2, 3, 1.25)], r"metric wrong .* in \[0, 1\]; got 1.25 at row 2, column 3 \(1 such pixels\).*larger bound"),
        ([(2, 3, -0.5), (4, 4, -1)], r"got -0.5 at row 2, column 3 \(2 such"),
        ([(0, 7, np.nan)], "got nan at row 0, column 7"),
        ([(0, 7, np.inf)], "got inf at row 0, column 7"),
        ([(5, 7, 1 + 1e-12)], "got 1.000000000001 at row 5, column 7"),
    ],
)
def test_values_beyond_the_bound_name_pixel_and_value(answer, message, request):
    def function(truth, delivered):
        found = np.full((6, 8), 0.5)
        for row, column, value in answer:
            found[row, column] = value
        return found

    metric = metrics.from_function("wrong", function, 1, version=str(abs(hash(request.node.name))))
    with pytest.raises(MapError, match=message):
        metric.map(*_pictures())


@pytest.mark.parametrize("answer", [np.zeros((8, 6)), np.zeros((6, 8, 1)), 0.5, "text", np.zeros((6, 8), complex)])
def test_answers_that_are_no_map_are_refused(answer, request):
    metric = metrics.from_function("shape", lambda *_: answer, 1, version=f"{abs(hash(request.node.name))}")
    with pytest.raises(MapError, match=r"expected metric shape to answer numbers of shape \(6, 8\); got"):
        metric.map(*_pictures())


def test_a_bound_that_float32_cannot_hold_is_kept():
    metric = metrics.from_function("ninety", lambda truth, _: np.full(truth.shape[:2], 97.3), 97.3)
    assert metric.map(*_pictures()).astype(np.float64).max() <= 97.3


def test_the_function_cannot_change_the_pictures():
    def paints(truth, delivered):
        truth[:] = delivered[:] = 0
        return np.zeros(truth.shape[:2])

    pictures = _pictures()
    metrics.from_function("paints", paints, 1).map(*pictures)
    np.testing.assert_array_equal(pictures, _pictures())


def test_pictures_are_checked_before_the_function_sees_them():
    truth, delivered = _pictures()
    with pytest.raises(ImageError, match="one size"):
        metrics.from_function("green-channel", _green, 1).map(truth, delivered[:5])


@pytest.mark.parametrize("module", [metrics, scores])
def test_one_name_and_version_is_one_function(module):
    parameters = {"bound": 1} if module is metrics else {}

    def cell():
        def mine(truth, delivered):
            return np.zeros(truth.shape[:2])

        return mine

    module.from_function("mine", cell(), **parameters)
    module.from_function("mine", cell(), **parameters)
    for other in (lambda *_: 0, len, np.add):
        with pytest.raises(UsageError, match=r"mine version 1; this program has defined another.*raise the version"):
            module.from_function("mine", other, **parameters)
    module.from_function("mine", len, version="2", **parameters)
    with pytest.raises(UsageError, match="expected a function for"):
        module.from_function("none", 3, **parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "../x"},
        {"version": ""},
        {"bound": 0},
        {"bound": np.nan},
        {"bound": np.inf},
    ],
)
def test_names_and_bounds_that_cannot_be_used_are_refused(parameters):
    with pytest.raises(UsageError, match=r"metric|version|largest"):
        metrics.from_function(**{"name": "unusable", "function": _green, "bound": 1, **parameters})


def test_a_score_of_the_delivered_picture():
    draws = _pictures(3)
    score = scores.from_function("red", _red_only)
    assert score.minimum_draws == 1
    found = score_map(draws, score)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, draws[0, :, :, 0])
    assert score.specification() == {"name": "custom-score", "score": "red", "version": "1", "kind": "delivered"}


def test_a_score_of_moments_in_any_order():
    draws = _pictures(5)
    score = scores.from_function("spread", lambda mean, variance: variance / (1 + mean.mean(axis=2)), kind="moments")
    assert score.minimum_draws == 2
    moments = Moments((6, 8))
    for draw in draws:
        moments.add(draw)
    expected = moments.variance() / (1 + moments.mean().mean(axis=2))
    found = score_map(draws, score)
    np.testing.assert_array_equal(found, expected)
    halves = [score.start((6, 8)), score.start((6, 8))]
    for index, draw in enumerate(draws[::-1]):
        halves[index % 2].update(draw)
    halves[0].merge(halves[1])
    np.testing.assert_array_equal(halves[0].finish(Context(draws[0], None, 1)), found)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e39])
def test_scores_that_are_no_scores_are_refused(value):
    def function(delivered, low_resolution, scale):
        found = np.zeros(delivered.shape[:2])
        found[1, 2] = value
        return found

    score = scores.from_function("bad", function, version=str(value).replace("-", "m"))
    with pytest.raises(MapError, match=r"score bad .* at row 1, column 2"):
        score_map(_pictures(1), score)


def test_a_calibrations_procedure_finds_the_function_again_or_says_what_to_do():
    adapter = load_adapter("embedded")
    setup = set_up(
        adapter,
        draws=2,
        metric=metrics.from_function("green-channel", _green, 1),
        score=scores.from_function("red", _red_only),
    )
    again = set_up_as(adapter, setup.procedure)
    assert again.procedure.fingerprint == setup.procedure.fingerprint
    truth, delivered = _pictures()
    np.testing.assert_array_equal(again.metric.map(truth, delivered), setup.metric.map(truth, delivered))
    newer = set_up(adapter, draws=2, metric=metrics.from_function("green-channel", len, 1, version="2"))
    with pytest.raises(ProcedureMismatchError, match=r"metric.version: '1' → '2'"):
        setup.procedure.require(newer.procedure)
    unknown = catalog.load("metrics", "custom-metric", metric="elsewhere", version="3", largest="1")
    with pytest.raises(UsageError, match=r"metric elsewhere version 3; this program has defined none.*from_function"):
        unknown.map(truth, delivered)
    with pytest.raises(UsageError, match="score elsewhere version 3; this program has defined none"):
        catalog.load("scores", "custom-score", score="elsewhere", version="3", kind="delivered").start((6, 8))


def test_the_bound_of_a_file_is_not_believed():
    metrics.from_function("believed", _green, 1)
    forged = metrics.CustomMetric(metric="believed", version="1", largest=0.2)
    with pytest.raises(UsageError, match=r"that this program has declared, 1; got 0\.2"):
        _ = forged.bound
    with pytest.raises(UsageError, match=r"has declared 1 and now 0\.5"):
        metrics.from_function("believed", _green, 0.5)


def test_a_metric_that_the_program_has_not_defined_is_refused_before_anything_is_drawn(tmp_path):
    vendor = load_adapter("folder", path=str(tmp_path), label="made up")
    stranger = metrics.CustomMetric(metric="stranger", version="1", largest=1)
    with pytest.raises(UsageError, match="this program has defined none"):
        set_up(vendor, draws=2, score="pixel-variance", metric=stranger)
