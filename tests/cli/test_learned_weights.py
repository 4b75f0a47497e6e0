"""A calibration with weights of the user's own: named by their digest, and carried in its file."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR
from support.mutations import redigested
from support.synthetic import photograph, reduced, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.scores._learned_network import own_network
from blackbox_conformal.testing.fault_server import FaultServer


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photographs", range(5))
    np.savez_compressed("mine.npz", **{**own_network().arrays, "tail_bias": np.ones(1, np.float32)})


def test_a_calibration_carries_its_weights_wherever_it_goes(capsys):
    PillowImage.fromarray(reduced(photograph(20), 4)).save("small.png")
    weights = Path("mine.npz").read_bytes()
    with FaultServer() as server:
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes", "-q"]
        calibrate = ["calibrate", "photographs", *vendor, "--score", "learned:weights=mine.npz", "--run", "run"]
        assert run(calibrate) == 0
        written = Path("run/calibration.json").read_bytes()
        assert b"mine.npz" not in written
        # The same again is the same calibration, and takes its place.
        paid = server.account.paid
        assert run(calibrate) == 0
        assert Path("run/calibration.json").read_bytes() == written
        assert server.account.paid == paid
        Path("mine.npz").unlink()
        Path("run/calibration.json").rename("elsewhere.json")
        mask = ["mask", "small.png", *vendor, "--calibration", "elsewhere.json", "--alpha", "0.9"]
        assert run(mask) == 0
    calibration = Calibration.load("elsewhere.json")
    assert calibration.procedure.score_weights == weights
    assert calibration.save("again.json").read_bytes() == written


def test_weights_are_compared_and_the_text_of_the_best_can_be_typed(capsys):
    write_photographs(Path("more"), range(10, 24))
    with FaultServer() as server:
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes"]
        words = ["tune", "more", *vendor, "--candidate", "learned:weights=mine.npz", "--alpha", "0.9", "--only-choose"]
        assert run([*words, "--run", "run"]) == 0
    assert "--score learned:weights=mine.npz --draws 1" in capsys.readouterr().out


WRONG = {
    "others": (own_network().content, "expected the weights sha256"),
    "none": (None, "expected the weights sha256:.* Name the file of those weights with --score learned:weights=FILE"),
    "no archive": (b"weights", "expected the weights of a score learned to be an npz file"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_calibration_without_its_weights_is_refused(kind):
    weights, message = WRONG[kind]
    content = _calibrated()
    del content["score_weights"]
    if weights is not None:
        content["score_weights"] = base64.b64encode(weights).decode()
    Path("c.json").write_text(redigested(content))
    with pytest.raises(FileFormatError, match=message):
        Calibration.load("c.json")


def test_a_calibration_that_names_a_file_is_refused_before_it_is_opened():
    content = _calibrated()
    content["procedure"]["score"]["weights"] = "missing.npz"
    Path("c.json").write_text(redigested(content))
    with pytest.raises(FileFormatError, match="names no file or folder, as calibrations do not"):
        Calibration.load("c.json")


def test_weights_of_a_score_that_takes_none_are_refused():
    content = _calibrated()
    content["procedure"]["score"] = {"name": "texture"}
    Path("c.json").write_text(redigested(content))
    with pytest.raises(FileFormatError, match="weights"):
        Calibration.load("c.json")


def _calibrated() -> dict:
    with FaultServer() as server:
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes", "-q"]
        assert run(["calibrate", "photographs", *vendor, "--score", "learned:weights=mine.npz", "--run", "run"]) == 0
    content: dict = json.loads(Path("run/calibration.json").read_bytes())
    return content
