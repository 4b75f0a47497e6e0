"""Compare every score on the same draws of real photographs, over many random splits: which one trusts most?

    python examples/draw_with_ncnn.py PHOTOGRAPHS... --out draws
    python examples/compare_scores.py draws/photographs -p path=draws/outputs -p label=ClearReality4x --out scores.md

The draws of each photograph are decoded once for all scores, and only the risk curves are kept. In each split n random
photographs set the threshold, and the others measure what it trusts and risks. All scores see the same splits. Any
adapter works; one that calls a vendor (``--adapter embedded --side 384``) gets reduced photographs.
``--second path=OTHER/outputs --second label=...`` adds a second vendor's pictures.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import figures
import numpy as np
import numpy.typing as npt

import blackbox_conformal as bc
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.embedded.demonstration import reduced_photographs
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.study.choose.scored import Candidate
from blackbox_conformal.study.choose.tuning import parse_candidate
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC
from blackbox_conformal.study.stages.draws import Drawn, drawn_pictures, map_pictures, output_check, second_opinions
from blackbox_conformal.study.stages.evaluate import decoded_draws
from blackbox_conformal.study.stages.prepare import prepare_photographs, read_truth
from blackbox_conformal.study.stages.settings import Setup, member, set_up
from blackbox_conformal.support.types import Image

ALPHAS = (0.05, 0.1, 0.2)
TOLERANCE = 0.1
KINDS = ("averaged", "share", "pointwise")
"""Largest averaged error, share of the picture wrong by more than `TOLERANCE`, largest error of one pixel."""

ONE_DRAW = ("bicubic-gap", "texture", "consistency")
REFERENCE = "smoothed-variance:sigma=4"
"""What the other scores are compared with, with all draws."""

UNREACHABLE = "the error itself (not available in practice)"
Splits = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


def candidates(draws: int, second: bool) -> list[Candidate]:
    """Every score of the family, and the best known ones with fewer draws."""
    fewer = [count for count in (draws // 4, draws // 2, draws) if count >= 2]
    texts = [f"pixel-variance@{draws}", f"patch-variance:sigma=4@{draws}", f"variance-of-means:sigma=4@{draws}"]
    texts += [f"smoothed-variance:sigma=4@{count}" for count in fewer]
    texts += [f"smoothed-variance:sigma={sigma}@{draws}" for sigma in (2, 8)]
    texts += [f"{name}:sigma=4@1" for name in ONE_DRAW]
    texts += [f"bicubic-gap:sigma={sigma}@1" for sigma in (2, 8)]
    texts += [f"weighted:weight={weight}@{draws}" for weight in (0.25, 0.5, 0.75)]
    texts += [f"weighted:weight=0.5@{count}" for count in fewer[:-1]]
    texts += ["weighted:first=bicubic-gap,second=texture@1"]
    if second:
        texts += ["second-opinion:sigma=4@1", "weighted:first=second-opinion,second=bicubic-gap@1"]
    # Under these names, which say what is a default now and may not be later.
    return [replace(parse_candidate(text, draws), label=text) for text in texts]


@dataclass
class Curves:
    """The curves of one score on all photographs, of each kind, and the paid calls a photograph."""

    label: str
    draws: int
    extra: int = 0
    kept: dict[str, list[RiskCurve]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @property
    def calls(self) -> int:
        """Paid calls a photograph, the second vendor's included."""
        return self.draws + self.extra

    def of(self, kind: str) -> CurveSet:
        """All curves of one kind."""
        return CurveSet.from_curves(self.kept[kind])


def curves_of(setup: Setup, chosen: Sequence[Candidate], paths: Sequence[Path], run: Path) -> list[Curves]:
    """Draw, show each decoded draw to every score once, keep the curves."""
    pictures = prepare_photographs(paths, setup)
    pointwise: Metric = member("metrics", "lab-l1")
    found = [Curves(one.label, one.draws, int(one.score.needs_second)) for one in chosen]
    found.append(Curves(UNREACHABLE, 0))
    with (
        second_opinions(setup, pictures, run, Limits()) as opinions,
        Sampler(setup.adapter, run, Limits(), check=output_check(setup)) as sampler,
    ):

        def work(drawn: Drawn) -> list[list[RiskCurve]]:
            path = drawn.prepared.path
            if drawn.refusal is not None or path is None:
                raise SystemExit(f"expected draws of every photograph; {drawn.prepared.name} was refused")
            truth = read_truth(path, setup).pixels
            accumulators = [one.score.start(drawn.prepared.size) for one in chosen]
            delivered: Image | None = None
            low = Mixture.of_text("bicubic").apply(truth, setup.procedure.scale)
            draws = decoded_draws(drawn, setup, lambda k: sampler.read(drawn.outcomes[k]), low)
            for index, pixels in enumerate(draws):
                delivered = pixels if delivered is None else delivered
                for one, accumulator in zip(chosen, accumulators, strict=True):
                    if index < one.draws:
                        accumulator.update(pixels)
            assert delivered is not None
            context = Context(delivered, low, setup.procedure.scale, opinions.of(drawn.prepared))
            averaged, single = setup.metric.capped_map(truth, delivered), pointwise.capped_map(truth, delivered)
            scores = [accumulator.finish(context) for accumulator in accumulators]
            bound = setup.metric.capped_bound
            return [
                [
                    RiskCurve.from_maps(averaged if score is None else score, averaged, bound=bound),
                    RiskCurve.from_maps(
                        averaged if score is None else score, averaged, bound=bound, tolerance=TOLERANCE
                    ),
                    RiskCurve.from_maps(single if score is None else score, single, bound=pointwise.bound),
                ]
                for score in [*scores, None]
            ]

        for done, (_, made) in enumerate(map_pictures(drawn_pictures(sampler, pictures), work), start=1):
            for store, three in zip(found, made, strict=True):
                for kind, curve in zip(KINDS, three, strict=True):
                    store.kept[kind].append(curve)
            if sys.stderr.isatty():
                print(f"\rphotographs {done}/{len(pictures)} ", end="", file=sys.stderr)
    return found


@dataclass(frozen=True)
class Worth:
    """What a rule trusts and risks on unseen photographs, averaged over splits.

    Attributes
    ----------
    share, risk
        Mean trusted share of the picture and mean realised risk, in the rule's own measure.
    error
        Standard error of `risk` over the splits.
    by_photograph
        (N,) trusted share of each photograph, averaged over the splits in which it was unseen.
    """

    share: float
    risk: float
    error: float
    by_photograph: npt.NDArray[np.float64]

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} ({self.risk:.3f})"


@dataclass(frozen=True)
class Rule:
    """A guarantee at a level, with its name in the tables.

    Attributes
    ----------
    name
        For people.
    kind
        Which of `KINDS` it needs.
    guarantee, alpha
        The guarantee and its level.
    target
        What its mean realised risk must not exceed; None where the claim is no mean over calibration sets.
    misses
        Whether its risk is the share of photographs with a loss above `alpha`, instead of the mean loss.
    """

    name: str
    kind: str
    guarantee: Guarantee
    alpha: float
    target: float | None
    misses: bool = False


def worth(curves: CurveSet, splits: Splits, asked: Sequence[Rule]) -> list[Worth]:
    """For each rule, thresholds from one part of each split, shares and risks from the other."""
    shares, risks = np.empty((2, len(asked), len(splits)))
    sums, counts = np.zeros((len(asked), len(curves))), np.zeros(len(curves))
    # Splits outside, rules inside: the curves of a split are added up once for all rules.
    for row, (calibrating, unseen) in enumerate(splits):
        chosen, others = curves.subset(calibrating), curves.subset(unseen)
        counts[unseen] += 1
        for index, rule in enumerate(asked):
            threshold = rule.guarantee.threshold(chosen, rule.alpha)
            trusted, losses = others.trusted_shares_at(threshold), others.losses_at(threshold)
            shares[index, row] = trusted.mean()
            risks[index, row] = (losses > rule.alpha).mean() if rule.misses else losses.mean()
            sums[index, unseen] += trusted
    errors = risks.std(axis=1, ddof=1) / math.sqrt(len(splits))
    return [
        Worth(float(share), float(risk), float(error), total / np.maximum(counts, 1))
        for share, risk, error, total in zip(shares.mean(axis=1), risks.mean(axis=1), errors, sums, strict=True)
    ]


def random_splits(pool: int, n: int, count: int) -> Splits:
    """`count` random choices of n of the pool, and the others, the same for every score."""
    generator = np.random.default_rng([n, pool])
    orders = [generator.permutation(pool) for _ in range(count)]
    return [(np.sort(order[:n]), np.sort(order[n:])) for order in orders]


class Comparison:
    """All tables from one pool of curves; remembers whether any realised risk was above its level."""

    def __init__(self, scores: list[Curves], sizes: Sequence[int], splits: int) -> None:
        self.scores, self.sizes, self.count = scores, sizes, splits
        self.pool = len(scores[0].kept["averaged"])
        self.splits = {n: random_splits(self.pool, n, splits) for n in sizes}
        self.checked = 0
        self.broken: list[str] = []

    def _worth(self, score: Curves, kind: str, splits: Splits, asked: Sequence[Rule]) -> list[Worth]:
        found = worth(score.of(kind), splits, asked)
        for rule, one in zip(asked, found, strict=True):
            if rule.target is not None:
                self.checked += 1
                if one.risk > rule.target + 3 * one.error:
                    self.broken.append(f"{score.label}, {rule.name}: {one.risk:.4f}")
        return found

    def by_score(self, reference: str) -> tuple[figures.Table, list[Curves]]:
        """The table of all scores by `expected`, best first, and the scores in that order."""
        rows: list[tuple[float, Curves, list[Worth]]] = []
        for score in self.scores:
            found = [one for n in self.sizes for one in self._worth(score, "averaged", self.splits[n], expected())]
            rows.append((float(np.mean([one.share for one in found])), score, found))
        compared = next(column for column, alpha in enumerate(ALPHAS) if alpha == TOLERANCE) - len(ALPHAS)
        standard = next(found for _, score, found in rows if score.label == reference)[compared].by_photograph
        rows.sort(key=lambda row: -row[0])
        lines = []
        for mean, score, found in rows:
            gain = 100 * (found[compared].by_photograph - standard)
            error = gain.std(ddof=1) / math.sqrt(gain.size)
            gained = "-" if score.label == reference else f"{gain.mean():+.1f} ± {error:.1f}"
            paid = str(score.calls) if score.calls else "-"
            lines.append([score.label, paid, *map(str, found), f"{100 * mean:.1f}", gained])
        columns = [f"n = {n}, {alpha:g}" for n in self.sizes for alpha in ALPHAS]
        table = {"columns": ["score@draws", "calls", *columns, "mean share", "gain"], "rows": lines}
        return table, [score for _, score, _ in rows if score.label != UNREACHABLE]

    def by_money(self, calls: int) -> figures.Table:
        """What a fixed number of paid calls buys: fewer draws a photograph, more photographs."""
        rows: list[tuple[float, list[str]]] = []
        for score in self.scores:
            n = calls // score.calls if score.calls else 0
            if 0 < n <= 0.9 * self.pool:
                found = self._worth(score, "averaged", random_splits(self.pool, n, self.count), expected())
                rows.append((-sum(one.share for one in found), [score.label, str(n), *map(str, found)]))
        columns = ["score@draws", "n", *(f"{alpha:g}" for alpha in ALPHAS)]
        return {"columns": columns, "rows": [cells for _, cells in sorted(rows)]}

    def by_guarantee(self, scores: Sequence[Curves]) -> figures.Table:
        """What each guarantee trusts with `scores`."""
        asked = list(rules())
        cells: dict[str, list[str]] = {rule.name: [] for rule in asked}
        for score in scores:
            for n in self.sizes:
                for kind in KINDS:
                    some = [rule for rule in asked if rule.kind == kind]
                    for rule, found in zip(some, self._worth(score, kind, self.splits[n], some), strict=True):
                        cells[rule.name].append(str(found))
        head = ["guarantee", *(f"{score.label}, n = {n}" for score in scores for n in self.sizes)]
        return {"columns": head, "rows": [[name, *found] for name, found in cells.items()]}


def shown(ranked: Sequence[Curves]) -> list[Curves]:
    """The best two scores of different families, whatever their windows and draws, and the best that one call pays."""
    families: dict[str, Curves] = {}
    for score in ranked:
        families.setdefault(score.label.partition("@")[0].partition(":")[0], score)
    cheap = next(score for score in ranked if score.calls == 1)
    best = list(families.values())[:2]
    return best if cheap in best else [*best, cheap]


def expected(kind: str = "averaged") -> list[Rule]:
    """The guarantee `expected` at every level."""
    rule = member("guarantees", "expected")
    words = ", pointwise metric" if kind == "pointwise" else ""
    return [Rule(f"expected{words}, alpha {alpha:g}", kind, rule, alpha, alpha) for alpha in ALPHAS]


def rules() -> Iterator[Rule]:
    """Every guarantee that is compared."""
    yield from expected()
    for delta in (0.1, 0.2):
        per_image = member("guarantees", "per-image", delta=delta)
        yield Rule(f"per-image, tau {TOLERANCE:g}, delta {delta:g}", "averaged", per_image, TOLERANCE, delta, True)
    for method in ("hoeffding-bentkus", "mixture"):
        confident = member("guarantees", "high-probability", delta=0.1, method=method)
        for alpha in ALPHAS[1:]:
            yield Rule(f"high-probability {method}, delta 0.1, alpha {alpha:g}", "averaged", confident, alpha, None)
    for alpha in (0.02, 0.05, 0.1):
        false_trust = member("guarantees", "false-trust")
        yield Rule(f"false-trust, tau {TOLERANCE:g}, alpha {alpha:g}", "share", false_trust, alpha, alpha)
    yield from expected("pointwise")


def main() -> int:
    """Draw, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--adapter", default="folder")
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--second-adapter", default="folder")
    parser.add_argument("--second", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--side", type=int, help="reduce photographs to this side first; else take them as they are")
    parser.add_argument("--n", type=int, nargs="+", default=[50, 200], help="calibration photographs")
    parser.add_argument("--calls", type=int, default=200, help="paid calls of the table by money")
    parser.add_argument("--splits", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("scores.md"))
    what = "write the tables by score, by money and by guarantee to those of these names on the page of scores, too"
    parser.add_argument("--save", nargs="+", default=[], metavar="TABLE", help=what)
    options = parser.parse_args()
    adapter = bc.load_adapter(options.adapter, **dict(pair.split("=", 1) for pair in options.parameters))
    second = None
    if options.second:
        second = bc.load_adapter(options.second_adapter, **dict(pair.split("=", 1) for pair in options.second))
    chosen = candidates(options.draws, second is not None)
    reference = f"{REFERENCE}@{options.draws}"
    photographs = find_photographs(options.photographs)
    with tempfile.TemporaryDirectory() as temporary:
        paths = [one.path for one in photographs]
        if options.side is not None:
            reduced = reduced_photographs(photographs, Path(temporary) / "photographs", options.side, lambda *_: None)
            paths = [one.path for one in reduced]
        sizes = [n for n in options.n if n <= 0.9 * len(paths)]
        if not sizes:
            sys.exit(f"expected more than {min(options.n)} photographs, to keep some unseen; got {len(paths)}")
        score = "second-opinion" if second is not None else REFERENCE
        setup = set_up(adapter, draws=options.draws, score=score, metric=DEFAULT_METRIC, second=second)
        curves = curves_of(setup, chosen, paths, Path(temporary) / "run")
    comparison = Comparison(curves, sizes, options.splits)
    scores, ranked = comparison.by_score(reference)
    tables = [scores, comparison.by_money(options.calls), comparison.by_guarantee(shown(ranked))]
    for name, found in zip(options.save, tables, strict=False):
        figures.save("scores", name, found)
    by_score, by_money, by_guarantee = (figures.rendered(found, {}).rstrip() for found in tables)
    parts = [
        f"{len(paths)} photographs, {options.splits} random splits, metric {DEFAULT_METRIC}, first draw delivered.",
        "Cells: percent of the picture trusted (realised risk) on the photographs that did not calibrate. Gain: in "
        f"percent of the picture at alpha {TOLERANCE:g} and n = {sizes[-1]}, against {reference}, ± standard error "
        "over photographs.",
        by_score,
        f"What {options.calls} paid calls for calibration buy, by `expected`:",
        by_money,
        "By guarantee:",
        by_guarantee,
        f"Of {comparison.checked} mean realised risks, {len(comparison.broken)} lie more than three standard errors "
        f"above their level{': ' + '; '.join(comparison.broken) if comparison.broken else ''}.",
    ]
    text = "\n\n".join(parts) + "\n"
    print(text)
    options.out.write_text(text, encoding="utf-8")
    return 3 if comparison.broken else 0


if __name__ == "__main__":
    sys.exit(main())
