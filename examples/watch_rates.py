"""False alarms of `watch` over thousands of visits, and how many visits a change takes to be found.

    python examples/watch_rates.py [--runs 1000] [--visits 10000] [--power-runs 1000]

Draws of a canary are normal numbers, perhaps rounded so that many are equal; a feature is the number itself. For each
number of canaries and of reference draws it counts the runs in which the martingale of one feature ever reaches
1 / 0.01, so that stopping at any visit, however it is chosen, is covered. Where visits are missed, a fifth of them is
left out, and half of them while there is little evidence, as a person who looks at it might do; and a tenth of the
canaries of the others are not answered. The control is the same martingale on p-values beside a bag that stays as it
was at calibration; it must fail.
"""

import argparse
import math
import sys
from collections.abc import Sequence

import figures
import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels._jit import kernel
from blackbox_conformal.watching.features import FEATURES
from blackbox_conformal.watching.jumper import BETS, JUMP
from blackbox_conformal.watching.level import LEVEL, Level
from blackbox_conformal.watching.speed import SPEEDS, Speed

LONGEST = 100
Values = NDArray[np.float64]


def first_alarm(
    values: Values,
    references: int,
    needed: float,
    random: np.random.Generator,
    *,
    missed: bool = False,
    fixed: bool = False,
) -> int:
    """The visit, from 1, at which the martingale of a feature first reaches `needed`; 0: never.

    Parameters
    ----------
    values
        (canaries, references + visits), each canary's draws in their order.
    missed
        Whether visits are left out, more of them while the wealth is below 1, and canaries are not answered.
    fixed
        Whether draws are ranked beside the references alone, instead of beside everything before.
    """
    ranks = np.empty(values.shape, np.int64)
    for canary, row in enumerate(values):
        ranks[canary] = np.unique(row, return_inverse=True)[1] + 1
    canaries, visits = len(values), values.shape[1] - references
    ties = random.random((visits, canaries))
    luck = random.random((visits, canaries + 1)) if missed else np.ones((visits, canaries + 1))
    return _first_alarm(ranks, references, ties, luck, math.log(needed), fixed, np.array(BETS), JUMP)


@kernel
def _first_alarm(
    ranks: NDArray[np.int64],
    references: int,
    ties: Values,
    luck: Values,
    needed: float,
    fixed: bool,
    bets: Values,
    jump: float,
) -> int:
    """As `first_alarm`, of dense ranks from 1, with the logarithm of `needed`.

    `luck` is (visits, 1 + canaries): that of the visit, and whether each canary is answered.
    """
    canaries, length = ranks.shape
    counts, sizes = np.zeros((canaries, length + 1), np.int64), np.zeros(canaries, np.int64)
    capital = np.full(len(bets), 1.0 / len(bets))
    log_wealth = 0.0
    for step in range(length):
        visit = step - references
        if visit >= 0 and luck[visit, 0] < (0.5 if log_wealth < 0 else 0.2):
            continue
        for canary in range(canaries):
            if visit >= 0 and luck[visit, 1 + canary] < 0.1:
                continue
            rank, size = ranks[canary, step], sizes[canary]
            if visit >= 0:
                not_above = _at_most(counts[canary], rank)
                equal = not_above - _at_most(counts[canary], rank - 1) + 1
                p_value = (size - not_above + ties[visit, canary] * equal) / (size + 1)
                total = 0.0
                for place in range(len(bets)):
                    mixed = (1 - jump) * capital[place] + jump / len(bets)
                    capital[place] = mixed * (1 + bets[place] * (p_value - 0.5))
                    total += capital[place]
                for place in range(len(bets)):
                    capital[place] /= total
                log_wealth += math.log(total)
                if log_wealth >= needed:
                    return visit + 1
            if visit < 0 or not fixed:
                sizes[canary] += 1
                _add(counts[canary], rank)
    return 0


@kernel
def _at_most(counts: NDArray[np.int64], rank: int) -> int:
    """How many entries of a binary indexed tree (Fenwick 1994) have at most this rank."""
    found = 0
    while rank > 0:
        found += counts[rank]
        rank -= rank & -rank
    return found


@kernel
def _add(counts: NDArray[np.int64], rank: int) -> None:
    while rank < len(counts):
        counts[rank] += 1
        rank += rank & -rank


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
    found = np.empty(runs, np.int64)
    for run in range(runs):
        random = np.random.default_rng([seed, run])
        values = random.normal(size=(canaries, references + visits))
        values[:, references + change :] += shift
        if grid:
            values = np.round(values / grid)
        found[run] = first_alarm(values, references, needed, random, missed=missed, fixed=fixed)
    return found


def show_false_alarms(runs: int, visits: int, *, save: bool) -> bool:
    """Print the share of runs with an alarm, for each setting; whether all are as they must be."""
    allowed = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / runs)
    print(f"\nRuns of {visits} visits with an alarm at 1 / {LEVEL:g}, of {runs}; allowed: {allowed:.2%}\n")
    heads = ["canaries", "reference draws", "all values different", "many equal values", "visits missed", "both"]
    columns, rows = figures.heading(heads), []
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
            told = [f"{100 * share:.1f} %" for share in shares]
            rows.append(figures.printed([str(canaries), str(references), *told]))
    if save:
        figures.save("watching", "false alarms", {"columns": columns, "rows": rows})
    visits = min(visits, 2000)
    print(f"\nThe control, beside the references alone, {visits} visits, plain: of two more than 20 % must alarm")
    print("canaries  two references  eight references")
    for canaries in (1, 8, 16):
        two, eight = (
            float((alarms(runs, visits, canaries, references, seed=7, needed=1 / LEVEL, fixed=True) > 0).mean())
            for references in (2, 8)
        )
        fine &= two > 0.2
        print(f"{canaries:8d}  {two:14.1%}  {eight:.1%}", flush=True)
    return fine


def show_power(runs: int, *, save: bool) -> bool:
    """Print the visits to the alarm, as a watch with every feature has it; whether a plan promises what they are."""
    needed, promised = Level().needed(len(FEATURES)), set()
    print(f"\nVisits from the change to the alarm at {needed:.0f}: median (90 %), of {runs} runs; –: over {LONGEST}\n")
    shifts = (0.5, 1.0, 2.0, 5.0)
    heads = ["canaries", "reference draws", "change at visit", *(f"{shift:g} sd" for shift in shifts)]
    columns, rows = figures.heading(heads), []
    for canaries in (4, 8, 16):
        for references, change in ((4, 0), (4, 30), (8, 0), (8, 30)):
            cells = []
            for shift in shifts:
                found = alarms(
                    runs, change + LONGEST, canaries, references, seed=3, needed=needed, shift=shift, change=change
                )
                after = np.where(found == 0, 10**6, found - change)
                median, ninety = _visits(np.median(after)), _visits(np.quantile(after, 0.9, method="higher"))
                cells.append(f"{median} ({ninety or '–'})" if median else "–")
                if (references, change) == (4, 30):
                    promised.add(Speed(canaries, shift, median, ninety))
            rows.append(figures.printed([str(canaries), str(references), str(change + 1), *cells]))
    if save:
        figures.save("watching", "visits", {"columns": columns, "rows": rows})
    return promised == set(SPEEDS)


def _visits(value: float) -> int | None:
    return None if value > LONGEST else math.ceil(value)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--visits", type=int, default=10_000)
    parser.add_argument("--power-runs", type=int, default=1000)
    figures.save_option(parser)
    options = parser.parse_args(arguments)
    kept = show_power(options.power_runs, save=options.save)
    print("\n`watch --plan` promises these" if kept else "\n`watch --plan` PROMISES OTHER ONES (watching/speed.py)")
    fine = show_false_alarms(options.runs, options.visits, save=options.save)
    print("\nas it must be" if fine else "\nNOT AS IT MUST BE")
    return 0 if fine and kept else 1


if __name__ == "__main__":
    sys.exit(main())
