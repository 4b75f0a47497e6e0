"""A calibration with weights of the user's own: named by their digest, found through the environment."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR
from support.synthetic import photograph, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.scores._price_network import own_network
from blackbox_conformal.scores.price import VARIABLE
from blackbox_conformal.testing.fault_server import FaultServer


def test_a_mask_takes_the_calibrated_weights_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photographs", range(5))
    PillowImage.fromarray(degrade(photograph(20), 4)).save("small.png")
    np.savez_compressed("mine.npz", **{**own_network().arrays, "tail_bias": np.ones(1, np.float32)})
    with FaultServer() as server:
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes", "-q"]
        chosen = ["--score", "price:weights=mine.npz", "--run", "run"]
        assert run(["calibrate", "photographs", *vendor, *chosen]) == 0
        assert "mine.npz" not in Path("run/calibration.json").read_text(encoding="utf-8")
        mask = ["mask", "small.png", *vendor, "--calibration", "run/calibration.json", "--alpha", "0.9"]
        paid = server.account.paid
        assert run(mask) == 2
        assert f"Set {VARIABLE} to the file of those weights" in capsys.readouterr().err
        assert server.account.paid == paid
        monkeypatch.setenv(VARIABLE, "mine.npz")
        assert run(mask) == 0
