"""`tune`: which score wins, and that what was looked at does not calibrate, wherever the record of it lies."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL import Image as PillowImage
from support.command_line import VENDOR, ended
from support.synthetic import draw, photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, UsageError


def tune_with(photographs, tmp_path, server, second, *more):
    first = ["--adapter", VENDOR, "-p", f"url={server.url}", "--draws", "2", "--metric", "rgb-linf"]
    given = ["--alpha", "0.9", "--tuning-share", "0.34", "--yes", "--json", "--run", str(tmp_path / "run")]
    return run(["tune", str(photographs), *first, *second, *given, *more])


@pytest.fixture
def noise(photographs, tmp_path):
    """A second vendor whose pictures are noise, so that its score is never the best."""
    generator = np.random.default_rng(0)
    for path in photographs.iterdir():
        folder = tmp_path / "second" / path.stem
        folder.mkdir(parents=True)
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / "0.png")
    return ["--second-adapter", "folder", "--second", f"path={tmp_path / 'second'}", "--second", "label=noise"]


def test_a_score_without_a_second_vendor_may_win_beside_one(server, photographs, tmp_path, capsys, noise):
    candidates = ["--candidate", "second-opinion@1", "--candidate", "bicubic-gap@1"]
    assert tune_with(photographs, tmp_path, server, noise, *candidates) == 0
    assert server.account.paid <= 2 * 6
    found = json.loads(capsys.readouterr().out)
    assert found["best"]["score"] == "bicubic-gap"
    assert {one["score"]: one["calls"] for one in found["candidates"]} == {"second-opinion@1": 8, "bicubic-gap@1": 4}
    calibration = json.loads((tmp_path / "run" / "calibration.json").read_text())
    assert calibration["procedure"]["second_opinion"] is None


def test_the_second_vendors_score_is_among_the_candidates_unless_others_are_named(
    server, photographs, tmp_path, capsys, noise
):
    assert tune_with(photographs, tmp_path, server, noise, "--only-choose") == 0
    found = json.loads(capsys.readouterr().out)
    assert "second-opinion@1" in {one["score"] for one in found["candidates"]}
    paid = server.account.paid
    assert tune_with(photographs, tmp_path, server, noise, "--candidate", "bicubic-gap@1") == 2
    assert "no candidate compares with a second vendor" in capsys.readouterr().err
    assert tune_with(photographs, tmp_path, server, [], "--candidate", "second-opinion@1") == 2
    assert "--second-adapter" in capsys.readouterr().err
    assert server.account.paid == paid


TWO_SCORES = ["--candidate", "pixel-variance@3", "--candidate", "bicubic-gap@1"]


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
        return run(["tune", str(self.photographs), *given, *TWO_SCORES, "--only-choose", *more])

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


def test_python_refuses_them_and_a_copy_of_a_tuning_photograph_does_not_calibrate_either(bench):
    assert bench.only_choose("-q") == 0
    vendor = bc.load_adapter("folder", label="synthetic", path=str(bench.draws))
    choices = {"draws": 3, "score": "pixel-variance", "metric": "rgb-linf"}
    with pytest.raises(CalibrationError, match="3 of these photographs were used for tuning"):
        bc.calibrate(vendor, bench.photographs, run=bench.run, **choices)
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


DRAWN = ["--adapter", "folder", "-p", "label=synthetic", "-p", "path=outputs"]
SETTINGS = ["--draws", "3", "--metric", "rgb-linf"]
CHOICES = {"draws": 3, "score": "pixel-variance", "metric": "rgb-linf"}


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve photographs and their draws."""
    monkeypatch.chdir(tmp_path)
    write_photographs(Path("photographs"), range(12))
    write_draws(Path("outputs"), range(12), 3)


def tune(*more: str) -> int:
    return run(["tune", "photographs", *DRAWN, *SETTINGS, "--alpha", "0.5", *TWO_SCORES, "-q", *more])


def compare(*more: str) -> int:
    vendors = [word for score in ("texture", "bicubic-gap") for word in ("--vendor", vendor(score))]
    return run(["compare", "photographs", *vendors, "--metric", "rgb-linf", "--alpha", "0.7", "-q", *more])


def vendor(score: str) -> str:
    return f"folder:label={score},path=outputs,score={score}"


def calibrate(*more: str, score: str = "texture") -> int:
    return run(["calibrate", "photographs", *DRAWN, *SETTINGS, "--score", score, *more])


def kept(folder: str) -> set[str]:
    return {one["truth"] for one in json.loads(Path(folder, "tuning.json").read_text())["photographs"]}


def calibrated(file: str) -> set[str]:
    return {image.truth for image in Calibration.load(file).images}


def test_plain_tune_is_remembered_in_its_run_folder(capsys):
    assert tune("--run", "rt") == 0
    assert len(kept("rt")) == 3
    assert not kept("rt") & calibrated("rt/calibration.json")
    assert calibrate("--run", "rt", "--out", "again.json") == 0
    assert "3 of 12 photographs were looked at before and do not calibrate" in capsys.readouterr().err
    assert calibrated("again.json") == calibrated("rt/calibration.json")
    assert {one.truth for one in Calibration.load("again.json").tuning} == kept("rt")
    assert tune("--run", "rt") == 0, "the same again resumes"


def test_compare_looks_at_all_photographs(capsys):
    assert compare("--run", "rc") == 0
    assert len(kept("rc")) == 12
    assert calibrate("--run", "rc") == 2
    assert "all of these were" in " ".join(capsys.readouterr().err.split())
    assert compare() == 0
    assert len(kept("runs")) == 12
    assert calibrate("--run", "other") == 2


@pytest.mark.parametrize(
    ("looked_in", "run_in"), [("a", "b"), ("runs/a", "b"), ("a", "runs/b"), (None, "b"), ("a", None)]
)
def test_a_record_is_found_from_every_run_folder_and_can_be_followed_or_overruled(looked_in, run_in, capsys):
    assert tune("--only-choose", *([] if looked_in is None else ["--run", looked_in])) == 0
    (record,) = [*Path().glob("*/tuning.json"), *Path().glob("runs/*/tuning.json")]
    there = [] if run_in is None else ["--run", run_in]
    assert calibrate(*there, "--out", "c.json") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"3 of these photographs were looked at by `tune`, `compare` or `plan --pilot` ({record})" in told
    assert f"Add --tuning {record} " in told
    assert calibrate(*there, "--tuning", str(record), "--out", "without.json", "-q") == 0
    assert Calibration.load("without.json").n == 9
    assert calibrate(*there, "--nothing-chosen", "--out", "all.json", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n"], told["history"]["overruled"]) == (12, 3)
    (note,) = [one for one in Calibration.load("all.json").history.notes if "nothing was chosen" in one]
    assert note.startswith("3 of the calibration photographs were looked at before")


def test_a_calibration_that_was_begun_before_anything_was_looked_at_is_resumed_unchanged():
    assert calibrate("--run", "r", "-q") == 0
    first = Path("r/calibration.json").read_bytes()
    assert compare("--run", "r") == 0
    assert calibrate("--run", "r", "--nothing-chosen", "-q") == 0
    assert Path("r/calibration.json").read_bytes() == first


def test_tune_leaves_out_what_another_choice_looked_at(capsys):
    assert tune("--only-choose", "--run", "a") == 0
    seed = ["--seed", "7", "--run", "b"]
    assert tune(*seed) == 0
    both = kept("a") | kept("b")
    assert len(both) > 3
    assert calibrated("b/calibration.json").isdisjoint(both)
    assert Calibration.load("b/calibration.json").n == 12 - len(both)
    assert compare("--run", "rc") == 0
    assert tune("--run", "c") == 2
    assert "`calibrate` and `tune` take --nothing-chosen" in " ".join(capsys.readouterr().err.split())
    assert tune("--nothing-chosen", "--run", "c") == 0
    found = Calibration.load("c/calibration.json")
    assert (found.n, found.history.overruled) == (9, 9)


def test_a_damaged_record_is_told_before_anything_is_compared():
    Path("rc").mkdir()
    Path("rc/tuning.json").write_text("{}")
    assert compare("--run", "rc") == 2
    assert not list(Path("rc").glob("*/*"))


def test_python_refuses_them_too_and_says_how_to_go_on():
    adapter = bc.load_adapter("folder", label="synthetic", path="outputs")
    bc.tune(
        adapter, "photographs", 0.5, candidates=["pixel-variance", "bicubic-gap"], draws=3, metric="rgb-linf", run="a"
    )
    with pytest.raises(CalibrationError, match="3 of these photographs were used for tuning"):
        bc.calibrate(adapter, "photographs", run="a", **CHOICES)
    with pytest.raises(UsageError, match=r"3 of these .* Add --tuning a/tuning.json \(tuning in Python\)"):
        bc.calibrate(adapter, "photographs", run="b", **CHOICES)
    found = bc.calibrate(adapter, "photographs", run="b", tuning="a/tuning.json", **CHOICES)
    assert (found.n, len(found.tuning)) == (9, 3)
    assert bc.calibrate(adapter, "photographs", run="c", nothing_chosen=True, **CHOICES).history.overruled == 3
    two = {"one": adapter, "other": (adapter, {"score": "bicubic-gap"})}
    bc.compare(two, "photographs", 0.7, run="compared", **CHOICES)
    with pytest.raises(UsageError, match=r"12 of these .* \(compared/tuning.json\)"):
        bc.calibrate(adapter, "photographs", run="d", **CHOICES)


def test_a_calibration_says_what_was_begun_there_before(capsys):
    assert calibrate("--run", "r", "-q") == 0
    assert Calibration.load("r/calibration.json").history.notes == ()
    assert "history" not in json.loads(Path("r/calibration.json").read_text())
    assert calibrate("--run", "r", "--out", "second.json", score="bicubic-gap") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "1 other calibration of these photographs was begun in the same run folder before" in told
    Path("photographs/p3.png").unlink()
    Path("photographs/p4.png").unlink()
    assert calibrate("--run", "r", "--out", "third.json", "--json") == 0
    assert json.loads(capsys.readouterr().out)["history"] == {"earlier": 2, "further": 2, "overruled": 0}
    third = Calibration.load("third.json")
    assert "2 further photographs of this vendor were calibrated in the same run folder" in third.history.notes[1]
    assert calibrate("--run", "r", "--out", "third.json", "-q") == 0, "the same again is the same calibration"
    assert Calibration.load("third.json").digest == third.digest
    Path("inputs").mkdir()
    PillowImage.fromarray(reduced(photograph(30), 4)).save("inputs/p30.png")
    write_draws(Path("outputs"), [30], 3)
    words = ["mask", "inputs", "-p", "path=outputs", "--calibration", "third.json", "--alpha", "0.9", "--out", "masked"]
    assert run([*words, "-q"]) == 0
    assert set(third.history.notes) <= set(json.loads(Path("masked/p30-certificate.json").read_text())["notes"])
    assert run(["verify", "masked/p30-certificate.json", "--calibration", "third.json"]) == 0


def write_crops(folder: Path, photographs: int, crops: int) -> None:
    """Crops of photographs that differ in colour and grain, and the vendor's answers to them in ``answers``."""
    folder.mkdir()
    for one in range(photographs):
        random = np.random.default_rng(one)
        colour, grain = random.uniform(60, 190, 3), random.uniform(3, 30)
        for crop in range(crops):
            name, pixels = f"scene{one}_{crop}", photograph(100 * one + crop) * 0.2 + colour
            truth = np.clip(pixels + random.normal(0, grain, pixels.shape), 0, 255).astype(np.uint8)
            PillowImage.fromarray(truth).save(folder / f"{name}.png")
            (Path("answers") / name).mkdir(parents=True)
            PillowImage.fromarray(draw(truth, crop)).save(Path("answers") / name / "0.png")


def test_crops_are_asked_about_at_a_terminal_and_noted_elsewhere(capsys, monkeypatch):
    write_crops(Path("crops"), 5, 8)
    words = ["calibrate", "crops", "--adapter", "folder", "-p", "label=s", "-p", "path=answers"]
    words += ["--score", "texture", "--metric", "rgb-linf", "--run", "r"]
    told = " ".join(ended(capsys, [*words, "--dry-run"]).err.split())
    assert "are these parts of the same photographs, or bursts? scene0_0/scene0_1/scene0_2/…" in told
    assert "calibrate with --tiles FILE" in told
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert run(words) == 2
    assert "expected independent photographs; got parts of the same ones" in " ".join(capsys.readouterr().err.split())
    assert not Path("r/calibration.json").exists()
    monkeypatch.setattr("click.confirm", lambda *_, **__: True)
    parts = json.loads(ended(capsys, [*words, "--json"]).out)["parts"]
    assert [len(names) for names in parts] == [8] * 5
    tiles = [f"{name},{name.partition('_')[0]}\n" for names in parts for name in names]
    Path("clusters.csv").write_text("".join(tiles))
    monkeypatch.setattr("click.confirm", pytest.fail)
    assert run([*words, "--tiles", "clusters.csv", "--out", "tiles.json", "-q"]) == 0


def test_different_photographs_with_numbers_are_not_asked_about(capsys):
    write_photographs(Path("many"), range(63))
    write_draws(Path("outputs"), range(12, 63), 3)
    out = ended(capsys, ["calibrate", "many", *DRAWN, *SETTINGS, "--score", "texture", "--run", "r", "--json"])
    assert json.loads(out.out)["parts"] == []
    assert "are these parts" not in out.err
