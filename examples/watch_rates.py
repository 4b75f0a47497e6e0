"""False alarms of `watch` over thousands of visits, and how many visits a change takes to be found.

    python examples/watch_rates.py [--runs 300] [--visits 10000] [--power-runs 1000]

Draws of a canary are normal numbers, perhaps rounded so that many are equal; a feature is the number itself. For each
number of canaries and of reference draws it counts the runs in which the martingale of one feature ever reaches
1 / 0.01, so that stopping at any visit, however it is chosen, is covered. Where visits are missed, a fifth of all
canaries is left out, and half of them while there is little evidence, as a person who looks at it might do. The
control is the same martingale on p-values beside a bag that stays as it was at calibration; it must fail.
"""

import argparse
import math
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.watching.features import FEATURES
from blackbox_conformal.watching.jumper import BETS, JUMP
from blackbox_conformal.watching.level import LEVEL, Level

BLOCK = 128
Values = NDArray[np.float64]


def places(values: Values, references: int, ties: Values, *, fixed: bool = False) -> Values:
    """The p-value of each of the (references + n,) `values` after the references: (n,), as `rank_p_value` gives it.

    `fixed`: beside the references alone, instead of beside everything before.
    """
    bag, new = np.sort(values[:references]), values[references:]
    found = np.empty(len(new))
    for start in range(0, len(new), BLOCK):
        block = new[start : start + BLOCK]
        right = np.searchsorted(bag, block, "right")
        above, equal = len(bag) - right, right - np.searchsorted(bag, block, "left") + 1
        size = np.full(len(block), len(bag) + 1)
        if not fixed:
            earlier = np.tri(len(block), k=-1, dtype=bool)
            above = above + ((block[None, :] > block[:, None]) & earlier).sum(axis=1)
            equal = equal + ((block[None, :] == block[:, None]) & earlier).sum(axis=1)
            size += np.arange(len(block))
            bag = np.sort(np.concatenate([bag, block]), kind="stable")
        found[start : start + BLOCK] = (above + ties[start : start + BLOCK] * equal) / size
    return found


def first_alarms(p_values: Values, canaries: int, needed: float, *, skips: Values | None = None) -> NDArray[np.int64]:
    """The visit of each run, from 1, at which the martingale first reaches `needed`; 0: never.

    Parameters
    ----------
    p_values
        (runs, visits x canaries), in the order in which they are bet on.
    skips
        (runs, visits x canaries) in [0, 1): a canary is left out below 0.2, below 0.5 while the wealth is below 1.
    """
    runs, steps = p_values.shape
    bets = np.array(BETS)
    capital = np.full((runs, len(bets)), 1 / len(bets))
    wealth, log_now, first = np.ones(runs), np.zeros(runs), np.zeros(runs, np.int64)
    for step in range(steps):
        mixed = (1 - JUMP) * capital + JUMP / len(bets)
        grown = mixed * (1 + bets * (p_values[:, step, None] - 0.5))
        total = grown.sum(axis=1)
        if skips is not None:
            bet = skips[:, step] >= np.where(wealth < 1, 0.5, 0.2)
            capital = np.where(bet[:, None], grown / total[:, None], capital)
            total = np.where(bet, total, 1.0)
        else:
            capital = grown / total[:, None]
        log_now += np.log(total)
        wealth = np.exp(np.minimum(log_now, 50))
        reached = (first == 0) & (log_now >= math.log(needed))
        first[reached] = step // canaries + 1
    return first


def alarms(
    runs: int,
    visits: int,
    canaries: int,
    references: int,
    *,
    seed: int,
    needed: float,
    grid: float = 0.0,
    shift: float = 0.0,
    change: int = 0,
    missed: bool = False,
    fixed: bool = False,
) -> NDArray[np.int64]:
    """The first alarm of each run; values are rounded to `grid`, and grow by `shift` from visit `change` on."""
    p_values = np.empty((runs, visits * canaries), np.float32)
    for run in range(runs):
        random = np.random.default_rng([seed, run])
        for canary in range(canaries):
            values = random.normal(size=references + visits)
            values[references + change :] += shift
            if grid:
                values = np.round(values / grid)
            p_values[run, canary::canaries] = places(values, references, random.random(visits), fixed=fixed)
    skips = np.random.default_rng([seed, runs, 1]).random(p_values.shape, np.float32) if missed else None
    return first_alarms(p_values, canaries, needed, skips=skips)


def show_false_alarms(runs: int, visits: int) -> bool:
    """Print the share of runs with an alarm, for each setting; whether all are as they must be."""
    allowed = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / runs)
    print(f"\nRuns of {visits} visits with an alarm at 1 / {LEVEL:g}, of {runs}; allowed: {allowed:.2%}")
    print("canaries  references  plain  equal values  missed visits  all three")
    fine = True
    for canaries in (1, 8, 16):
        for references in (1, 2, 8):
            shares = []
            for grid, missed in ((0.0, False), (1.0, False), (0.0, True), (1.0, True)):
                seed = 1000 * canaries + 10 * references + 2 * bool(grid) + missed
                found = alarms(
                    runs, visits, canaries, references, seed=seed, needed=1 / LEVEL, grid=grid, missed=missed
                )
                shares.append(float((found > 0).mean()))
            fine &= max(shares) <= allowed
            print(f"{canaries:8d}  {references:10d}  " + "  ".join(f"{share:.2%}" for share in shares), flush=True)
    print("\nThe control: the same against the references alone, plain")
    for canaries in (1, 8):
        found = alarms(min(runs, 200), min(visits, 2000), canaries, 8, seed=7, needed=1 / LEVEL, fixed=True)
        share = float((found > 0).mean())
        fine &= share > 0.2
        print(f"{canaries:8d}  {8:10d}  {share:.1%}", flush=True)
    return fine


def show_power(runs: int) -> None:
    """Print the median and the 90 % quantile of visits to the alarm, as a watch with every feature has it."""
    needed = Level().needed(len(FEATURES))
    print(f"\nVisits from the change to the alarm at {needed:.0f}: median (90 %), of {runs} runs; –: more than 100")
    print("canaries  references  change at visit  0.5 sd  1 sd  2 sd  5 sd")
    for canaries in (4, 8, 16):
        for references, change in ((4, 0), (4, 30), (8, 0), (8, 30)):
            cells = []
            for shift in (0.5, 1.0, 2.0, 5.0):
                found = alarms(
                    runs, change + 100, canaries, references, seed=3, needed=needed, shift=shift, change=change
                )
                after = np.where(found == 0, 10**6, found - change)
                cells.append(" ".join((_visits(np.median(after)), f"({_visits(np.quantile(after, 0.9))})")))
            print(f"{canaries:8d}  {references:10d}  {change + 1:15d}  " + "  ".join(cells), flush=True)


def _visits(value: float) -> str:
    return "–" if value > 100 else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--visits", type=int, default=10_000)
    parser.add_argument("--power-runs", type=int, default=1000)
    options = parser.parse_args(arguments)
    show_power(options.power_runs)
    fine = show_false_alarms(options.runs, options.visits)
    print("\nas it must be" if fine else "\nNOT AS IT MUST BE")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
