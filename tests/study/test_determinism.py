"""A calibration is the same whatever its order, threads and memory, which does not grow with draws or photographs."""

import gc
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.study import job as module
from blackbox_conformal.study import stages
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages import prepare
from blackbox_conformal.study.stages.draws import drawn_pictures, map_pictures
from blackbox_conformal.study.stages.memory import BASE_BYTES, picture_bytes
from blackbox_conformal.study.stages.prepare import KeptPixels, prepare_photographs
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


@pytest.mark.slow
def test_interpreted_kernels_say_the_same_up_to_rounding(material, tmp_path):
    setup, paths = material
    for path in [*paths[:2], *(tmp_path / "draws").rglob("*.png")]:
        with PillowImage.open(path) as whole:
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


FIRST, SECOND, UNKNOWN = Path("first.png"), Path("second.png"), Path("unknown.png")


def pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (12, 20, 3), np.uint8), generator.integers(0, 256, (3, 5, 3), np.uint8)


def is_kept(kept: KeptPixels, path: Path, expected: tuple[np.ndarray, np.ndarray]) -> bool:
    found = kept.get(path)
    return found is not None and all(map(np.array_equal, found, expected))


def test_what_was_kept_comes_back_in_any_order_and_as_often_as_asked(tmp_path):
    kept = KeptPixels(tmp_path / "not" / "made")
    first, second = pair(0), pair(1)
    kept.keep(FIRST, *first)
    # A photograph that was cut is a part of a larger array.
    kept.keep(SECOND, np.pad(second[0], ((0, 3), (0, 2), (0, 0)))[:-3, :-2], second[1])
    for _ in range(2):
        assert is_kept(kept, SECOND, second)
        assert is_kept(kept, FIRST, first)
    assert kept.get(UNKNOWN) is None


@pytest.mark.skipif(os.name == "nt", reason="there the file has a name until it is closed")
def test_the_file_has_no_name_and_ends_with_the_object(tmp_path):
    kept = KeptPixels(tmp_path / "run")
    kept.keep(FIRST, *pair(0))
    assert list(tmp_path.iterdir()) == []
    file = kept._file
    assert file is not None
    del kept
    gc.collect()
    assert file.closed


def test_a_photograph_that_does_not_fit_leaves_the_others(tmp_path, monkeypatch):
    first, second = pair(0), pair(1)
    size = sum(picture.nbytes for picture in first)
    for room, both in ((2 * size, True), (2 * size - 1, False)):
        monkeypatch.setattr(prepare, "MOST_BYTES", room)
        kept = KeptPixels(tmp_path)
        kept.keep(FIRST, *first)
        kept.keep(SECOND, *second)
        assert is_kept(kept, FIRST, first)
        assert is_kept(kept, SECOND, second) == both


def test_little_is_taken_of_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    first = pair(0)
    needed = sum(picture.nbytes for picture in first)
    for free, kept_then in ((4 * needed, True), (4 * needed - 4, False)):
        monkeypatch.setattr(prepare.shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free}))
        kept = KeptPixels(tmp_path)
        kept.keep(FIRST, *first)
        assert is_kept(kept, FIRST, first) == kept_then


def test_a_disk_that_fails_keeps_nothing_more_and_ends_nothing(tmp_path):
    kept = KeptPixels(tmp_path)
    first = pair(0)
    kept.keep(FIRST, *first)
    file = kept._file
    writable = os.dup(file.fileno())
    with open(os.devnull, "rb") as unwritable:
        os.dup2(unwritable.fileno(), file.fileno())
    kept.keep(SECOND, *pair(1))
    os.dup2(writable, file.fileno())
    os.close(writable)
    kept.keep(UNKNOWN, *pair(2))
    assert is_kept(kept, FIRST, first)
    assert kept.get(SECOND) is None
    assert kept.get(UNKNOWN) is None
    os.ftruncate(file.fileno(), 100)
    assert kept.get(FIRST) is None


def test_a_folder_that_takes_no_file_keeps_nothing(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError("read only")

    monkeypatch.setattr(prepare.tempfile, "TemporaryFile", refuse)
    kept = KeptPixels(tmp_path)
    kept.keep(FIRST, *pair(0))
    assert kept.get(FIRST) is None


PEAK = """
import json, resource, sys
from pathlib import Path
import blackbox_conformal as bc
from blackbox_conformal.study.stages import memory as evaluating, prepare
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.study.job import rehearse
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
def photographs(tmp_path_factory):
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
def test_peak_grows_neither_with_draws_nor_with_photographs(photographs):
    _, few = peak(photographs, 2, 6)
    before, draws = peak(photographs, 16, 6)
    _, photographs = peak(photographs, 2, 24)
    assert before < few
    picture = SIDE * SIDE * 3 / 1024
    assert draws - few < 6 * picture
    assert photographs - few < 6 * picture
