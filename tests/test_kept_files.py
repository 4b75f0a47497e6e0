"""Files that earlier versions wrote, kept in `tests/kept`: this version reads them, and finds in them what was written.

    PYTHONPATH=tests python tests/test_kept_files.py 0.1.0

writes such an archive. That of a released version is never written again.
"""

import json
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.documentation import DOCS
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import CALIBRATIONS
from blackbox_conformal.documents.certificate import CERTIFICATES
from blackbox_conformal.drawing.ledger import sqlite_schema
from blackbox_conformal.support import catalog
from blackbox_conformal.watching import watch_file

KEPT = Path(__file__).parent / "kept"
ALPHA = 0.5


def enlarged(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(4, 0).repeat(4, 1)


def never(picture: np.ndarray) -> np.ndarray:
    raise AssertionError("a stored answer was computed again")


def masked(folder: Path, vendor: bc.Adapter) -> bc.Result:
    calibration = folder / "calibration.json"
    return bc.mask(vendor, ("input", reduced(photograph(9), 4)), calibration, ALPHA, run=folder / "run", progress=False)


def write(archive: Path) -> None:
    """Write calibration, certificate, watch and ledger, and what they say, with the version that is installed."""
    with tempfile.TemporaryDirectory() as name:
        folder, vendor = Path(name), bc.from_function("kept", enlarged)
        photographs = [str(path) for path in write_photographs(folder / "photographs", range(6))]
        calibration = bc.calibrate(vendor, photographs, run=folder / "run", progress=False)
        calibration.save(folder / "calibration.json")
        result = masked(folder, vendor)
        result.save(folder / "masked", leave_out=("overlay", "score_map", "vendor"))
        bc.watch(vendor, folder / "calibration.json", photographs, run=folder / "run", canaries=2, progress=False)
        said = {
            "digest": calibration.digest,
            "threshold": calibration.threshold(ALPHA).hex(),
            "statement": result.certificate.stated,
            "trusted_share": result.certificate.trusted_share,
        }
        (folder / "said.json").write_text(json.dumps(said))
        files = (
            "said.json",
            "calibration*",
            "masked/*",
            "run/ledger.sqlite",
            "run/ledger.commits",
            "run/receipts.jsonl",
        )
        with zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED, compresslevel=9) as kept:
            for path in sorted(path for form in (*files, "run/samples/*/*") for path in folder.glob(form)):
                kept.write(path, path.relative_to(folder))


@pytest.fixture(params=sorted(KEPT.glob("*.zip")), ids=lambda path: path.stem)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    zipfile.ZipFile(request.param).extractall(tmp_path)
    return tmp_path


@pytest.fixture
def said(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "said.json").read_text())


def test_files_of_this_version_are_kept() -> None:
    version = tomllib.loads((KEPT.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (KEPT / f"{version}.zip").exists(), f"write them: PYTHONPATH=tests python tests/test_kept_files.py {version}"


def test_the_page_of_versions_names_the_formats_of_today() -> None:
    page = (DOCS / "versions.md").read_text(encoding="utf-8")
    ledger, watch = sqlite_schema.VERSION, watch_file.VERSION
    formats = {"calibration": CALIBRATIONS.version, "certificate": CERTIFICATES.version, "ledger": ledger}
    for name, version in {**formats, "watch file": watch}.items():
        assert f"\n| {name} | {version} | " in page


def test_calibration_and_certificate_say_what_they_said(folder: Path, said: dict[str, Any]) -> None:
    calibration = bc.Calibration.load(folder / "calibration.json")
    assert (calibration.digest, calibration.threshold(ALPHA).hex()) == (said["digest"], said["threshold"])
    certificate = folder / "masked" / "input-certificate.json"
    assert json.loads(certificate.read_text())["trusted_share"] == said["trusted_share"]
    assert run(["verify", str(certificate), "--calibration", str(folder / "calibration.json")]) == 0


def test_stored_answers_are_used_and_not_computed_again(folder: Path, said: dict[str, Any]) -> None:
    assert run(["ledger", "verify", "--run", str(folder / "run")]) == 0
    certificate = masked(folder, bc.from_function("kept", never)).certificate
    # An earlier calibration keeps no pairs to compare with.
    assert certificate.answer_check is None or certificate.answer_check.n == 0
    # Why there is a condition was said in other words.
    assert said["statement"].endswith(certificate.statement)
    assert abs(certificate.trusted_share - said["trusted_share"]) < 1e-3


def test_the_watch_goes_on(folder: Path) -> None:
    path = folder / "calibration.json"
    standing = catalog.hook("watch").standing_of(path, bc.Calibration.load(path))
    assert standing is not None
    assert standing.head.entries > 0
    visited = bc.watch(bc.from_function("kept", enlarged), path, run=folder / "run", progress=False)
    assert repr(visited).startswith("<VisitResult 2: watched")


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    write(KEPT / f"{sys.argv[1]}.zip")
