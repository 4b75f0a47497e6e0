"""Inputs of another kind than the calibration's are told before anything is paid, and marked when they are masked."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import VENDOR, ended
from support.mutations import redigested
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photographs calibrate; others are made as small as their inputs, as JPEG files, and three of those as PNG."""
    folder = tmp_path_factory.mktemp("inputs")
    write_photographs(folder / "photographs", range(24))
    for kind in ("alike", "compressed", "single"):
        (folder / kind).mkdir()
    for seed in range(40, 52):
        small = Image.fromarray(photograph(seed)).resize((20, 16), Image.Resampling.BICUBIC)
        small.save(folder / "alike" / f"new{seed}.png")
        small.save(folder / "compressed" / f"new{seed}.jpg", quality=10)
    for compressed in sorted((folder / "compressed").iterdir())[:3]:
        Image.open(compressed).save(folder / "single" / f"{compressed.stem}.png")
    with FaultServer() as server:
        arguments = ["calibrate", str(folder / "photographs"), "--adapter", VENDOR, "-p", f"url={server.url}", "--yes"]
        assert run([*arguments, *CHOICES, "--run", str(folder / "run")]) == 0
    return folder


def compared(folder: Path, kind: str, *more: str) -> int:
    return run(["inputs", str(folder / kind), "--calibration", str(folder / "run" / "calibration.json"), *more])


def test_compressed_inputs_are_told_with_the_direction(calibrated, capsys):
    page = calibrated / "page.html"
    assert compared(calibrated, "compressed", "--out", str(page)) == 3
    found = capsys.readouterr()
    assert "* your inputs are blurrier in their colours: colour sharpness median" in found.out
    assert "the inputs differ from the calibration's, so its guarantee does not speak of them" in found.out
    assert "12 inputs beside 24 made by bicubic:4" in found.out
    assert "Calibrate with a --degradation that makes such inputs" in found.err
    assert "If --suggest found the present one, give it more inputs" in found.err
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") == 9
    assert "your inputs are blurrier in their colours" in text
    assert compared(calibrated, "alike", "--out", str(page)) == 0, "a page as it was written is made anew"
    page.write_text("mine")
    assert compared(calibrated, "alike", "--out", str(page)) == 2
    assert "--force" in capsys.readouterr().err
    assert compared(calibrated, "alike", "--out", str(page), "--force") == 0


def test_like_inputs_pass_and_the_document_says_all(calibrated, capsys):
    assert compared(calibrated, "alike", "--json", "--level", "0.01") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["differ"] is False
    assert document["p_value"] > 0.01
    assert (document["inputs"], document["calibration_inputs"], document["level"]) == (12, 24, 0.01)
    assert document["degradation"] == "bicubic:4"
    assert document["page"] is None
    shift = bc.compare_inputs(calibrated / "alike", calibrated / "run" / "calibration.json", level=0.01)
    assert shift.p_value == document["p_value"]


def test_a_calibration_of_other_groups_or_without_statistics_says_so(calibrated, capsys):
    assert compared(calibrated, "alike", "--group", "night") == 2
    assert "photographs of the group night are like; this one does not" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_named(calibrated, capsys):
    broken = calibrated / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    assert compared(calibrated, "broken") == 2
    assert "a.png" in capsys.readouterr().err


def test_the_next_command_names_every_input(calibrated, capsys):
    pictures = sorted((calibrated / "alike").iterdir())
    file = str(calibrated / "run" / "calibration.json")
    assert run(["inputs", *map(str, pictures), "--calibration", file]) == 0
    line = capsys.readouterr().out.partition("Next: blackbox-conformal ")[2].splitlines()[0]
    words = shlex.split(line)
    assert words[:-1] == ["mask", *map(str, pictures), "--calibration", file, "--alpha"]
    assert float(words[-1]) > 0, "without a level `mask` refuses"


def test_plan_compares_before_anything_is_paid(calibrated, capsys):
    with FaultServer() as server:
        plan = ["plan", str(calibrated / "photographs"), "--adapter", VENDOR, "-p", f"url={server.url}", *CHOICES]
        plan += ["--run", str(calibrated / "planned")]
        document = json.loads(ended(capsys, [*plan, "--inputs", str(calibrated / "alike"), "--json"]).out)
        assert document["inputs"]["differ"] is False
        assert document["calls"] == 48
        found = ended(capsys, [*plan, "--inputs", str(calibrated / "compressed")], 3)
        assert "your inputs are blurrier in their colours" in found.out
        paths = f"{calibrated / 'compressed'} --suggest --photographs {calibrated / 'photographs'} --scale 4"
        assert f"Next: blackbox-conformal inputs {paths}" in found.out
        assert "Next: blackbox-conformal calibrate" not in found.out
        plan += ["--degradation", "bicubic:4+jpeg:10"]
        assert run([*plan, "--inputs", str(calibrated / "compressed")]) == 0
        assert "12 inputs beside 24 made by bicubic:4+jpeg:10" in capsys.readouterr().out
        assert server.account.paid == 0


def masked(folder: Path, server: FaultServer, kind: str, out: str, *more: str) -> int:
    arguments = ["mask", str(folder / kind), "--calibration", str(folder / "run" / "calibration.json")]
    places = ["--run", str(folder / "masking"), "--out", str(folder / out), "--alpha", "0.99"]
    return run([*arguments, "--adapter", VENDOR, "-p", f"url={server.url}", "--yes", *places, *more])


def test_masks_of_other_inputs_carry_no_guarantee(calibrated, capsys):
    with FaultServer() as server:
        assert masked(calibrated, server, "single", "marked", "--outside", "0.05", "--safe", "--json") == 0
        found = capsys.readouterr()
    entries = json.loads(found.out)["pictures"]
    assert [entry["status"] for entry in entries] == ["outside-calibration"] * 3
    assert "warning: 3 of 3 inputs are not like the calibration's" in found.err
    assert "warning: 3 of 3 masks carry no guarantee: outside-calibration" in found.err
    assert (
        "no guarantee: the guarantee is for inputs like the calibration's and does not speak of this one" in found.err
    )
    for entry in entries:
        certificate = bc.Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
        assert certificate.input_check is not None
        assert certificate.input_check.p_value == entry["input_p_value"] == 1 / 25
        assert "so all of it is plain enlargement" in certificate.outputs["safe"]["statement"]
        low = Image.open(entry["input"]).convert("RGB").resize((80, 64), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(np.asarray(Image.open(entry["safe"])), np.asarray(low))
        assert certificate.stated.startswith("No guarantee: the guarantee is for inputs like the calibration's")
    path = entries[0]["certificate"]
    assert run(["verify", path, "--calibration", str(calibrated / "run" / "calibration.json")]) == 0
    assert "undamaged, and it gives no guarantee" in capsys.readouterr().out


def test_one_picture_is_not_marked_beside_too_few_photographs(calibrated, capsys):
    with FaultServer() as server:
        assert masked(calibrated, server, "single", "unmarked", "--json") == 0
        found = capsys.readouterr()
        assert {entry["status"] for entry in json.loads(found.out)["pictures"]} == {"if-like-calibration"}
        assert "Beside only 24 calibration inputs no p-value can be as small as 0.01" in found.err
        assert masked(calibrated, server, "alike", "alike-masked", "--outside", "0", "--json") == 0
        assert masked(calibrated, server, "alike", "refused", "--outside", "1") == 2


def test_masks_made_with_another_outside_or_guarantee_are_not_overwritten_and_nothing_is_paid(
    calibrated, tmp_path, capsys
):
    batch = tmp_path / "batch"
    batch.mkdir()
    first, second = sorted((calibrated / "alike").iterdir())[:2]
    (batch / first.name).write_bytes(first.read_bytes())
    places = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    with FaultServer() as server:
        assert masked(calibrated, server, str(batch), "", *places) == 0
        written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        paid = server.account.paid
        (batch / second.name).write_bytes(second.read_bytes())
        for more, says in (
            (["--outside", "0.05"], "was made with --outside 0.01; got --outside 0.05"),
            (["--outside", "0"], "was made with --outside 0.01; got --outside 0"),
            (["--guarantee", "expected:leaked=1"], "was made with another guarantee, expected with its parameters"),
        ):
            assert masked(calibrated, server, str(batch), "", *places, *more) == 2
            assert says in capsys.readouterr().err
        assert server.account.paid == paid
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == written
        assert masked(calibrated, server, str(batch), "", *places) == 0
        assert masked(calibrated, server, str(batch), "", *places, "--outside", "0.05", "--force") == 0
    certificate = json.loads((tmp_path / "out" / f"{first.stem}-certificate.json").read_text())
    assert certificate["input_check"]["level"] == 0.05


def test_an_edited_check_of_an_input_is_not_verified(calibrated, tmp_path, capsys):
    with FaultServer() as server:
        assert masked(calibrated, server, "single", "edited", "--outside", "0.05", "--json") == 0
    entries = json.loads(capsys.readouterr().out)["pictures"]
    path = next(Path(entry["certificate"]) for entry in entries if entry["status"] == "outside-calibration")
    content = json.loads(path.read_text(encoding="utf-8"))
    against = ["--calibration", str(calibrated / "run" / "calibration.json")]

    def refused(**changes: object) -> str:
        path.write_text(redigested(content | changes), encoding="utf-8")
        assert run(["verify", str(path), *against]) == 3
        return capsys.readouterr().out

    check = content["input_check"]
    assert "status is 'guaranteed'" in refused(status="guaranteed")
    assert "input_check is" in refused(input_check=check | {"p_value": 0.5}, status="guaranteed")
    assert "does not say it" in refused(input_check=None, status="guaranteed")
    assert "out of its range" in refused(input_check=check | {"statistics": check["statistics"] | {"noise": -1.0}})
    assert "expected sharpness, " in refused(input_check=check | {"statistics": {"noise": 1.0}})


def test_one_jpeg_file_is_told_what_its_mask_would_say(calibrated, capsys):
    assert compared(calibrated, "compressed/new40.jpg", "--json") == 0
    found = capsys.readouterr()
    said = (
        "1 of 1 input would get no guarantee: the input is a JPEG file, and those of the calibration were made without"
    )
    assert f"warning: {said} JPEG (bicubic:4)" in found.err
    assert json.loads(found.out)["files"].startswith(said)
    assert compared(calibrated, "alike", "--json") == 0
    found = capsys.readouterr()
    assert (json.loads(found.out)["files"], "warning" in found.err) == (None, False)
    given = [str(calibrated / "photographs"), "--adapter", VENDOR, "-p", "url=http://127.0.0.1:9", *CHOICES]
    run(["plan", *given, "--inputs", str(calibrated / "compressed" / "new40.jpg")])
    assert f"warning: {said} JPEG (bicubic:4)" in capsys.readouterr().err
