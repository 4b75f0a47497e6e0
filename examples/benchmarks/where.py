"""Show where the processor time of a calibration goes: kernels and the steps around them, on one thread.

    python examples/benchmarks/where.py --photographs FOLDER
    python examples/benchmarks/where.py --score weighted

Prints one table. The time of a step excludes the time that other steps of the table take inside it.
"""

# ruff: noqa: E402 - thread counts must be set before NumPy is imported

import argparse
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import functools
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import METRIC, SCORE, Bench, calibrate

from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.method.images import read
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.images.picture import Picture
from blackbox_conformal.method.images.resemblance import Sent
from blackbox_conformal.method.kernels._jit import Kernel
from blackbox_conformal.study.calibrate import calibrating
from blackbox_conformal.study.stages import prepare
from blackbox_conformal.study.stages.prepare import KeptPixels

STEPS = [
    (read, "decoded", "decoding"),
    (read, "inspect", "chunks and their checksums"),
    (read, "_read_file", "reading photographs"),
    (Picture, "file_digest", "digests of photographs' files"),
    (Picture, "digest", "digests of photographs' pixels"),
    (Sampler, "read", "reading draws and their digests"),
    (prepare, "sketch", "sketches, to find duplicates"),
    (Procedure, "degraded", "making inputs"),
    (KeptPixels, "keep", "keeping photographs on the disk"),
    (KeptPixels, "get", "reading them from there"),
    (Sent, "resemblance", "comparing answers with uploads"),
    (InputStatistics, "of", "statistics of inputs"),
    (calibrating, "calibration_curves", "scores, errors and curves, beside their kernels"),
]


class Clock:
    """Processor seconds by step."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inner = threading.local()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose own time is added up under `name`."""

        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            stack = self._inner.__dict__.setdefault("stack", [0.0])
            stack.append(0.0)
            start = time.thread_time()
            try:
                return function(*given, **named)
            finally:
                taken = time.thread_time() - start
                self.spent[name] += taken - stack.pop()
                stack[-1] += taken

        return call


def watch(clock: Clock) -> None:
    """Time every kernel that Python calls, and the steps."""
    call = Kernel.__call__

    def timed_kernel(kernel: Any, *given: Any, **named: Any) -> Any:
        return clock.timed(f"kernel `{kernel.function.__name__.strip('_')}`", call)(kernel, *given, **named)

    Kernel.__call__ = timed_kernel  # type: ignore[method-assign]
    for owner, name, said in STEPS:
        found = getattr(owner, name)
        if isinstance(found, functools.cached_property):
            found.func = clock.timed(said, found.func)
        else:
            setattr(owner, name, clock.timed(said, found))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, help="folder of photographs; made up without it")
    parser.add_argument("--score", default=SCORE)
    parser.add_argument("--metric", default=METRIC)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    sources = [one.path for one in find_photographs([chosen.photographs])] if chosen.photographs else []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), sources, 2, (3840, 2160), 10, chosen.repeats, False)
        setup, paths = bench.setup(chosen.score, chosen.metric), bench.paths
        calibrate(setup, paths, 1)
        clock = Clock()
        watch(clock)
        start = time.process_time()
        for _ in range(chosen.repeats):
            calibrate(setup, paths, 1)
        photographs = chosen.repeats * len(paths)
        total = (time.process_time() - start) / photographs
    print(
        f"one photograph of 3840 x 2160, ten draws: {total * 1e3:.0f} ms\n\n| step | ms | share |\n| --- | --- | --- |"
    )
    known = {name: spent / photographs for name, spent in clock.spent.items()}
    shown = {name: spent for name, spent in known.items() if spent >= 0.005 * total}
    shown = dict(sorted(shown.items(), key=lambda one: -one[1])) | {"everything else": total - sum(shown.values())}
    for name, spent in shown.items():
        print(f"| {name} | {spent * 1e3:.0f} | {spent / total:.0%} |")


if __name__ == "__main__":
    main()
