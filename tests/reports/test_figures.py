"""Which figures are drawn from which numbers, and the slider's stops: round levels, exact thresholds."""

import math

import numpy as np
import pytest
from support.audit_material import audited_picture, calibration_of, curves, maps

from blackbox_conformal.method.guarantees.corollaries import statement
from blackbox_conformal.pages.report.page import FEWEST_POINTS, figures, leakage_chart, realised
from blackbox_conformal.pages.report.slider_levels import (
    ALWAYS,
    MAXIMUM_STOPS,
    choose_levels,
    choose_stops,
    opening_level,
)
from blackbox_conformal.study.audit.auditing import audit_splits
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.support.plots import Bars, Chart


def drawn(levels, *, splits=False, clusters=None, guarantee=None, metric=None):
    calibration = calibration_of(curves(0, 30), guarantee=guarantee, metric=metric)
    rng = np.random.default_rng(1)
    thresholds = [calibration.threshold(alpha) for alpha in levels]
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(12)]
    audit = conclude(calibration, calibration.rule(), levels, pictures, clusters=clusters)
    stops = choose_stops(calibration, levels, most=40)
    shares = [float(np.mean([one.curve.trusted_share(stop.threshold) for one in pictures])) for stop in stops]
    found = audit_splits(calibration, levels, splits=30) if splits else None
    shown = list(figures(calibration.rule(), audit, found, stops, shares))
    return calibration, audit, stops, {one.title: one for one in shown}, found


def by_label(chart, label):
    return next(series for series in chart.series if series.label == label)


def test_the_risk_chart_holds_allowed_bound_realised_and_intervals():
    calibration, audit, stops, shown, _ = drawn([0.3, 0.4, 0.5])
    chart = shown["Risk against alpha"]
    rule = calibration.rule()
    assert all(y == x for x, y in by_label(chart, "allowed: alpha").points)
    assert by_label(chart, "bound from calibration").points == tuple((s.alpha, s.risk) for s in stops)
    for (alpha, y), stop in zip(by_label(chart, "realised on the audit").points, stops, strict=True):
        assert alpha == stop.alpha
        assert y == pytest.approx(np.mean([one.curve.loss(stop.threshold) for one in audit.pictures]))
        assert y == realised(rule, audit, stop)
    marks = by_label(chart, "audited level, 90 % interval")
    assert marks.points == tuple((level.alpha, level.judgement.risk) for level in audit.levels)
    assert marks.whiskers == tuple((level.alpha, *level.judgement.interval) for level in audit.levels)
    assert (chart.y0, chart.x0) == (0.0, 0.0)
    highest = max(y for series in chart.series for _, y in series.points)
    assert highest <= chart.y1 <= 1.04 * 1.6 * highest, "no point beyond, and no wide interval squashes them"


def test_tiles_are_realised_as_they_are_judged():
    tiles = tuple(f"p{k // 5}" for k in range(12))
    calibration, audit, stops, _, _ = drawn([0.3, 0.5], clusters=tiles)
    for level in audit.levels:
        stop = next(stop for stop in stops if stop.alpha == level.alpha)
        assert realised(calibration.rule(), audit, stop) == pytest.approx(level.judgement.risk)


def test_per_image_is_drawn_as_a_share_against_delta():
    guarantee = {"name": "per-image", "delta": 0.2}
    _, audit, stops, shown, _ = drawn([0.3, 0.4, 0.5], guarantee=guarantee)
    chart = shown["Photographs with an error above alpha"]
    assert {y for _, y in by_label(chart, "allowed: delta = 0.2").points} == {0.2}
    assert not any(series.label == "bound from calibration" for series in chart.series)
    for (alpha, y), stop in zip(by_label(chart, "realised on the audit").points, stops, strict=True):
        assert y == np.mean([one.curve.loss(stop.threshold) > alpha for one in audit.pictures])


def test_quality_is_drawn_inside_outside_and_whole():
    _, audit, _, shown, _ = drawn([0.04, 0.3, 0.4, 0.5])
    assert audit.levels[0].empty_share > 0, "so that what is promised is promised of fewer"
    for title, name in (("PSNR, sRGB against alpha", "psnr"), ("Mean SSIM against alpha", "ssim")):
        chart = shown[title]
        assert isinstance(chart, Chart)
        for label, quality in (
            ("inside the mask", "inside"),
            ("outside the mask", "outside"),
            ("whole picture", "whole"),
        ):
            expected = tuple((level.alpha, getattr(getattr(level, quality), name)) for level in audit.levels)
            assert by_label(chart, label).points == expected
    promised = by_label(shown["PSNR inside against its bound"], "promised at least")
    assert promised.points == tuple((level.alpha, level.promise.psnr_if_trusted) for level in audit.levels)


@pytest.mark.parametrize("levels", [[0.5], [0.3, 0.5], [0.01, 0.02, 0.5]])
def test_few_points_are_bars(levels):
    """A line through one or two points says nothing, nor one through levels at which nothing is trusted."""
    _, audit, _, shown, _ = drawn(levels)
    found = shown["PSNR, sRGB"]
    assert isinstance(found, Bars)
    trusting = [level for level in audit.levels if math.isfinite(level.inside.psnr)]
    assert len(trusting) < FEWEST_POINTS
    inside = [bar for bar in found.bars if bar.label.startswith("inside")]
    assert [bar.value for bar in inside] == [level.inside.psnr for level in trusting]
    assert found.bars[0].label == "whole picture"
    assert isinstance(shown["Mean SSIM"], Bars)


def test_no_bound_is_drawn_where_none_is_promised():
    *_, shown, _ = drawn([0.3, 0.4, 0.5], metric={"name": "rgb-linf", "kernel": "gaussian", "sigma": 2.0})
    assert not any("against its bound" in title for title in shown)


def test_leakage_is_drawn_beside_its_bound():
    _, audit, _, shown, _ = drawn([0.3, 0.4])
    chart = shown[f"If the vendor trained on them, at alpha = {audit.leakage.alpha:g}"]
    same = leakage_chart(audit.leakage)
    assert [series.points for series in chart.series] == [series.points for series in same.series]
    shares = [point.leaked / 30 for point in audit.leakage.points]
    assert by_label(chart, "bound").points == tuple(zip(shares, [p.bound for p in audit.leakage.points], strict=True))
    assert not chart.slider, "its x axis is not alpha"


def test_splits_are_drawn_with_their_range():
    *_, shown, splits = drawn([0.3, 0.4, 0.5], splits=True)
    chart = shown["30 random splits: risk"]
    series = by_label(chart, "mean over splits, 5th to 95th percentile")
    assert series.points == tuple((level.alpha, level.risk[0]) for level in splits.levels)
    assert series.whiskers == tuple((level.alpha, *level.risk_range) for level in splits.levels)
    *_, shown, splits = drawn([0.3], splits=True)
    assert isinstance(shown["30 random splits: risk"], Bars)


def test_without_an_audit_there_is_the_calibration_alone():
    calibration = calibration_of(curves(0, 30))
    stops = choose_stops(calibration, most=40)
    titles = [one.title for one in figures(calibration.rule(), None, None, stops, [0.5] * len(stops))]
    assert titles == ["Risk against alpha", "Trusted share against alpha"]


def test_levels_are_few_round_and_cover_the_range(plain_run):
    calibration = plain_run.calibration
    levels = choose_levels(calibration, [0.123456])
    assert set(ALWAYS) | {0.123456} <= set(levels)
    assert levels == sorted(set(levels))
    assert 150 < len(levels) <= MAXIMUM_STOPS
    assert all(len(f"{level:g}") <= 7 for level in levels if level != 0.123456)
    steps = np.diff([level for level in levels if level not in (*ALWAYS, 0.123456)])
    assert steps.max() == pytest.approx(steps.min() * round(steps.max() / steps.min()))
    assert calibration.threshold(levels[-1]) == math.inf


def test_a_tiny_level_is_not_rounded_away(plain_run):
    calibration = plain_run.calibration
    assert min(choose_levels(calibration, [1e-300])) == 1e-300
    assert "nothing can be trusted at 1e-300" in choose_stops(calibration, [1e-300])[0].statement.lower()


def test_thresholds_are_the_calibrations_and_never_fall(plain_run):
    stops = choose_stops(plain_run.calibration)
    assert [stop.threshold for stop in stops] == [plain_run.calibration.threshold(stop.alpha) for stop in stops]
    thresholds = [stop.threshold for stop in stops]
    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) > 50


def test_words_say_what_is_guaranteed_or_what_is_missing(plain_run):
    stops = choose_stops(plain_run.calibration, [0.001])
    assert stops[0].threshold == -math.inf
    assert "photographs" in stops[0].statement
    assert stops[0].risk == 0
    known = next(stop for stop in stops if stop.alpha == 0.3)
    calibration = plain_run.calibration
    assert known.statement == statement(calibration.rule(), 0.3, 60, calibration.procedure.metric)
    assert all(stop.risk <= stop.alpha * (1 + 1e-9) for stop in stops)


def test_a_report_opens_where_something_is_trusted(plain_run):
    calibration = plain_run.calibration
    assert opening_level(calibration, [0.05, 0.2, 0.1]) == 0.1
    assert (opening_level(calibration, [0.25]), opening_level(calibration, [])) == (0.25, 0.1)
