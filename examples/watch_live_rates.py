"""False alarms of live pictures in `watch`, and how many of them a change takes to be found.

    python examples/watch_live_rates.py [--runs 100] [--pictures 1000]

Answers follow their inputs, and all numbers are rounded so that many are equal. It counts the runs in which a feature's
martingale ever reaches its part of the level 5 %, so that stopping at any picture is covered. The control ranks beside
the calibration's photographs alone and must fail.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from blackbox_conformal.method.audits.stream_evidence import ANSWERS
from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics
from blackbox_conformal.method.risk.answers import LEVELS, Answers
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live_file import INPUTS, Wealth, highest, p_values

LEVEL = 0.05
LONGEST = 100


def pictures(
    random: np.random.Generator, n: int, shift: float = 0.0, grid: float = 1.0
) -> tuple[InputStatistics, Answers]:
    """`n` pictures whose answers follow the first statistic of their inputs, and differ by `shift` besides."""

    def normal(columns: int) -> np.ndarray:
        values = random.normal(size=(n, columns))
        return np.round(values / grid) * grid if grid else values

    inputs = normal(len(STATISTICS))
    base = inputs[:, :1] + normal(1) + shift
    scores = np.sort(normal(len(LEVELS)) + 20, axis=1)
    agreement = np.clip(normal(1) / 20, -1, 1)
    strangeness = np.maximum(base[:, 0] + 10, 0)
    rows = np.concatenate([np.clip(base / 20, -1, 1), np.clip(base + 10, 0, 255), scores, agreement], axis=1)
    return InputStatistics(inputs.astype(np.float32)), Answers(rows.astype(np.float32)).watched(strangeness)


def watched(
    known: tuple[InputStatistics, Answers],
    live: tuple[InputStatistics, Answers],
    random: np.random.Generator,
    *,
    fixed: bool = False,
    enough: float = np.inf,
) -> tuple[dict[str, Wealth], int]:
    """The martingales after all live pictures, or after those that took one of an answer's to `enough`; how many."""
    inputs = InputStatistics.together([known[0], live[0]])
    answers = Answers.together([known[1], live[1]])
    wealth = {name: Wealth() for name in (*INPUTS, *ANSWERS)}
    first = len(known[0])
    for place in range(first, len(inputs)):
        rows = [*range(first), place] if fixed else list(range(place + 1))
        found = p_values(inputs[rows], answers[rows], 20.0, lambda _: float(random.random()))
        wealth = {name: one.after(found[name]) for name, one in wealth.items()}
        if highest(wealth, ANSWERS)[1] >= np.log(enough):
            return wealth, place - first + 1
    return wealth, 0


def false_alarms(runs: int, live: int, photographs: int, *, fixed: bool = False) -> tuple[float, float]:
    """The shares of runs in which inputs, and answers, ever reached their part of `LEVEL`."""
    found = []
    for run in range(runs):
        random = np.random.default_rng([run, 3])
        wealth, _ = watched(pictures(random, photographs), pictures(random, live), random, fixed=fixed)
        found.append([highest(wealth, names)[1] >= np.log(len(names) / LEVEL) for names in (INPUTS, ANSWERS)])
    inputs, answers = np.mean(found, axis=0)
    return float(inputs), float(answers)


def pictures_to_alarm(runs: int, photographs: int, shift: float) -> list[int]:
    """In each run, the live pictures from a change of the answers to the alarm; `LONGEST` + 1 where there is none."""
    needed, found = len(ANSWERS) / Level().answers, []
    for run in range(runs):
        random = np.random.default_rng([run, 5])
        known, live = pictures(random, photographs, grid=0), pictures(random, LONGEST, shift, grid=0)
        found.append(watched(known, live, random, enough=needed)[1] or LONGEST + 1)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=1000)
    options = parser.parse_args(arguments)
    print("photographs  shift  pictures to the alarm: median, 90 %")
    for photographs in (20, 50, 100):
        for shift in (1.0, 2.0, 5.0):
            found = pictures_to_alarm(options.runs, photographs, shift)
            print(f"{photographs:11d}  {shift:5g}  {np.median(found):g} {np.quantile(found, 0.9):g}", flush=True)
    shares = false_alarms(options.runs, options.pictures, 20)
    print("false alarms of inputs and answers, 5 % each allowed: {:.1%} {:.1%}".format(*shares), flush=True)
    control = false_alarms(min(options.runs, 50), min(options.pictures, 300), 20, fixed=True)
    print("the control: {:.1%} {:.1%}".format(*control))
    allowed = LEVEL + 3 * (LEVEL * (1 - LEVEL) / options.runs) ** 0.5
    return 0 if max(shares) <= allowed and min(control) > 0.2 else 1


if __name__ == "__main__":
    sys.exit(main())
