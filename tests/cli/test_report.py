"""`report` on the command line: from a run folder to one file; nothing drawn or overwritten, errors in one line."""

import json
import shutil
from types import SimpleNamespace

import click
import pytest
from PIL import Image
from support.command_line import ended
from support.report_material import make_run

from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.main import run
from blackbox_conformal.pages.report.report_command import _suggest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("cli") / "run", hostile=False, sizes=((90, 70),)).folder


def test_a_run_folder_becomes_one_file(folder, capsys):
    out = ended(capsys, ["report", "--run", str(folder), "--json"])
    document = json.loads(out.out)
    assert document["report"] == str((folder / "report.html").resolve())
    assert (document["audited"], document["masked"]) == (1, 0)
    assert document["audit"] in ("confirmed", "inconclusive", "contradicted")
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert "report.html" in out.err


def test_after_an_audit_of_answers_on_a_disk_no_watch_is_advised(tmp_path, capsys):
    def advised(adapter):
        about = SimpleNamespace(procedure=SimpleNamespace(vendor={"adapter": adapter, "parameters": {}}))
        screen = Screen(as_json=False, quiet=False, verbose=0)
        with click.Context(click.Command("report")):
            _suggest(screen, about, object(), tmp_path / "calibration.json", tmp_path)
        return capsys.readouterr().out.split()[2]

    assert (advised("folder"), advised("embedded")) == ("view", "watch")


def test_a_report_is_made_anew_and_any_other_file_is_not_overwritten(folder, tmp_path, capsys):
    page = folder / "report.html"
    assert run(["report", "--run", str(folder), "-q"]) == 0
    assert run(["report", "--run", str(folder), "-q", "--alpha", "0.2"]) == 0
    written = page.read_bytes()
    assert b"alpha = 0.2" in written
    elsewhere = make_run(tmp_path / "other", sizes=((64, 48),)).folder
    assert run(["report", "--run", str(elsewhere), "-q"]) == 0
    others = (
        b"<!doctype html>mine",
        written.replace(b"alpha = 0.2", b"alpha = 0.3"),
        written + b"<!-- a remark -->",
        (elsewhere / "report.html").read_bytes(),
        b"",
    )
    for other in others:
        page.write_bytes(other)
        assert "--force" in ended(capsys, ["report", "--run", str(folder), "-q", "--alpha", "0.2"], 2).err
        assert page.read_bytes() == other
    assert run(["report", "--run", str(folder), "-q", "--alpha", "0.2", "--force"]) == 0
    assert page.read_bytes() == written


def test_out_and_calibration_may_lie_elsewhere(folder, tmp_path):
    calibration = tmp_path / "elsewhere.json"
    calibration.write_bytes((folder / "calibration.json").read_bytes())
    out = tmp_path / "deep" / "page.html"
    assert run(["report", "--run", str(folder), "--calibration", str(calibration), "--out", str(out), "-q"]) == 0
    assert out.is_file()


def test_errors_are_one_line(folder, tmp_path, capsys):
    assert run(["report", "--run", str(tmp_path / "nowhere")]) == 2
    assert run(["report", "--run", str(tmp_path)]) == 2
    assert run(["report", "--run", str(folder), "--alpha", "-1"]) == 2
    text = ended(capsys, ["report"], 2).err
    assert "Traceback" not in text
    assert "expected a run folder" in text
    assert "calibration.json" in text


def test_damaged_material_is_an_error_that_names_the_file(folder, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    next((copy / "report").glob("*/audit-*.preview")).write_text("{}")
    assert "damaged preview file" in ended(capsys, ["report", "--run", str(copy), "--force"], 2).err


def test_a_calibration_that_was_written_elsewhere_is_found_by_its_run_folder(photographs, tmp_path, capsys):
    elsewhere, folder = tmp_path / "results" / "mine.json", tmp_path / "run"
    for path in photographs.iterdir():
        (tmp_path / "outputs" / path.stem).mkdir(parents=True)
        for index in range(2):
            darker = Image.open(path).point(lambda value: max(value - 1, 0))
            darker.save(tmp_path / "outputs" / path.stem / f"{index}.png")
    vendor = ["--adapter", "folder", "-p", f"path={tmp_path / 'outputs'}", "-p", "label=darker", "--draws", "2"]
    vendor += ["--score", "bicubic-gap"]
    assert run(["calibrate", str(photographs), *vendor, "--run", str(folder), "--out", str(elsewhere), "-q"]) == 0
    assert not (folder / "calibration.json").exists()
    assert run(["report", "--run", str(folder), "--json"]) == 0
    digest = json.loads(elsewhere.read_text())["digest"]
    assert json.loads(capsys.readouterr().out)["calibration"] == digest
    low, again = tmp_path / "low.png", ["--calibration", str(elsewhere), "--run", str(folder)]
    new = Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 40).convert("RGB")
    new.resize((16, 16)).save(low)
    (tmp_path / "outputs" / "low").mkdir()
    for index in range(2):
        new.save(tmp_path / "outputs" / "low" / f"{index}.png")
    given = ["-p", f"path={tmp_path / 'outputs'}", "--alpha", "0.9", "--out", str(tmp_path / "masked")]
    assert f"report --run {folder} --calibration {elsewhere}" in ended(capsys, ["mask", str(low), *again, *given]).out
    moved = elsewhere.rename(tmp_path / "moved.json")
    said = ended(capsys, ["report", "--run", str(folder)], 2).err
    assert f"at {elsewhere}, where it was written; it is not there" in said
    assert "--calibration FILE" in said
    assert run(["report", "--run", str(folder), "--calibration", str(moved), "-q", "--force"]) == 0
    fewer = sorted(str(path) for path in photographs.iterdir())[:5]
    assert run(["calibrate", *fewer, *vendor, "--run", str(tmp_path / "other"), "--out", str(elsewhere), "-q"]) == 0
    assert "another one has been written there since" in ended(capsys, ["report", "--run", str(folder)], 2).err
    (folder / "calibration-elsewhere.json").write_text("[]")
    assert "calibration-elsewhere.json" in ended(capsys, ["report", "--run", str(folder)], 2).err
