"""Chains of degradations: how they are typed, which sizes they make, and what is the same whenever they are applied."""

import numpy as np
import pytest

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import resized

PHOTOGRAPH = np.random.default_rng(7).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("typed", "scale", "short"),
    [
        ("bicubic", 4, "bicubic:4"),
        ("bicubic:4", 4, "bicubic:4"),
        ("bicubic:factor=4", 4, "bicubic:4"),
        ("area:2+bicubic", 4, "area:2+bicubic:2"),
        ("area : 2 + lanczos:2 + grey", 4, "area:2+lanczos:2+grey"),
        ("grey", 1, "grey"),
        ("75% bicubic | 25% area:2+grey", 2, "75% bicubic:2 | 25% area:2+grey"),
    ],
)
def test_a_chain_at_a_scale_has_every_factor_and_is_read_again_from_what_a_calibration_keeps(typed, scale, short):
    mixture = Mixture.of_text(typed).at(scale)
    assert mixture.text == short
    assert Mixture.of_text(mixture.specification) == mixture == Mixture.of_text(short)
    assert mixture.apply(PHOTOGRAPH, scale, "key").shape == (48 // scale, 64 // scale, 3)


def test_the_usual_chain_is_bicubic_reduction():
    low = Mixture.of_text("bicubic").at(4).apply(PHOTOGRAPH, 4, "key")
    np.testing.assert_array_equal(low, resized(PHOTOGRAPH, 16, 12))


@pytest.mark.parametrize(
    ("typed", "scale", "said"),
    [
        ("area:2", 4, "makes them 2 times smaller: change one of them"),
        ("grey", 4, r"makes them 1 times smaller: begin with bicubic:4\+"),
        ("area:3+bicubic", 4, "expected factors that divide 4"),
        ("bicubic", 1, "changes nothing at that size"),
        ("area+bicubic:2", 2, r"Add \+bicubic"),
    ],
)
def test_a_chain_that_makes_another_size_is_refused(typed, scale, said):
    with pytest.raises(UsageError, match=said):
        Mixture.of_text(typed).at(scale)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("bicubik", "did you mean bicubic"),
        ("grey:3", r"expected grey:KEY=VALUE; got 'grey:3'"),
        ("bicubic:0", "bicubic: factor"),
        ("bicubic:2,chance=0.5", "a step for every photograph"),
        ("60% bicubic | 30% area", "shares that add up to 100 %"),
        ("bicubic | area", "shares that add up to 100 %"),
        ("", "expected the name of a degradation"),
        ("bicubic+", "expected the name of a degradation"),
        ("+".join(["real-esrgan"] * 5), "at most 256 chains"),
    ],
)
def test_a_text_that_is_no_chain_is_refused(typed, said):
    with pytest.raises(UsageError, match=said):
        Mixture.of_text(typed)


def test_a_mixture_takes_each_chain_as_often_as_its_share_says():
    mixture = Mixture.of_text("75% bicubic | 25% bicubic+grey").at(2)
    grey = [np.ptp(mixture.apply(PHOTOGRAPH, 2, "seed", k), axis=2).max() == 0 for k in range(400)]
    assert abs(np.mean(grey) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)


def test_a_step_with_a_chance_is_left_out_as_often_as_it_says():
    mixture = Mixture.of_text("grey:chance=0.25")
    assert mixture.random
    grey = [np.ptp(mixture.apply(PHOTOGRAPH, 1, "seed", k), axis=2).max() == 0 for k in range(400)]
    assert abs(np.mean(grey) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)


def test_equal_keys_give_equal_inputs_and_a_further_step_changes_no_other():
    mixture = Mixture.of_text("50% bicubic | 50% area").at(2)
    inputs = [mixture.apply(PHOTOGRAPH, 2, 0, f"sha256:{k}").tobytes() for k in range(20)]
    assert inputs == [mixture.apply(PHOTOGRAPH, 2, 0, f"sha256:{k}").tobytes() for k in range(20)]
    assert len(set(inputs)) == 2


def test_sides_that_are_no_multiples_are_refused():
    with pytest.raises(ImageError, match="multiples of 5"):
        Mixture.of_text("bicubic").apply(PHOTOGRAPH, 5, "key")


def test_what_is_linear_and_what_is_random_is_known():
    assert Mixture.of_text("area:2+grey").linear
    assert not Mixture.of_text("50% area:2 | 50% bicubic:2").linear
    assert [step.plugin_name() for step in Mixture.of_text("area:2+grey:chance=0.5").linear_part().steps] == ["area"]
