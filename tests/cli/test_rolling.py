"""A mask cannot be rolled again: the root seed is the calibration's and stands on the certificate."""

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR, called
from support.synthetic import photograph, write_photographs

from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.testing.fault_server import FaultServer


class Desk:
    """A vendor that takes seeds, and a folder with photographs and a picture to mask."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.vendor = ["--adapter", VENDOR, "-p", f"url={url}", "--yes"]
        write_photographs(folder / "photographs", range(4))
        small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
        small.save(folder / "small.png")

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return called(*arguments, *self.vendor, folder=self.folder, code=code)

    def calibrate(self, out: str, *more: str) -> subprocess.CompletedProcess[str]:
        choices = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf", "--out", out]
        return self.run("calibrate", "photographs", *choices, *more)

    def mask(self, calibration: str, out: str, *more: str) -> Certificate:
        self.run("mask", "small.png", "--calibration", calibration, "--alpha", "0.9", "--out", out, *more)
        return Certificate.from_json((self.folder / out / "small-certificate.json").read_text())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory):
    with FaultServer() as server:
        yield Desk(tmp_path_factory.mktemp("desk"), server.url)


def test_another_seed_at_mask_or_audit_is_refused(desk):
    desk.calibrate("plain.json")
    refused = desk.run(
        "mask", "small.png", "--calibration", "plain.json", "--alpha", "0.9", "--seed", "3", "--out", "again", code=2
    )
    assert "fixes it to 0; got --seed 3" in refused.stderr
    assert not (desk.folder / "again").exists()
    write_photographs(desk.folder / "unseen", range(30, 32))
    audit = desk.run("audit", "unseen", "--calibration", "plain.json", "--alpha", "0.9", "--seed", "3", code=2)
    assert "--seed 3" in audit.stderr


def test_the_seed_is_the_calibrations_and_stands_on_the_certificate(desk):
    made = desk.calibrate("seven.json", "--seed", "7")
    assert "the root seed is 7, not the usual 0" in made.stderr
    assert json.loads((desk.folder / "seven.json").read_text())["procedure"]["root_seed"] == 7
    plain, seven = (desk.mask(f"{name}.json", f"out-{name}") for name in ("plain", "seven"))
    again = desk.mask("seven.json", "out-again", "--seed", "7")
    assert again.to_json() == seven.to_json()
    assert plain.draw_seeds != seven.draw_seeds
    for certificate in (plain, seven):
        procedure = Procedure(**certificate.procedure)
        digest = certificate.input["pixels"]
        assert certificate.draw_seeds == tuple(procedure.seed(digest, k, (0, 2**31 - 1)) for k in range(2))
        assert str(procedure.root_seed) in (certificate.seed_rule or "")
    assert not any("root seed" in note for note in plain.notes)
    assert any("the root seed is 7" in note for note in seven.notes)
    assert any("not signed" in line for line in plain.assumptions)
