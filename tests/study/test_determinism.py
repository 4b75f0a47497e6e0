"""The same bytes for any number of threads and any order of arrival, and however the kernels were made."""

import os
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.synthetic import write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.study import job as module
from blackbox_conformal.study import stages
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.draws import drawn_pictures, map_pictures
from blackbox_conformal.study.stages.memory import BASE_BYTES, picture_bytes
from blackbox_conformal.study.stages.prepare import prepare_photographs
from blackbox_conformal.study.stages.settings import set_up

DRAWS = 3
SEEDS = range(6)


@pytest.fixture
def material(tmp_path):
    paths = write_photographs(tmp_path / "truth", SEEDS)
    folder = write_draws(tmp_path / "draws", SEEDS, DRAWS)
    setup = set_up(bc.load_adapter("folder", path=str(folder), label="made up"), draws=DRAWS)
    return setup, paths


def calibrated(setup, paths, run):
    return calibrate_job(Job.of_photographs(setup, paths, Terms(run))).calibration


def test_same_bytes_for_any_number_of_threads_and_any_order_of_pictures(material, tmp_path, monkeypatch):
    setup, paths = material
    expected = calibrated(setup, paths, tmp_path / "run").save(tmp_path / "first.json").read_bytes()
    for workers in (1, 2, 4):
        monkeypatch.setattr(module, "map_pictures", lambda drawn, work, w=workers, **_: map_pictures(drawn, work, w))
        order = list(np.random.default_rng(workers).permutation(len(paths)))
        found = calibrated(setup, [paths[index] for index in order], tmp_path / f"run{workers}")
        assert found.save(tmp_path / f"{workers}.json").read_bytes() == expected


def test_same_bytes_whatever_draw_arrives_first(material, tmp_path, monkeypatch):
    setup, paths = material
    expected = calibrated(setup, paths, tmp_path / "run").save(tmp_path / "first.json").read_bytes()
    draw = Sampler.draw

    def shuffled(self, tasks):
        outcomes = list(draw(self, tasks))
        np.random.default_rng(1).shuffle(outcomes)
        yield from outcomes

    monkeypatch.setattr(Sampler, "draw", shuffled)
    assert calibrated(setup, paths, tmp_path / "other").save(tmp_path / "other.json").read_bytes() == expected


INTERPRETED = """
import sys
from pathlib import Path
import blackbox_conformal as bc
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.settings import set_up
root = Path(sys.argv[1])
setup = set_up(bc.load_adapter("folder", path=str(root / "draws"), label="made up"), draws=3)
job = Job.of_photographs(setup, sorted((root / "truth").iterdir())[:2], Terms(root / "interpreted"))
found = calibrate_job(job).calibration
found.save(root / "interpreted.json")
"""


def test_interpreted_kernels_say_the_same_up_to_rounding(material, tmp_path):
    setup, paths = material
    for path in [*paths[:2], *(tmp_path / "draws").rglob("*.png")]:
        with Image.open(path) as whole:
            # Interpreted loops take a second for each thousand pixels.
            whole.crop((24, 16, 48, 40)).save(path)
    compiled = calibrated(setup, paths[:2], tmp_path / "run")
    subprocess.run(
        [sys.executable, "-c", INTERPRETED, str(tmp_path)], check=True, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}
    )
    interpreted = bc.Calibration.load(tmp_path / "interpreted.json")
    for one, two in zip(compiled.curves, interpreted.curves, strict=True):
        assert one.losses[-1] == pytest.approx(two.losses[-1], rel=1e-5)
        thresholds = np.quantile(np.concatenate([one.scores, two.scores]).astype(float), [0.1, 0.5, 0.9]) * (1 + 1e-4)
        np.testing.assert_allclose(one.loss(thresholds), two.loss(thresholds), rtol=0.02)


def test_memory_limit_lowers_concurrency_to_what_fits_and_changes_no_result(material, tmp_path):
    setup, paths = material
    pictures = [replace(one, size=(4000, 5000)) for one in prepare_photographs(paths, setup)]
    together = []
    running = []
    pause = threading.Event()

    def work(drawn):
        running.append(drawn.prepared.name)
        together.append(len(running))
        pause.wait(0.02)
        running.remove(drawn.prepared.name)
        return drawn.prepared.name

    for limit, most in (
        (None, 4),
        (BASE_BYTES + 2 * picture_bytes((4000, 5000)), 2),
        (BASE_BYTES + picture_bytes((4000, 5000)), 1),
    ):
        together.clear()
        with Sampler(setup.adapter, tmp_path / "run") as sampler:
            names = [name for _, name in map_pictures(drawn_pictures(sampler, pictures), work, 4, memory_bytes=limit)]
        assert names == [path.stem for path in paths]
        assert max(together) <= most
    with Sampler(setup.adapter, tmp_path / "run") as sampler:
        drawn = drawn_pictures(sampler, pictures)
        with pytest.raises(UsageError, match=r"fit into 400 MiB of memory; p0 of 5000×4000 pixels needs about"):
            list(map_pictures(drawn, work, 4, memory_bytes=400 * 2**20))


def test_photographs_beyond_the_memory_limit_are_refused_unread(material):
    setup, paths = material
    with pytest.raises(bc.errors.ImageError, match=r"p0\.png: .* 0 in all \(memory is limited to 100 MiB\)"):
        prepare_photographs(paths, setup, memory_bytes=100 * 2**20)
    assert len(prepare_photographs(paths, setup, memory_bytes=512 * 2**20)) == len(paths)


@pytest.mark.parametrize("kept", [True, False])
def test_a_photograph_that_changes_before_its_draws_are_there_is_noticed_if_it_is_read_again(
    material, tmp_path, monkeypatch, kept
):
    setup, paths = material
    expected = calibrated(setup, paths, tmp_path / "before").save(tmp_path / "before.json").read_bytes()
    prepare = module.prepare_photographs

    def prepare_and_change(*given, **named):
        pictures = prepare(*given, **named)
        paths[2].write_bytes(paths[1].read_bytes())
        return pictures

    monkeypatch.setattr(module, "prepare_photographs", prepare_and_change)
    if kept:
        assert calibrated(setup, paths, tmp_path / "run").save(tmp_path / "after.json").read_bytes() == expected
        return
    monkeypatch.setattr(stages.prepare, "MOST_BYTES", 0)
    with pytest.raises(CalibrationError, match=r"p2\.png was changed while it was being calibrated; run again"):
        calibrated(setup, paths, tmp_path / "run")
