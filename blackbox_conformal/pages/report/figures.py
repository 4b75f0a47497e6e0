"""Which figures the report shows, from calibration, audit and random splits."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from blackbox_conformal.method.audits.contamination import Leakage
from blackbox_conformal.method.audits.findings import Audit, AuditedLevel
from blackbox_conformal.method.audits.hypothesis import claim
from blackbox_conformal.method.audits.quality import Quality
from blackbox_conformal.method.audits.random_splits import Splits
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.pages.report.slider_levels import Stop
from blackbox_conformal.support.plots import Bar, Bars, Chart, Point, Series

Figure = Chart | Bars

FEWEST_POINTS = 3
"""With fewer points a line over alpha says nothing, and bars are drawn."""


def figures(
    rule: Guarantee, audited: Audit | None, splits: Splits | None, stops: Sequence[Stop], shares: list[float] | None
) -> Iterator[Figure]:
    """The figures in their order; `rule` is what the calibration guarantees.

    A rule with a miss rate bounds a share of photographs; alpha is then a tolerance and does not bound the risk.
    """
    alphas = [stop.alpha for stop in stops]
    ends = (0.0, alphas[-1])
    risk = _risk(rule, audited, stops)
    misses = rule.miss_rate is not None
    yield Chart(
        "Photographs with an error above alpha" if misses else "Risk against alpha",
        "alpha",
        "share" if misses else "risk",
        risk,
        x_range=ends,
        y_range=(0.0, _top(risk)),
        percent=misses,
    )
    if shares is not None:
        kind = "of audit photographs" if audited is not None else "of calibration photographs"
        series = [Series(f"mean trusted share {kind}", "realised", tuple(zip(alphas, shares, strict=True)), "step")]
        yield Chart(
            "Trusted share against alpha", "alpha", "trusted", series, x_range=ends, y_range=(0, 1), percent=True
        )
    if audited is not None:
        yield from _quality("PSNR, sRGB", "dB", audited.levels, lambda quality: quality.psnr, ends)
        if any(math.isfinite(level.promise.psnr) for level in audited.levels):
            yield from _promised(audited.levels, ends)
        yield from _quality("Mean SSIM", "", audited.levels, lambda quality: quality.ssim, ends)
        if audited.leakage is not None:
            yield leakage_chart(audited.leakage)
    if splits is not None:
        yield from _splits(splits)


def realised(rule: Guarantee, audited: Audit, stop: Stop) -> float:
    """The risk that `rule` bounds, measured on the audited photographs at a stop: a mean loss, or a share of misses."""
    losses = np.array([picture.curve.loss(stop.threshold) for picture in audited.pictures])
    return float(claim(rule, losses, stop.alpha, audited.pictures[0].curve.bound, audited.clusters).losses.mean())


def leakage_chart(leakage: Leakage) -> Chart:
    """Risk against the share of leaked calibration photographs, beside its bound."""
    shares = [point.leaked / leakage.n for point in leakage.points]
    series = [
        Series("bound", "bound", tuple((x, point.bound) for x, point in zip(shares, leakage.points, strict=True))),
        Series(
            "realised, leak not allowed for",
            "realised",
            tuple((x, point.risk) for x, point in zip(shares, leakage.points, strict=True)),
        ),
        Series(
            "realised, leak allowed for",
            "allowed",
            tuple((x, point.risk_allowed) for x, point in zip(shares, leakage.points, strict=True)),
        ),
    ]
    return Chart(
        f"If the vendor trained on them, at alpha = {leakage.alpha:g}",
        f"share of {leakage.n} calibration photographs that leaked",
        "risk",
        series,
        x_range=(0.0, max(shares) or 1.0),
        y_range=(0.0, _top(series)),
        slider=False,
    )


def _risk(rule: Guarantee, audited: Audit | None, stops: Sequence[Stop]) -> list[Series]:
    end = stops[-1].alpha
    if rule.miss_rate is not None:
        allowed = ((0.0, rule.miss_rate), (end, rule.miss_rate))
        risk = [Series(f"allowed: delta = {rule.miss_rate:g}", "allowed", allowed)]
    else:
        risk = [
            Series("allowed: alpha", "allowed", ((0.0, 0.0), (end, end))),
            Series("bound from calibration", "bound", tuple((stop.alpha, stop.risk) for stop in stops), "step"),
        ]
    if audited is not None:
        points = tuple((stop.alpha, realised(rule, audited, stop)) for stop in stops)
        risk.append(Series("realised on the audit", "realised", points))
        risk.append(
            Series(
                "audited level, 90 % interval",
                "realised",
                tuple((level.alpha, level.judgement.risk) for level in audited.levels),
                "marks",
                tuple((level.alpha, *level.judgement.interval) for level in audited.levels),
            )
        )
    return risk


def _quality(
    title: str, unit: str, levels: Sequence[AuditedLevel], value: Callable[[Quality], float], ends: Point
) -> Iterator[Figure]:
    """Inside the mask, outside it, and of the whole picture."""
    series = [
        Series("inside the mask", "realised", tuple((level.alpha, value(level.inside)) for level in levels), "dots"),
        Series("outside the mask", "allowed", tuple((level.alpha, value(level.outside)) for level in levels), "dots"),
        Series("whole picture", "bound", tuple((level.alpha, value(level.whole)) for level in levels)),
    ]
    if _drawable(series[0].points):
        yield Chart(f"{title} against alpha", "alpha", unit or "SSIM", series, x_range=ends)
        return
    whole = Bar("whole picture", value(levels[0].whole), "bound")
    yield from _bars(title, unit, series[:2], [whole], digits=2 if unit else 3)


def _promised(levels: Sequence[AuditedLevel], ends: Point) -> Iterator[Figure]:
    """The realised PSNR beside its bound, in the metric's own space."""
    series = [
        Series("realised", "realised", tuple((level.alpha, level.inside.psnr_in_space) for level in levels), "dots"),
        Series("promised at least", "bound", tuple((level.alpha, level.promise.psnr_if_trusted) for level in levels)),
    ]
    if _drawable(series[0].points):
        yield Chart("PSNR inside against its bound", "alpha", "dB, metric's space", series, x_range=ends)
        return
    yield from _bars("PSNR inside against its bound, metric's space", "dB", series)


def _splits(splits: Splits) -> Iterator[Figure]:
    title = f"{splits.splits} random splits: risk"
    claimed = Series("claimed at most", "allowed", tuple((level.alpha, level.claimed) for level in splits.levels))
    means = tuple((level.alpha, level.risk[0]) for level in splits.levels)
    if not _drawable(means):
        series = [replace(claimed, role="bound"), Series("mean over splits", "realised", means)]
        yield from _bars(title, "", series, digits=4)
        return
    ranges = tuple((level.alpha, *level.risk_range) for level in splits.levels)
    series = [claimed, Series("mean over splits, 5th to 95th percentile", "realised", means, "dots", ranges)]
    yield Chart(title, "alpha", "risk", series, y_range=(0.0, _top(series)), slider=False)


def _bars(
    title: str, unit: str, series: Sequence[Series], first: Sequence[Bar] = (), *, digits: int = 2
) -> Iterator[Bars]:
    """`first`, then a bar for each series at each level; no figure where no value is finite."""
    bars = [
        Bar(f"{curve.label} at alpha = {alpha:g}", curve.points[index][1], curve.role)
        for index, (alpha, _) in enumerate(series[0].points)
        for curve in series
    ]
    figure = Bars(title, unit, [*first, *bars], digits=digits)
    if figure.bars:
        yield figure


def _drawable(points: Sequence[Point]) -> bool:
    """Whether a line through the points says something."""
    return sum(math.isfinite(y) for _, y in points) >= FEWEST_POINTS


def _top(series: Sequence[Series]) -> float:
    """The upper end of the risk axis: above every point, but not always above the end of a wide interval."""
    points = max(y for curve in series for _, y in curve.points)
    ends = max((high for curve in series for _, _, high in curve.whiskers), default=0.0)
    return 1.04 * max(points, min(ends, 1.6 * points)) or 1.0
