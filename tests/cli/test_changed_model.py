"""A vendor that changes: nobody pays for masks that nothing vouches for, and exit code 3 says why."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.command_line import VENDOR, called
from support.synthetic import photograph, write_draws, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.fault_vendor import FaultVendor
from blackbox_conformal.testing.faults import Fault

SENTENCE = "the vendor replaced model 'fault-vendor-1', which was calibrated, by 'acme-v2'"


@pytest.fixture
def shop() -> Iterator[FaultServer]:
    with FaultServer({"submit": Fault("slow-start", {"seconds": 0.05})}) as shop:
        yield shop


@pytest.fixture
def desk(tmp_path: Path, shop: FaultServer) -> Path:
    write_photographs(tmp_path / "photographs", range(4))
    write_photographs(tmp_path / "others", range(20, 30))
    calibrate(tmp_path, shop, "first", code=0)
    return tmp_path


def calibrate(desk: Path, shop: FaultServer, run: str, *more: str, **how: Any) -> subprocess.CompletedProcess[str]:
    choices = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]
    vendor = ["--adapter", VENDOR, "-p", f"url={shop.url}"]
    return called("calibrate", "photographs", *vendor, *choices, "--run", run, "--yes", *more, folder=desk, **how)


def use(
    desk: Path, shop: FaultServer, command: str, calibration: str, run: str, **how: Any
) -> subprocess.CompletedProcess[str]:
    where = ["--calibration", f"{calibration}/calibration.json", "--run", run, "--adapter", VENDOR]
    spend = ["-p", f"url={shop.url}", "--yes", "--concurrency", "8", "--force"]
    return called(command, "others", *where, "--alpha", "0.5", *spend, folder=desk, **how)


def change_model(shop: FaultServer, name: str) -> None:
    assert isinstance(shop.vendor, FaultVendor)
    shop.vendor.model = name


@pytest.mark.parametrize("command", ["mask", "audit"])
def test_answers_of_another_model_end_masking_and_auditing(desk, shop, command):
    change_model(shop, "acme-v2")
    # Three answers in a row, and those that are under way then.
    for folder, most in (("fresh", 12 + 10), ("first", 12 + 20)):
        found = use(desk, shop, command, "first", folder, code=3)
        assert SENTENCE in found.stderr
        assert "calibrate again" in found.stderr
        assert "run folder" not in found.stderr.split("error:")[1]
        assert shop.account.paid <= most
    paid = shop.account.paid
    again = use(desk, shop, command, "first", "first")
    assert (again.returncode, shop.account.paid) == (3, paid), again.stderr
    assert "came from model 'acme-v2', and the calibration is of 'fault-vendor-1': calibrate again" in again.stderr
    assert not list((desk / "masked").glob("*")) if command == "mask" else True


def test_after_a_new_calibration_everything_works_again_in_the_old_run_folder(desk, shop):
    change_model(shop, "acme-v2")
    assert use(desk, shop, "mask", "first", "first").returncode == 3
    mixed = calibrate(desk, shop, "first")
    # All its draws are stored and of the old model: the file that is there is the same one.
    assert mixed.returncode in (0, 2)
    assert calibrate(desk, shop, "second").returncode == 0
    assert Calibration.load(desk / "second" / "calibration.json").vendor_models == ("acme-v2",)
    masked = use(desk, shop, "mask", "second", "first")
    # These pictures are larger than the calibration's inputs, which is another matter than the model.
    assert masked.returncode == 3
    assert "everything is written" in masked.stderr, masked.stderr
    assert "acme" not in masked.stderr
    assert use(desk, shop, "audit", "second", "second").returncode == 0


def test_a_change_while_calibrating_says_how_it_can_be_completed(tmp_path):
    write_photographs(tmp_path / "photographs", range(4))
    with FaultServer({"submit": [None, None, "model:name=acme-v2"]}) as shop:
        for _ in range(2):
            found = calibrate(tmp_path, shop, "run", "--concurrency", "1", code=3)
            assert "draws came from 'fault-vendor-1' and from 'acme-v2'" in found.stderr
            assert "start again in a new run folder, with --run" in found.stderr
            assert shop.account.paid == 5
        shop.script = {}
        change_model(shop, "fault-vendor-1")
        assert "add --max-resample 1" in calibrate(tmp_path, shop, "run").stderr
        assert shop.account.paid == 5
        assert calibrate(tmp_path, shop, "run", "--max-resample", "1").returncode == 0
        assert shop.account.paid == 12 + 3
        assert calibrate(tmp_path, shop, "new").returncode == 0


CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]
CHANGED = {"submit": "picture:kind=flatter-and-brighter"}


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibration on 24 photographs, and four small pictures to mask."""
    folder = tmp_path_factory.mktemp("drift")
    write_photographs(folder / "photographs", range(24))
    (folder / "inputs").mkdir()
    for seed in range(40, 44):
        small = Image.fromarray(photograph(seed)).resize((20, 16), Image.Resampling.BICUBIC)
        small.save(folder / "inputs" / f"new{seed}.png")
    with FaultServer() as server:
        arguments = ["calibrate", str(folder / "photographs"), "--adapter", VENDOR, "-p", f"url={server.url}", "--yes"]
        assert run([*arguments, *CHOICES, "--run", str(folder / "run")]) == 0
    return folder


def mask(folder: Path, server: FaultServer, name: str, *more: str) -> int:
    arguments = ["mask", str(folder / "inputs"), "--calibration", str(folder / "run" / "calibration.json")]
    arguments += ["--adapter", VENDOR]
    places = ["--run", str(folder / f"run-{name}"), "--out", str(folder / name)]
    return run([*arguments, "-p", f"url={server.url}", "--alpha", "0.9", "--yes", "--json", *places, *more])


def test_a_silent_change_is_told_by_mask_and_shown_at_each_picture(calibrated, capsys):
    with FaultServer(CHANGED) as server:
        assert mask(calibrated, server, "changed") == 3
        found = capsys.readouterr()
        assert "warning: the guarantee is for pictures like the calibration's 24, and 4 that were masked" in found.err
        assert "the difference of their answers is larger than their inputs explain" in found.err
        document = json.loads(found.out)
        for entry in document["pictures"]:
            assert any("than their inputs explain" in note for note in entry["notes"])
            assert (entry["status"], "than their inputs explain" in entry["reason"]) == ("outside-calibration", True)
            certificate = Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
            assert list(certificate.notes) == entry["notes"]
            certificate.verify(calibrated / "changed")
        assert mask(calibrated, server, "changed") == 3
    with FaultServer(CHANGED) as server:
        assert mask(calibrated, server, "reported") == 3
    where = ["--run", str(calibrated / "run-reported"), "--out", str(calibrated / "reported.html")]
    assert run(["report", *where, "--calibration", str(calibrated / "run" / "calibration.json")]) == 0
    capsys.readouterr()
    cards = (calibrated / "reported.html").read_text(encoding="utf-8").split('<article class="card"')[1:]
    assert len(cards) == 4
    for card in cards:
        # In sight as why there is no guarantee, and among what is folded.
        assert card.count("of another kind: the difference of their answers is larger") >= 2


def test_a_vendor_that_is_as_it_was_raises_nothing(server, calibrated, capsys):
    assert mask(calibrated, server, "same") == 0
    found = capsys.readouterr()
    assert "not like those" not in found.err
    assert not any(entry["notes"] for entry in json.loads(found.out)["pictures"])


def test_a_vendor_that_changes_without_a_word_is_told_by_an_audit(calibrated, capsys):
    write_photographs(calibrated / "unseen", range(60, 64))
    with FaultServer(CHANGED) as server:
        arguments = ["audit", str(calibrated / "unseen"), "--calibration", str(calibrated / "run" / "calibration.json")]
        arguments += ["--adapter", VENDOR, "-p", f"url={server.url}", "--alpha", "0.9", "--yes", "--json"]
        # Two answers are too few to tell, and the audit would stop there.
        code = run([*arguments, "--no-stop", "--run", str(calibrated / "run-audit")])
    found = capsys.readouterr()
    assert code in (0, 3), found.err
    assert "warning: the answers to these 4 pictures are not like those" in found.err
    assert "differ more" in json.loads(found.out)["drift"]


def test_draws_of_the_next_photograph_are_refused_one_and_all(tmp_path, capsys):
    write_photographs(tmp_path / "photographs", range(8))
    draws = write_draws(tmp_path / "draws", range(12))
    write_photographs(tmp_path / "unseen", range(8, 12))
    arguments = ["calibrate", str(tmp_path / "photographs"), "--adapter", "folder"]
    arguments += ["-p", f"path={draws}", "-p", "label=stored"]
    assert run([*arguments, *CHOICES, "--run", str(tmp_path / "run")]) == 0
    shifted = tmp_path / "shifted"
    for seed in range(8, 12):
        shutil.copytree(draws / f"p{seed}", shifted / f"p{8 + (seed - 7) % 4}")
    capsys.readouterr()
    calibration = str(tmp_path / "run" / "calibration.json")
    arguments = ["audit", str(tmp_path / "unseen"), "--calibration", calibration, "-p", f"path={shifted}"]
    assert run([*arguments, "--alpha", "0.9", "--run", str(tmp_path / "run-audit")]) == 6
    assert "answered another picture" in capsys.readouterr().err
