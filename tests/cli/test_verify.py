"""Certificates are checked from the command line: what their calibration gives, and what strangers put before it."""

import json
import random
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR, ended
from support.mutations import mutate, redigested
from support.synthetic import photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.cli.sign import read_paper
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.method.aligned import moved_back
from blackbox_conformal.method.images.encode import mask_png
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.pages.report.html import write_page
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.testing.fault_server import FaultServer

METRIC = "lab-l1:order=difference-of-blurs,sigma=4"
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
    assert run(["mask", str(folder / "p20.png"), *common, "--alpha", "0.6", "--out", str(folder / "out")]) == 0
    return folder


def edited(masked: Path, tmp_path: Path, **changes: object) -> Path:
    """The certificate with other values, beside copies of its files."""
    for path in (masked / "out").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "p20-certificate.json"
    path.write_text(redigested(json.loads(path.read_text()) | changes))
    return path


def test_an_honest_certificate_is_verified(masked, capsys):
    path = str(masked / "out" / "p20-certificate.json")
    assert run(["verify", path]) == 0
    found = ended(capsys, ["verify", path, "--calibration", str(masked / "c.json"), "--json"])
    # Anybody can write a paper and a calibration that agree.
    assert json.loads(found.out[found.out.index("[") :])[0]["verified"] is False
    assert "undamaged, not signed, so no key vouches for it" in found.err
    document = json.loads(found.out[found.out.index("[") :])[0]
    assert document["unchecked"][-1] == "more than the digest of overlay, vendor"
    assert 0 < mask_of(masked).mean() < 1


def test_a_report_is_as_it_was_written_and_nobody_vouches_for_it(masked, tmp_path, capsys):
    calibration, report = str(masked / "c.json"), tmp_path / "report.html"
    made = ["report", "--run", str(masked / "run"), "--calibration", calibration, "--out", str(report)]
    assert run(made) == 0
    capsys.readouterr()
    said = ended(capsys, ["verify", str(report), "--calibration", calibration]).out
    assert "the digest agrees, and anybody can compute it" in said
    assert f"of calibration {Calibration.load(calibration).digest}, not signed, so no key vouches for it" in said
    assert json.loads(ended(capsys, ["verify", str(report), "--json"]).out)[0]["verified"] is False
    assert "a report carries no signature" in ended(capsys, ["verify", str(report), "--require-signature"], 3).out
    other = json.loads(Path(calibration).read_text()) | {"vendor_models": ["another"]}
    (tmp_path / "other.json").write_text(redigested(other))
    assert run(["verify", str(report), "--calibration", str(tmp_path / "other.json")]) == 3
    assert "--calibration is sha256:" in capsys.readouterr().out
    report.write_bytes(report.read_bytes().replace(b"trusted", b"Trusted", 1))
    assert "this page was changed" in ended(capsys, ["verify", str(report)], 3).out


def test_an_edited_or_wrong_paper_is_told_what_it_is(masked, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no paper")
    (tmp_path / "notes.bin").write_bytes(b"\xff\xfe")
    others = [str(tmp_path / "notes.bin"), str(masked / "out" / "p20-mask.png")]
    said = ended(capsys, ["verify", str(tmp_path / "notes.txt"), *others], 3).out
    assert "Name calibration.json" in said
    assert "expected Content Credentials in the picture; it has none" in said
    assert "it is no text" in said
    assert "Error" not in said
    path = edited(masked, tmp_path)
    path.write_text(path.read_text().replace('"alpha": 0.6', '"alpha": 0.1'))
    assert "its digest does not match" in ended(capsys, ["verify", str(path)], 3).out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"alpha": 0.0001}, "statement is"),
        ({"statement": "Nothing can go wrong."}, "statement is 'Nothing can go wrong.'"),
        ({"n_calibration": 800}, "n_calibration is 800"),
        ({"bound": 0.2}, "bound is 0.2"),
        ({"threshold": 0.5, "threshold_hex": (0.5).hex()}, "not where the scores of the score map are below"),
        ({"assumptions": []}, "assumptions is"),
    ],
)
def test_what_does_not_follow_from_the_calibration_is_found(masked, tmp_path, changes, says, capsys):
    path = edited(masked, tmp_path, **changes)
    assert says in ended(capsys, ["verify", str(path), "--calibration", str(masked / "c.json")], 3).out


def test_a_threshold_next_to_the_right_one_is_found(masked, tmp_path, capsys):
    honest = json.loads((masked / "out" / "p20-certificate.json").read_text())["threshold"]
    near = float(np.nextafter(honest, 1))
    path = edited(masked, tmp_path, threshold=near, threshold_hex=near.hex())
    assert run(["verify", str(path), "--calibration", str(masked / "c.json")]) == 3
    assert f"threshold is {near!r}" in capsys.readouterr().out


def test_changed_missing_and_unnamed_files_are_found(masked, tmp_path, capsys):
    path = edited(masked, tmp_path, outputs={})
    assert "names no image, mask" in ended(capsys, ["verify", str(path)], 3).out
    path = edited(masked, tmp_path)
    assert run(["verify", str(path)]) == 0
    (tmp_path / "p20-mask.png").write_bytes((tmp_path / "p20-image.png").read_bytes())
    assert run(["verify", str(path)]) == 3
    (tmp_path / "p20-mask.png").unlink()
    found = ended(capsys, ["verify", str(path)], 3)
    assert "missing" in found.out
    assert "the paper is not verified: " in found.err
    assert "1 of 2 papers is not verified: " in ended(capsys, ["verify", str(path), str(masked / "c.json")], 3).err
    assert "2 of 2 papers are not verified, first " in ended(capsys, ["verify", str(path), str(path)], 3).err


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
            paper = read_paper(path)
            assert isinstance(paper, bc.Certificate)
            refused = bool(contradictions(paper, calibration))
        except BlackboxConformalError:
            refused = True
        except Exception as error:
            raise AssertionError(f"edit {number} of {where}: {error!r}") from error
        if refused:
            found["refused"] += 1
            continue
        found["taken"] += 1
        assert [content[name] for name in CLAIMED] == [honest[name] for name in CLAIMED], where
    return found


def test_no_edit_ends_in_a_bare_exception_or_changes_a_claim(masked, tmp_path):
    assert try_edits(masked, tmp_path, 300, 3)["refused"] > 150


@pytest.mark.parametrize("part", ["parameters", "vendor"])
def test_a_hostile_certificate_ends_verify_for_no_other_paper(masked, tmp_path, part, capsys):
    path, good = edited(masked, tmp_path), str(masked / "out" / "p20-certificate.json")
    content = json.loads(path.read_text())
    if part == "vendor":
        content["procedure"][part] = 0.5
    else:
        content["procedure"]["vendor"][part] = 0.5
    path.write_text(redigested(content))
    assert run(["verify", str(path), good, "--json"]) in (0, 3)
    hostile, other = json.loads(capsys.readouterr().out)
    assert (hostile["verified"], other["reason"]) == (False, None)


def forged(masked: Path, tmp_path: Path, kind: str, content: bytes, **changes: object) -> Path:
    """The certificate beside another file of one kind, whose digest it names, with other values."""
    path = edited(masked, tmp_path)
    certificate = json.loads(path.read_text())
    (tmp_path / certificate["outputs"][kind]["file"]).write_bytes(content)
    certificate["outputs"][kind]["digest"] = digest_bytes(content)
    path.write_text(redigested(certificate | changes))
    return path


def mask_of(masked: Path) -> np.ndarray:
    return np.array(PillowImage.open(masked / "out" / "p20-mask.png"))


@pytest.mark.parametrize("with_calibration", [False, True])
def test_a_mask_is_counted_and_compared_with_its_scores(masked, tmp_path, with_calibration, capsys):
    honest = mask_of(masked)
    more = ["--calibration", str(masked / "c.json")] if with_calibration else []
    white = mask_png(np.ones_like(honest))
    assert run(["verify", str(forged(masked, tmp_path, "mask", white)), *more]) == 3
    assert "1.0 of the mask is white" in capsys.readouterr().out
    assert run(["verify", str(forged(masked, tmp_path, "mask", white, trusted_share=1.0)), *more]) == 3
    assert "not where the scores of the score map are below the threshold" in capsys.readouterr().out
    moved = mask_png(np.ascontiguousarray(honest[::-1, ::-1]))
    assert run(["verify", str(forged(masked, tmp_path, "mask", moved)), *more]) == 3
    assert "not where the scores" in capsys.readouterr().out
    small = mask_png(honest[:-1])
    assert run(["verify", str(forged(masked, tmp_path, "mask", small)), *more]) == 3
    assert "expected a grey PNG of 80×64 pixels with 1 bits each" in capsys.readouterr().out
    image = (masked / "out" / "p20-image.png").read_bytes()
    assert run(["verify", str(forged(masked, tmp_path, "mask", image)), *more]) == 3


@pytest.mark.parametrize("called", ["score_map", "indecision"])
@pytest.mark.parametrize("scaling", [{"step": 0.0}, {"step": "a"}, {"offset": None}])
def test_a_score_map_of_another_scale_shows_no_mask(masked, tmp_path, scaling, called):
    path = edited(masked, tmp_path)
    content = json.loads(path.read_text())
    content["outputs"][called] = content["outputs"].pop("score_map") | scaling
    path.write_text(redigested(content))
    assert run(["verify", str(path)]) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "everything is trusted"},
        {"input_bound": "Every trusted pixel is right."},
        {"threshold_hex": "0x1p+4"},
        {"threshold_hex": "0x1p+999999"},
        {"threshold_hex": "nan"},
        {"trusted_share": 1.0},
        {"threshold": None, "threshold_hex": "-inf", "status": "abstains"},
    ],
)
def test_a_certificate_that_contradicts_itself_is_refused(masked, tmp_path, changes):
    assert run(["verify", str(edited(masked, tmp_path, **changes))]) == 3


def test_a_note_that_follows_from_the_calibration_cannot_be_dropped(masked, tmp_path, capsys):
    calibration = Calibration.load(masked / "c.json")
    content = json.loads((masked / "out" / "p20-certificate.json").read_text())
    seeded = calibration.procedure.model_copy(update={"root_seed": 5})
    chosen = replace(calibration, procedure=seeded)
    chosen.save(tmp_path / "chosen.json")
    claimed = {
        "calibration_digest": chosen.digest,
        "fingerprint": seeded.fingerprint,
        "procedure": seeded.model_dump(mode="json"),
        "assumptions": content["assumptions"],
    }
    path = edited(masked, tmp_path, **claimed)
    assert run(["verify", str(path), "--calibration", str(tmp_path / "chosen.json")]) == 3
    assert "it lacks the note: the root seed is 5" in capsys.readouterr().out
    path = edited(masked, tmp_path, **claimed, notes=[seeded.seed_note])
    assert run(["verify", str(path), "--calibration", str(tmp_path / "chosen.json")]) == 0


def test_a_page_whose_seal_was_computed_anew_is_not_verified(tmp_path, capsys):
    page = tmp_path / "page.html"
    write_page("<h1>Everything is guaranteed at 0.0001</h1>", f"report of sha256:{'0' * 64}", page)
    found = ended(capsys, ["verify", str(page), "--json"])
    assert json.loads(found.out)[0]["verified"] is False
    assert "the digest agrees, and anybody can compute it" in found.err
    assert "verified" not in found.err


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `masked`, with a metric that bounds the picture's own error from its input."""
    folder = tmp_path_factory.mktemp("bounded")
    draws = write_draws(folder / "draws", range(8))
    vendor = bc.load_adapter("folder", path=str(draws), label="made up")
    paths = write_photographs(folder / "photographs", range(8))
    bc.calibrate(vendor, [str(path) for path in paths], metric=METRIC, run=folder / "run").save(folder / "c.json")
    write_draws(draws, range(20, 21))
    small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
    small.save(folder / "p20.png")
    common = ["--calibration", str(folder / "c.json"), "-p", f"path={draws}", "--run", str(folder / "run")]
    words = ["mask", str(folder / "p20.png"), *common, "--alpha", "0.9", "--out", str(folder / "out"), "--empty-masks"]
    assert run(words) == 0
    return folder


def test_the_bound_from_the_input_is_computed_again(bounded, tmp_path, capsys):
    path = bounded / "out" / "p20-certificate.json"
    stated = json.loads(path.read_text())["input_bound"]
    numbers = re.findall(r"\d+\.\d{3}", stated)
    sent = ["--input", str(bounded / "p20.png")]
    capsys.readouterr()
    assert run(["verify", str(path)]) == 0
    assert "not checked: that it follows from its calibration (add --calibration FILE); the numbers" in (
        capsys.readouterr().out
    )
    assert "bound from the input" not in ended(capsys, ["verify", str(path), *sent]).out
    forged = edited(bounded, tmp_path, input_bound=stated.replace(numbers[0], "0.001"))
    assert run(["verify", str(forged), *sent]) == 3
    forged = edited(bounded, tmp_path, input_bound=None)
    assert run(["verify", str(forged), *sent]) == 3
    forged = edited(bounded, tmp_path, input_bound=stated.replace("invented texture passes", "nothing passes"))
    assert "input_bound is" in ended(capsys, ["verify", str(forged)], 3).out


def test_good_certificates_are_one_line_and_a_bad_one_is_named_after_them(masked, tmp_path, capsys):
    papers = []
    for number in range(6):
        shutil.copytree(masked / "out", tmp_path / str(number))
        papers.append(str(tmp_path / str(number) / "p20-certificate.json"))
    picture = next(path for path in (tmp_path / "2").iterdir() if "mask" in path.name)
    picture.write_bytes(b"other")
    found = ended(capsys, ["verify", *papers], 3)
    lines = [line for line in found.out.splitlines() if not line.startswith("  ")]
    assert [line.partition(": ")[0] for line in lines] == ["5 papers", papers[2]]
    assert lines[0].startswith("5 papers: undamaged, not signed")
    assert found.err == f"error: 1 of 6 papers is not verified: {papers[2]}\n"
    assert all(f"{paper}: " in ended(capsys, ["verify", "-v", *papers], 3).out for paper in papers[:1])


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


def edited_paper(desk: Desk, folder: Path, **changes: Any) -> Path:
    """The certificate with other values, beside copies of its files."""
    shutil.copytree(desk.folder / "out", folder, dirs_exist_ok=True)
    path = folder / PAPER
    path.write_text(redigested(json.loads(path.read_text()) | changes))
    return path


def masked_by(desk: Desk) -> np.ndarray:
    with PillowImage.open(desk.folder / "out" / "p20-mask.png") as opened:
        return np.array(opened)


def whitened(desk: Desk, folder: Path, *without: str) -> Path:
    """The certificate with a white mask, and `without` some of its files."""
    outputs = json.loads((desk.folder / "out" / PAPER).read_text())["outputs"]
    white = mask_png(np.ones_like(masked_by(desk)))
    outputs["mask"]["digest"] = digest_bytes(white)
    kept = {kind: output for kind, output in outputs.items() if kind not in without}
    path = edited_paper(desk, folder, outputs=kept, trusted_share=1.0)
    (folder / outputs["mask"]["file"]).write_bytes(white)
    return path


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]], str]:
    capsys.readouterr()
    code = run(["verify", *words, "--json"])
    found = capsys.readouterr()
    return code, json.loads(found.out), found.err


def test_the_mask_is_computed_again_from_picture_and_input(desk, tmp_path, capsys):
    assert 0 < masked_by(desk).mean() < 1
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


def test_the_mask_of_an_answer_that_was_moved_back_is_computed_again(tmp_path, capsys):
    """With the vendor's file; it tells how far the answer was moved, and so where its edge was repeated."""
    (tmp_path / "draws").mkdir()
    for index, shown in enumerate(demo_photographs()[:9]):
        truth = np.ascontiguousarray(read_image(shown.path).pixels[100:292, 100:340])
        low = reduced(truth, 4)
        large = np.asarray(PillowImage.fromarray(low).resize((240, 192), PillowImage.Resampling.BICUBIC))
        (tmp_path / "draws" / f"p{index}").mkdir()
        PillowImage.fromarray(moved_back(large, -2, -3)[0]).save(tmp_path / "draws" / f"p{index}" / "0.png")
        folder = tmp_path / ("photographs" if index else "inputs")
        folder.mkdir(exist_ok=True)
        PillowImage.fromarray(truth if index else low).save(folder / f"p{index}.png")
    vendor = bc.load_adapter("folder", path=str(tmp_path / "draws"), label="made up")
    choices = {"delivery": "aligned", "metric": "rgb-linf", "guarantee": "expected", "score": "predicted-invention"}
    made = bc.calibrate(vendor, tmp_path / "photographs", run=tmp_path / "run", **choices)
    file, out = made.save(tmp_path / "c.json"), tmp_path / "out"
    common = ["-p", f"path={tmp_path / 'draws'}", "--run", str(tmp_path / "run"), "--alpha", "0.8", "--out", str(out)]
    assert run(["mask", str(tmp_path / "inputs"), "--calibration", str(file), *common]) == 0
    paper, both = out / "p0-certificate.json", ["--calibration", str(file), "--input", str(tmp_path / "inputs/p0.png")]
    code, (row,), _ = verified(capsys, str(paper), *both)
    assert (code, [one for one in row["unchecked"] if "mask" in one]) == (0, [])
    content = json.loads(paper.read_text())
    scores = out / content["outputs"]["score_map"]["file"]
    assert scores.exists(), "it is among what is computed again"
    # Another file of the vendor does not lie so, though its digest is right.
    answer = out / content["outputs"]["vendor"]["file"]
    with PillowImage.open(answer) as opened:
        PillowImage.fromarray(np.roll(np.asarray(opened), (1, 1), (0, 1))).save(answer)
    content["outputs"]["vendor"]["digest"] = digest_bytes(answer.read_bytes())
    paper.write_text(redigested(content))
    code, (row,), _ = verified(capsys, str(paper), *both)
    assert code == 3
    assert "the picture is not the vendor's file moved back to where the input lies" in row["reason"]
    # Without it nothing is claimed.
    del content["outputs"]["vendor"]
    paper.write_text(redigested(content))
    code, (row,), _ = verified(capsys, str(paper), *both)
    assert code == 0
    assert [one for one in row["unchecked"] if "mask" in one] != []


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


def test_a_picture_or_model_that_the_calibration_does_not_know(desk, tmp_path, capsys):
    PillowImage.new("RGB", (19, 16)).save(tmp_path / "other.png")
    given = json.loads((desk.folder / "out" / PAPER).read_text())["input"]
    digest = pixels_digest(np.zeros((16, 19, 3), np.uint8))
    path = edited_paper(desk, tmp_path, input=given | {"pixels": digest})
    code, (row,), _ = verified(capsys, str(path), *desk.against, "--input", str(tmp_path / "other.png"))
    assert (code, "not 4 times as many pixels a side as the input" in row["reason"]) == (3, True)
    silent = replace(bc.Calibration.load(desk.folder / "c.json"), vendor_models=())
    silent.save(tmp_path / "c.json")
    path = edited_paper(desk, tmp_path, vendor_model="a model that is never wrong", calibration_digest=silent.digest)
    code, (row,), _ = verified(capsys, str(path), "--calibration", str(tmp_path / "c.json"))
    assert (code, "the vendor's model that it names" in row["unchecked"]) == (0, True)


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
        code, (row,), _ = verified(capsys, str(edited_paper(seeded, tmp_path, **changes)), *seeded.against)
        assert (code, next(iter(changes)) in row["reason"]) == (3, True), changes
    silent = edited_paper(seeded, tmp_path, vendor_model=None)
    assert verified(capsys, str(silent), *seeded.against)[0] == 0, "some answers name no model"
