"""Groups by median score from calibration to audit: a picture's group is known by itself, and a wrong one is found."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import called
from support.synthetic import photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, FileFormatError, UsageError
from blackbox_conformal.method.guarantees.by_score import NAMES
from blackbox_conformal.method.images.read import read_image

KNOWN, UNSEEN, INPUTS = range(9), range(9, 15), range(20, 25)
HOW = ("--adapter", "folder", "-p", "label=synthetic", "--metric", "rgb-linf", "--score", "texture")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("score-groups")
    write_draws(folder / "outputs", [*KNOWN, *UNSEEN, *INPUTS], 1)
    write_photographs(folder / "known", KNOWN)
    write_photographs(folder / "unseen", UNSEEN)
    (folder / "inputs").mkdir()
    for seed in INPUTS:
        Image.fromarray(reduced(photograph(seed), 4)).save(folder / "inputs" / f"p{seed}.png")
    done = called("calibrate", "known", *HOW, "-p", "path=outputs", *CALIBRATED, "--full", folder=folder, code=0)
    (folder / "told.txt").write_text(done.stdout + done.stderr)
    return folder


CALIBRATED = ("--score-groups", "2", "--alpha", "0.6", "--run", "run")
APPLIED = ("-p", "path=outputs", "--calibration", "run/calibration.json", "--alpha", "0.6")


def masked(folder: Path, out: str) -> dict[str, dict]:
    called("mask", "inputs", *APPLIED, "--out", out, "--run", "masks", folder=folder, code=0)
    return {path.name[:3]: json.loads(path.read_text()) for path in (folder / out).glob("*-certificate.json")}


def verified(folder: Path, out: str, name: str) -> str:
    given = ("--calibration", "run/calibration.json", "--input", f"inputs/{name}.png")
    done = called("verify", f"{out}/{name}-certificate.json", *given, folder=folder)
    return f"{done.returncode} {done.stdout}{done.stderr}"


def test_each_group_has_a_threshold_and_the_photograph_at_the_cut_has_none(scene):
    calibration = Calibration.load(scene / "run" / "calibration.json")
    by_median = sorted(zip(calibration.score_keys, calibration.images, strict=True))
    assert [image.group for _, image in by_median] == ["lower half"] * 4 + [None] + ["higher half"] * 4
    told = (scene / "told.txt").read_text()
    assert (
        "Among pictures in the lower half by median score of the calibration photographs, and likewise in each" in told
    )
    assert "Thresholds within groups" in told
    assert "trusted share of the calibration pictures" not in told
    each = [calibration.rule_of_group(group).threshold(calibration.curves, 0.6) for group in NAMES[2]]
    assert each[0] != each[1]
    assert calibration.threshold(0.6) == min(each), "at which both promises hold"
    assert called("report", "--run", "run", "--out", "page.html", folder=scene).returncode == 0
    page = (scene / "page.html").read_text()
    assert all(f"pictures in the {group} by median score" in page for group in NAMES[2])
    assert "smallest of the groups" in page


def test_a_mask_knows_its_group_and_verify_finds_a_wrong_one(scene, monkeypatch):
    certificates = masked(scene, "masked")
    calibration = Calibration.load(scene / "run" / "calibration.json")
    assert {one["guarantee"]["group_new"] for one in certificates.values()} == {*NAMES[2]}
    for name, one in certificates.items():
        group = one["guarantee"]["group_new"]
        assert float.fromhex(one["threshold_hex"]) == calibration.rule_of_group(group).threshold(
            calibration.curves, 0.6
        )
        assert f"pictures in the {group} by median score" in one["promise"]
        assert verified(scene, "masked", name).startswith("0 ")
    # A vendor that moves all answers into one group is noticed, since answers are compared with those of all groups.
    with closing(sqlite3.connect(scene / "masks" / "masked-pictures.sqlite")) as stream:
        assert stream.execute("SELECT ended, count(answers) FROM picture GROUP BY ended").fetchall() == [(None, 5)]
    # The certificate of a mask by the other group's threshold follows from the calibration, but not from the picture.
    right = Calibration.group_by_itself
    with monkeypatch.context() as patch:
        patch.setattr(Calibration, "group_by_itself", lambda *about: next(iter({*NAMES[2]} - {right(*about)})))
        masked(scene, "wrong")
    for name, one in certificates.items():
        found = verified(scene, "wrong", name)
        group = one["guarantee"]["group_new"]
        assert found[0] != "0"
        assert f"the median score of picture and input is in the {group} of the calibration's" in found


def test_an_audit_measures_the_photographs_of_a_group(scene):
    audit = ("audit", "unseen", *APPLIED, "--run", "run", "--json")
    both = json.loads(called(*audit, folder=scene, code=0).stdout)["groups"]
    assert list(both) == [*NAMES[2]]
    assert sum(one["n"] for one in both.values()) == len(UNSEEN)
    assert min(one["n"] for one in both.values()) > 0
    for group in NAMES[2]:
        alone = json.loads(called(*audit, "--group", group, folder=scene, code=0).stdout)
        assert alone["levels"] == both[group]["levels"]
    assert "expected no --group" in called("mask", "inputs", *APPLIED, "--group", "lower half", folder=scene).stderr


def test_groups_that_a_file_changed_are_refused(scene, tmp_path):
    calibration = Calibration.load(scene / "run" / "calibration.json")
    images = tuple(image.model_copy(update={"group": "lower half"}) for image in calibration.images)
    replace(calibration, images=images, file=None).save(tmp_path / "changed.json")
    with pytest.raises(FileFormatError, match="expected the groups of its photographs' median scores"):
        Calibration.load(tmp_path / "changed.json")


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"groups": {"p0": "day"}}, UsageError, "expected score groups without groups, tiles or a cascade"),
        ({"tiles": {f"p{seed}": "one" for seed in KNOWN}}, UsageError, "expected score groups without groups"),
        ({"score_groups": 4, "alpha": 0.4}, CalibrationError, "at least 11 calibration photographs in 4 groups"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_drawn(scene, settings, error, said):
    vendor = bc.load_adapter("folder", path=str(scene / "outputs"), label="synthetic")
    asked = {"score_groups": 2, "metric": "rgb-linf", "score": "texture", "run": scene / "refused", **settings}
    with pytest.raises(error, match=said):
        bc.calibrate(vendor, scene / "known", **asked)


def test_the_group_of_a_picture_is_that_of_its_score_map(scene):
    calibration = Calibration.load(scene / "run" / "calibration.json")
    vendor = bc.load_adapter("folder", path=str(scene / "outputs"), label="synthetic")
    for seed in INPUTS:
        source = scene / "inputs" / f"p{seed}.png"
        result = bc.mask(vendor, source, calibration, alpha=0.6, run=scene / "python")
        scores = sorted(result.score_map.ravel())
        key = float(scores[(len(scores) + 1) // 2 - 1]), read_image(source).digest
        cut = next(
            key for key, image in zip(calibration.score_keys, calibration.images, strict=True) if not image.group
        )
        assert result.certificate.guarantee["group_new"] == NAMES[2][key > cut]


def test_a_plan_counts_the_photographs_of_each_group(scene):
    vendor = bc.load_adapter("folder", path=str(scene / "outputs"), label="synthetic")
    settings = {"metric": "rgb-linf", "score": "texture", "run": scene / "plan"}
    one, groups = bc.plan(vendor, 40, **settings), bc.plan(vendor, 40, score_groups=2, **settings)
    assert (one.needed_n["0.1"], groups.needed_n["0.1"]) == (9, 19)
    assert (one.reachable_alpha, groups.reachable_alpha) == (pytest.approx(1 / 41), pytest.approx(1 / 20))
    told = called("calibrate", "known", *HOW, "-p", "path=outputs", *CALIBRATED, "--dry-run", folder=scene, code=0)
    assert "2, with at least 4 photographs each" in told.stdout
    assert "are 19 photographs, 10 more calls" in told.stdout
