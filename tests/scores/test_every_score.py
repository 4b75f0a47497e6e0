"""What holds of every score: its definition, the order of draws, range, settings, needs, and its row in the page."""

import re
from pathlib import Path

import numpy as np
import pytest
from naive import scores, windows
from support.family_cases import NARROW_WINDOWS, built_without_parameters, cases, is_windowed
from support.synthetic import draw, photograph, reduced

import blackbox_conformal
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.scores._bases import ClippedAndSmoothed
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.support import catalog

NAMES = built_without_parameters("scores")
CASES = cases("scores", NAMES)
WINDOWED = [name for name in NAMES if is_windowed("scores", name)]
POLISHED = [name for name in NAMES if issubclass(catalog.member("scores", name), ClippedAndSmoothed)]
OF_SEVERAL_DRAWS = [name for name in NAMES if catalog.load("scores", name).minimum_draws > 1]
PAGE = (Path(blackbox_conformal.__file__).parent / "docs" / "scores.md").read_text(encoding="utf-8")

TRUTH = photograph(1, (20, 24))
LOW = reduced(TRUTH, 4)
DRAWS = [draw(TRUTH, seed) for seed in range(5)]
CONTEXT = Context(DRAWS[0], LOW, 4, draw(TRUTH, 99))


def load(name, **parameters):
    return catalog.load("scores", name, **parameters)


def twin(name):
    """The definition of the score in `naive.scores`, where there is one."""
    return getattr(scores, name.replace("-", "_"), None)


def test_only_a_programs_own_function_needs_a_parameter():
    assert set(catalog.names("scores")) - set(NAMES) == {"custom-score"}


def test_every_score_has_a_row_in_the_documentation():
    assert set(re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.M)) == set(catalog.names("scores"))


def test_every_definition_is_that_of_a_score():
    """A score that is renamed does not lose its definition unnoticed."""
    defined = {name for name, value in vars(scores).items() if hasattr(value, "__code__")}
    assert defined <= {name.replace("-", "_") for name in NAMES}


@pytest.mark.parametrize("name", [name for name in NAMES if twin(name)])
def test_maps_equal_their_definitions(name):
    # Regions have a definition of their own, in naive/regions.py.
    plain = {"region": 0} if "region" in catalog.member("scores", name).model_fields else {}
    for window in NARROW_WINDOWS if name in WINDOWED else [{}]:
        sigma, size = window.get("sigma"), window.get("size")
        weights = windows.gaussian_weights(sigma) if sigma else [1 / size] * size if size else None
        expected = twin(name)(DRAWS, LOW, CONTEXT.second, weights)
        np.testing.assert_allclose(accumulated_map(load(name, **plain, **window), DRAWS, CONTEXT), expected, atol=2e-6)


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_order_of_draws_and_merging_do_not_change_a_bit(name, parameters):
    rng = np.random.default_rng(0)
    plugin = load(name, **parameters)
    expected = accumulated_map(plugin, DRAWS, CONTEXT)
    assert expected.dtype == np.float32
    assert expected.shape == TRUTH.shape[:2]
    assert np.isfinite(expected).all()
    assert expected.min() >= 0
    for _ in range(5):
        order, cut = rng.permutation(len(DRAWS)), rng.integers(0, len(DRAWS) + 1)
        first, second = plugin.start(TRUTH.shape[:2]), plugin.start(TRUTH.shape[:2])
        for index in order[:cut]:
            first.update(DRAWS[index])
        for index in order[cut:]:
            second.update(DRAWS[index])
        first.merge(second)
        assert expected.tobytes() == first.finish(CONTEXT).tobytes()


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_a_specification_gives_the_same_score(name, parameters):
    score = load(name, **parameters)
    specification = score.specification()
    assert catalog.load("scores", specification.pop("name"), **specification) == score


@pytest.mark.parametrize("name", NAMES)
def test_scores_that_need_no_other_picture_say_the_same_without_it_and_others_ask_for_it(name):
    plugin = load(name)
    expected = accumulated_map(plugin, DRAWS, CONTEXT)
    for needed, without, message in (
        (plugin.needs_input, Context(DRAWS[0], None, 4, CONTEXT.second), "give low_resolution"),
        (plugin.needs_second, Context(DRAWS[0], LOW, 4, None), "give a second vendor"),
    ):
        if needed:
            with pytest.raises(UsageError, match=message):
                accumulated_map(plugin, DRAWS, without)
        else:
            np.testing.assert_array_equal(accumulated_map(plugin, DRAWS, without), expected)


TASKS = {
    "denoising": "noise:10",
    "deblurring": "blur:1.5",
    "artefacts": "jpeg:30",
    "colourisation": "grey",
    "inpainting": "holes:0.2,side=4-8",
}


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_a_score_can_be_used_at_scale_1(name, parameters):
    if load(name, **parameters).refused_at(1):
        pytest.skip("refused at scale 1, which a test of its own shows")
    for task, steps in TASKS.items():
        mixture = Mixture.of_text(steps).at(1)
        sent = mixture.apply(TRUTH, 1, "photograph")
        context = Context(DRAWS[0], sent, 1, CONTEXT.second, mixture.linear_part())
        scores = accumulated_map(load(name, **parameters), DRAWS, context)
        assert scores.shape == TRUTH.shape[:2], task
        assert np.isfinite(scores).all(), task
        assert scores.min() >= 0, task
        assert scores.max() > 0, task


def test_at_scale_1_the_gap_is_to_the_input_and_consistency_undoes_what_can_be_made_again():
    for task, consistent in (("grey", 0), ("blur:1.5", 0), ("noise:10", None), ("jpeg:30", None)):
        mixture = Mixture.of_text(task)
        sent = mixture.apply(TRUTH, 1, "photograph")
        perfect = Context(TRUTH, sent, 1, None, mixture.linear_part())
        gap, consistency = (accumulated_map(load(name), [TRUTH], perfect) for name in ("bicubic-gap", "consistency"))
        unsmoothed = np.abs(TRUTH.astype(int) - sent).sum(axis=2) / 255
        np.testing.assert_allclose(gap, windows.separable(unsmoothed, windows.gaussian_weights(4)), atol=2e-6)
        assert (consistency == (gap if consistent is None else 0)).all()
        assert gap.max() > 0


@pytest.mark.parametrize("name", WINDOWED)
def test_equal_windows_have_one_specification(name):
    def specification(**parameters):
        return load(name, **parameters).specification()

    assert specification() == specification(sigma=4) == specification(kernel="gaussian", sigma="4.0")
    assert specification(size=31) == specification(kernel="box") == specification(kernel="box", size="31")
    wide = specification(size=5, smooth=2)
    assert (wide["kernel"], wide["sigma"], wide["size"]) == ("box", None, 5)


@pytest.mark.parametrize("name", POLISHED)
def test_options_that_mean_nothing_are_refused(name):
    for parameters, message in (
        ({"clip_quantile": 0}, "clip-quantile.*more than 0"),
        ({"clip_quantile": 1.01}, "clip-quantile.*at most 1"),
        ({"smooth": 0}, "smooth.*more than 0"),
        ({"smooth": "nan"}, "smooth"),
        ({"kernels": "box"}, "no parameter 'kernels'"),
    ):
        with pytest.raises(UsageError, match=message):
            load(name, **parameters)


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_that_mean_nothing_are_refused(name):
    for parameters, message in (
        ({"size": 4}, "expected an odd number of pixels"),
        ({"kernel": "box", "sigma": 2}, "expected size with a box kernel; got sigma"),
        ({"kernel": "gaussian", "size": 5}, "expected sigma with a gaussian kernel; got size"),
        ({"sigma": 0}, "sigma.*more than 0"),
        ({"kernel": "triangle"}, "kernel.*one of gaussian, box"),
    ):
        with pytest.raises(UsageError, match=message):
            load(name, **parameters)


@pytest.mark.parametrize("name", OF_SEVERAL_DRAWS)
def test_draws_of_two_sizes_and_no_draws_are_refused(name):
    accumulator = load(name).start((4, 5))
    context = Context(np.zeros((4, 5, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), 4)
    with pytest.raises(UsageError, match="at least one draw"):
        accumulator.finish(context)
    with pytest.raises(ImageError, match=r"5x4 pixels.*got 4x4"):
        accumulator.update(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ImageError, match=r"the draw.*uint8.*got float32"):
        accumulator.update(np.zeros((4, 5, 3), np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_every_score_says_what_it_is_at_scale_1(name):
    assert load(name).facts()["at scale 1"]


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_that_tune_tries_is_one_of_the_score(name):
    for text in catalog.member("scores", name).candidates:
        setting, parameters = catalog.parse(f"{name}:{text}")
        assert load(setting, **parameters).minimum_draws >= 1


def test_the_free_reference_of_a_picture_is_made_once(monkeypatch):
    made = []
    monkeypatch.setattr(
        "blackbox_conformal.method.scores.score.reference",
        lambda low, scale, *, degraded: made.append((degraded, scale)) or np.full_like(low, degraded),
    )
    context = Context(DRAWS[0], LOW, 4)
    clean, other = context.reference(degraded=False), context.reference(degraded=True)
    assert (clean == 0).all()
    assert (other == 1).all()
    assert context.reference(degraded=False) is clean
    assert context.reference(degraded=True) is other
    assert made == [(False, 4), (True, 4)]
