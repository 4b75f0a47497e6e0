"""Photographs are decoded once, whatever a command asks and shows meanwhile; twice where none can be kept."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph, reduced, write_draws, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.images import read
from blackbox_conformal.study.stages import prepare


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was read as a picture."""
    found: Counter[str] = Counter()
    original = read._read_file

    def counting(path: Path, limits: read.ImageLimits) -> bytes:
        found[path.parent.name + "/" + path.name] += 1
        return original(path, limits)

    monkeypatch.setattr(read, "_read_file", counting)
    return found


@pytest.fixture
def vendor(tmp_path: Path) -> list[str]:
    draws = write_draws(tmp_path / "outputs", range(12), 3)
    write_photographs(tmp_path / "photographs", range(8))
    write_photographs(tmp_path / "unseen", range(8, 12))
    return ["--adapter", "folder", "-p", "label=synthetic", "-p", f"path={draws}", "--run", str(tmp_path / "run")]


PROCEDURE = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]


def each(folder: str, numbers: range, times: int) -> dict[str, int]:
    return {f"{folder}/p{number}.png": times for number in numbers}


def test_calibrate_reads_a_photograph_once(vendor, tmp_path, reads):
    assert run(["calibrate", str(tmp_path / "photographs"), *vendor, *PROCEDURE]) == 0
    assert reads == each("photographs", range(8), 1)


def test_photographs_that_there_is_no_room_for_are_read_again_with_the_same_result(
    vendor, tmp_path, reads, monkeypatch
):
    given = ["calibrate", str(tmp_path / "photographs"), *vendor, *PROCEDURE, "--out"]
    assert run([*given, str(tmp_path / "kept.json")]) == 0
    height, width = photograph(0).shape[:2]
    one = 3 * (height * width + (height // 4) * (width // 4))
    for room in (0, one, 5 * one - 1):
        reads.clear()
        monkeypatch.setattr(prepare, "MOST_BYTES", room)
        assert run([*given, str(tmp_path / "again.json")]) == 0
        assert reads.total() == 2 * 8 - room // one
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "kept.json").read_bytes()


def test_plan_reads_a_photograph_once_and_keeps_nothing(vendor, tmp_path, reads, monkeypatch):
    def keep(*_: object) -> None:
        raise AssertionError("nothing is drawn after a plan")

    monkeypatch.setattr(prepare.KeptPixels, "keep", keep)
    assert run(["plan", str(tmp_path / "photographs"), *vendor, *PROCEDURE]) == 0
    assert reads == each("photographs", range(8), 1)


def test_audit_reads_a_photograph_once(vendor, tmp_path, reads):
    assert run(["calibrate", str(tmp_path / "photographs"), *vendor, *PROCEDURE]) == 0
    reads.clear()
    calibration = str(tmp_path / "run" / "calibration.json")
    assert run(["audit", str(tmp_path / "unseen"), "--calibration", calibration, *vendor]) == 0
    assert reads == each("unseen", range(8, 12), 1)


def test_a_pool_that_is_split_is_read_once(vendor, tmp_path, reads):
    assert run(["audit", str(tmp_path / "photographs"), "--splits", "5", *vendor, *PROCEDURE]) == 0
    assert reads == each("photographs", range(8), 1)


def test_mask_reads_an_input_to_prepare_and_to_evaluate_it(vendor, tmp_path, reads):
    assert run(["calibrate", str(tmp_path / "photographs"), *vendor, *PROCEDURE]) == 0
    small = tmp_path / "small" / "p9.png"
    small.parent.mkdir()
    PillowImage.fromarray(reduced(photograph(9), 4)).save(small)
    reads.clear()
    calibration = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.9"]
    assert run(["mask", str(small), *calibration, *vendor, "--out", str(tmp_path / "masked")]) == 0
    assert reads == {"small/p9.png": 2}


def test_tune_reads_a_photograph_once_whether_it_tunes_or_calibrates(vendor, tmp_path, reads):
    given = ["--draws", "3", "--metric", "rgb-linf", "--alpha", "0.5", "--candidate", "pixel-variance@2"]
    assert run(["tune", str(tmp_path / "photographs"), *vendor, *given]) == 0
    assert reads == each("photographs", range(8), 1)
    assert Calibration.load(tmp_path / "run" / "calibration.json").procedure.draws == 2


def test_compare_reads_a_photograph_once_for_each_contestant(vendor, tmp_path, reads):
    draws = tmp_path / "outputs"
    both = [f"--vendor=folder:path={draws},label={score},score={score}" for score in ("pixel-variance", "texture")]
    given = ["--draws", "3", "--metric", "rgb-linf", "--alpha", "0.9", "--run", str(tmp_path / "runs")]
    assert run(["compare", str(tmp_path / "photographs"), *both, *given]) == 0
    assert reads == each("photographs", range(8), 2)
