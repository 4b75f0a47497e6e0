"""Time curves and thresholds: the search from maps, and thousands of stored curves."""

import time
from functools import partial

import baseline
import numpy as np
from bench import Bench, curve
from material import cut, drawn, photograph
from timing import at_least, pairs, row

from blackbox_conformal.method.kernels.windows import gaussian
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support import catalog

ALPHAS = tuple(np.linspace(0.02, 1.5, 40).round(4))
BOUND = 1.9576


def thresholds(bench: Bench) -> None:
    """Forty thresholds from maps, curves included, against the published algorithms."""
    maps = made_up_maps(3 if bench.quick else 12, 256 if bench.quick else 1024)
    ours = np.float32(search(maps))
    for name, published in (("bisection for each level", baseline.bisect), ("one sort and sweep", baseline.sweep)):
        same = np.array_equal(ours, np.float32(published(maps, ALPHAS, BOUND)))
        _, processor = pairs(lambda: search(maps), partial(published, maps, ALPHAS, BOUND), bench.repeats)
        equal = "equal" if same else "DIFFERENT"
        at_least(f"{name} / curves and 40 thresholds, {len(maps)} maps, 1 thread ({equal} results)", processor, 100)


def made_up_maps(count: int, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Score and error maps: errors are larger where scores are, with noise."""
    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        scores = gaussian(rng.random((side, side)).astype(np.float32) ** 4, 4.0)
        noise = gaussian(rng.random((side, side)).astype(np.float32) ** 4, 4.0)
        found.append((scores, ((scores + noise) * 2).astype(np.float32)))
    return found


def search(maps: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Thresholds of 40 levels by this package, curves included."""
    curves = CurveSet.from_curves([RiskCurve.from_maps(*one, bound=BOUND) for one in maps])
    rule = catalog.load("guarantees", "expected")
    return [rule.threshold(curves, float(alpha)) for alpha in ALPHAS]


def stored_curves(bench: Bench) -> None:
    """Size of curves of all photographs; loading of, and forty thresholds from, ten thousand."""
    setup = bench.setup()
    rng = np.random.default_rng(0)
    width, height = (640, 360) if bench.quick else (1920, 1080)
    own = []
    for number in range(len(bench.sources) or 8):
        made = cut(bench.sources[number], width, height) if bench.sources else photograph(width, height, number)
        own.append(curve(setup, made, [drawn(made, rng) for _ in range(4)]))
    size = len(CurveSet.from_curves(own).to_bytes()) / len(own) / 1000
    row(f"kB a stored curve, {len(own)} photographs of {width} x {height}", f"{size:.1f}", "", "", "< 8", size < 8)
    count = 500 if bench.quick else 10_000
    packed = CurveSet.from_curves([rescaled(own[index % len(own)], rng) for index in range(count)]).to_bytes()
    rule = catalog.load("guarantees", "expected")
    loading, searched = np.inf, np.inf
    for _ in range(bench.repeats):
        start = time.perf_counter()
        curves = CurveSet.from_bytes(packed)
        curves.merged  # noqa: B018 - the sum of all curves, made once
        loaded = time.perf_counter()
        for alpha in ALPHAS:
            rule.threshold(curves, float(alpha))
        loading = min(loading, loaded - start)
        searched = min(searched, time.perf_counter() - loaded)
    row(f"loading {count} curves and adding them up", f"{loading:.2f} s", "", "", "< 1 s", loading < 1)
    row(f"40 thresholds from {count} curves", f"{searched * 1e3:.1f} ms", "", "", "< 50 ms", searched < 0.05)


def rescaled(one: RiskCurve, rng: np.random.Generator) -> RiskCurve:
    """The curve with its scores multiplied by a random factor, so that no two curves are equal."""
    factor = np.float32(rng.uniform(0.5, 2))
    assert one.area_scores is not None
    assert one.area_shares is not None
    keep = np.diff(one.scores * factor, prepend=np.float32(-1)) > 0
    area = np.diff(one.area_scores * factor, prepend=np.float32(-1)) > 0
    return RiskCurve(
        (one.scores * factor)[keep],
        one.losses[keep],
        one.bound,
        area_scores=(one.area_scores * factor)[area],
        area_shares=one.area_shares[area],
    )
