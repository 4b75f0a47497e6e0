"""`tune` with a second vendor: whichever score wins is calibrated, and what each score would cost is said."""

import json

import numpy as np
import pytest
from PIL import Image
from support.command_line import VENDOR

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer


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


def test_a_score_without_a_second_vendor_may_win_beside_one(photographs, tmp_path, capsys, noise):
    candidates = ["--candidate", "second-opinion@1", "--candidate", "bicubic-gap@1"]
    with FaultServer() as server:
        assert tune_with(photographs, tmp_path, server, noise, *candidates) == 0
        assert server.account.paid <= 2 * 6
    found = json.loads(capsys.readouterr().out)
    assert found["best"]["score"] == "bicubic-gap"
    assert {one["score"]: one["calls"] for one in found["candidates"]} == {"second-opinion@1": 8, "bicubic-gap@1": 4}
    calibration = json.loads((tmp_path / "run" / "calibration.json").read_text())
    assert calibration["procedure"]["second_opinion"] is None


def test_the_second_vendors_score_is_among_the_candidates_unless_others_are_named(photographs, tmp_path, capsys, noise):
    with FaultServer() as server:
        assert tune_with(photographs, tmp_path, server, noise, "--only-choose") == 0
        found = json.loads(capsys.readouterr().out)
        assert "second-opinion@1" in {one["score"] for one in found["candidates"]}
        paid = server.account.paid
        assert tune_with(photographs, tmp_path, server, noise, "--candidate", "bicubic-gap@1") == 2
        assert "no candidate compares with a second vendor" in capsys.readouterr().err
        assert tune_with(photographs, tmp_path, server, [], "--candidate", "second-opinion@1") == 2
        assert "--second-adapter" in capsys.readouterr().err
        assert server.account.paid == paid
