"""Where the scores of one draw are zero, and what a user's own function is given."""

import numpy as np
from support.synthetic import photograph, reduced

import blackbox_conformal as bc
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.scores.custom_score import from_function

TRUTH = photograph(1)
LOW = reduced(TRUTH, 4)


def test_no_gap_where_the_vendor_added_nothing() -> None:
    assert not bc.score_map([bicubic_up(LOW, 4)], "bicubic-gap", low_resolution=LOW).any()


def test_a_faithful_picture_is_consistent() -> None:
    assert not bc.score_map([TRUTH], "consistency", low_resolution=LOW).any()


def test_a_flat_picture_has_no_texture() -> None:
    assert not bc.score_map([np.full((8, 12, 3), 77, np.uint8)], "texture").any()


def test_a_users_function_of_the_delivered_picture_is_given_its_input():
    def difference(delivered, low, scale):
        return np.full(delivered.shape[:2], low.shape[0] * scale, np.float32)

    def spread(mean, variance):
        return variance

    assert from_function("needs", difference).needs_input
    assert not from_function("needs-not", spread, kind="moments").needs_input
