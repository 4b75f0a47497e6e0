"""How many photographs an audit looks at until it stops, against a number that is fixed beforehand: simulated.

    python examples/stopping_numbers.py --audits 300

Alpha is 0.1, the loss bound 1. Calibration losses, 40 of them, have a mean of 0.1, as where a threshold uses up its
level; audit losses have the mean of the row. "Fixed" is the least number of photographs with which nine in ten
audits confirm by the Hoeffding-Bentkus bound, which may be looked at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import figures
import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import BETS, LEVEL
from blackbox_conformal.method.audits.sequential import LevelTest, level_test
from blackbox_conformal.method.guarantees._bounds import hoeffding_bentkus_budget
from blackbox_conformal.method.guarantees.guarantee import Claim
from blackbox_conformal.method.risk.betting import growth

ALPHA, MOST = 0.1, 600
Losses = NDArray[np.float64]


def beta(rng: np.random.Generator, mean: float, size: int) -> Losses:
    """Losses that vary over a range."""
    return rng.beta(20 * mean, 20 * (1 - mean), size)


def tied(rng: np.random.Generator, mean: float, size: int) -> Losses:
    """Losses of half the mean, the mean, and one and a half of it."""
    return mean * rng.integers(1, 4, size).astype(np.float64) / 2


def binary(rng: np.random.Generator, mean: float, size: int) -> Losses:
    """Losses of 0 or 1."""
    return (rng.random(size) < mean).astype(np.float64)


def first(losses: Losses, level: float, stake: Losses, delta: float) -> int:
    """After how many losses the bets against `level` are worth 1 / delta; `MOST` + 1: never."""
    reached = stake @ np.exp(np.cumsum(growth(losses, level, BETS), axis=1)) >= 1 / delta
    return int(np.argmax(reached)) + 1 if reached.any() else MOST + 1


def stops(losses: Losses, test: LevelTest) -> tuple[int, int]:
    """After how many photographs the audit confirms, and contradicts."""
    assert test.allowed is not None
    against = first(1 - losses, 1 - test.allowed, test.below, test.share - test.luck)
    return first(losses, test.level, test.above, LEVEL), against


def fixed(audits: list[Losses]) -> int | None:
    """The least number with which nine in ten audits confirm."""
    sums = np.cumsum(np.array(audits), axis=1)
    for count in range(1, MOST + 1):
        budget = hoeffding_bentkus_budget(count, ALPHA, LEVEL)
        if budget is not None and (sums[:, count - 1] <= float(budget)).mean() >= 0.9:
            return count
    return None


def main() -> None:
    """Print the table of docs/audits.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=300, help="Simulated audits a row.  [default: 300]")
    figures.save_option(parser)
    options = parser.parse_args()
    count = options.audits
    columns = ["losses, mean", "confirmed", "contradicted", "mean number looked at", "nine in ten stop by", "fixed"]
    figures.heading(columns)
    rows = []
    sources: list[Callable[[np.random.Generator, float, int], Losses]] = [beta, tied, binary]
    for source in sources:
        for mean in (0.02, 0.05, 0.4, 0.6):
            rng = np.random.default_rng(0)
            audits = [source(rng, mean, MOST) for _ in range(count)]
            tests = [level_test(Claim(source(rng, ALPHA, 40), ALPHA, 1.0), alike=True, levels=1) for _ in audits]
            found = np.array([stops(losses, test) for losses, test in zip(audits, tests, strict=True)])
            looked = np.minimum(found.min(axis=1), MOST)
            confirmed = float(((found[:, 0] <= MOST) & (found[:, 0] < found[:, 1])).mean())
            contradicted = float((found[:, 1] < found[:, 0]).mean())
            number = fixed(audits) if mean < ALPHA else None
            rows.append(
                figures.printed(
                    [
                        f"{source.__name__}, {mean:g}",
                        f"{100 * confirmed:.3g} %",
                        f"{100 * contradicted:.3g} %",
                        f"{looked.mean():.0f}",
                        f"{np.quantile(looked, 0.9, method='higher'):.0f}",
                        str(number or "–"),
                    ]
                )
            )
    if options.save:
        figures.save("audits", "stopping", {"columns": columns, "rows": rows})


if __name__ == "__main__":
    main()
