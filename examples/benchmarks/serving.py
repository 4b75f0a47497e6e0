"""Processor time of a gateway for each request to a vendor that answers at once, and what two cores make of it."""

import os
import sys
import tempfile
from pathlib import Path

from bench import Bench
from material import SCALE, photograph
from PIL import Image
from timing import row

import blackbox_conformal as bc
from blackbox_conformal.study.stages.defaults import default_score
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

sys.path.append(str(Path(__file__).resolve().parents[1]))

import serve_load

CLIENTS, WARMING = 4, 8
CORES = 2


def serving(bench: Bench) -> None:
    """Requests a second by processor time, with the default score of promises about detail and with a light one."""
    side, count = (256, 12) if bench.quick else (1024, 48)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        photographs = bench.sources[0].parent if bench.sources else _made_up(folder / "made-up", 2 * side)
        answers = serve_load.prepared(photographs, folder, side, WARMING + count)
        with serve_load.served(serve_load.vendor_of(answers, 0.0)) as vendor_url:
            for score, least in ((default_score(1, SCALE, of_detail=True), 8), ("bicubic-gap:sigma=8", 20)):
                seconds = _seconds(folder, vendor_url, score, count)
                name = f"requests a second of a gateway on {CORES} cores, {side // SCALE} → {side}, {score}"
                rate = CORES / seconds
                row(name, f"{seconds * 1e3:.0f} ms each", "", f"{rate:.1f}", f"≥ {least}", rate >= least)


def _made_up(folder: Path, side: int) -> Path:
    folder.mkdir()
    for number in range(4):
        Image.fromarray(photograph(side, side, number)).save(folder / f"{number}.png")
    return folder


def _seconds(folder: Path, vendor_url: str, score: str, count: int) -> float:
    """Processor seconds of the gateway's process for each request."""
    own = Path(tempfile.mkdtemp(dir=folder))
    (own / "bodies").symlink_to(folder / "bodies")
    bc.calibrate(
        SynchronousVendor(url=vendor_url),
        folder / "photographs",
        run=own / "run",
        draws=1,
        score=score,
        max_calls=serve_load.CALIBRATED,
    ).save(own / "calibration.json")
    with serve_load.gateway(own / "calibration.json", vendor_url, own) as (url, process):
        list(serve_load.answered(url, own, range(WARMING), CLIENTS))
        before = _processor(process)
        list(serve_load.answered(url, own, range(WARMING, WARMING + count), CLIENTS))
        return (_processor(process) - before) / count


def _processor(process: int) -> float:
    """Processor seconds that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
