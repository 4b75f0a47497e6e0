"""How often `inputs` tells inputs of another kind apart, and how often it gives a false alarm, on photographs.

    python examples/input_shift_rates.py photographs

Photographs (see collect_photographs.py) are split at random: 20 stand for somebody's inputs, the others for the
calibration's. Both are made smaller by bicubic:4, and the 20 undergo one thing more. With ``--others`` it prints how
many single inputs of other photographs, made in the same way, pass their own comparison with 40 of these. Exit code 1:
JPEG 75 was found in fewer than 95 % of the trials, or false alarms were given in more than the level and three standard
errors.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from blackbox_conformal.documents.certificate import DOUBT
from blackbox_conformal.method.audits.input_shift import LEVEL, compare, place
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.images.making_inputs import crop_to_multiple
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.images.read import read_image

SCALE = 4
PLAIN = "bicubic:4"
KINDS = ("jpeg:95", "jpeg:90", "jpeg:75", "jpeg:20", "noise:1", "noise:3", "blur:0.5", "blur:1")
REQUIRED, SHARE = "jpeg:75", 0.95
PERMUTATIONS = 999
CALIBRATED = 40


def main() -> int:
    """Measure and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--inputs", type=int, default=20, help="how many stand for somebody's inputs")
    parser.add_argument("--trials", type=int, default=200, help="random splits for each kind of input")
    parser.add_argument("--false-trials", type=int, default=2000, help="random splits for the false alarms")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders of photographs of other scenes")
    options = parser.parse_args()
    chains = [PLAIN, *(f"{PLAIN}+{kind}" for kind in KINDS)]
    rows = _statistics(options.photographs, chains)
    n = len(rows[PLAIN]) - options.inputs
    print(f"{n} inputs calibrate, {options.inputs} are compared with them, level {LEVEL:g}")
    rng = np.random.default_rng(0)
    found = {}
    for chain in chains:
        trials = options.false_trials if chain == PLAIN else options.trials
        found[chain], moved = _rate(rows[PLAIN], rows[chain], options.inputs, trials, rng)
        named = ", ".join(f"{name} {count / trials:.0%}" for name, count in moved.most_common(3))
        apart = np.mean([each <= LEVEL for each in _p_values(rows[PLAIN], rows[chain])])
        print(
            f"{chain:22} differs in {found[chain]:7.2%} of {trials} trials ({named}); {apart:.0%} single p <= {LEVEL:g}"
        )
    for folder in options.others:
        print(
            f"{folder.name}: {_passed(rows[PLAIN], _statistics(folder, [PLAIN])[PLAIN], rng):.0%} of single inputs pass"
        )
    most = LEVEL + 3 * (LEVEL * (1 - LEVEL) / options.false_trials) ** 0.5
    return int(found[f"{PLAIN}+{REQUIRED}"] < SHARE or found[PLAIN] > most)


def _statistics(folder: Path, chains: list[str]) -> dict[str, InputStatistics]:
    """The statistics of every photograph's input, by chain."""
    rows: dict[str, list[InputStatistics]] = {chain: [] for chain in chains}
    for photograph in find_photographs([folder]):
        picture = read_image(photograph.path)
        truth = crop_to_multiple(picture.pixels, SCALE)
        for chain in chains:
            low = Mixture.of_text(chain).apply(truth, SCALE, 0, picture.digest)
            rows[chain].append(InputStatistics.of(low))
    return {chain: InputStatistics.together(parts) for chain, parts in rows.items()}


def _rate(
    plain: InputStatistics, other: InputStatistics, m: int, trials: int, rng: np.random.Generator
) -> tuple[float, Counter[str]]:
    """How often m random ones of `other` differ from the rest of `plain`, and which statistics moved."""
    differed, moved = 0, Counter[str]()
    for trial in range(trials):
        order = rng.permutation(len(plain)).tolist()
        shift = compare(plain[order[m:]], other[order[:m]], seed=trial, permutations=PERMUTATIONS)
        differed += shift.differ
        moved.update(movement.statistic.name for movement in shift.moved)
    return differed / trials, moved


def _passed(plain: InputStatistics, others: InputStatistics, rng: np.random.Generator) -> float:
    """The share of single inputs of `others` with p > `DOUBT` beside 40 random ones of `plain`, over 20 choices."""
    passed = []
    for _ in range(20):
        known = plain[rng.permutation(len(plain))[:CALIBRATED].tolist()]
        placed = [place(known, others[[one]]) for one in range(len(others))]
        passed += [found.p_value > DOUBT for found in placed if found is not None]
    return float(np.mean(passed))


def _p_values(plain: InputStatistics, other: InputStatistics) -> list[float]:
    """The conformal p-value of each input among those of all other photographs."""
    every = range(len(plain))
    placed = [place(plain[[row for row in every if row != one]], other[[one]]) for one in every]
    return [placement.p_value for placement in placed if placement is not None]


if __name__ == "__main__":
    sys.exit(main())
