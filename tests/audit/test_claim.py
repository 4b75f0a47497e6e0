"""Which mean is claimed to stay below which level."""

import numpy as np

from blackbox_conformal.audit.claim import claim
from blackbox_conformal.guarantees.by_group import ByGroup
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.guarantees.false_trust import FalseTrust
from blackbox_conformal.guarantees.high_probability import HighProbability
from blackbox_conformal.guarantees.per_image import PerImage

LOSSES = np.array([0.0, 0.1, 0.1000001, 0.5])


def test_guarantees_of_a_mean_are_about_the_losses_themselves():
    for rule in (Expected(), FalseTrust(), HighProbability()):
        found = claim(rule, LOSSES, 0.1, 1.95)
        assert (found.level, found.bound) == (0.1, 1.95)
        assert (found.losses == LOSSES).all()


def test_per_image_is_about_the_share_beyond_the_tolerance():
    found = claim(PerImage(delta=0.25), LOSSES, 0.1, 1.95)
    assert (found.level, found.bound) == (0.25, 1.0)
    assert found.losses.tolist() == [0, 0, 1, 1]


def test_a_group_claims_what_the_guarantee_within_claims():
    rule = ByGroup(of="per-image", parameters={"delta": 0.5}, groups=("a", "b"), group_new="a")
    found = claim(rule, LOSSES, 0.1, 1.95)
    assert (found.level, found.losses.tolist()) == (0.5, [0, 0, 1, 1])
