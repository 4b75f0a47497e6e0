"""How many visits `watch` takes to find changes planted in the embedded vendor, by the martingale alone.

    python examples/watch_changes.py PHOTOGRAPHS [--canaries 8] [--draws 150] [--runs 200]

The vendor's answers are taken as those of one that takes no seed, so that pixels say nothing. Canaries are chosen among
crops of the photographs by sensitivity, as at a first visit. Each run takes the answers in another order: eight
references, 30 visits before the change, then visits after it. Runs without a change take all draws that there are.
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from watch_rates import first_alarms, places

from blackbox_conformal.embedded.generator import SCALE, Generator
from blackbox_conformal.images.degrade import crop_to_multiple
from blackbox_conformal.images.photographs import find_photographs
from blackbox_conformal.images.read import read_image
from blackbox_conformal.procedure import Procedure
from blackbox_conformal.types import Image
from blackbox_conformal.watching.features import FEATURES, features
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.sensitivity import CHANGES, sensitivity

SIDE = 160
REFERENCES = 8
BEFORE = 30
AFTER = 30
Draw = Callable[[Image, int], Image]


def halved() -> Generator:
    """The generator with weights of half precision."""
    generator = Generator()
    for name, weights in generator._weights.items():
        generator._weights[name] = weights.astype(np.float16).astype(np.float32)
    return generator


def changes() -> Mapping[str, Draw]:
    """Each change, as a vendor that draws a picture of an input and a seed."""
    plain = Generator().upscale
    planted = {name: (lambda low, seed, change=change: change(plain(low, seed))) for name, change in CHANGES.items()}
    return {
        **planted,
        "contrast 0.8": lambda low, seed: np.rint(128 + 0.8 * (plain(low, seed) - 128.0)).astype(np.uint8),
        "one least bit": lambda low, seed: plain(low, seed) ^ np.uint8(1),
        "half precision": halved().upscale,
        "weights by 1 %": Generator().perturbed(0.01).upscale,
        "weights by 10 %": Generator().perturbed(0.1).upscale,
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


def tables(draw: Draw, lows: Sequence[Image], first_seed: int, draws: int) -> list[NDArray[np.float64]]:
    """(draws, features) of the answers to each input; no two inputs have a seed in common, as in the product."""
    found = []
    for place, low in enumerate(lows):
        seeds = range(first_seed + place * draws, first_seed + (place + 1) * draws)
        found.append(np.array([[features(draw(low, seed), low)[name] for name in FEATURES] for seed in seeds]))
    return found


def alarms(
    before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]], visits: int, runs: int
) -> NDArray[np.float64]:
    """The first alarm of each run, in visits after the change: (runs,); infinite where there is none."""
    random, needed = np.random.default_rng(1), Level().needed(len(FEATURES))
    known = REFERENCES + BEFORE
    first = np.zeros((len(FEATURES), runs), np.int64)
    p_values = np.empty((len(FEATURES), runs, visits * len(before)))
    for run in range(runs):
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            rows = np.concatenate([old[random.permutation(len(old))[:known]], new[random.permutation(len(new))]])
            for column in range(len(FEATURES)):
                ties = random.random(len(rows) - REFERENCES)
                found = places(rows[:, column], REFERENCES, ties)[:visits]
                p_values[column, run, place :: len(before)] = found
    for column in range(len(FEATURES)):
        first[column] = first_alarms(p_values[column], len(before), needed)
    return np.where(first == 0, math.inf, first - BEFORE).min(axis=0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("--canaries", type=int, default=8)
    parser.add_argument("--draws", type=int, default=150)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args(arguments)
    plain = Generator().upscale
    lows = inputs([each.path for each in find_photographs(options.photographs)])
    scored = sorted(lows, key=lambda low: -sensitivity([plain(low, seed) for seed in range(8)], low))
    canaries = scored[: options.canaries]
    known = REFERENCES + BEFORE
    before = tables(plain, canaries, 1_000_000, options.draws)
    print(
        f"{len(canaries)} canaries of {len(lows)} photographs, {options.runs} runs; visits from the change to the alarm"
    )
    print("change             median  90 %  alarms before the change", flush=True)
    for name, draw in changes().items():
        after = tables(draw, canaries, 9_000_000, AFTER)
        found = alarms(before, after, BEFORE + AFTER, options.runs)
        ninety = np.quantile(found, 0.9, method="higher")
        print(f"{name:18s} {np.median(found):6.0f}  {ninety:4.0f}  {int((found <= 0).sum())}", flush=True)
    visits = options.draws - REFERENCES
    silent = alarms([rows[:known] for rows in before], [rows[known:] for rows in before], visits, options.runs)
    print(f"no change: {int(np.isfinite(silent).sum())} of {options.runs} runs of {visits} visits raise an alarm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
