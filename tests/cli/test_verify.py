"""Certificates are checked from the command line: digests, files beside them, and what their calibration gives."""

import json
import random
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from support.mutations import mutate, redigested
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.cli.main import run
from blackbox_conformal.cli.verify import check
from blackbox_conformal.errors import BlackboxConformalError

CLAIMED = ("statement", "alpha", "threshold", "threshold_hex", "status", "n_calibration", "bound", "assumptions")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``c.json`` and ``out``, where a masked picture and its certificate lie."""
    folder = tmp_path_factory.mktemp("masked")
    draws = write_draws(folder / "draws", range(8))
    vendor = bc.load_adapter("folder", path=str(draws), label="made up")
    paths = write_photographs(folder / "photographs", range(8))
    choices = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf", "run": folder / "run"}
    bc.calibrate(vendor, [str(path) for path in paths], **choices).save(folder / "c.json")
    write_draws(draws, range(20, 21))
    small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
    small.save(folder / "p20.png")
    common = ["--calibration", str(folder / "c.json"), "-p", f"path={draws}", "--run", str(folder / "run")]
    assert run(["mask", str(folder / "p20.png"), *common, "--alpha", "0.9", "--out", str(folder / "out")]) == 0
    return folder


def edited(masked: Path, tmp_path: Path, **changes: object) -> Path:
    """The certificate with other values, beside copies of its files."""
    for path in (masked / "out").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "p20-certificate.json"
    path.write_text(redigested(json.loads(path.read_text()) | changes))
    return path


def test_an_honest_certificate_is_verified(masked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(masked / "out" / "p20-certificate.json")
    assert run(["verify", path]) == 0
    assert run(["verify", path, "--calibration", str(masked / "c.json"), "--json"]) == 0
    assert '"verified": true' in capsys.readouterr().out


def test_a_report_is_as_it_was_written_and_nobody_vouches_for_it(
    masked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration, report = str(masked / "c.json"), tmp_path / "report.html"
    made = ["report", "--run", str(masked / "run"), "--calibration", calibration, "--out", str(report)]
    assert run(made) == 0
    capsys.readouterr()
    assert run(["verify", str(report), "--calibration", calibration]) == 0
    said = capsys.readouterr().out
    assert f"of calibration {Calibration.load(calibration).digest}; not signed, so nobody vouches for it" in said
    assert run(["verify", str(report), "--require-signature"]) == 3
    assert "a report carries no signature" in capsys.readouterr().out
    other = json.loads(Path(calibration).read_text()) | {"vendor_models": ["another"]}
    (tmp_path / "other.json").write_text(redigested(other))
    assert run(["verify", str(report), "--calibration", str(tmp_path / "other.json")]) == 3
    assert "--calibration is sha256:" in capsys.readouterr().out
    report.write_bytes(report.read_bytes().replace(b"trusted", b"Trusted", 1))
    assert run(["verify", str(report)]) == 3
    assert "this page was changed" in capsys.readouterr().out


def test_what_is_no_paper_is_told_what_verify_takes(
    masked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no paper")
    assert run(["verify", str(tmp_path / "notes.txt"), str(masked / "out" / "p20-mask.png")]) == 3
    said = capsys.readouterr().out
    assert "Name calibration.json" in said
    assert "it is no text" in said
    assert "Error" not in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"alpha": 0.0001}, "statement is"),
        ({"statement": "Nothing can go wrong."}, "statement is 'Nothing can go wrong.'"),
        ({"n_calibration": 800}, "n_calibration is 800"),
        ({"bound": 0.2}, "bound is 0.2"),
        ({"threshold": 0.5, "threshold_hex": (0.5).hex()}, "threshold is 0.5"),
        ({"assumptions": []}, "assumptions is"),
    ],
)
def test_what_does_not_follow_from_the_calibration_is_found(
    masked: Path, tmp_path: Path, changes: dict, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = edited(masked, tmp_path, **changes)
    assert run(["verify", str(path), "--calibration", str(masked / "c.json")]) == 3
    assert says in capsys.readouterr().out


def test_changed_missing_and_unnamed_files_are_found(
    masked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = edited(masked, tmp_path, outputs={})
    assert run(["verify", str(path)]) == 3
    assert "names no image, mask" in capsys.readouterr().out
    path = edited(masked, tmp_path)
    assert run(["verify", str(path)]) == 0
    (tmp_path / "p20-mask.png").write_bytes((tmp_path / "p20-image.png").read_bytes())
    assert run(["verify", str(path)]) == 3
    (tmp_path / "p20-mask.png").unlink()
    assert run(["verify", str(path)]) == 3
    found = capsys.readouterr()
    assert "missing" in found.out
    assert "the paper is not verified: " in found.err
    assert run(["verify", str(path), str(masked / "c.json")]) == 3
    assert "1 of 2 papers is not verified: " in capsys.readouterr().err
    assert run(["verify", str(path), str(path)]) == 3
    assert "2 of 2 papers are not verified, first " in capsys.readouterr().err


def test_a_certificate_that_was_edited_by_hand_is_found(
    masked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = edited(masked, tmp_path)
    path.write_text(path.read_text().replace('"alpha": 0.9', '"alpha": 0.1'))
    assert run(["verify", str(path)]) == 3
    assert "its digest does not match" in capsys.readouterr().out


def try_edits(masked: Path, folder: Path, count: int, seed: int) -> dict[str, int]:
    """Fails on any exception that is not ours, and on a claim that the calibration does not give."""
    rng = random.Random(seed)
    path = edited(masked, folder)
    calibration = Calibration.load(masked / "c.json")
    honest = json.loads(path.read_text())
    found = {"refused": 0, "taken": 0}
    for number in range(count):
        content, where = mutate(honest, rng, rng.choice([1, 1, 2]))
        path.write_text(redigested(content), errors="surrogatepass")
        try:
            check(path, calibration)
        except BlackboxConformalError:
            found["refused"] += 1
            continue
        except Exception as error:
            raise AssertionError(f"edit {number} of {where}: {error!r}") from error
        found["taken"] += 1
        assert [content[name] for name in CLAIMED] == [honest[name] for name in CLAIMED], where
    return found


def test_no_edit_ends_in_a_bare_exception_or_changes_a_claim(masked: Path, tmp_path: Path) -> None:
    assert try_edits(masked, tmp_path, 300, 3)["refused"] > 150
