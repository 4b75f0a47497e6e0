"""Back-projection: each step brings a picture nearer to its input, and a consistent one is not touched."""

from itertools import pairwise

import numpy as np
import pytest
from support.synthetic import draw, photograph

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.safe import back_projected

CHAINS = ["bicubic:4", "area:4", "lanczos:4", "area:2+bicubic:2", "blur:1.5+bicubic:4", "bicubic:2", "blur:1.5"]


def gap(pixels, low, mixture):
    return np.abs(mixture.apply(pixels, pixels.shape[0] // low.shape[0]).astype(int) - low).mean()


@pytest.mark.parametrize("text", CHAINS)
def test_the_gap_to_the_input_falls_at_each_step(text):
    mixture = Mixture.of_text(text)
    truth = photograph(3, (96, 128))
    low = mixture.apply(truth, mixture.scale)
    answer = draw(truth, 4)
    gaps = [gap(back_projected(answer, low, mixture.linear_part(), steps), low, mixture) for steps in range(4)]
    assert gaps[0] > 1
    assert all(after < before for before, after in pairwise(gaps))
    assert gaps[2] < gaps[0] / 2


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


def test_what_is_given_is_kept():
    mixture = Mixture.of_text("bicubic:4")
    truth = photograph(6)
    answer = draw(truth, 7)
    before = answer.copy()
    back_projected(answer, mixture.apply(truth, 4), mixture.linear_part(), 1)
    np.testing.assert_array_equal(answer, before)
