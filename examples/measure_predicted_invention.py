"""Measure how well scores of one draw know invented detail, on vendors' stored answers to photographs.

    python examples/draw_with_ncnn.py PHOTOGRAPHS --out drawn/ClearReality --draws 1 --side 256
    python examples/measure_predicted_invention.py drawn/* [--degradation phone] [--save]

Each folder is as draw_with_ncnn.py makes it, for the same photographs and the --degradation that is given here. Of a
score it prints the chance that it is larger at a unit of invented detail than at a unit of right detail, and, at
``marked:share=0.2`` and ``clear-share:share=0.5``, means over splits into photographs that calibrate and others: the
clear part of the picture, the right detail that stays clear, and the vendor against plain enlargement there.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import figures
import numpy as np

from blackbox_conformal.method.degradations.back_projection import back_projected
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees.choose import threshold
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.metrics import invention
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.scores.score import Context, Score, accumulated_map
from blackbox_conformal.study.stages.settings import member

SCALE = 4
SCORES = ("unsupported", "predicted-invention")
KINDS = {"marked": 0.2, "clear-share": 0.5}
CEILING = 0.9
SPLITS = 40


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
    """Of one answer: maps (H, W) of invented and added energy and of two squared errors, scores and their curves."""

    part: np.ndarray
    whole: np.ndarray
    vendor_error: np.ndarray
    plain_error: np.ndarray
    scores: list[np.ndarray]
    curves: list[dict[str, RiskCurve]]


def known(one: Answer, scores: list[Score], mixture: Mixture) -> Known:
    """What is measured of an answer; the last score is the share of invention itself."""
    energies = invention.PLUGIN().energies(one.truth, one.delivered, one.low, mixture)
    plain, context = bicubic_up(one.low, SCALE), Context(one.delivered, one.low, SCALE)
    maps = [accumulated_map(score, [one.delivered], context) for score in scores] + [energies.share]
    curves = [
        {
            curve.kind: curve
            for curve in RiskCurve.from_maps(found, energies.share, bound=1.0).of_detail(found, energies, CEILING)
        }
        for found in maps
    ]
    errors = (((picture.astype(np.float32) - one.truth) ** 2).mean(axis=2) for picture in (one.delivered, plain))
    return Known(energies.part, energies.whole, *errors, maps, curves)


def chance(rows: list[Known], index: int) -> float:
    """That a score is larger at a unit of invented detail than at a unit of right detail, of all pictures together."""
    score = np.concatenate([row.scores[index].ravel() for row in rows])
    order = np.argsort(score)
    invented, right = (
        np.concatenate([values.ravel() for values in found])[order].astype(np.float64)
        for found in ([row.part for row in rows], [row.whole - row.part for row in rows])
    )
    return float((invented * (np.cumsum(right) - right / 2)).sum() / invented.sum() / right.sum())


def within(rows: list[Known], index: int, kind: str, calibrating: int) -> np.ndarray:
    """Means over splits: clear part and right detail in it, in percent, and dB of the vendor against plain."""
    found = []
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(rows))
        curves = [rows[k].curves[index][kind] for k in order[:calibrating]]
        level = threshold(curves, KINDS[kind], kind, ceiling=CEILING)
        sums = np.zeros(5)
        for row in (rows[k] for k in order[calibrating:]):
            clear, right = row.scores[index] < level, row.whole - row.part
            sums += [
                clear.mean(),
                right[clear].sum(),
                right.sum(),
                row.vendor_error[clear].sum(),
                row.plain_error[clear].sum(),
            ]
        gain = 10 * np.log10(sums[4] / sums[3]) if sums[3] else np.nan
        found.append([100 * sums[0] / (len(rows) - calibrating), 100 * sums[1] / sums[2], gain])
    means: np.ndarray = np.nanmean(found, axis=0)
    return means


def main() -> None:
    """Read, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawn", type=Path, nargs="+")
    parser.add_argument("--degradation", default="bicubic")
    parser.add_argument("--calibrating", type=int, default=50)
    parser.add_argument("--consistent", action="store_true", help="measure what --delivery consistent delivers")
    figures.save_option(parser)
    options = parser.parse_args()
    mixture = Mixture.of_text(options.degradation).at(SCALE)
    scores: list[Score] = [member("scores", name).suited(mixture) for name in SCORES]
    heads = [f"{kind} {level:g}: clear, right detail kept, dB" for kind, level in KINDS.items()]
    table: figures.Table = {"columns": figures.heading(["vendor", "score", "chance", *heads]), "rows": []}
    for folder in options.drawn:
        found = list(answers(folder))
        if options.consistent:
            chain = mixture.linear_part()
            found = [replace(one, delivered=back_projected(one.delivered, one.low, chain, steps=2)) for one in found]
        rows = [known(one, scores, mixture) for one in found]
        for index, name in enumerate((*(f"`{name}`" for name in SCORES), "the metric")):
            parts = [within(rows, index, kind, options.calibrating) for kind in KINDS]
            cells = [f"{clear:.0f} %, {kept:.0f} %, {gain:+.1f}" for clear, kept, gain in parts]
            table["rows"].append(figures.printed([folder.name, name, f"{chance(rows, index):.3f}", *cells]))
    if options.save:
        figures.save("scores", f"invention, {options.degradation}{', consistent' * options.consistent}", table)


if __name__ == "__main__":
    main()
