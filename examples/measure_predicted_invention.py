"""Measure what masks of invention show and hide, on vendors' stored answers to photographs.

    python examples/draw_with_ncnn.py PHOTOGRAPHS --out drawn/bicubic/ClearReality4x --draws 1 --side 256
    python examples/measure_predicted_invention.py --inputs bicubic drawn/bicubic/* --inputs phone drawn/phone/* --save

After --inputs stands the --degradation with which draw_with_ncnn.py made the folders that follow, of one vendor each.
Random splits calibrate with some of the photographs and mask the others. Of each sentence the table has means over
those, and after ± half of where 95 % of the means over as many photographs drawn anew lie:

- *chance*: that the score is larger at a unit of invented detail than at a unit of right detail;
- *clear*: percent of the picture;
- *right kept* and *invented left*: percent of the right and of the invented detail of all pictures that is clear;
- *hatched*: percent of a picture's invented detail, as `marked` counts it, that is not clear;
- *dB* and *dB free*: by how much the vendor is nearer to the truth in the clear part than plain enlargement and than
  the free reference.

A folder of inputs by cameras (--inputs given) has `inputs`, `outputs` and `photographs`, too.
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import figures
import numpy as np

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees import guarantee
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.metrics import invention
from blackbox_conformal.method.risk.curve import LEAST_INVENTED, RiskCurve
from blackbox_conformal.method.safe_pictures import back_projected
from blackbox_conformal.method.scores.score import Context, Score, accumulated_map
from blackbox_conformal.study.stages.settings import member

SCALE = 4
CEILING = 0.9
SPLITS, RESAMPLES, FEWEST_MEASURED = 40, 1000, 10
METRIC = "the metric"
"""The score that knows the truth: the share of invention itself."""

COLUMNS = "vendor, inputs, score, sentence, chance, n, clear, right kept, invented left, hatched, dB, dB free"
SENTENCES = (
    ("predicted-invention", "marked", 0.2),
    ("unsupported", "marked", 0.2),
    (METRIC, "marked", 0.2),
    ("predicted-invention", "clear-share", 0.5),
    ("unsupported", "clear-share", 0.5),
)
"""Score, guarantee and level."""


@dataclass(frozen=True)
class Answer:
    """A photograph, the input that was made of it, and what the vendor delivered, (., ., 3) uint8 each."""

    stem: str
    truth: np.ndarray
    low: np.ndarray
    delivered: np.ndarray


def answers(folder: Path) -> Iterator[Answer]:
    """All answers in a folder that draw_with_ncnn.py made, by name."""
    for output in sorted(folder.glob("outputs/*/0.png")):
        stem, low = output.parent.name, read_image(folder / "inputs" / f"{output.parent.name}.png").pixels
        truth, delivered = read_image(folder / "photographs" / f"{stem}.png").pixels, read_image(output).pixels
        yield Answer(stem, truth[: len(delivered), : delivered.shape[1]], low, delivered)


@dataclass(frozen=True)
class Known:
    """Of one answer: what is summed over clear pixels, score maps (H, W) and the curve of each sentence."""

    energies: np.ndarray
    """(5, H, W): right and invented energy, squared errors of the vendor, plain enlargement and the free reference."""
    scores: dict[str, np.ndarray]
    curves: list[RiskCurve]


def known(one: Answer, scores: dict[str, Score], mixture: Mixture) -> Known:
    """What is measured of an answer."""
    energies = invention.PLUGIN().energies(one.truth, one.delivered, one.low, mixture)
    plain, context = bicubic_up(one.low, SCALE), Context(one.delivered, one.low, SCALE)
    maps = {name: accumulated_map(score, [one.delivered], context) for name, score in scores.items()}
    maps[METRIC] = energies.share
    curves = []
    for name, kind, _ in SENTENCES:
        curve = RiskCurve.from_maps(maps[name], energies.share, bound=1.0)
        curves += [found for found in curve.of_detail(maps[name], energies, CEILING) if found.kind == kind]
    shown = one.delivered, plain, context.reference(degraded=not mixture.adds_nothing)
    errors = [((picture.astype(np.float32) - one.truth) ** 2).mean(axis=2) for picture in shown]
    # Not the trusted area, which is measured below.
    curves = [replace(curve, area_scores=None, area_shares=None) for curve in curves]
    return Known(np.stack([energies.whole - energies.part, energies.part, *errors]), maps, curves)


def chance(rows: list[Known], name: str) -> float:
    """That a score is larger at a unit of invented detail than at a unit of right detail, of all pictures together."""
    score = np.concatenate([row.scores[name].ravel() for row in rows])
    order = np.argsort(score)
    right, invented = (
        np.concatenate([row.energies[k].ravel() for row in rows])[order].astype(np.float64) for k in (0, 1)
    )
    return float((invented * (np.cumsum(right) - right / 2)).sum() / invented.sum() / right.sum())


def sums(row: Known, name: str, thresholds: np.ndarray) -> np.ndarray:
    """Of the pixels that score below each threshold: (thresholds, 6), their number and the sums of `energies`."""
    order = np.argsort(thresholds)
    # A pixel is clear at every threshold from the first one above its score.
    first = np.searchsorted(thresholds[order], row.scores[name].ravel().astype(np.float64), side="right")
    counted = [
        np.bincount(first, weights, len(order) + 1) for weights in (None, *row.energies.reshape(len(row.energies), -1))
    ]
    found = np.empty((len(order), len(counted)))
    found[order] = np.cumsum(counted, axis=1)[:, :-1].T
    return found


def clear_parts(rows: list[Known], index: int, numbers: list[int]) -> np.ndarray:
    """(numbers + 1, photographs, 6): `sums`, means over the splits that mask a photograph, and of whole pictures."""
    name, kind, level = SENTENCES[index]
    rule = guarantee.guarantee(kind, ceiling=CEILING)
    thresholds, masked = [], []
    for n, seed in itertools.product(numbers, range(SPLITS)):
        order = np.random.default_rng(seed).permutation(len(rows))
        thresholds.append(guarantee.threshold([rows[k].curves[index] for k in order[:n]], level, rule))
        masked.append(np.isin(np.arange(len(rows)), order[n:]))
    found = np.stack([sums(row, name, np.array([*thresholds, np.inf])) for row in rows], axis=1)
    parts = found[:-1].reshape(len(numbers), SPLITS, *found.shape[1:])
    unseen = np.reshape(masked, (*parts.shape[:3], 1))
    return np.concatenate([(parts * unseen).sum(axis=1) / unseen.sum(axis=1), found[-1:]])


def shares(clear: np.ndarray, whole: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Clear, right kept, invented left, hatched in percent, and both dB, of clear parts and whole pictures."""
    _, right, invented, vendor, *others = clear.sum(axis=0)
    left = clear[:, 2] / (whole[:, 2] + LEAST_INVENTED * pixels)
    gains = [10 * np.log10(other / vendor) if vendor else np.nan for other in others]
    of_whole = right / whole[:, 1].sum(), invented / whole[:, 2].sum()
    return np.array([*(100 * np.array([(clear[:, 0] / pixels).mean(), *of_whole, 1 - left.mean()])), *gains])


def cells(clear: np.ndarray, whole: np.ndarray) -> list[str]:
    """What `shares` says, with intervals over photographs."""
    pixels = whole[:, 0]
    drawn = np.random.default_rng(0).integers(len(whole), size=(RESAMPLES, len(whole)))
    low, high = np.nanpercentile([shares(clear[k], whole[k], pixels[k]) for k in drawn], [2.5, 97.5], axis=0)
    forms = ["{:.0f}±{:.0f}"] * 4 + ["{:+.1f}±{:.1f}"] * 2
    found = zip(forms, shares(clear, whole, pixels), (high - low) / 2, strict=True)
    # Where nothing is ever clear, nothing is nearer to the truth.
    return ["-" if np.isnan(middle) else form.format(middle, half) for form, middle, half in found]


def delivered(folder: Path, mixture: Mixture, *, consistent: bool) -> Iterator[Answer]:
    """The answers in a folder, made consistent with their inputs if that is wanted."""
    for one in answers(folder):
        if consistent:
            changed = back_projected(one.delivered, one.low, mixture.linear_part(), steps=2)
            yield replace(one, delivered=changed)
        else:
            yield one


def main() -> None:
    """Read, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", nargs="+", action="append", required=True, metavar=("DEGRADATION", "FOLDER"))
    parser.add_argument("--calibrating", type=int, nargs="+", default=[20, 50, 200])
    parser.add_argument("--consistent", action="store_true", help="measure what --delivery consistent delivers")
    figures.save_option(parser)
    options = parser.parse_args()
    table: figures.Table = {"columns": figures.heading(COLUMNS.split(", ")), "rows": []}
    for degradation, *folders in options.inputs:
        mixture = Mixture.of_text(degradation).at(SCALE)
        names = {name for name, _, _ in SENTENCES} - {METRIC}
        scores: dict[str, Score] = {name: member("scores", name).suited(mixture) for name in sorted(names)}
        for folder in map(Path, folders):
            rows = [known(one, scores, mixture) for one in delivered(folder, mixture, consistent=options.consistent)]
            numbers = [n for n in options.calibrating if n + FEWEST_MEASURED <= len(rows)]
            for index, (name, kind, level) in enumerate(SENTENCES):
                told = f"{chance(rows, name):.3f}"
                said = [folder.name, f"`{degradation}`", f"`{name}`", f"`{kind}` {level:g}", told]
                *parts, whole = clear_parts(rows, index, numbers)
                for n, clear in zip(numbers, parts, strict=True):
                    table["rows"].append(figures.printed([*said, str(n), *cells(clear, whole)]))
    if options.save:
        figures.save("scores", f"invention{', consistent' * options.consistent}", table)


if __name__ == "__main__":
    main()
