"""Expected shares: against thresholds of the guarantee itself, and as a prediction of what happens."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.plan.expected_shares import CurveOutlook, MeasuredShares, measured_shares, series_name
from blackbox_conformal.study.plan.promises import capped, promises
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC
from blackbox_conformal.study.stages.settings import member

RULES = ("expected", "all-but:share=0.01", "local:side=8", "per-image:delta=0.1", "per-image:delta=0.2",
         "high-probability:delta=0.3")  # fmt: skip


@cache
def curves(count: int, seed: int, left_out: float | None = None, side: float | None = None) -> CurveSet:
    """Photographs of different difficulty whose errors grow with their scores, with noise and ties."""
    generator = np.random.default_rng(seed)
    found = []
    for difficulty in generator.uniform(0.2, 1, count):
        scores = generator.integers(0, 60, (24, 24)).astype(np.float32) / 60
        errors = np.clip(difficulty * scores * generator.uniform(0.5, 1, scores.shape), 0, 1).astype(np.float32)
        found.append(RiskCurve.from_maps(scores, errors, bound=1.0, left_out=left_out, side=side))
    return CurveSet.from_curves(found)


def of(rule: Guarantee, count: int, seed: int) -> CurveSet:
    return curves(count, seed, rule.left_out, rule.square_side)


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("n", [8, 25, 120])
def test_the_expected_share_is_that_of_the_guarantees_own_thresholds(text, n):
    rule = member("guarantees", text)
    known, levels, generator = of(rule, 15, 1), (0.1, 0.2, 0.4), np.random.default_rng(0)
    naive = np.zeros((100, len(levels)))
    for row, (column, level) in itertools.product(range(100), enumerate(levels)):
        chosen = known.subset(np.sort(generator.integers(15, size=n)))
        naive[row, column] = known.trusted_shares_at(rule.threshold(chosen, level)).mean()
    found = CurveOutlook.of(known).prospects(rule, levels, n)
    assert [one.share for one in found] == pytest.approx(list(naive.mean(axis=0)), abs=0.04)


@pytest.mark.parametrize("text", RULES)
def test_nine_outcomes_of_ten_lie_within_the_error(text):
    rule = member("guarantees", text)
    world, level, n = of(rule, 1000, 2), 0.3, 40
    generator, inside, naive = np.random.default_rng(3), [], []
    for trial in range(60):
        pilot = world.subset(np.sort(generator.choice(1000, 20, replace=False)))
        calibrating = world.subset(np.sort(generator.choice(1000, n, replace=False)))
        outcome = float(world.trusted_shares_at(rule.threshold(calibrating, level)).mean())
        (expected,) = CurveOutlook.of(pilot).prospects(rule, [level], n, seed=trial)
        inside.append(abs(outcome - expected.share) <= expected.error)
        naive.append(abs(outcome - expected.share) <= expected.error / 3)
    assert np.mean(inside) >= 0.78, "0.9 less three standard errors of 60 trials"
    assert np.mean(naive) < 0.78, "a third of the error is too little, and this test tells"


@pytest.mark.parametrize("n", [4, 25, 120])
def test_bounds_of_single_pictures_are_used_as_the_guarantee_uses_them(n):
    known, levels, generator = curves(15, 1), (0.1, 0.2, 0.4), np.random.default_rng(0)
    # What each picture's own loss is at most: half as much again.
    looser = [replace(curve, losses=np.float32(1.5) * curve.losses, bound=1.5) for curve in known]
    bounds = capped(CurveSet.from_curves(looser), 1.0)
    naive = np.zeros((60, len(levels)))
    for row, (column, level) in itertools.product(range(60), enumerate(levels)):
        chosen = known.subset(np.sort(generator.integers(15, size=n)))
        naive[row, column] = np.mean([
            picture.trusted_share(Expected(bound_new=bound).threshold(chosen, level))
            for picture, bound in zip(known, bounds, strict=True)
        ])  # fmt: skip
    rule = member("guarantees", "expected:bound_from=input")
    outlook = CurveOutlook.of(known, own=bounds)
    found = [one.share for one in outlook.prospects(rule, levels, n)]
    assert found == pytest.approx(list(naive.mean(axis=0)), abs=0.05)
    without = [one.share for one in CurveOutlook.of(known).prospects(rule, levels, n)]
    assert all(np.array(found) >= without)
    assert n > 4 or found[0] > without[0] == 0, "4 photographs reach nothing without such bounds"


def test_more_photographs_and_higher_levels_trust_more():
    outlook, rule = CurveOutlook.of(curves(20, 4)), member("guarantees", "expected")
    shares = np.array([[one.share for one in outlook.prospects(rule, (0.1, 0.2, 0.3), n)] for n in (5, 10, 40, 200)])
    assert (np.diff(shares, axis=1) >= 0).all()
    assert (np.diff(shares, axis=0) >= -0.01).all()
    assert shares[0, 0] == 0, "5 photographs cannot reach 0.1"


def test_a_capped_curve_is_that_of_capped_errors():
    generator = np.random.default_rng(5)
    scores, errors = generator.random((2, 20, 20)).astype(np.float32)
    plain = CurveSet.from_curves([RiskCurve.from_maps(scores, errors, bound=1.0)])
    direct = RiskCurve.from_maps(scores, np.minimum(errors, np.float32(0.5)), bound=0.5)
    assert (capped(plain, 0.5)[0], capped(plain, 2.0)[0]) == (direct, plain[0])


def test_a_refused_photograph_counts_as_the_worst():
    good, rule = list(curves(10, 6)), member("guarantees", "expected")
    worse = CurveSet.from_curves([*good, RiskCurve.worst(1.0)])
    shares = [CurveOutlook.of(one).prospects(rule, [0.3], 50)[0].share for one in (CurveSet.from_curves(good), worse)]
    assert shares[1] < shares[0]


@pytest.mark.parametrize("of_detail", [False, True])
def test_the_file_that_ships_has_every_series_and_grows_with_level_and_number(of_detail):
    measured = measured_shares(of_detail=of_detail)
    counts = (1,) if of_detail else (1, 8)
    promised = [one for one in promises(member("metrics", DEFAULT_METRIC), detail=True) if one.of_detail == of_detail]
    names = {
        series_name(promise, draws, delivery)
        for promise, draws, delivery in itertools.product(promised, counts, ("first", "consistent:steps=2"))
    }
    # All that the program compares but for this promise, which a pilot alone measures.
    assert set(measured.series) == {name for name in names if not name.startswith("all-but 1 %, cap")}
    for series in measured.series.values():
        shares = series["shares"]
        assert set(series) == {"shares", "errors", "vendors"}
        assert {values.shape for values in series.values()} == {(len(measured.levels), len(measured.numbers))}
        assert all(((values >= 0) & (values <= 1)).all() for values in series.values())
        assert (np.diff(shares, axis=0) >= 0).all()
        assert (np.diff(shares, axis=1) >= -0.02).all()
    assert set(measured.settings["scores"]) == set(map(str, counts))
    assert "photographs" in measured.source


def test_what_lies_between_measured_levels_and_numbers_is_interpolated():
    content = {
        "source": "",
        "settings": {},
        "levels": [0.1, 0.2],
        "numbers": [10, 40],
        "series": {"a": {"shares": [[100, 300], [500, 900]], "errors": [[10, 20], [30, 5]]}},
    }
    measured = MeasuredShares.of(content)
    assert measured.at("a", "shares", 0.15, 20) == pytest.approx(((0.1 + 0.3 + 0.5 + 0.9) / 4, 0.9))
    assert measured.at("a", "errors", 0.15, 20) == pytest.approx(((10 + 20 + 30 + 5) / 4000, 0.03)), "largest around"
    assert measured.at("a", "shares", 0.2, 40) == pytest.approx((0.9, 0.9))
    assert measured.at("a", "shares", 0.3, 40) is None
