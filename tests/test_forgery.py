"""Edited calibrations whose digests were computed anew: no edit but of the curves gives a level that is not due."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.mutations import mutate, redigested
from support.synthetic import sketch_of, write_photographs

from blackbox_conformal.cli.from_options import open_calibrated_vendor
from blackbox_conformal.cli.options import VendorOptions
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.errors import AdapterError, CalibrationError, FileFormatError, UsageError
from blackbox_conformal.method.images.calibration_images import CalibrationImage, KnownPhotograph
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.support.canonical import digest_bytes

OURS = (FileFormatError, CalibrationError, UsageError, AdapterError)
LEVELS = (0.05, 0.1, 0.2, 0.4, 0.9)


def honest(n: int = 24) -> Calibration:
    """A calibration with everything that a file can hold: groups, a refusal, all kinds of curves, tuned ones."""
    rng = np.random.default_rng(5)
    images, curves, shares, all_but = [], [], [], []
    for index in range(n):
        scores = rng.integers(0, 32, (8, 8)).astype(np.float32) / 32
        errors = np.minimum(scores * rng.uniform(0.05, 0.6), 1).astype(np.float32)
        refused = index == 7
        family = RiskCurve.family(scores, errors, bound=1.0, tolerances=(0.1,), left_out=(0.05,))
        curves.append(RiskCurve.worst(1.0) if refused else family[0])
        shares.append(RiskCurve.worst(1.0, "share", tolerance=0.1) if refused else family[1])
        all_but.append(RiskCurve.worst(1.0, "all-but", left_out=0.05) if refused else family[2])
        seen = sketch_of(f"p{index}")
        images.append(
            CalibrationImage(
                name=f"p{index}",
                truth=seen.digest,
                sketch=seen.text,
                input=digest_bytes(f"low {index}".encode()),
                height=8,
                width=8,
                refused="no people" if refused else None,
                group="ab"[index % 2],
            )
        )
    procedure = Procedure(
        vendor={"adapter": "folder", "adapter_version": 1, "parameters": {"label": "a"}},
        scale=4,
        draws=2,
        score={"name": "smoothed-variance", "kernel": "gaussian", "sigma": 4.0},
        metric={"name": "rgb-linf"},
    )
    tuning = tuple(KnownPhotograph.of(sketch_of(f"t{index}")) for index in range(3))
    return Calibration.from_curves(
        procedure, 1.0, images, curves, [shares], [all_but], tuning=tuning, vendor_models=("m",)
    )


def says(calibration: Calibration, rule: dict) -> list[float]:
    parameters = {key: value for key, value in rule.items() if key != "name"}
    return [calibration.threshold(alpha, rule["name"], **parameters) for alpha in LEVELS]


def try_edits(count: int, seed: int, path: Path) -> dict[str, int]:
    """How many edited files were refused and how many were taken; fails on any other exception and on a false level."""
    rng = random.Random(seed)
    true = honest()
    content = json.loads(true.save(path, force=True).read_text())
    options = VendorOptions.of(None, (f"path={path.parent}",))
    open_calibrated_vendor(Calibration.load(path), options)
    found = {"refused": 0, "taken": 0}
    for number in range(count):
        edited, where = mutate(content, rng, rng.choice([1, 1, 1, 2, 3]))
        path.write_text(redigested(edited), errors="surrogatepass")
        try:
            loaded = Calibration.load(path)
            own = says(loaded, loaded.guarantee)
            plain = says(loaded, {"name": "expected"})
            open_calibrated_vendor(loaded, options)
        except OURS:
            found["refused"] += 1
            continue
        except Exception as error:
            raise AssertionError(f"edit {number} of {where}: {error!r}") from error
        found["taken"] += 1
        if not {place[0] for place in where} & {"curves", "shares", "all_but"}:
            assert own == says(true, loaded.guarantee), where
            assert plain == says(true, {"name": "expected"}), where
    return found


def test_no_edit_ends_in_a_bare_exception_or_gives_another_level(tmp_path: Path) -> None:
    found = try_edits(300, 11, tmp_path / "c.json")
    assert found["refused"] > 150
    assert found["taken"] > 0


def edited(tmp_path: Path, **changes: object) -> Path:
    content = json.loads(honest().save(tmp_path / "c.json").read_text())
    content |= changes
    path = tmp_path / "edited.json"
    path.write_text(redigested(content))
    return path


def test_a_smaller_bound_is_refused(tmp_path: Path) -> None:
    small = honest()
    curves = [RiskCurve(c.scores, c.losses, 1.0) for c in small.curves]
    scaled = [RiskCurve(c.scores, c.losses * np.float32(0.25), 0.25) for c in curves]
    forged = Calibration.from_curves(small.procedure, 0.25, small.images, scaled)
    with pytest.raises(FileFormatError, match=r"expected the bound of the metric rgb-linf, 1; the file says 0\.25"):
        Calibration.load(forged.save(tmp_path / "forged.json"))
    with pytest.raises(FileFormatError, match=r"the file says 0\.2 and its curves 1"):
        Calibration.load(edited(tmp_path, bound=0.2))


@pytest.mark.parametrize("field", ["input", "sketch"])
def test_curves_that_stand_twice_under_made_up_digests_are_refused(tmp_path: Path, field: str) -> None:
    once = honest(10)
    images, curves = list(once.images), list(once.curves)
    for image in once.images:
        other = {"truth": digest_bytes(image.truth.encode()), "input": digest_bytes(image.input.encode())}
        other["sketch"] = sketch_of(image.truth).text
        other[field] = getattr(image, field)
        images.append(image.model_copy(update=other))
    forged = Calibration.from_curves(once.procedure, 1.0, images, [*curves, *curves])
    with pytest.raises(FileFormatError, match=f"same {field}"):
        Calibration.load(forged.save(tmp_path / "forged.json"))


@pytest.mark.parametrize("field", ["vendor", "second_opinion"])
def test_a_file_names_no_module_to_import(tmp_path: Path, field: str) -> None:
    content = json.loads(honest().save(tmp_path / "c.json").read_text())
    procedure = content["procedure"] | {field: {"adapter": "antigravity:x", "parameters": {}}}
    with pytest.raises(FileFormatError, match="a file may not name code to run"):
        Calibration.load(edited(tmp_path / "again", procedure=procedure))


def test_a_file_of_an_older_format_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"format 1.*Calibrate again"):
        Calibration.load(edited(tmp_path, version=1))


def test_an_adapter_of_the_users_own_is_typed_again(tmp_path: Path) -> None:
    content = json.loads(honest().save(tmp_path / "c.json").read_text())
    procedure = content["procedure"] | {"vendor": {"adapter": "mine", "adapter_version": 1, "parameters": {}}}
    calibration = Calibration.load(edited(tmp_path / "again", procedure=procedure))
    with pytest.raises(UsageError, match=r"Add --adapter package\.module:Class"):
        open_calibrated_vendor(calibration, VendorOptions.of(None, ()))


def test_a_module_beside_a_forged_calibration_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "evilmod.py").write_text("open('ran', 'w')\n")
    write_photographs(tmp_path / "pictures", range(1))
    content = json.loads(honest().save(tmp_path / "c.json").read_text())
    content["procedure"]["vendor"] = {"adapter": "evilmod:X", "adapter_version": 1, "parameters": {}}
    (tmp_path / "c.json").write_text(redigested(content))
    command = [
        sys.executable,
        "-m",
        "blackbox_conformal",
        "mask",
        "pictures",
        "--calibration",
        "c.json",
        "--alpha",
        "0.5",
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert (found.returncode, (tmp_path / "ran").exists()) == (2, False), found.stderr
    assert "a file may not name code to run" in found.stderr
