"""Which figures the report shows, from calibration, audit and random splits."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from blackbox_conformal.audits.contamination import Leakage
from blackbox_conformal.audits.findings import Audit, AuditedLevel
from blackbox_conformal.audits.hypothesis import claim
from blackbox_conformal.audits.quality import Quality
from blackbox_conformal.audits.random_splits import Splits
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.reports.plots import Bar, Bars, Chart, Series
from blackbox_conformal.reports.slider_levels import Stop

Figure = Chart | Bars

FEWEST_POINTS = 3
"""With fewer points a line over alpha says nothing, and bars are drawn."""


def figures(
    rule: Guarantee, audited: Audit | None, splits: Splits | None, stops: Sequence[Stop], shares: list[float] | None
) -> Iterator[Figure]:
    """The figures in their order; `rule` is what the calibration guarantees."""
    alphas = [stop.alpha for stop in stops]
    ends = (0.0, alphas[-1])
    risk = _risk(rule, audited, stops)
    misses = speaks_of_misses(rule)
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


def speaks_of_misses(rule: Guarantee) -> bool:
    """Whether the risk is a share of photographs; then alpha is a tolerance and does not bound the risk."""
    return rule.miss_rate is not None


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
    title: str, unit: str, levels: Sequence[AuditedLevel], value: Callable[[Quality], float], ends: tuple[float, float]
) -> Iterator[Figure]:
    """Inside the mask, outside it, and of the whole picture."""
    inside = tuple((level.alpha, value(level.inside)) for level in levels)
    outside = tuple((level.alpha, value(level.outside)) for level in levels)
    whole = tuple((level.alpha, value(level.whole)) for level in levels)
    if not any(math.isfinite(y) for _, y in (*inside, *outside, *whole)):
        return
    if _drawable(inside) >= FEWEST_POINTS:
        yield Chart(
            f"{title} against alpha",
            "alpha",
            unit or "SSIM",
            [
                Series("inside the mask", "realised", inside, "dots"),
                Series("outside the mask", "allowed", outside, "dots"),
                Series("whole picture", "bound", whole),
            ],
            x_range=ends,
        )
        return
    bars = [Bar("whole picture", value(levels[0].whole), "bound")]
    for level, (_, within), (_, beyond) in zip(levels, inside, outside, strict=True):
        bars.append(Bar(f"inside the mask at alpha = {level.alpha:g}", within, "realised"))
        bars.append(Bar(f"outside the mask at alpha = {level.alpha:g}", beyond, "allowed"))
    yield Bars(title, unit, bars, digits=2 if unit else 3)


def _promised(levels: Sequence[AuditedLevel], ends: tuple[float, float]) -> Iterator[Figure]:
    """The promised PSNR beside the realised one, in the metric's own space."""
    realised_db = tuple((level.alpha, level.inside.psnr_in_space) for level in levels)
    promised = tuple((level.alpha, level.promise.psnr_if_trusted) for level in levels)
    if _drawable(realised_db) >= FEWEST_POINTS:
        yield Chart(
            "PSNR inside against its bound",
            "alpha",
            "dB, metric's space",
            [
                Series("realised", "realised", realised_db, "dots"),
                Series("promised at least", "bound", promised),
            ],
            x_range=ends,
        )
        return
    bars = []
    for (alpha, measured), (_, least) in zip(realised_db, promised, strict=True):
        bars.append(Bar(f"realised at alpha = {alpha:g}", measured, "realised"))
        bars.append(Bar(f"promised at least at alpha = {alpha:g}", least, "bound"))
    if any(math.isfinite(bar.value) for bar in bars):
        yield Bars("PSNR inside against its bound, metric's space", "dB", bars)


def _splits(splits: Splits) -> Iterator[Figure]:
    title = f"{splits.splits} random splits: risk"
    if len(splits.levels) < FEWEST_POINTS:
        bars = []
        for level in splits.levels:
            bars.append(Bar(f"claimed at most at alpha = {level.alpha:g}", level.claimed, "bound"))
            bars.append(Bar(f"mean over splits at alpha = {level.alpha:g}", level.risk[0], "realised"))
        yield Bars(title, "", bars, digits=4)
        return
    means = tuple((level.alpha, level.risk[0]) for level in splits.levels)
    series = [
        Series("claimed at most", "allowed", tuple((level.alpha, level.claimed) for level in splits.levels)),
        Series(
            "mean over splits, 5th to 95th percentile",
            "realised",
            means,
            "dots",
            tuple((level.alpha, *level.risk_range) for level in splits.levels),
        ),
    ]
    yield Chart(title, "alpha", "risk", series, y_range=(0.0, _top(series)), slider=False)


def _drawable(points: Sequence[tuple[float, float]]) -> int:
    return sum(math.isfinite(y) for _, y in points)


def _top(series: Sequence[Series]) -> float:
    """The upper end of the risk axis: above every point, but not always above the end of a wide interval."""
    points = max(y for curve in series for _, y in curve.points)
    ends = max((high for curve in series for _, _, high in curve.whiskers), default=0.0)
    return 1.04 * max(points, min(ends, 1.6 * points)) or 1.0
