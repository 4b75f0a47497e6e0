"""Inputs of another kind than the calibration's are told before anything is paid, and marked when they are masked."""

import json
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import VENDOR
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibration on 24 photographs, others made as small as its inputs, and these as JPEG files."""
    folder = tmp_path_factory.mktemp("inputs")
    write_photographs(folder / "photographs", range(24))
    for kind in ("alike", "compressed"):
        (folder / kind).mkdir()
    for seed in range(40, 52):
        small = Image.fromarray(photograph(seed)).resize((20, 16), Image.Resampling.BICUBIC)
        small.save(folder / "alike" / f"new{seed}.png")
        small.save(folder / "compressed" / f"new{seed}.jpg", quality=10)
    with FaultServer() as server:
        arguments = ["calibrate", str(folder / "photographs"), "--adapter", VENDOR, "-p", f"url={server.url}", "--yes"]
        assert run([*arguments, *CHOICES, "--run", str(folder / "run")]) == 0
    return folder


def compared(folder: Path, kind: str, *more: str) -> int:
    return run(["inputs", str(folder / kind), "--calibration", str(folder / "run" / "calibration.json"), *more])


def test_compressed_inputs_are_told_with_the_direction(calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = calibrated / "page.html"
    assert compared(calibrated, "compressed", "--out", str(page)) == 3
    found = capsys.readouterr()
    assert "* your inputs are blurrier in their colours: colour sharpness median" in found.out
    assert "the inputs differ from the calibration's, so its guarantee does not speak of them" in found.out
    assert "12 inputs beside 24 made by bicubic:4" in found.out
    assert "Calibrate with a --degradation that makes such inputs" in found.err
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") == 9
    assert "Your inputs are blurrier in their colours" in text
    assert compared(calibrated, "compressed", "--out", str(page)) == 3
    assert compared(calibrated, "alike", "--out", str(page)) == 2
    assert "--force" in capsys.readouterr().err
    assert compared(calibrated, "alike", "--out", str(page), "--force") == 0


def test_like_inputs_pass_and_the_document_says_all(calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(calibrated, "alike", "--json", "--level", "0.01") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["differ"] is False
    assert document["p_value"] > 0.01
    assert (document["inputs"], document["calibration_inputs"], document["level"]) == (12, 24, 0.01)
    assert document["degradation"] == "bicubic:4"
    assert document["page"] is None
    shift = bc.compare_inputs(calibrated / "alike", calibrated / "run" / "calibration.json", level=0.01)
    assert shift.p_value == document["p_value"]


def test_a_calibration_of_other_groups_or_without_statistics_says_so(
    calibrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(calibrated, "alike", "--group", "night") == 2
    assert "photographs of the group night are like; this one does not" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_named(calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = calibrated / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    assert compared(calibrated, "broken") == 2
    assert "a.png" in capsys.readouterr().err


def test_plan_compares_before_anything_is_paid(calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer() as server:
        plan = ["plan", str(calibrated / "photographs"), "--adapter", VENDOR, "-p", f"url={server.url}", *CHOICES]
        plan += ["--run", str(calibrated / "planned")]
        assert run([*plan, "--inputs", str(calibrated / "alike"), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["inputs"]["differ"] is False
        assert document["calls"] == 48
        assert run([*plan, "--inputs", str(calibrated / "compressed")]) == 3
        assert "your inputs are blurrier in their colours" in capsys.readouterr().out
        plan += ["--degradation", "bicubic:4+jpeg:10"]
        assert run([*plan, "--inputs", str(calibrated / "compressed")]) == 0
        assert "12 inputs beside 24 made by bicubic:4+jpeg:10" in capsys.readouterr().out
        assert server.account.paid == 0
