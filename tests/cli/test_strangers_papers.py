"""What strangers can put before `verify`: their own keys, masks without scores, names that end a program."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR
from support.mutations import redigested
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.method.images.encode import mask_png
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.testing.fault_server import FaultServer

PAPER = "p20-certificate.json"


@dataclass(frozen=True)
class Desk:
    """``c.json``, a calibration of a score of one draw; ``p20.png``; and what it was masked into, in ``out``."""

    folder: Path

    @property
    def against(self) -> tuple[str, ...]:
        return ("--calibration", str(self.folder / "c.json"))

    @property
    def both(self) -> tuple[str, ...]:
        return (*self.against, "--input", str(self.folder / "p20.png"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    draws = write_draws(folder / "draws", [*range(8), 20])
    vendor = bc.load_adapter("folder", path=str(draws), label="made up")
    paths = write_photographs(folder / "photographs", range(8))
    bc.calibrate(vendor, paths, score="texture", metric="rgb-linf", run=folder / "run").save(folder / "c.json")
    small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
    small.save(folder / "p20.png")
    common = ["-p", f"path={draws}", "--run", str(folder / "run"), "--alpha", "0.6", "--out", str(folder / "out")]
    assert run(["mask", str(folder / "p20.png"), "--calibration", str(folder / "c.json"), *common]) == 0
    return Desk(folder)


def edited(desk: Desk, folder: Path, **changes: Any) -> Path:
    """The certificate with other values, beside copies of its files."""
    shutil.copytree(desk.folder / "out", folder, dirs_exist_ok=True)
    path = folder / PAPER
    path.write_text(redigested(json.loads(path.read_text()) | changes))
    return path


def mask_of(desk: Desk) -> np.ndarray:
    with PillowImage.open(desk.folder / "out" / "p20-mask.png") as opened:
        return np.array(opened)


def whitened(desk: Desk, folder: Path, *without: str) -> Path:
    """The certificate with a white mask, and `without` some of its files."""
    outputs = json.loads((desk.folder / "out" / PAPER).read_text())["outputs"]
    white = mask_png(np.ones_like(mask_of(desk)))
    outputs["mask"]["digest"] = digest_bytes(white)
    kept = {kind: output for kind, output in outputs.items() if kind not in without}
    path = edited(desk, folder, outputs=kept, trusted_share=1.0)
    (folder / outputs["mask"]["file"]).write_bytes(white)
    return path


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]], str]:
    capsys.readouterr()
    code = run(["verify", *words, "--json"])
    found = capsys.readouterr()
    return code, json.loads(found.out), found.err


def test_the_mask_is_computed_again_from_picture_and_input(desk, tmp_path, capsys):
    assert 0 < mask_of(desk).mean() < 1
    honest = str(desk.folder / "out" / PAPER)
    code, (row,), _ = verified(capsys, honest, *desk.both)
    assert (code, [one for one in row["unchecked"] if "mask" in one]) == (0, [])
    forged = str(whitened(desk, tmp_path, "score_map"))
    for more, needs in (
        ((), "(add --calibration FILE and --input FILE)"),
        (desk.against, "(add --input FILE)"),
        (desk.both[2:], "(add --calibration FILE)"),
    ):
        code, (row,), said = verified(capsys, forged, *more)
        assert code == 0
        assert f"that its mask follows from the pictures {needs}" in row["unchecked"]
        assert "that its mask follows from the pictures" in said
    code, (row,), said = verified(capsys, forged, *desk.both)
    assert code == 3
    assert "the mask is not where the scores of picture and input are below the threshold" in row["reason"]


def test_a_score_map_made_up_for_a_mask_is_found(desk, tmp_path, capsys):
    path = whitened(desk, tmp_path)
    content = json.loads(path.read_text())
    # Every level is worth less than the threshold.
    content["outputs"]["score_map"] |= {"offset": 0.0, "step": content["threshold"] / 1e6}
    path.write_text(redigested(content))
    assert verified(capsys, str(path), *desk.against)[0] == 0
    code, (row,), _ = verified(capsys, str(path), *desk.both)
    assert code == 3
    assert "the mask is not where" in row["reason"]
    assert "the score map is not the score of picture and input" in row["reason"]


def test_a_picture_of_another_size_than_its_input_is_refused(desk, tmp_path, capsys):
    PillowImage.new("RGB", (19, 16)).save(tmp_path / "other.png")
    given = json.loads((desk.folder / "out" / PAPER).read_text())["input"]
    digest = pixels_digest(np.zeros((16, 19, 3), np.uint8))
    path = edited(desk, tmp_path, input=given | {"pixels": digest})
    code, (row,), _ = verified(capsys, str(path), *desk.against, "--input", str(tmp_path / "other.png"))
    assert (code, "not 4 times as many pixels a side as the input" in row["reason"]) == (3, True)


def test_masks_of_several_draws_are_said_not_to_be_checked(desk, tmp_path, capsys):
    vendor = bc.load_adapter("folder", path=str(desk.folder / "draws"), label="made up")
    choices = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf", "run": tmp_path / "run"}
    calibration = bc.calibrate(vendor, desk.folder / "photographs", **choices)
    calibration.save(tmp_path / "c.json")
    masked = bc.mask(vendor, desk.folder / "p20.png", calibration, 0.9, run=tmp_path / "run")
    paper = masked.save(tmp_path / "out").certificate
    more = ("--calibration", str(tmp_path / "c.json"), "--input", str(desk.folder / "p20.png"))
    code, (row,), _ = verified(capsys, str(paper), *more)
    assert code == 0
    assert "that its mask follows from the pictures, which needs all draws of the vendor" in row["unchecked"]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The same with a vendor that takes seeds and names its model."""
    folder = tmp_path_factory.mktemp("seeded")
    write_photographs(folder / "photographs", range(8))
    small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
    small.save(folder / "p20.png")
    with FaultServer() as server:
        vendor = ["-p", f"url={server.url}", "--run", str(folder / "run"), "--yes"]
        choices = ["--adapter", VENDOR, "--score", "texture", "--metric", "rgb-linf", "--out", str(folder / "c.json")]
        assert run(["calibrate", str(folder / "photographs"), *vendor, *choices]) == 0
        given = ["--adapter", VENDOR, "--calibration", str(folder / "c.json"), "--alpha", "0.9"]
        assert run(["mask", str(folder / "p20.png"), *vendor, *given, "--out", str(folder / "out")]) == 0
    return Desk(folder)


def test_model_and_seeds_follow_from_the_calibration(seeded, tmp_path, capsys):
    honest = json.loads((seeded.folder / "out" / PAPER).read_text())
    assert (honest["vendor_model"], len(honest["draw_seeds"])) == ("fault-vendor-1", 1)
    assert verified(capsys, str(seeded.folder / "out" / PAPER), *seeded.against)[0] == 0
    other_range = honest["seed_rule"].replace("mod 2147483648", "mod 7")
    assert other_range != honest["seed_rule"]
    for changes in (
        {"vendor_model": "a model that is never wrong"},
        {"seed_rule": "the best of 1000 seeds"},
        {"seed_rule": None},
        {"seed_rule": other_range},
        {"seed_rule": honest["seed_rule"].replace("root", "any") + "; the best of 1000"},
        {"draw_seeds": [honest["draw_seeds"][0] + 1]},
        {"draw_seeds": None, "seed_rule": honest["seed_rule"]},
        {"draw_seeds": [*honest["draw_seeds"], 5]},
    ):
        code, (row,), _ = verified(capsys, str(edited(seeded, tmp_path, **changes)), *seeded.against)
        assert (code, next(iter(changes)) in row["reason"]) == (3, True), changes
    silent = edited(seeded, tmp_path, vendor_model=None)
    assert verified(capsys, str(silent), *seeded.against)[0] == 0, "some answers name no model"


def test_a_model_that_the_calibration_does_not_know_is_said_not_to_be_checked(desk, tmp_path, capsys):
    silent = replace(bc.Calibration.load(desk.folder / "c.json"), vendor_models=())
    silent.save(tmp_path / "c.json")
    path = edited(desk, tmp_path, vendor_model="a model that is never wrong", calibration_digest=silent.digest)
    code, (row,), _ = verified(capsys, str(path), "--calibration", str(tmp_path / "c.json"))
    assert (code, "the vendor's model that it names" in row["unchecked"]) == (0, True)
