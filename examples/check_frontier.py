"""Compare the shares that `plan` expects with those that calibrations then trust.

    python examples/measure_frontier.py draws --embedded --curves curves
    python examples/check_frontier.py --curves curves
    python examples/check_frontier.py --curves curves-of-detail --detail

Outcomes are real splits: n random photographs calibrate, and what they trust of others is measured. Four expectations
are compared with them:

- *table*: the mean over the vendors and collections that share neither the vendor nor the collection of the outcome,
  with an error from these alone;
- *pilot*: 20 photographs of the same vendor and kind, which then do not calibrate;
- *stand-in*: the vendor that ships with the package, on the photographs of the same collection, with an error that
  covers other vendors (taken from the file that ships, and so from the same vendors);
- *itself*: all photographs of the vendor and collection, the outcome's among them, which shows how much of a miss is
  the luck of one split.

*hits*: how many of 100 outcomes lie within 5 points, and within the printed error, of what was expected.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure_frontier import DETAIL, ERRORS, STAND_IN, Cell, Series, all_series, read, shares_and_errors
from numpy.typing import NDArray

from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.plan.expected_shares import COVERED, CurveOutlook, Prospect, measured_shares, series_name
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC
from blackbox_conformal.study.stages.settings import member

CHECKED = {"errors": (0.05, 0.1, 0.2), "detail": (0.1, 0.2, 0.3), "clear-share": (0.4, 0.5, 0.6)}
POINTS = 0.05
PILOT = 20


class Tally:
    """Expectations beside outcomes."""

    def __init__(self) -> None:
        self.misses: list[float] = []
        self.errors: list[float] = []

    def add(self, expected: Prospect, found: Iterable[float]) -> None:
        """One expectation, and the outcomes that it is about."""
        misses = [abs(one - expected.share) for one in found]
        self.misses += misses
        self.errors += [expected.error] * len(misses)

    def __str__(self) -> str:
        misses, errors = np.array(self.misses), np.array(self.errors)
        return (
            f"{100 * (misses <= POINTS).mean():5.0f} within 5 points {100 * (misses <= errors).mean():5.0f} within the "
            f"error; mean error {100 * errors.mean():5.1f}, nine in ten miss by at most "
            f"{100 * np.quantile(misses, COVERED):5.1f} points  ({len(misses)} outcomes)"
        )


Pair = tuple[CurveSet, CurveSet]
"""The curves that a promise is about, and those of the largest error, which is promised beside."""


def pair_of(cell: Cell, series: Series) -> Pair:
    """Those of a cell."""
    return cell.of(series), cell.curves[series[1:]][0]


def checked(series: Series) -> tuple[float, ...]:
    """The levels at which a promise is checked."""
    kind = series[0].rule.needs.curve_kind
    return CHECKED.get(kind, CHECKED["detail" if series[0].of_detail else "errors"])


def realised(curves: Pair, series: Series, n: int, splits: int) -> NDArray[np.float64]:
    """(splits, levels): what n random photographs trust of the others."""
    generator, found = np.random.default_rng([n, len(curves[0])]), []
    for _ in range(splits):
        calibrating, rest = np.split(generator.permutation(len(curves[0])), [n])
        found.append(trusted(curves, series, calibrating, rest))
    return np.array(found)


def trusted(curves: Pair, series: Series, calibrating: NDArray[np.int64], rest: NDArray[np.int64]) -> list[float]:
    """What some photographs trust of others at each level, by the guarantee itself."""
    chosen, errors = (each.subset(np.sort(calibrating)) for each in curves)
    others, rule, highest = curves[0].subset(np.sort(rest)), series[0].rule, math.inf
    if rule.beside is not None:
        highest = rule.beside[0].threshold(errors, rule.beside[1])
    thresholds = [min(rule.threshold(chosen, level), highest) for level in checked(series)]
    return [float(others.trusted_shares_at(threshold).mean()) for threshold in thresholds]


def outlook(curves: Pair, series: Series) -> CurveOutlook:
    """What calibrations on these photographs would trust."""
    return CurveOutlook.of(curves[0], curves[1] if series[0].of_detail else None)


def with_pilot(curves: Pair, series: Series, n: int, splits: int) -> Iterator[tuple[list[Prospect], list[float]]]:
    """Expectations of random pilots at each level, and what n of the other photographs trust of the rest."""
    generator, whole = np.random.default_rng([n, len(curves[0]), 1]), outlook(curves, series)
    for split in range(splits):
        pilot, calibrating, rest = np.split(generator.permutation(len(curves[0])), [PILOT, PILOT + n])
        own = replace(whole, losses=whole.losses[pilot], shares=whole.shares[pilot], errors=whole.errors[pilot])
        yield own.prospects(series[0].rule, checked(series), n, seed=split), trusted(curves, series, calibrating, rest)


def together(cells: Sequence[Cell], series: Series) -> Pair:
    """The photographs of several cells as one pool."""
    bounded, errors = zip(*(pair_of(cell, series) for cell in cells), strict=True)
    return CurveSet.from_curves([one for own in bounded for one in own]), CurveSet.from_curves(
        [one for own in errors for one in own]
    )


def check(cells: Sequence[Cell], series: Series, splits: int) -> dict[str, Tally]:
    """All expectations of one series."""
    tallies = {name: Tally() for name in ("table", "pilot", "stand-in", "itself")}
    for cell in cells:
        apart = [other for other in cells if other.apart(cell)]
        own = cell.outlook(series)
        stand_in = [one for one in cells if one.collection == cell.collection and one.vendor == STAND_IN != cell.vendor]
        n = cell.photographs // 2
        table = expected_of(apart, series, n) if len({one.collection for one in apart}) > 1 else []
        found = realised(pair_of(cell, series), series, n, splits)
        expectations = [("itself", own.prospects(series[0].rule, checked(series), n)), ("table", table)]
        for one in stand_in:
            near = one.outlook(series).prospects(series[0].rule, checked(series), n)
            apart_by = [measured_at(series, level, n) for level in checked(series)]
            errors = [math.hypot(prospect.error, further) for prospect, further in zip(near, apart_by, strict=True)]
            widened = [Prospect(prospect.share, error) for prospect, error in zip(near, errors, strict=True)]
            expectations.append(("stand-in", widened))
        for name, prospects in expectations:
            for place, prospect in enumerate(prospects):
                tallies[name].add(prospect, found[:, place])
    for vendor in sorted({cell.vendor for cell in cells}):
        pool = together([cell for cell in cells if cell.vendor == vendor], series)
        for n in (25, 50, 100):
            if len(pool[0]) >= PILOT + n + 40:
                for prospects, shares in with_pilot(pool, series, n, splits):
                    for prospect, share in zip(prospects, shares, strict=True):
                        tallies["pilot"].add(prospect, [share])
    return tallies


def measured_at(series: Series, level: float, n: int) -> float:
    """How far other vendors are from the stand-in, as the file that ships says."""
    measured = measured_shares(of_detail=series[0].of_detail)
    near = measured.at(series_name(*series), "vendors", level, n)
    return 0.0 if near is None else near[1]


def expected_of(cells: Sequence[Cell], series: Series, n: int) -> list[Prospect]:
    """What a table of these cells alone expects of n photographs at each level."""
    found = [cell.outlook(series).outcomes(series[0].rule, checked(series), n)[:, :, None] for cell in cells]
    shares, errors = shares_and_errors(cells, found)
    return [Prospect(float(share), float(error)) for share, error in zip(shares[:, 0], errors[:, 0], strict=True)]


def main() -> int:
    """Check every promise with one draw, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--detail", action="store_true", help="check promises of detail instead of errors")
    options = parser.parse_args()
    table = DETAIL if options.detail else ERRORS
    cells = read(options.curves, table)
    for series in all_series(member("metrics", DEFAULT_METRIC), table):
        promise, draws, delivery = series
        if draws == 1:
            print(f"{promise.name}, one draw, delivered {delivery}")
            for name, tally in check(cells, series, options.splits).items():
                print(f"  {name:9}{tally}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
