"""The photographs and draws of the benchmarks, and the calls that are timed on them."""

import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest import mock

import numpy as np
from material import SCALE, write_material
from PIL import Image

import blackbox_conformal as bc
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages import memory as evaluating
from blackbox_conformal.study.stages import prepare as preparing
from blackbox_conformal.study.stages.settings import Setup, set_up

SCORE, METRIC = "smoothed-variance:kernel=gaussian,sigma=4", "lab-l1:kernel=gaussian,sigma=4"
PAPER = "patch-variance:kernel=box,size=31,clip_quantile=0.95,smooth=64", "lab-l1:kernel=gaussian,sigma=64"


@dataclass(frozen=True)
class Bench:
    """The photographs with their draws, which are written when they are first asked for, and how often to repeat."""

    root: Path
    sources: list[Path]
    count: int
    size: tuple[int, int]
    draws: int
    repeats: int
    quick: bool

    @cached_property
    def paths(self) -> list[Path]:
        """The photographs."""
        sources = self.sources[:: max(1, len(self.sources) // self.count)]
        return write_material(self.root, sources, self.count, *self.size, self.draws)

    def setup(self, score: str = SCORE, metric: str = METRIC) -> Setup:
        """The photographs' draws with a score and a metric."""
        draws = self.root / "draws"
        draws.mkdir(parents=True, exist_ok=True)
        adapter = bc.load_adapter("folder", path=str(draws), label="benchmark")
        return set_up(adapter, draws=self.draws, score=score, metric=metric)

    def files(self, path: Path) -> list[Path]:
        """The draws of one photograph."""
        return sorted((self.root / "draws" / path.stem).iterdir())


def decode_all(files: list[Path], threads: int) -> None:
    """Decode every file with Pillow and discard the pixels."""

    def one(path: Path) -> None:
        Image.open(io.BytesIO(path.read_bytes())).load()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, files))


def calibrate(setup: Setup, paths: list[Path], threads: int) -> bc.Calibration:
    """The whole calibration, from files, with so many threads."""
    with (
        tempfile.TemporaryDirectory() as run,
        mock.patch.object(evaluating, "cpu_count", return_value=threads),
        mock.patch.object(preparing, "cpu_count", return_value=threads),
    ):
        return calibrate_job(Job.of_photographs(setup, paths, Terms(Path(run)))).calibration


def curve(setup: Setup, truth: np.ndarray, stack: list[np.ndarray]) -> RiskCurve:
    """The curve of one photograph from pixels."""
    score_map = accumulated_map(setup.score, stack, Context(stack[0], None, SCALE))
    return RiskCurve.from_maps(score_map, setup.metric.capped_map(truth, stack[0]), bound=setup.metric.capped_bound)


def make_low(path: Path, target: Path) -> None:
    """What a vendor would be sent for a photograph."""
    with Image.open(path) as picture:
        size = (picture.width // SCALE, picture.height // SCALE)
        picture.resize(size, Image.Resampling.BICUBIC).save(target)
