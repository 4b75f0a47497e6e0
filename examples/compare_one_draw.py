"""Compare scores of one draw, photograph by photograph, over collections, networks and ways of delivery.

    python examples/draw_with_ncnn.py PHOTOGRAPHS... --out draws --draws 1
    python examples/compare_one_draw.py --drawn Urban100,ClearReality4x draws/photographs draws/outputs \
        --scores price bicubic-gap:sigma=8 --n 70

In each split n random photographs set the threshold of `expected`, and the others measure what it trusts and risks. All
scores see the same splits. The gain is over the last score, paired by photograph; its bounds hold 95 % of the means of
resampled photographs (bootstrap percentiles, Efron 1979). An output lies in OUTPUTS/STEM/0.png, or is OUTPUTS/STEM.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from compare_scores import Rule, member, random_splits, table, worth

import blackbox_conformal as bc
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.scores.score import accumulated_map
from blackbox_conformal.study.stages.prepare import read_truth
from blackbox_conformal.study.stages.settings import DEFAULT_METRIC, Setup, set_up

RESAMPLES = 10_000


def curves(setups: Sequence[Setup], photograph: Path, outputs: Path) -> list[RiskCurve]:
    """The curve of one photograph with each set-up; the set-ups share all but the score."""
    shared = setups[0]
    read = read_truth(photograph, shared)
    truth, low = read.pixels, shared.procedure.degraded(read.pixels, read.picture.digest)
    own = outputs / photograph.stem / "0.png"
    pixels = read_image(own if own.exists() else outputs / f"{photograph.stem}.png").pixels
    delivered = shared.delivered(pixels, low)
    errors, context = shared.errors(truth, delivered, low), shared.context(delivered, low, None)
    bound = shared.metric.capped_bound
    return [
        RiskCurve.from_maps(accumulated_map(setup.score, [pixels], context), errors, bound=bound) for setup in setups
    ]


def rows(
    name: str, pool: Sequence[CurveSet], scores: Sequence[str], rules: Sequence[Rule], n: int, splits: int
) -> Iterator[list[str]]:
    """One row for each score and level."""
    count = len(pool[0])
    calibrating = min(n, round(0.7 * count))
    found = [worth(one, random_splits(count, calibrating, splits), rules) for one in pool]
    for k, rule in enumerate(rules):
        for score, one in zip(scores, found, strict=True):
            gained = "-" if score == scores[-1] else interval(one[k].by_photograph - found[-1][k].by_photograph)
            yield [name, f"{calibrating} of {count}", f"{rule.alpha:g}", score, str(one[k]), gained]


def interval(gains: npt.NDArray[np.float64]) -> str:
    """The mean gain in points, with the bounds of 95 % of bootstrap means."""
    generator = np.random.default_rng(0)
    means = np.array([generator.choice(gains, gains.size).mean() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{100 * gains.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def main() -> int:
    """Measure every pool, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", nargs=3, action="append", required=True, metavar=("NAME", "PHOTOGRAPHS", "OUTPUTS"))
    parser.add_argument("--scores", nargs="+", default=["learned", "bicubic-gap:sigma=8"])
    parser.add_argument("--deliveries", nargs="+", default=["first", "consistent:steps=2"])
    parser.add_argument("--degradation", default="bicubic", help="how inputs were made; see `list degradations`")
    parser.add_argument("--alphas", nargs="+", type=float, default=[0.05, 0.1, 0.2])
    parser.add_argument("--n", type=int, default=100, help="calibration photographs, at most 70 %% of a pool")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    expected = member("guarantees", "expected")
    rules = [Rule(f"{alpha:g}", "averaged", expected, alpha, alpha) for alpha in options.alphas]
    lines: list[list[str]] = []
    for delivery in options.deliveries:
        for name, photographs, outputs in options.drawn:
            vendor = bc.load_adapter("folder", path=outputs, label=name)
            setups = [
                set_up(
                    vendor,
                    draws=1,
                    score=score,
                    metric=DEFAULT_METRIC,
                    delivery=delivery,
                    degradation=options.degradation,
                )
                for score in options.scores
            ]
            paths = [one.path for one in find_photographs([Path(photographs)])]
            with ThreadPoolExecutor(options.threads) as threads:
                made = list(threads.map(lambda path: curves(setups, path, Path(outputs)), paths))  # noqa: B023
            pool = [CurveSet.from_curves(list(one)) for one in zip(*made, strict=True)]
            lines += rows(f"{name}, {delivery}", pool, options.scores, rules, options.n, options.splits)
            print(table(COLUMNS, lines), flush=True)
    return 0


COLUMNS = ("pool, delivery", "n", "alpha", "score", "share % (risk)", "gain (95 %)")

if __name__ == "__main__":
    raise SystemExit(main())
