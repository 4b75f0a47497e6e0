"""Which mean is claimed to stay below which level, and which guarantees claim nothing that losses could contradict."""

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.verdict import claim, quantity
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee
from blackbox_conformal.method.guarantees.high_probability import HighProbability
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve_set import mean_of_clusters

LOSSES = np.array([0.0, 0.1, 0.1000001, 0.5])
TILES = ("one", "two", "one", "one")


def test_guarantees_of_a_mean_are_about_the_losses_themselves():
    for rule in (Expected(), FalseTrust(), HighProbability(), Expected(leaked=2), Expected(bound_from="delivered")):
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


@pytest.mark.parametrize("of", ["expected", "false-trust", "high-probability"])
def test_tiles_of_a_photograph_count_once(of):
    found = claim(ByCluster(of=of, clusters=("x", "x", "y")), LOSSES, 0.2, 1.5, TILES)
    assert (found.level, found.bound) == (0.2, 1.5)
    assert found.losses == pytest.approx([np.mean(LOSSES[[0, 2, 3]]), LOSSES[1]])


def test_a_group_of_tiles_is_both():
    inner = {"of": "expected", "parameters": {}, "clusters": ("x", "x", "y")}
    rule = ByGroup(of="by-cluster", parameters=inner, groups=("a", "a", "b"), group_new="a")
    found = claim(rule, LOSSES, 0.2, 1.5, TILES)
    assert found.losses == pytest.approx([np.mean(LOSSES[[0, 2, 3]]), LOSSES[1]])
    assert isinstance(rule.innermost, Expected)
    assert quantity(rule, TILES).startswith("within group 'a', the mean over photographs, each the mean over its tiles")


def test_audited_tiles_count_once_whatever_was_calibrated():
    assert claim(Expected(), LOSSES, 0.2, 1.5, TILES).losses.size == 2


def test_the_quantity_is_said_in_words():
    assert quantity(Expected()) == "the mean over photographs of the largest error of a trusted pixel"
    assert "share of photographs with a trusted pixel whose error is above alpha" in quantity(PerImage(delta=0.05))
    assert "at most 0.05" in quantity(PerImage(delta=0.05))
    assert "trusted with a lab-l1 error above 0.1" in quantity(FalseTrust(tolerance=0.1), error="lab-l1 error")
    assert "all but 0.2 of the calibration sets" in quantity(HighProbability(delta=0.2))
    assert "over its tiles" in quantity(ByCluster(clusters=("x", "y")), TILES)


class Foreign(Guarantee):
    """A guarantee of somebody else."""


@pytest.mark.parametrize(
    ("rule", "clusters", "match"),
    [
        (ByCluster(clusters=("x", "y")), None, "--tiles FILE"),
        (PerImage(), TILES, "Audit one picture of each photograph"),
        (ByGroup(of="per-image", groups=("a",), group_new="a"), TILES, "one picture of each photograph"),
        (Expected(bound_new=lambda t: 0.1), None, "bound_from=delivered"),
        (Foreign(), None, "Foreign does not say which mean"),
    ],
)
def test_what_claims_nothing_is_refused_with_a_way_out(rule, clusters, match):
    with pytest.raises(UsageError, match=match):
        claim(rule, LOSSES, 0.1, 1.0, clusters)
    with pytest.raises(UsageError, match=match):
        quantity(rule, clusters)


def test_the_mean_of_clusters_follows_their_first_appearance():
    rng = np.random.default_rng(0)
    values = rng.random(50)
    names = [f"photograph {k}" for k in rng.integers(0, 9, 50)]
    naive = [np.mean([v for v, own in zip(values, names, strict=True) if own == name]) for name in dict.fromkeys(names)]
    assert mean_of_clusters(values, names) == pytest.approx(naive, rel=1e-12)
    with pytest.raises(UsageError, match="one cluster for each of 50 pictures; got 49"):
        mean_of_clusters(values, names[1:])


class Median(Foreign):
    """A guarantee of somebody else that says which mean it bounds."""

    def claim(self, losses, alpha, bound):
        """Half of all photographs are within alpha."""
        return Claim((losses > alpha).astype(np.float64), 0.5, 1.0)

    def quantity(self, unit, error="error"):
        """In words."""
        return f"the share of {unit} beyond alpha"


def test_a_guarantee_of_somebody_else_is_asked_for_its_claim():
    found = claim(Median(), LOSSES, 0.1, 1.95)
    assert (found.level, found.bound, found.losses.tolist()) == (0.5, 1.0, [0, 0, 1, 1])
    assert quantity(Median()) == "the share of photographs beyond alpha"
    assert Median().allowing_leaked(1) is None
    assert not Median().holds_on_average
