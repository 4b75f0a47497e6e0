"""The confidence bound of `high-probability`, chosen on tuning photographs: which, when, and where it goes."""

import numpy as np
import pytest
from support.synthetic import write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.calibrate.calibrating import chosen_bound


def curves_of(losses):
    """Photographs of one loss each, at its own score among ten, with as many pixels below each score."""
    rng = np.random.default_rng(90)
    shares = np.arange(1, 11) / 10
    return CurveSet.from_curves(
        [
            RiskCurve.from_maps(
                np.arange(10, dtype=np.float32)[None],
                (loss * (shares >= rng.random()))[None].astype(np.float32),
                bound=1.0,
            )
            for loss in losses
        ]
    )


def test_small_losses_choose_a_full_bet_and_losses_of_the_bound_none():
    rule = guarantee("high-probability")
    small = chosen_bound(rule, curves_of(np.full(20, 0.12)), 0.12, 60)
    assert (small.rule.method, small.rule.full > 0) == ("mixture", True)
    ones = chosen_bound(rule, curves_of(np.ones(20)), 0.3, 60)
    assert ones.rule.method in ("binomial", "hoeffding-bentkus")
    assert ones.rule.delta == rule.delta


def test_it_trusts_at_least_as_much_as_any_bound_that_is_tried():
    curves = curves_of(np.linspace(0.02, 0.4, 20))
    found = chosen_bound(guarantee("high-probability"), curves, 0.2, 40)
    as_many = CurveSet.from_curves([*curves, *curves])
    tried = guarantee("high-probability").alternatives()
    assert len(tried) == 6
    for rule in tried:
        t = rule.threshold(as_many, 0.2)
        share = float(np.mean(curves.trusted_shares_at(t))) if t > -np.inf else 0.0
        assert share <= found.trusted_share


@pytest.mark.parametrize(
    "rule", [guarantee("expected"), guarantee("high-probability", method="mixture"), guarantee("per-image")]
)
def test_other_guarantees_and_named_methods_are_left_as_they_are(rule):
    assert chosen_bound(rule, curves_of(np.full(20, 0.1)), 0.3, 60) is None


def test_nothing_is_chosen_where_nothing_is_trusted():
    assert chosen_bound(guarantee("high-probability"), curves_of(np.ones(20)), 0.001, 60) is None


def test_tune_calibrates_with_the_bound_and_refuses_too_few_photographs_beforehand(tmp_path):
    vendor = bc.load_adapter("folder", path=str(write_draws(tmp_path / "outputs", range(30), 2)), label="synthetic")
    paths = write_photographs(tmp_path / "photographs", range(30))
    settings = {"draws": 2, "metric": "rgb-linf:kernel=gaussian,sigma=2", "candidates": ["texture"]}
    found = bc.tune(vendor, paths, 0.3, guarantee="high-probability", run=tmp_path / "run", **settings)
    assert found.calibration.rule() == found.bound.rule
    named = bc.tune(vendor, paths, 0.3, guarantee="per-image:delta=0.2", run=tmp_path / "other", **settings)
    assert named.bound is None
    assert named.calibration.rule() == guarantee("per-image", delta=0.2)
    with pytest.raises(CalibrationError, match="needs at least"):
        bc.tune(vendor, paths, 0.05, guarantee="high-probability", run=tmp_path / "few", **settings)
