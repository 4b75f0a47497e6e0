"""Measurements that need a process of their own: the first use of the kernels, and peak memory."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

FIRST_USE = """
import sys, time
import blackbox_conformal as bc
start = time.perf_counter()
adapter = bc.load_adapter("folder", path=sys.argv[1], label="benchmark")
bc.mask(adapter, sys.argv[2], bc.Calibration.load(sys.argv[3]), 1.0)
print(time.perf_counter() - start)
"""

PEAK = """
import json, sys
from pathlib import Path
import blackbox_conformal as bc
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.settings import set_up
root, run, score, draws, count, memory = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
adapter = bc.load_adapter("folder", path=str(root / "draws"), label="benchmark")
setup = set_up(adapter, draws=int(draws), score=score)
said = ""
try:
    paths = sorted((root / "truth").iterdir())[: int(count)]
    calibrate_job(Job.of_photographs(setup, paths, Terms(run, memory_bytes=int(memory) or None)))
except BlackboxConformalError as error:
    said = str(error)
high = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(json.dumps([int(high) / 1024, said]))
"""


class Peak(NamedTuple):
    """Peak resident memory in MiB, and the error that ended the process; empty when there was none."""

    megabytes: float
    error: str


def first_use(draws: Path, calibration: Path, source: Path, cache: Path) -> float:
    """Seconds of one mask in a new process with this kernel cache."""
    arguments = [sys.executable, "-c", FIRST_USE, str(draws), str(source), str(calibration)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return float(subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment).stdout)


def peak(root: Path, score: str, draws: int, count: int, *, memory: int = 0, repeats: int = 1) -> Peak:
    """The highest of so many calibrations, each in a process of its own; `memory` is the limit in bytes."""
    found = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as run:
            arguments = [sys.executable, "-c", PEAK, str(root), run, score, str(draws), str(count), str(memory)]
            answer = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
        found.append(Peak(*json.loads(answer)))
    return max(found)
