"""What goes wrong on the first day: each mistake is told in one line with what to do, and costs nothing."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR, called, ended
from support.draws import want
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.pictures_in_memory import photograph_paths
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", range(3))
    return tmp_path / "photographs"


def calibrate(photographs: Path, url: str, *more: str) -> list[str]:
    vendor = ["--adapter", VENDOR, "-p", f"url={url}", *CHOICES, "--run", str(photographs.parent / "run")]
    return ["calibrate", str(photographs), *vendor, *more]


def test_a_stored_draw_that_is_no_answer_is_to_be_replaced_and_not_paid_for(photographs, tmp_path, capsys):
    write_draws(tmp_path / "outputs", range(3), 3)
    wrong = tmp_path / "outputs" / "p1" / "2.png"
    right = wrong.read_bytes()
    PillowImage.new("RGB", (40, 40), (1, 2, 3)).save(wrong)
    vendor = ["--adapter", "folder", "-p", f"path={tmp_path / 'outputs'}", "-p", "label=synthetic"]
    arguments = ["calibrate", str(photographs), *vendor, *CHOICES, "--run", str(tmp_path / "run"), "-q"]
    said = ended(capsys, arguments, 6).err
    assert "1 draw has no usable picture (invalid); draw 2 of p1 is not the picture that was asked for" in said
    assert "expected 80×64 pixels; got 40×40" in said
    assert "Put the right pictures in their place and run the same command again" in said
    assert "If folders are swapped, name the photographs' first, and the answers' with -p path=FOLDER" in said
    assert "--retry-ambiguous" not in said
    assert "pay" not in said
    wrong.write_bytes(right)
    assert run(arguments) == 0


def test_a_paid_draw_that_is_no_answer_says_how_to_pay_again(photographs, capsys):
    with FaultServer({"submit": ["picture:kind=wrong-size"] * 2}) as server:
        said = ended(capsys, calibrate(photographs, server.url, "--yes", "--concurrency", "1"), 6).err
        assert "2 draws have no usable picture (2 invalid); the first, draw " in said
        assert "the same command with --max-resample 1 pays for them again" in said
        assert run(calibrate(photographs, server.url, "--yes", "-q")) == 6
        assert server.account.paid == 9
        assert run(calibrate(photographs, server.url, "--yes", "--max-resample", "1", "-q")) == 0
        assert server.account.paid == 11


def test_a_draw_that_was_never_answered_says_how_to_pay_again(photographs, capsys):
    with FaultServer({"submit": ["close-without-answer"]}) as server:
        said = ended(capsys, calibrate(photographs, server.url, "--yes", "--concurrency", "1"), 6).err
        assert "1 draw has no usable picture (ambiguous); draw " in said
        assert "was sent and never answered: " in said
        assert "the same command with --retry-ambiguous pays for them again" in said
        assert "1 call was never answered and may have been billed (booked at $0.01): " in said
        assert run(calibrate(photographs, server.url, "--yes", "--retry-ambiguous", "-q")) == 0


def test_calls_are_those_to_the_vendor_and_not_draws(photographs, capsys):
    with FaultServer({"submit": ["picture:kind=wrong-size"]}) as server:
        once = calibrate(photographs, server.url, "--yes", "--max-resample", "1", "--json")
        took = json.loads(ended(capsys, once).out)
        assert (took["n"] * took["draws"], took["calls"], took["cached"]) == (9, 10, 0)
        assert took["calls"] == server.account.paid
        again = json.loads(ended(capsys, once).out)
        assert (again["calls"], again["cached"], again["cost_usd"]) == (0, 9, 0)


def test_a_missing_key_is_told_before_anyone_is_asked_to_pay(server, photographs, capsys, monkeypatch):
    monkeypatch.delenv("FAULT_VENDOR_KEY", raising=False)
    monkeypatch.delenv("FAULT_VENDOR_KEY_FILE", raising=False)
    keyed = ["-p", "keyed=true"]
    settings = ["--vendor", f"{VENDOR}:draws=2", "--vendor", VENDOR, "-p", f"url={server.url}"]
    said = ended(capsys, calibrate(photographs, server.url, *keyed), 2).err
    assert said.count("\n") == 1
    assert "FAULT_VENDOR_KEY" in said
    assert "FAULT_VENDOR_KEY" in ended(capsys, ["compare", str(photographs), *settings, *keyed], 2).err
    assert run(["tune", *calibrate(photographs, server.url, *keyed)[1:], "--alpha", "0.9"]) == 2
    assert "FAULT_VENDOR_KEY" in capsys.readouterr().err
    assert server.account.paid == 0
    assert not (photographs.parent / "run").exists()


def test_a_no_is_a_no(photographs):
    terminal, other_end = pty.openpty()
    try:
        with FaultServer() as server:
            command = [sys.executable, "-m", "blackbox_conformal", *calibrate(photographs, server.url)]
            os.write(terminal, b"n\n")
            found = subprocess.run(command, stdin=other_end, capture_output=True, text=True, timeout=120, check=False)
            assert server.account.paid == 0
    finally:
        os.close(terminal)
        os.close(other_end)
    assert found.returncode == 4
    assert "9 calls to make" in found.stderr
    assert "Spend this?" in found.stderr
    assert "not agreed to, so nothing was sent and nothing was spent" in found.stderr
    assert "resume" not in found.stderr
    assert found.stdout == ""


def test_when_every_photograph_is_refused_a_wrong_setting_is_likely(photographs, capsys):
    with FaultServer({"submit": "status:code=422"}) as server:
        assert run(calibrate(photographs, server.url, "--yes", "--accept-refusals")) == 2
    said = capsys.readouterr().err
    assert "refused all 3 photographs" in said
    assert "has these draws asked for again" in said


def test_refused_photographs_are_named_with_the_command_that_shows_why(tmp_path, capsys):
    write_photographs(tmp_path / "photographs", range(9))
    with FaultServer({"submit": ["status:code=422,message=not this one"] * 4}) as server:
        # One after the other, so that each photograph meets one refusal.
        given = [*calibrate(tmp_path / "photographs", server.url, "--yes"), "--draws", "1", "--score", "texture"]
        assert run([*given, "--concurrency", "1", "--accept-refusals"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    counts = r"note: refused, and counted as the worst loss: 4 \(p\d, p\d, p\d and 1 more\), the vendor refused this "
    assert re.search(f"{counts}picture with HTTP 422: not this one; `", said), said
    command = said.split("not this one; `")[1].split("`")[0].split()
    assert command[:5] == ["blackbox-conformal", "ledger", "ls", "--state", "refused"]
    assert f"`{' '.join(command).replace(' ls ', ' reopen ')}` has them asked for again" in said
    attempts = json.loads(ended(capsys, [*command[1:], "--json"]).out)
    assert len(attempts) == 4
    assert all("not this one" in attempt["error"] for attempt in attempts)


def test_three_photographs_refused_in_the_same_words_stop_the_run_until_that_is_accepted(tmp_path, capsys, monkeypatch):
    """Numbers and identifiers in the words do not count, and stored refusals do."""
    write_photographs(tmp_path / "photographs", range(12))
    answers = [f"status:code=422,message=upload {number}a{number} is not fit" for number in range(6)]
    answers[1] = "status:code=422,message=nothing like it"
    one_by_one = ["--yes", "--draws", "1", "--score", "texture", "--concurrency", "1"]
    with FaultServer({"submit": answers}) as server:
        given = calibrate(tmp_path / "photographs", server.url, *one_by_one)
        error = json.loads(ended(capsys, [*given, "--json"], 6).out)["error"]["message"]
        assert re.search(r"stopped: 3 pictures \(p\d+, p\d+, p\d+\) were refused in the same words", error)
        reopen = re.search("`blackbox-conformal (ledger reopen --code 422 [^`]+)`", error)
        assert reopen is not None
        assert server.account.requests("submit") == 4
        assert run(given) == 6
        assert server.account.requests("submit") == 4
        document = json.loads(ended(capsys, [*given, "--accept-refusals", "--json"]).out)
    assert document["failed"] == 6
    assert [len(one["names"]) for one in document["refusals"]] == [5, 1]
    assert "nothing like it" in document["refusals"][1]["words"]
    # As pasted, in a folder that is not the one of the runs.
    monkeypatch.chdir(tmp_path / "photographs")
    assert "6 refusals reopened" in ended(capsys, shlex.split(reopen[1])).out


def test_no_limit_for_a_price_that_nobody_knows_and_no_listing_of_an_unknown_state(server, photographs, capsys):
    vendor = ["--adapter", "http", "-p", f"url={server.url}/v1/upscale", *CHOICES]
    said = ended(capsys, ["calibrate", str(photographs), *vendor, "--max-cost", "1"], 4).err
    assert "--max-calls" in said
    assert "-p price-usd=" in said
    assert server.account.paid == 0
    assert run(calibrate(photographs, server.url, "--yes", "-q")) == 0
    listing = ["ledger", "ls", "--run", str(photographs.parent / "run"), "--json"]
    assert "expected --state to be one of planned, claimed" in ended(capsys, [*listing, "--state", "payed"], 2).err
    assert len(json.loads(ended(capsys, [*listing, "--state", "validated"]).out)) == 9


def test_the_second_vendor_is_planned_for_and_its_key_is_missed(server, photographs, capsys, monkeypatch):
    monkeypatch.delenv("FAULT_VENDOR_KEY", raising=False)
    first = ["--adapter", VENDOR, "-p", f"url={server.url}", "--draws", "2", "--metric", "rgb-linf"]
    second = ["--second-adapter", VENDOR, "--second", f"url={server.url}", "--second", "price_usd=0.5"]
    given = [str(photographs), *first, *second, "--score", "second-opinion"]
    given += ["--run", str(photographs.parent / "run")]
    plan = json.loads(ended(capsys, ["plan", *given, "--json"]).out)
    assert (plan["calls"], plan["cost_usd"]) == (6 + 3, [1.56, 1.56])
    assert "FAULT_VENDOR_KEY" in ended(capsys, ["calibrate", *given, "--second", "keyed=true"], 2).err
    assert server.account.paid == 0
    assert run(["calibrate", *given, "--yes", "-q"]) == 0
    assert server.account.paid == 9


def test_of_a_long_ledger_the_last_attempts_are_listed(tmp_path, capsys):
    with closing(Ledger(tmp_path / "run")) as ledger:
        ledger.plan([want(f"t{number}") for number in range(1003)])
    listing = ["ledger", "ls", "--run", str(tmp_path / "run")]

    def listed(*words: str) -> tuple[list[int], str]:
        told = ended(capsys, [*listing, *words])
        if "--json" in words:
            return [row["id"] for row in json.loads(told.out)], told.err
        return [int(line.split()[0]) for line in told.out.splitlines() if "planned" in line], told.err

    found, said = listed()
    assert (found, "the last 1000 attempts are shown" in said) == (list(range(4, 1004)), True)
    assert listed("--limit", "2")[0] == [1002, 1003]
    found, said = listed("--limit", "1003")
    assert (len(found), "are shown" in said) == (1003, False)
    assert len(listed("--json")[0]) == 1003
    assert listed("--json", "--limit", "1")[0] == [1003]


def test_where_a_vendor_is_must_be_said_again(photographs, tmp_path, capsys):
    write_draws(tmp_path / "outputs", range(3), 3)
    vendor = ["--adapter", "folder", "-p", f"path={tmp_path / 'outputs'}", "-p", "label=synthetic"]
    assert run(["calibrate", str(photographs), *vendor, *CHOICES, "--run", str(tmp_path / "run")]) == 0
    assert "another scale or degradation would pass unnoticed" in capsys.readouterr().err
    calibration = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.9"]
    for command in ("mask", "audit"):
        said = ended(capsys, [command, str(photographs), *calibration], 2).err
        assert "the calibration does not store where the vendor folder is. Add -p path=…" in said
        assert "Folder that holds one picture, or one folder of draws, for each photograph" in said


def test_nobody_is_asked_to_pay_for_a_photograph_that_calibration_has_seen(server, photographs, tmp_path, capsys):
    assert run(calibrate(photographs, server.url, "--yes", "-q")) == 0
    given = ["--calibration", str(tmp_path / "run" / "calibration.json"), "--alpha", "0.9", "--adapter", VENDOR]
    given += ["-p", f"url={server.url}", "--run", str(tmp_path / "elsewhere")]
    for command in ("mask", "audit"):
        said = ended(capsys, [command, str(photographs / "p1.png"), *given], 2).err
        assert "has not seen" in said
        assert "to make" not in said
    assert server.account.paid == 9


def test_equal_inputs_with_different_stored_answers_never_get_each_others(tmp_path):
    write_draws(tmp_path / "outputs", range(9), 2)
    write_photographs(tmp_path / "photographs", range(8))
    vendor = ["--adapter", "folder", "-p", "path=outputs", "-p", "label=synthetic", "--run", "run"]
    choices = ["--score", "texture", "--metric", "rgb-linf", "-q"]
    called("calibrate", "photographs", *vendor, *choices, folder=tmp_path, code=0)
    (tmp_path / "in").mkdir()
    first, second = sorted((tmp_path / "outputs" / "p8").iterdir())
    answers = {"A": first, "B": second, "C": first}
    for name, answer in answers.items():
        truth = PillowImage.fromarray(photograph(8))
        truth.resize((20, 16), PillowImage.Resampling.BICUBIC).save(tmp_path / "in" / f"{name}.png")
        (tmp_path / "outputs" / f"{name}.png").write_bytes(answer.read_bytes())
    mask = ["--calibration", "run/calibration.json", *vendor, "--alpha", "0.9"]
    together = called("mask", "in", *mask, "--out", "all", folder=tmp_path, code=2)
    assert "B and A are equal, and the stored answers to them are not" in " ".join(together.stderr.split())
    called("mask", "in", *mask, "--out", "all", "--keep-going", folder=tmp_path, code=6)
    assert not [*(tmp_path / "all").glob("B-*")]
    called("mask", "in/B.png", *mask, "--out", "all", folder=tmp_path, code=0)
    for name, answer in answers.items():
        (delivered,) = (tmp_path / "all").glob(f"{name}-image.*")
        assert np.array_equal(PillowImage.open(delivered), PillowImage.open(answer))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["list", "score"], "did you mean scores?"),
        (["plan", "photos/sumer"], "did you mean photos/summer?"),
        (["plan", "ph/su"], "did you mean photos/summer?"),
        (["plan", "ph/winter"], "does not exist; photos holds autumn, spring, summer, …. Name one of these"),
        (
            ["check", "zzz/qqq", "photos"],
            "does not exist; this folder holds photos. Name one of these, or a whole path",
        ),
        (
            ["calibrate", "photos", "--inputs", "a"],
            "no option --inputs here; `plan` can take it. A parameter of the vendor",
        ),
        (["calibrate", "photos", "--inputs", "a"], "is given as -p inputs=…"),
        (["check", "a", "b", "--splits", "3"], "no option --splits here; `audit` can take it. See"),
        (["calibrate", "--adapter", "embedded"], "Add it as in: blackbox-conformal calibrate photographs/ --adapter"),
        (["calibrate", "photos", "--adapter", "fal"], "Add -p model=fal-ai/clarity-upscaler"),
        (["calibrate", "photos", "--adapter", "replicate"], "Add -p model=nightmareai/real-esrgan"),
        (["calibrate", "photos", "--adapter", "folder"], "Add -p path=… -p label=…"),
        (
            ["check", "photos"],
            "expected two paths, the input that was sent and the answer to it, or folders of them; got 1",
        ),
    ],
)
def test_a_mistyped_or_missing_word_says_what_to_type(tmp_path, typed, said):
    for season in ("summer", "spring", "autumn", "thaw"):
        (tmp_path / "photos" / season).mkdir(parents=True)
    assert said in called(*typed, folder=tmp_path, code=2).stderr


def test_a_calibration_of_a_recipe_says_that_it_does_not_know_where_the_file_lies(tmp_path):
    said = "Of a recipe of your own a calibration keeps the name, and not where it lies$"
    with pytest.raises(UsageError, match=said):
        bc.load_adapter("recipe", recipe="houseup")


@pytest.mark.parametrize("command", [["plan"], ["calibrate"], ["mask", "--calibration", "c.json"]])
def test_an_address_in_place_of_pictures_is_refused(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.json").touch()
    adapter = [] if "mask" in command else ["--adapter", "embedded"]
    told = ended(capsys, [command[0], "https://host/photographs?key=s3cret", *command[1:], *adapter], 2).err
    assert "got an address. Download the pictures, and name their folder" in " ".join(told.split())
    with pytest.raises(UsageError, match=r"got the address https://host/photographs\. Download"):
        photograph_paths("https://host/photographs?key=s3cret")


def test_a_run_folder_stands_for_its_calibration_and_a_command_says_how_to_name_one(photographs, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/calibration.json").write_text("{}")
    folder = str(tmp_path / "run")
    said = ended(capsys, ["mask", str(photographs), "--calibration", folder, "--alpha", "0.2"], 2).err
    assert f"{folder}/calibration.json" in said
    assert f"--run {folder}" in ended(capsys, ["report", folder], 2).err
    assert "key new FILE" in ended(capsys, ["sign", f"{folder}/calibration.json"], 2).err


def test_what_a_newcomer_mixes_up_is_named_with_its_cure(photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    monkeypatch.delenv("REPLICATE_API_TOKEN_FILE", raising=False)
    (tmp_path / "empty").mkdir()
    replicate = ["--adapter", "replicate", "-p", "model=nightmareai/real-esrgan", "--max-cost", "1"]
    run_folder = ["--run", str(tmp_path / "run")]
    said = ended(capsys, ["calibrate", str(photographs), *replicate, *run_folder], 2).err
    assert "Run: export REPLICATE_API_TOKEN=…" in said
    said = ended(capsys, ["calibrate", str(tmp_path / "empty"), "--adapter", "embedded", *run_folder], 2).err
    assert "Name a folder that holds some, or convert others" in said
    said = ended(capsys, ["calibrate", str(photographs), "--adapter", "embedded", "--scale", "3", *run_folder], 2).err
    assert "offers scale 4; got 3. Give --scale 4" in said
    vendor = bc.from_function("mine", lambda picture: picture, scale=4)
    with pytest.raises(UsageError, match=r"expected photographs; got a vendor. The vendor comes first"):
        bc.calibrate([photographs], vendor)
    large = [photograph(place) for place in range(6)]
    swapped = "as large as its input of 80×64 pixels; got 20×16. Inputs and answers may be swapped: give inputs=SMALL"
    with pytest.raises(bc.errors.ImageError, match=rf"outputs\[0\] {swapped}"):
        bc.calibrate(inputs=large, outputs=[one[::4, ::4] for one in large], truths=large)
