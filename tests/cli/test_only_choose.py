"""`tune --only-choose` leaves a file of the photographs it looked at; `calibrate` leaves them out and records them."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import ended
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError

CANDIDATES = ["--candidate", "pixel-variance@3", "--candidate", "bicubic-gap@1"]


class Bench:
    """Twelve photographs and their draws."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.draws = write_draws(folder / "outputs", range(12), 3)
        self.photographs = folder / "photographs"
        self.files = write_photographs(self.photographs, range(12))
        self.run = folder / "run"
        self.tuning = self.run / "tuning.json"
        self.vendor = ["--adapter", "folder", "-p", "label=synthetic", "-p", f"path={self.draws}"]

    def only_choose(self, *more: str) -> int:
        given = [*self.vendor, "--draws", "3", "--metric", "rgb-linf", "--alpha", "0.5", "--run", str(self.run)]
        return run(["tune", str(self.photographs), *given, *CANDIDATES, "--only-choose", *more])

    def calibrate(self, *more: str, where: str = "run") -> int:
        given = [*self.vendor, "--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]
        return run(["calibrate", str(self.photographs), *given, "--run", str(self.folder / where), *more])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def calibration(folder: Path) -> Calibration:
    return Calibration.load(folder / "calibration.json")


def test_the_next_command_can_be_pasted_and_keeps_the_two_apart(bench, capsys):
    assert bench.only_choose() == 0
    said = capsys.readouterr().out
    kept = json.loads(bench.tuning.read_text())
    looked_at = {one["truth"] for one in kept["photographs"]}
    assert len(looked_at) == 3
    assert kept["alpha"] == 0.5
    line = next(line for line in said.splitlines() if "blackbox-conformal calibrate" in line)
    words = shlex.split(line.partition("blackbox-conformal ")[2])
    assert words[words.index("--tuning") + 1] == str(bench.tuning)
    assert words[words.index("--score") + 1] == kept["score"]
    assert words[words.index("--draws") + 1] == str(kept["draws"])
    assert "3 of 12 photographs were looked at before and do not calibrate" in ended(capsys, words).err
    found = calibration(bench.run)
    assert found.n == 9
    assert {one.truth for one in found.tuning} == looked_at
    assert not looked_at & {image.truth for image in found.images}
    assert run(words) == 0, "the same again is no conflict"


def test_a_calibration_in_the_same_run_folder_finds_the_file_by_itself(bench, capsys):
    assert bench.only_choose("-q") == 0
    assert bench.calibrate("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n"], told["n_tuning"]) == (9, 3)
    assert bench.calibrate("-q", where="other") == 2
    assert f"Add --tuning {bench.tuning}" in capsys.readouterr().err
    assert bench.calibrate("-q", "--nothing-chosen", where="other") == 0
    assert calibration(bench.folder / "other").n == 12
    assert bench.calibrate("--tuning", str(bench.tuning), "-q", where="third") == 0
    assert calibration(bench.folder / "third").n == 9


def test_the_screen_says_that_a_level_chosen_from_it_is_chosen_by_looking(bench, capsys):
    assert bench.calibrate() == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Which alpha? Take the error you can live with, not the share you like" in told
    assert "% trusted" not in told
    assert any("no score, metric, setting, seed or level" in one for one in calibration(bench.run).rule().assumptions)


def test_a_copy_of_a_tuning_photograph_does_not_calibrate_either(bench):
    assert bench.only_choose("-q") == 0
    for index, path in enumerate(bench.files):
        Image.fromarray(np.minimum(photograph(index), 252) + np.uint8(3)).save(path)
    assert bench.calibrate("--tuning", str(bench.tuning), "-q", where="other") == 0
    assert calibration(bench.folder / "other").n == 9


def test_looking_at_others_does_not_undo_having_looked(bench):
    assert bench.only_choose("-q") == 0
    first = {one["truth"] for one in json.loads(bench.tuning.read_text())["photographs"]}
    assert bench.only_choose("-q", "--tuning-share", "0.5", "--seed", "7") == 0
    both = {one["truth"] for one in json.loads(bench.tuning.read_text())["photographs"]}
    assert first <= both
    assert len(both) >= 6
    assert bench.calibrate("-q") == 0
    assert calibration(bench.run).n == 12 - len(both)


def test_python_refuses_them_in_the_same_run_folder(bench):
    assert bench.only_choose("-q") == 0
    vendor = bc.load_adapter("folder", label="synthetic", path=str(bench.draws))
    choices = {"draws": 3, "score": "pixel-variance", "metric": "rgb-linf"}
    with pytest.raises(CalibrationError, match="3 of these photographs were used for tuning"):
        bc.calibrate(vendor, bench.photographs, run=bench.run, **choices)


def test_all_photographs_looked_at_leave_none(bench, capsys):
    assert bench.only_choose("-q", "--tuning-share", "0.9") == 0
    kept = json.loads(bench.tuning.read_text())
    assert len(kept["photographs"]) == 10
    left = calibrate_only(bench, kept)
    assert "all of these were" in ended(capsys, left, 2).err


def calibrate_only(bench: Bench, kept: dict) -> list[str]:
    """The command that calibrates on nothing but photographs that were looked at."""
    from blackbox_conformal.method.images.read import read_image

    truths = {one["truth"] for one in kept["photographs"]}
    files = [str(path) for path in bench.files if read_image(path).digest in truths]
    assert len(files) == len(truths)
    given = [*bench.vendor, "--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]
    return ["calibrate", *files, *given, "--run", str(bench.run), "-q"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b'{"format": "blackbox-conformal calibration"}', b"[" * 100_000]
)
def test_any_other_file_is_refused(bench, content, capsys):
    bench.run.mkdir()
    bench.tuning.write_bytes(content)
    assert bench.calibrate("-q") == 2
    assert "tuning.json: expected" in capsys.readouterr().err
    assert bench.only_choose("-q") == 2
    assert bench.tuning.read_bytes() == content
