"""Time two calls in one run, and print the table of results."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

LEAST = 0.5
"""Seconds that a call is timed for."""


class Compared(NamedTuple):
    """Smallest seconds of ours and of theirs, and the median of theirs / ours over the pairs."""

    ours: float
    theirs: float
    ratio: float


def pairs(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[Compared, Compared]:
    """Both by the wall clock and in processor seconds, called alternately after one warm call of ours.

    A busy machine slows both calls of a pair alike, so that ratios stay when seconds do not. What takes less than
    `LEAST` seconds is called again and again for as long, since one short call says little beside a long one.
    """
    ours()
    spent = [[_mean(call) for call in (ours, theirs)] for _ in range(repeats)]

    def compared(clock: int) -> Compared:
        one, two = ([both[side][clock] for both in spent] for side in (0, 1))
        return Compared(min(one), min(two), statistics.median(b / a for a, b in zip(one, two, strict=True)))

    return compared(0), compared(1)


def _mean(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of one call, by the wall clock and of the processor."""
    calls, wall, processor = 0, time.perf_counter(), time.process_time()
    while calls == 0 or time.perf_counter() - wall < LEAST:
        call()
        calls += 1
    return (time.perf_counter() - wall) / calls, (time.process_time() - processor) / calls


COLUMNS = ["what", "ours", "other", "ratio", "goal", ""]
ROWS: list[list[str]] = []
"""The lines that were printed."""


def heading() -> None:
    """Print the head of the table."""
    print(f"| {' | '.join(COLUMNS)} |\n| {' | '.join('---' for _ in COLUMNS)} |", flush=True)


def row(name: str, ours: str, other: str, ratio: str, goal: str, met: bool | None) -> None:
    """Print one line of the table, and keep it."""
    said = "" if met is None else "met" if met else "missed"
    ROWS.append([name, ours, other, ratio, goal, said])
    print(f"| {' | '.join(ROWS[-1])} |", flush=True)


def at_most(name: str, found: Compared, most: float | None) -> None:
    """A line of seconds and of ours / theirs, and the goal for the ratio, a maximum."""
    share = 1 / found.ratio
    goal = "" if most is None else f"≤ {most:g}"
    row(
        name,
        f"{found.ours:.2f} s",
        f"{found.theirs:.2f} s",
        f"{share:.2f}",
        goal,
        None if most is None else share <= most,
    )


def at_least(name: str, found: Compared, least: float | None) -> None:
    """A line of seconds and of theirs / ours, and the goal for the ratio, a minimum."""
    goal = "" if least is None else f"≥ {least:g}"
    met = None if least is None else found.ratio >= least
    row(name, f"{found.ours:.3f} s", f"{found.theirs:.2f} s", f"{found.ratio:.1f}", goal, met)
