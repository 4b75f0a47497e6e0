"""Time every kernel against readable NumPy, SciPy, scikit-image and Pillow code, in one run, on one thread.

    python examples/benchmarks/kernels.py            # 3840 x 2160
    python examples/benchmarks/kernels.py 960 540    # width, height

Prints one table. Milliseconds depend on the machine, ratios hardly do. Each pair is timed alternately, median of five,
after one call that compiles. The results are compared too.
"""

# ruff: noqa: E402 - the thread counts must be set before NumPy is imported

import io
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import baseline
import numpy as np
from material import photograph
from PIL import Image

from blackbox_conformal.method.kernels import distance, moments, staircase, windows

REPEATS = 5


class Line(NamedTuple):
    """One comparison: what, the two timed calls, the largest difference of their results, and the target ratio."""

    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    difference: float
    target: str


def lines(width: int, height: int) -> list[Line]:
    """Every comparison, with its inputs made."""
    truth, delivered = photograph(width, height, 0), photograph(width, height, 1)
    rough = np.random.default_rng(2).random((height, width)).astype(np.float32)
    scores = windows.gaussian(rough**4, 4.0)
    losses = windows.gaussian(distance.lab_l1(truth, delivered), 4.0)
    file = io.BytesIO()
    Image.fromarray(truth).save(file, "PNG")
    saved = file.getvalue()
    ours, theirs = moments.Moments((height, width)), baseline.Moments((height, width))
    for draw in (truth, delivered):
        ours.add(draw)
        theirs.add(draw)
    steps, expected = staircase.staircase(scores, losses), baseline.staircase(scores, losses)

    def off(one: np.ndarray, two: np.ndarray) -> float:
        return float(np.abs(one - two).max())

    def smoothing(sigma: float, target: str) -> Line:
        return Line(
            f"Gaussian mean, sigma {sigma:g}",
            lambda: windows.gaussian(rough, sigma),
            lambda: baseline.gaussian(rough, sigma),
            off(windows.gaussian(rough, sigma), baseline.gaussian(rough, sigma)),
            target,
        )

    return [
        Line(
            "Lab L1 map",
            lambda: distance.lab_l1(truth, delivered),
            lambda: baseline.lab_l1(truth, delivered),
            off(distance.lab_l1(truth, delivered), baseline.lab_l1(truth, delivered)),
            ">= 30",
        ),
        smoothing(64.0, ">= 30"),
        smoothing(16.0, ""),
        smoothing(4.0, ""),
        Line(
            "Box mean, 31 pixels",
            lambda: windows.box(rough, 31),
            lambda: baseline.box(rough, 31),
            off(windows.box(rough, 31), baseline.box(rough, 31)),
            "",
        ),
        Line(
            f"Risk staircase, {steps[0].size} records",
            lambda: staircase.staircase(scores, losses),
            lambda: baseline.staircase(scores, losses),
            max(off(one, two) for one, two in zip(steps, expected, strict=True)),
            ">= 50",
        ),
        Line("Adding a draw / adding it", lambda: ours.add(truth), lambda: theirs.add(truth), 0.0, ""),
        Line("Adding a draw / decoding its PNG", lambda: ours.add(truth), lambda: baseline.decode(saved), 0.0, "> 10"),
        Line("Pixel variance", ours.variance, theirs.variance, off(ours.variance(), theirs.variance()), ""),
    ]


def seconds(line: Line) -> tuple[float, float]:
    """Median processor time of ours and of theirs, measured alternately so that a busy machine slows both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for call, spent in zip((line.ours, line.theirs), times, strict=True):
            start = time.process_time()
            call()
            spent.append(time.process_time() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Measure and print the table."""
    width, height = (int(value) for value in sys.argv[1:3]) if len(sys.argv) > 2 else (3840, 2160)
    print(f"{width} x {height}, one thread, median of {REPEATS}")
    print(f"{'':36}{'ours ms':>10}{'baseline ms':>13}{'ratio':>8}{'target':>8}{'largest difference':>20}")
    for line in lines(width, height):
        ours, theirs = seconds(line)
        print(
            f"{line.name:36}{ours * 1e3:10.1f}{theirs * 1e3:13.1f}{theirs / ours:8.1f}{line.target:>8}"
            f"{line.difference:20.1e}"
        )


if __name__ == "__main__":
    main()
