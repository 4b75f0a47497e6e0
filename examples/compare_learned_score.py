"""Measure what weights of the score learned gain that `tune --learn` fits to a kind of photographs.

    python examples/draw_with_ncnn.py Urban100/ --out draws --crop --side 384 --draws 1
    python examples/compare_learned_score.py draws/photographs draws/outputs

The photographs are parted into halves at random (--folds makes more parts). Each part is measured with weights that
were learned from all others, so that it had no part in them. Within a part, random splits choose photographs that set
the threshold of `expected`; the rest are measured. The weights are learned from the same outputs, from those that
--teacher names, or with ``--teacher embedded`` from those of the embedded vendor, as `tune --learn` does by itself. The
gain is over the package's own weights, paired by photograph; its bounds hold 95 % of the means of resampled photographs
(bootstrap percentiles, Efron 1979).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from compare_one_draw import curves, interval
from compare_scores import Rule, Worth, member, random_splits, table, worth

import blackbox_conformal as bc
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC
from blackbox_conformal.study.stages.settings import set_up

CALIBRATING = 0.7
"""Share of a part that sets the threshold."""

EMBEDDED = "embedded"


def measured(
    learned_from: Sequence[Path], part: Sequence[Path], options: argparse.Namespace, rules: Sequence[Rule]
) -> list[list[Worth]]:
    """What the package's weights and those learned are worth on a part, by rule."""
    vendor = bc.load_adapter("folder", path=str(options.outputs), label="measured", scale=4)
    with tempfile.TemporaryDirectory() as folder:
        outputs = None if options.teacher == EMBEDDED else options.teacher or options.outputs
        learning = bc.learn_score(vendor, learned_from, outputs=outputs, run=folder, delivery=options.delivery)
        print(learning, flush=True)
        setups = [
            set_up(vendor, draws=1, score=score, metric=DEFAULT_METRIC, delivery=options.delivery)
            for score in ("learned", learning.score)
        ]
    made = [curves(setups, path, options.outputs) for path in part]
    splits = random_splits(len(part), round(CALIBRATING * len(part)), options.splits)
    return [worth(CurveSet.from_curves(list(one)), splits, rules) for one in zip(*made, strict=True)]


def main() -> int:
    """Learn from all parts but one, measure that one, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--teacher", help="outputs to learn from, or embedded; by default the same outputs")
    parser.add_argument("--delivery", default="first")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--alphas", nargs="+", type=float, default=[0.1, 0.15, 0.2])
    parser.add_argument("--splits", type=int, default=100)
    options = parser.parse_args()
    expected = member("guarantees", "expected")
    rules = [Rule(f"{alpha:g}", "averaged", expected, alpha, alpha) for alpha in options.alphas]
    paths = [one.path for one in find_photographs([options.photographs])]
    parts = np.array_split(np.random.default_rng(0).permutation(len(paths)), options.folds)
    found = []
    for part in parts:
        others = [paths[index] for index in sorted(set(range(len(paths))) - set(part.tolist()))]
        found.append(measured(others, [paths[index] for index in part], options, rules))
    rows = []
    for k, rule in enumerate(rules):
        own, learned = (np.concatenate([fold[which][k].by_photograph for fold in found]) for which in (0, 1))
        risks = [np.mean([fold[which][k].risk for fold in found]) for which in (0, 1)]
        cells = [f"{100 * share.mean():.1f} ({risk:.3f})" for share, risk in zip((own, learned), risks, strict=True)]
        rows.append([rule.name, *cells, interval(learned - own)])
    print(table(("alpha", "of the package", "learned", "gain (95 %)"), rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
