"""Peak memory of a calibration does not grow with draws or photographs, nor does anything kept for each of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

PEAK = """
import json, resource, sys
from pathlib import Path
import blackbox_conformal as bc
from blackbox_conformal.study.stages import memory as evaluating, prepare
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.study.stages.warming import rehearse
root, draws, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
setup = set_up(bc.load_adapter("folder", path=str(root / "draws"), label="made up"), draws=draws)
rehearse(setup)
# With several threads the peak depends on which steps of two pictures meet.
evaluating.cpu_count = prepare.cpu_count = lambda: 1
def peak():
    status = Path("/proc/self/status")
    if status.exists():  # There the other figure counts the parent too.
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
before = peak()
paths = sorted((root / "truth").iterdir())[:count]
calibrate_job(Job.of_photographs(setup, paths, Terms(root / f"run-{draws}-{count}")))
print(json.dumps([before, peak()]))
"""
"""Set in a process of its own: earlier work must not count."""

SIDE = 1200


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Photographs and draws that are cheap to write: flat fields with a mark, two files a picture, further links."""
    root = tmp_path_factory.mktemp("memory")
    (root / "truth").mkdir()
    generator = np.random.default_rng(0)
    for number in range(24):
        coarse = generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        truth = np.kron(coarse, np.ones((SIDE // 9 + 1, SIDE // 9 + 1, 1), np.uint8))[:SIDE, :SIDE]
        PillowImage.fromarray(truth).save(root / "truth" / f"p{number:02}.png", compress_level=1)
        folder = root / "draws" / f"p{number:02}"
        folder.mkdir(parents=True)
        for kind in range(2):
            changed = truth.copy()
            changed[kind * 40 : 300 + kind * 40, :300] ^= 31
            PillowImage.fromarray(changed).save(folder / f"{kind}.png", compress_level=1)
        for index in range(2, 16):
            (folder / f"{index}.png").hardlink_to(folder / f"{index % 2}.png")
    return root


def peak(root: Path, draws: int, count: int) -> tuple[int, int]:
    """KiB before the calibration and at its peak."""
    arguments = [sys.executable, "-c", PEAK, str(root), str(draws), str(count)]
    before, after = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    return before, after


@pytest.mark.slow
def test_peak_grows_neither_with_draws_nor_with_photographs(material):
    _, few = peak(material, 2, 6)
    before, draws = peak(material, 16, 6)
    _, photographs = peak(material, 2, 24)
    assert before < few
    picture = SIDE * SIDE * 3 / 1024
    assert draws - few < 6 * picture
    assert photographs - few < 6 * picture
