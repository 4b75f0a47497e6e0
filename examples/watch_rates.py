"""False alarms of `watch`, and how many visits a change takes to be found, by the product's own ranks and bets.

    python examples/watch_rates.py [--runs 1000] [--visits 300] [--power-runs 1000]

Draws of a canary are normal numbers, perhaps rounded so that many are equal; a feature is the number itself. Answers
of one visit may share a part of their deviation (`rho`, their correlation), or the vendor may have two models, 2
standard deviations apart, and send each request or each visit to one of them. All of these vendors are unchanged. It
counts the runs in which the martingale of one feature ever reaches 1 / 0.01, so that stopping at any visit, however it
is chosen, is covered. The controls must fail: the simple jumper (Vovk, Gammerman and Shafer 2022) on each canary's own
p-values, one after the other, and visits that are ranked beside eight draws of one session, as of a calibration.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import figures
import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.watching.level import LEVEL, Level, visit_p_values
from blackbox_conformal.watching.visit.canaries import FEATURES
from blackbox_conformal.watching.visit.looking import log_wealth
from blackbox_conformal.watching.visit.visiting import SPEEDS, Speed

LONGEST = 100
APART = 2.0
AT_ONCE = 100
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Vendor:
    """An unchanged vendor.

    Attributes
    ----------
    rho
        Correlation between the answers of one visit.
    share
        Of requests, or of visits where it is `by_visit`, that another model answers.
    grid
        What answers are rounded to; 0: not at all.
    session
        So many first visits are one session.
    """

    rho: float = 0.0
    share: float = 0.0
    by_visit: bool = False
    grid: float = 0.0
    session: int = 1

    def answers(self, random: np.random.Generator, visits: int, canaries: int, runs: int) -> Values:
        """(visits, canaries, runs)."""
        shared, routed = random.normal(size=(visits, 1, runs)), random.random((visits, 1, runs)) < self.share
        shared[: self.session], routed[: self.session] = shared[:1], routed[:1]
        if not self.by_visit:
            routed = random.random((visits, canaries, runs)) < self.share
        own = random.normal(size=(visits, canaries, runs))
        values = math.sqrt(self.rho) * shared + math.sqrt(1 - self.rho) * own + APART * routed
        return np.round(values / self.grid) if self.grid else values


VENDORS: Mapping[str, Vendor] = {
    "independent": Vendor(),
    "many equal values": Vendor(grid=1.0),
    "correlation 0.1": Vendor(rho=0.1),
    "correlation 0.3": Vendor(rho=0.3),
    "correlation 1": Vendor(rho=1.0),
    "two models by request, 50:50": Vendor(share=0.5),
    "two models by visit, 50:50": Vendor(share=0.5, by_visit=True),
    "two models by visit, 90:10": Vendor(share=0.1, by_visit=True),
}


def evidence(values: Values, random: np.random.Generator) -> Values:
    """(visits, runs): logarithm of the martingale of each run after each visit, of values (visits, canaries, runs)."""
    return log_wealth(visit_p_values(values, random.random((len(values), values.shape[2]))))


def multiplied(values: Values, random: np.random.Generator) -> Values:
    """The control: each canary has a p-value of its own at each visit, and their bets are multiplied."""
    visits, canaries, runs = values.shape
    each = [visit_p_values(values[:, [canary]], random.random((visits, runs))) for canary in range(canaries)]
    bets = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[:, None]
    capital, found = np.full((len(bets), runs), 1 / len(bets)), np.zeros((visits, runs))
    for visit in range(visits):
        for canary in range(canaries):
            capital = (0.99 * capital + 0.01 / len(bets)) * (1 + bets * (each[canary][visit] - 0.5))
            total = capital.sum(axis=0)
            capital /= total
            found[visit] += np.log(total)
    return np.asarray(found.cumsum(axis=0))


def alarms(
    runs: int,
    visits: int,
    canaries: int,
    vendor: Vendor,
    *,
    seed: int,
    needed: float,
    shift: float = 0.0,
    change: int = 0,
    control: bool = False,
) -> NDArray[np.int64]:
    """The first visit, from 1, at which each run's martingale reaches `needed`; 0: never.

    Values grow by `shift` after visit `change`.
    """
    random, found = np.random.default_rng([seed, canaries]), []
    for start in range(0, runs, AT_ONCE):
        values = vendor.answers(random, visits, canaries, min(AT_ONCE, runs - start))
        values[change:] += shift
        reached = (multiplied if control else evidence)(values, random) >= math.log(needed)
        found.append(np.where(reached.any(axis=0), reached.argmax(axis=0) + 1, 0))
    return np.concatenate(found)


def show_false_alarms(runs: int, visits: int) -> bool:
    """Print the share of runs with an alarm, for each vendor; whether all are as they must be."""
    allowed = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / runs)
    print(f"\nRuns of {visits} visits with an alarm at 1 / {LEVEL:g}, of {runs}; allowed: {allowed:.2%}\n")
    heads = [
        "an unchanged vendor",
        "1 canary",
        "8 canaries",
        "16 canaries",
        "control: bets of 8 canaries multiplied, 60 visits",
    ]
    figures.heading(heads)
    fine = True

    def share(vendor: Vendor, canaries: int, visits: int, *, control: bool = False) -> float:
        found = alarms(runs, visits, canaries, vendor, seed=5, needed=1 / LEVEL, control=control)
        return float((found > 0).mean())

    for name, vendor in VENDORS.items():
        shares = [share(vendor, canaries, visits) for canaries in (1, 8, 16)]
        fine &= max(shares) <= allowed
        shares.append(share(vendor, 8, min(visits, 60), control=True))
        figures.printed([name, *(f"{100 * one:.1f} %" for one in shares)])
    fine &= shares[-1] > 2 * LEVEL
    print("\nThe control with eight draws of one session before the first visit: all must alarm more often")
    for name, vendor in VENDORS.items():
        if vendor.rho or vendor.by_visit:
            one = share(Vendor(**{**vars(vendor), "session": 8}), 8, min(visits, 100))
            fine &= one > allowed
            print(f"{name}: {one:.1%}", flush=True)
    return fine


def show_power(runs: int, *, save: bool) -> bool:
    """Print the visits to the alarm, as a watch with every feature has it; whether a plan promises what they are."""
    needed, promised = Level().needed(len(FEATURES)), set()
    print(f"\nVisits from the change to the alarm at {needed:.0f}: median (90 %), of {runs} runs; –: over {LONGEST}\n")
    shifts = (0.5, 1.0, 2.0, 5.0)
    heads = ["canaries", "visits before", *(f"{shift:g} sd" for shift in shifts), "2 sd, correlation 0.3"]
    columns, rows = figures.heading(heads), []
    for canaries in (4, 8, 16):
        for change in (10, 30, 100):
            cells = []
            for shift, vendor in [*((shift, Vendor()) for shift in shifts), (2.0, Vendor(rho=0.3))]:
                found = alarms(
                    runs, change + LONGEST, canaries, vendor, seed=3, needed=needed, shift=shift, change=change
                )
                after = np.where(found == 0, 10**6, found - change)
                median, ninety = _visits(np.median(after)), _visits(np.quantile(after, 0.9, method="higher"))
                cells.append(f"{median} ({ninety or '–'})" if median else "–")
                if change == 30 and not vendor.rho:
                    promised.add(Speed(canaries, shift, median, ninety))
            rows.append(figures.printed([str(canaries), str(change), *cells]))
    if save:
        figures.save("watching", "visits", {"columns": columns, "rows": rows})
    print(*sorted(promised, key=lambda one: (one.canaries, one.shift)), sep="\n")
    return promised == set(SPEEDS)


def _visits(value: float) -> int | None:
    return None if value > LONGEST else math.ceil(value)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--visits", type=int, default=300)
    parser.add_argument("--power-runs", type=int, default=1000)
    figures.save_option(parser)
    options = parser.parse_args(arguments)
    kept = show_power(options.power_runs, save=options.save)
    print("\n`watch --plan` promises these" if kept else "\n`watch --plan` PROMISES OTHER ONES (watching/speed.py)")
    fine = show_false_alarms(options.runs, options.visits)
    print("\nas it must be" if fine else "\nNOT AS IT MUST BE")
    return 0 if fine and kept else 1


if __name__ == "__main__":
    sys.exit(main())
