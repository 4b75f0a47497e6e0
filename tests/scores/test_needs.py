"""A score says truly whether it looks at what the vendor was sent."""

import numpy as np
import pytest
from support.synthetic import draw, photograph

from blackbox_conformal import catalog
from blackbox_conformal.errors import UsageError
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.scores.custom_score import from_function
from blackbox_conformal.scores.score import Context, score_map

NAMES = [name for name in catalog.names("scores") if name != "custom-score"]
TRUTH = photograph(1)
DRAWS = [draw(TRUTH, seed) for seed in range(3)]


def found(plugin, low):
    return score_map(plugin, DRAWS, Context(DRAWS[0], low, 4, DRAWS[1]))


@pytest.mark.parametrize("name", NAMES)
def test_scores_that_need_no_input_say_the_same_without_it_and_others_ask_for_it(name):
    plugin = catalog.load("scores", name)
    if plugin.needs_input:
        with pytest.raises(UsageError, match="give low_resolution"):
            found(plugin, None)
    else:
        np.testing.assert_array_equal(found(plugin, None), found(plugin, degrade(TRUTH, 4)))


def test_scores_of_draws_alone_need_no_input():
    free = {name for name in NAMES if not catalog.load("scores", name).needs_input}
    assert free >= {"pixel-variance", "patch-variance", "smoothed-variance", "variance-of-means", "tie-broken"}


def test_a_users_function_of_the_delivered_picture_is_given_its_input():
    def difference(delivered, low, scale):
        return np.full(delivered.shape[:2], low.shape[0] * scale, np.float32)

    def spread(mean, variance):
        return variance

    assert from_function("needs", difference).needs_input
    assert not from_function("needs-not", spread, kind="moments").needs_input
