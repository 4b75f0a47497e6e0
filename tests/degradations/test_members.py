"""What every degradation promises, asked of each for its example settings."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.family_cases import settings
from support.synthetic import draw, photograph

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Chain, Mixture
from blackbox_conformal.method.degradations.parameter_range import Range
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers, normals
from blackbox_conformal.method.safe_pictures import back_projected
from blackbox_conformal.support import catalog

FAMILY = "degradations"
DIGESTS = Path(__file__).with_name("digests.json")
PICTURE = np.random.default_rng(11).integers(0, 256, (24, 32, 3), np.uint8)
SMOOTH = np.asarray([[[40 + 5 * x, 60 + 4 * y, 200 - 3 * x] for x in range(32)] for y in range(24)], np.uint8)


def _steps():
    for name in catalog.names(FAMILY):
        fields = catalog.member(FAMILY, name).model_fields
        required = {key: field.examples[0] for key, field in fields.items() if field.is_required()}
        for parameters in settings(FAMILY, name):
            step = catalog.load(FAMILY, name, **{**required, **parameters})
            yield (Chain((step,)).text, step)


ALL = dict(_steps())
STEPS = [pytest.param(step, id=text) for text, step in ALL.items() if not step.expansion]


def made_by(step, picture, *key):
    """The step alone: its result, of half the picture's size where it resizes."""
    height, width = picture.shape[:2]
    half = (-(-height // 2), -(-width // 2)) if step.resizes else (height, width)
    random = RandomNumbers(*key)
    return step.drawn(random).apply(picture, random, half)


@pytest.mark.parametrize("step", STEPS)
def test_gives_8_bit_pixels_and_keeps_the_size_or_makes_the_one_asked_for(step):
    for shape in ((24, 32), (1, 1), (1, 7), (5, 1)):
        picture = PICTURE[: shape[0], : shape[1]]
        before = picture.copy()
        low = made_by(step, picture, "size")
        assert low.dtype == np.uint8, shape
        assert low.flags.c_contiguous, shape
        assert step.resizes or low.shape == picture.shape
        assert low.ndim == 3, shape
        assert low.shape[2] == 3, shape
        assert low.size, shape
        np.testing.assert_array_equal(picture, before, str(shape))


@pytest.mark.parametrize("step", STEPS)
def test_equal_keys_give_equal_bytes_and_a_step_is_random_only_if_it_says_so(step):
    results = [made_by(step, PICTURE, "key", k % 12).tobytes() for k in range(24)]
    assert results[:12] == results[12:]
    assert (len(set(results)) > 1) == step.random


@pytest.mark.parametrize("step", [case for case in STEPS if case.values[0].linear and not case.values[0].random])
def test_what_is_linear_maps_a_mean_to_the_mean_up_to_rounding(step):
    # Nothing here overshoots 0-255, where every step is held.
    one, other = PICTURE // 4 * 2 + 64, SMOOTH // 2 * 2
    parts = [made_by(step, part).astype(float) for part in (one, other)]
    assert np.abs(made_by(step, one // 2 + other // 2) - np.mean(parts, axis=0)).max() <= 2


@pytest.mark.parametrize("step", STEPS)
def test_as_a_calibration_keeps_it_it_makes_the_same_also_of_a_picture_that_is_not_contiguous(step):
    chain = Chain((step,))
    assert Mixture.of_text(chain.specification).chains[0] == Mixture.of_text(chain.text).chains[0] == chain
    turned = np.ascontiguousarray(PICTURE.transpose(1, 0, 2)).transpose(1, 0, 2)
    np.testing.assert_array_equal(made_by(step, turned, 1), made_by(step, PICTURE, 1))


def digest_of(text):
    step = ALL[text]
    preset = Mixture.of_text(text).at(2) if step.expansion else None
    low = preset.apply(SMOOTH, 2, "pinned") if preset else made_by(step, SMOOTH, "pinned", 0)
    return hashlib.sha256(low.tobytes()).hexdigest()[:12]


def test_the_bytes_never_change():
    """Digests as they were first made; a step that is new needs a line of its own in the file.

    WebP is left out, which another version of libwebp may save differently.
    """
    pinned = {text: digest_of(text) for text in ALL if not text.startswith("webp")}
    assert json.loads(DIGESTS.read_text()) == pinned


PRESETS = [text for text, step in ALL.items() if step.expansion]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_preset_makes_inputs_of_every_scale_that_differ_by_photograph_where_it_is_random(name, scale):
    mixture = Mixture.of_text(name).at(scale)
    made = [mixture.apply(PICTURE, scale, k) for k in range(8)]
    assert {low.shape for low in made} == {(24 // scale, 32 // scale, 3)}
    random = any(step.random for chain in mixture.chains for step in chain.steps)
    assert len({low.tobytes() for low in made}) == (8 if random else 1)
    assert random == (name != "unknown")
    assert Mixture.of_text(mixture.specification).specification == mixture.specification
    assert mixture.apply(PICTURE[:scale, :scale], scale, "least").shape == (1, 1, 3)
    assert sum(mixture.shares) == pytest.approx(1)


def test_a_preset_within_a_chain_stands_for_each_of_its_chains_and_takes_no_chance():
    web, longer = Mixture.of_text("web"), Mixture.of_text("50% bicubic:2+grey | 50% blur:1+web")
    assert len(longer.chains) == 1 + len(web.chains)
    assert longer.shares == (0.5, *(share / 2 for share in web.shares))
    assert [chain.steps[1:] for chain in longer.chains[1:]] == [chain.steps for chain in web.chains]
    with pytest.raises(UsageError, match="the name stands for several steps; leave it out"):
        Mixture.of_text("phone:chance=0.5")


@pytest.mark.parametrize("step", [case for case in STEPS if not case.values[0].given])
def test_what_was_drawn_can_be_typed_and_makes_the_same(step):
    text, scale = Chain((step,)).text, 2 if step.resizes else 1
    mixture = Mixture.of_text(f"{text}+bicubic" if step.resizes else text).at(scale)
    for key in range(4):
        drawn = mixture.drawn("key", key)
        again = Mixture.of_text(drawn.text).at(scale)
        assert again.chains == (drawn,)
        # Noise and holes draw more than can be said in words.
        if not again.random:
            np.testing.assert_array_equal(
                mixture.apply(PICTURE, scale, "key", key), again.apply(PICTURE, scale, "other")
            )


def test_what_was_drawn_leaves_out_what_the_photograph_did_not_undergo():
    mixture = Mixture.of_text("50% grey:chance=0.5+jpeg:60-95 | 50% blur:1-2")
    drawn = {mixture.drawn(key).text for key in range(200)}
    assert {text.partition(":")[0] for text in drawn} == {"grey+jpeg", "jpeg", "blur"}
    assert all(not Mixture.of_text(text).random for text in drawn)
    assert Mixture.of_text("grey:chance=0.001").drawn("key").steps == ()


def test_the_numbers_of_a_key_never_change():
    random = RandomNumbers(0, "sha256:ab", 1)
    assert [random.whole(1, 100), round(random.uniform(2, 3), 12)] == [15, 2.215835792983]
    digest = hashlib.sha256(normals()[random.places(1000 * 1001)].astype("<f4").tobytes()).hexdigest()
    assert digest[:16] == "1062aa8acd330da9"


def test_normal_numbers_are_normal():
    values = normals()[RandomNumbers("normal").places(1 << 20)].astype(np.float64)
    assert abs(values.mean()) < 5e-3
    assert values.std() == pytest.approx(1, abs=5e-3)
    assert np.mean(np.abs(values) > 1.959964) == pytest.approx(0.05, abs=2e-3)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(0, abs=5e-3)


def test_a_range_gives_every_value_and_no_other():
    random = RandomNumbers("range")
    drawn = [Range(60, 95, whole=True).drawn(random) for _ in range(3000)]
    assert set(drawn) == set(range(60, 96))
    assert all(2 <= Range(2, 3).drawn(random) <= 3 for _ in range(100))
    assert Range(4, 4).drawn(random) == 4


def noisy(text, level, *key):
    flat = np.full((256, 256, 3), level, np.uint8)
    return Mixture.of_text(text).apply(flat, 1, *key).astype(float)


@pytest.mark.parametrize("level", [32, 128, 224])
@pytest.mark.parametrize("shot", [0, 0.5, 1])
def test_the_variance_is_what_the_model_says(level, shot):
    values = noisy(f"noise:6,shot={shot}", level, "variance", level)
    # Rounding to whole levels adds a twelfth.
    expected = 36 * (1 - shot + shot * level / 128) + 1 / 12
    assert values.var() == pytest.approx(expected, rel=4 * np.sqrt(2 / values.size))
    assert values.mean() == pytest.approx(level, abs=4 * np.sqrt(expected / values.size))


def test_each_photograph_draws_its_own_deviation_within_the_range():
    deviations = [noisy("noise:2-8", 128, key).std() for key in range(40)]
    assert 1.9 < min(deviations) < 3
    assert 7 < max(deviations) < 8.1


def test_channels_are_independent_and_grey_noise_is_the_same_in_all():
    colour = noisy("noise:6", 128, "key").reshape(-1, 3)
    assert np.abs(np.corrcoef(colour.T)[np.triu_indices(3, 1)]).max() < 0.02
    grey = noisy("noise:6,grey=true", 128, "key")
    assert np.ptp(grey, axis=2).max() == 0
    assert grey.std() == pytest.approx(6, rel=0.02)


def test_no_noise_changes_nothing_and_black_without_light_has_none():
    picture = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(Mixture.of_text("noise:0").apply(picture, 1, "key"), picture)
    assert noisy("noise:6,shot=1", 0, "key").max() == 0


def test_a_picture_of_several_blocks_has_noise_that_does_not_repeat():
    picture = np.full((300, 300, 3), 128, np.uint8)
    made = Mixture.of_text("noise:20").apply(picture, 1, "key").reshape(-1).astype(float)
    blocks = made[: 4 * 65536].reshape(4, 65536)
    assert np.abs(np.corrcoef(blocks)[np.triu_indices(4, 1)]).max() < 0.02


CHAINS = ["bicubic:4", "area:4", "lanczos:4", "area:2+bicubic:2", "blur:1.5+bicubic:4", "bicubic:2", "blur:1.5"]


def gap(pixels, low, mixture):
    return np.abs(mixture.apply(pixels, pixels.shape[0] // low.shape[0]).astype(int) - low).mean()


@pytest.mark.parametrize("text", CHAINS)
def test_the_gap_to_the_input_falls_at_each_step(text):
    mixture = Mixture.of_text(text)
    truth = photograph(3, (96, 128))
    low = mixture.apply(truth, mixture.scale)
    answer = draw(truth, 4)
    before = answer.copy()
    gaps = [gap(back_projected(answer, low, mixture.linear_part(), steps), low, mixture) for steps in range(4)]
    assert gaps[0] > 1
    assert all(after < before for before, after in pairwise(gaps))
    assert gaps[2] < gaps[0] / 2
    np.testing.assert_array_equal(answer, before)


@pytest.mark.parametrize("text", [*CHAINS, "grey", "rescale:0.5+bicubic:2"])
def test_a_picture_that_gives_the_input_is_not_changed(text):
    mixture = Mixture.of_text(text)
    truth = photograph(5, (96, 128))
    low = mixture.linear_part().apply(truth, (24, 32) if mixture.resizes else (96, 128))
    assert back_projected(truth, low, mixture.linear_part(), 3) is truth


def test_a_grey_input_gives_its_grey_to_a_coloured_picture_and_leaves_the_colours():
    mixture = Mixture.of_text("grey")
    low, coloured = mixture.apply(np.full((8, 8, 3), 120, np.uint8), 1), np.empty((8, 8, 3), np.uint8)
    coloured[:] = 130, 100, 90
    changed = back_projected(coloured, low, mixture.linear_part(), 2)
    assert gap(changed, low, mixture) == 0
    assert (np.ptp(changed.astype(int) - coloured, axis=2) == 0).all()
