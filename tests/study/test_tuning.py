"""Tuning looks only at its own photographs: which score, which bound, and which network is learned from them."""

import numpy as np
import pytest
from support.synthetic import write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import CalibrationError, PicturesError, UsageError
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.calibrate.calibrating import calibrate_job, chosen_bound
from blackbox_conformal.study.choose.tuning import (
    TuningJob,
    default_candidates,
    parse_candidate,
    parse_candidates,
    tune_job,
)
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.prepare import prepare_photographs
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.support.catalog import specification_text


def test_candidates_are_ranked_and_their_photographs_cannot_calibrate(tmp_path):
    vendor = bc.load_adapter("folder", path=str(write_draws(tmp_path / "outputs", range(24), 4)), label="synthetic")
    paths = write_photographs(tmp_path / "photographs", range(24))
    setup = set_up(vendor, draws=4, metric="rgb-linf:kernel=gaussian,sigma=2")
    candidates = [parse_candidate(text, 4) for text in default_candidates(4)]
    found = tune_job(Job.of_photographs(setup, paths[:10], Terms(tmp_path / "run")), candidates, 0.25, 14)
    shares = [one.trusted_share for one in found.scored]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]
    assert {one.calls for one in found.scored} == {14, 28, 56}
    assert found.best.candidate.label == found.scored[0].candidate.label
    assert (found.cheapest(0.0), found.cheapest(1.0).calls) == (found.best, 14)
    near = found.cheapest(0.1)
    assert near.trusted_share >= found.best.trusted_share - 0.1
    assert near.calls == min(one.calls for one in found.scored if one.trusted_share >= shares[0] - 0.1)
    assert (found.calls, found.cached, found.cost_usd) == (0, 40, 0)
    best = found.best.candidate
    tuned = set_up(vendor, draws=best.draws, score=best.score, metric=setup.metric)
    result = calibrate_job(Job.of_photographs(tuned, paths[10:], Terms(tmp_path / "run")), tuning=found.tuning)
    assert (result.calibration.n, set(result.calibration.tuning)) == (14, set(found.tuning))
    with pytest.raises(CalibrationError, match="tuning"):
        calibrate_job(Job.of_photographs(tuned, paths, Terms(tmp_path / "run")), tuning=found.tuning)
    with pytest.raises(CalibrationError, match="has not seen"):
        bc.audit(vendor, paths[:2], result.calibration, [0.25], run=tmp_path / "run")


def test_an_unreachable_level_is_refused_before_anything_is_drawn(tmp_path):
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="none")
    setup = set_up(vendor, draws=4)
    job = Job.of_photographs(setup, write_photographs(tmp_path / "photographs", range(1)), Terms(tmp_path / "run"))
    with pytest.raises(CalibrationError, match="cannot be reached with 5"):
        tune_job(job, [parse_candidate("texture", 4)], 0.1, 5)


@pytest.mark.parametrize("text", ["texture@x", "pixel-variance@1", "texture@9", "nothing"])
def test_bad_candidates(text):
    with pytest.raises(UsageError):
        parse_candidate(text, 4)


def test_a_score_as_typed_is_the_same_score():
    for text in default_candidates(8):
        candidate = parse_candidate(text, 8)
        again = parse_candidate(f"{specification_text(candidate.score)}@{candidate.draws}", 8)
        assert again.score == candidate.score


def test_one_score_has_one_name_however_it_was_typed():
    typed = ["smoothed-variance", "smoothed-variance:sigma=4@4", "smoothed-variance:kernel=gaussian", "texture"]
    assert [one.label for one in parse_candidates(typed, 4)] == ["smoothed-variance@4", "texture@1"]
    assert parse_candidate("smoothed-variance:sigma=2.5", 4).label == "smoothed-variance:sigma=2.5@4"


def test_a_photograph_that_takes_too_much_memory_for_all_scores_is_refused(tmp_path):
    vendor = bc.load_adapter("folder", path=str(write_draws(tmp_path / "outputs", range(2), 4)), label="synthetic")
    paths = write_photographs(tmp_path / "photographs", range(2))
    candidates = [parse_candidate(text, 4) for text in default_candidates(4)]
    with pytest.raises(PicturesError, match="fits into 300 MiB"):
        TuningJob.of_photographs(
            set_up(vendor, draws=4),
            paths,
            Terms(tmp_path / "run", memory_bytes=300 * 2**20),
            candidates=candidates,
            share=0.3,
            seed=0,
        )


def test_weighted_is_the_geometric_mean_of_its_parts():
    generator = np.random.default_rng(0)
    draws = [generator.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
    low = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    gap = bc.score_map(draws, "bicubic-gap", low_resolution=low, sigma=2).astype(float)
    spread = bc.score_map(draws, "smoothed-variance", sigma=2).astype(float)
    found = bc.score_map(draws, "weighted", low_resolution=low, weight=0.25, sigma=2)
    np.testing.assert_allclose(found, gap**0.25 * spread**0.75, rtol=1e-6)


@pytest.mark.parametrize("perturbation", [None, "dihedral"])
def test_photographs_prepared_for_tuning_are_those_that_calibration_would_prepare(tmp_path, perturbation):
    vendor = bc.load_adapter("http", url="http://127.0.0.1:1/", scale=4)
    paths = write_photographs(tmp_path / "photographs", range(3))
    choices = {"perturbation": perturbation, "seed": 7}
    job = Job.of_photographs(set_up(vendor, draws=4, **choices), paths, Terms(tmp_path / "run"), to_draw=False)
    tuned = set_up(vendor, draws=2, score="patch-variance", **choices)
    found = job.chosen(tuned)
    alone = prepare_photographs(paths, tuned)
    assert [one.tasks for one in found.pictures] == [one.tasks for one in alone]
    assert found.keys == Job(tuned, alone, Terms(tmp_path / "run")).keys


def curves_of(losses):
    """Photographs of one loss each, at its own score among ten, with as many pixels below each score."""
    rng = np.random.default_rng(90)
    shares = np.arange(1, 11) / 10
    scores = np.arange(10, dtype=np.float32)[None]
    errors = [(loss * (shares >= rng.random()))[None].astype(np.float32) for loss in losses]
    return CurveSet.from_curves([RiskCurve.from_maps(scores, each, bound=1.0) for each in errors])


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
