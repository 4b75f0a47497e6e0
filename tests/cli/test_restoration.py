"""A vendor that returns pictures of the same size, from calibration to audit, for each task."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.restoring_vendor import RESTORING
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.testing.fault_server import FaultServer

TASKS = {
    "noise:10": "rgb-linf",
    "grey": "chroma",
    "holes:0.2,side=8-16": "in-holes:of=rgb-linf",
}


@pytest.mark.parametrize("degradation", TASKS)
def test_calibrate_mask_and_audit_at_scale_1(degradation, tmp_path, capsys):
    write_photographs(tmp_path / "photographs", range(8))
    write_photographs(tmp_path / "unseen", range(8, 12))
    truth = photograph(20)
    sent = Mixture.of_text(degradation).apply(truth, 1, "of the user")
    PillowImage.fromarray(sent).save(tmp_path / "input.png")
    settings = ["--draws", "2", "--metric", TASKS[degradation], "--degradation", degradation]
    with FaultServer() as server:
        vendor = ["--adapter", RESTORING, "-p", f"url={server.url}", "--run", str(tmp_path / "run"), "--yes"]
        assert run(["calibrate", str(tmp_path / "photographs"), *vendor, *settings, "-q"]) == 0
        given = ["--calibration", str(tmp_path / "run" / "calibration.json"), *vendor]
        mask = ["mask", str(tmp_path / "input.png"), "--alpha", "0.5", "--out", str(tmp_path / "out"), "--json"]
        assert run([*mask, *given, "--degradation", degradation]) == 0
        (entry,) = json.loads(capsys.readouterr().out)["pictures"]
        assert run(["audit", str(tmp_path / "unseen"), *given, "--alpha", "0.5", "--json"]) in (0, 3)
        document = json.loads(capsys.readouterr().out)
        before = server.account.paid
        assert run([*mask, *given, "--degradation", "jpeg:30"]) == 2
        assert f"for inputs made by {degradation}; got --degradation 'jpeg:30'" in capsys.readouterr().err
        assert server.account.paid == before
    assert np.asarray(PillowImage.open(entry["image"])).shape == truth.shape
    calibration = bc.Calibration.load(tmp_path / "run" / "calibration.json")
    assert calibration.procedure.scale == 1
    certificate = json.loads(Path(entry["certificate"]).read_text())
    assert certificate["input_bound"] is None
    assert f"Inputs are made like those of the calibration: {degradation}." in certificate["assumptions"]
    assert document["n"] == 4


def test_what_is_wrong_outside_holes_does_not_count(tmp_path):
    photographs = write_photographs(tmp_path / "photographs", range(6))
    curves = {}
    with FaultServer() as server:
        vendor = bc.load_adapter(RESTORING, url=server.url)
        for metric in ("rgb-linf", "in-holes:of=rgb-linf"):
            curves[metric] = bc.calibrate(
                vendor,
                photographs,
                draws=2,
                score="pixel-variance",
                metric=metric,
                degradation="holes:0.1,side=8",
                run=tmp_path / "run",
                max_cost=1,
            ).curves
        assert server.account.paid == 12, "one metric's draws are the other's"
    whole, in_holes = (curves[metric].losses_at(np.inf) for metric in curves)
    assert (in_holes <= whole).all()
    assert in_holes.min() > 0.3, "the fault server leaves holes as they are"


def test_vendors_and_scores_are_compared_inside_holes(tmp_path, capsys):
    """`compare` and `tune` measure as `calibrate` does, on its draws."""
    photographs = str(write_photographs(tmp_path / "photographs", range(6))[0].parent)
    with FaultServer() as server:
        vendor = ["-p", f"url={server.url}", "--run", str(tmp_path / "run"), "--yes", "--json", "--alpha", "0.9"]
        settings = ["--draws", "2", "--degradation", "holes:0.1,side=8", "--metric", "in-holes:of=rgb-linf"]
        tune = ["tune", photographs, "--adapter", RESTORING, *vendor, *settings, "--candidate", "pixel-variance"]
        assert run([*tune, "--out", str(tmp_path / "tuned.json")]) == 0
        capsys.readouterr()
        two = [f"{RESTORING}:label={score},score={score}" for score in ("pixel-variance", "texture")]
        vendors = [word for one in two for word in ("--vendor", one)]
        assert run(["compare", photographs, *vendors, *vendor, *settings, "--no-baselines"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["n_evaluation"] == 3
        assert server.account.paid == 12
    losses = bc.Calibration.load(tmp_path / "tuned.json").curves.losses_at(np.inf)
    assert losses.min() > 0.3
    assert bc.Calibration.load(tmp_path / "tuned.json").procedure.metric["of"] == "rgb-linf"


def test_the_seed_of_random_inputs_is_the_calibrations(tmp_path, capsys):
    photographs = write_photographs(tmp_path / "photographs", range(6))
    with FaultServer() as server:
        vendor = ["--adapter", RESTORING, "-p", f"url={server.url}", "-p", "seedable=false"]
        more = ["--run", str(tmp_path / "run"), "--yes", "--draws", "2", "--degradation", "noise:10", "--seed", "7"]
        assert run(["calibrate", *map(str, photographs), *vendor, *more, "--perturbation", "dihedral", "-q"]) == 0
        calibration = tmp_path / "run" / "calibration.json"
        assert bc.Calibration.load(calibration).procedure.root_seed == 7
        unseen = write_photographs(tmp_path / "unseen", range(8, 10))
        audit = ["audit", *map(str, unseen), "--calibration", str(calibration), *vendor, "--yes"]
        before = server.account.paid
        assert run([*audit, "--seed", "8", "--run", str(tmp_path / "run")]) == 2
        assert "which fixes it to 7; got --seed 8" in capsys.readouterr().err
        assert server.account.paid == before
