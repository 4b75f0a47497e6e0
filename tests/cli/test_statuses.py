"""No mask is called guaranteed whose picture may be of another kind unnoticed, and a status only worsens."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.command_line import VENDOR
from support.mutations import redigested
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.method.audits.stream_evidence import ALARM
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory, server: FaultServer) -> Path:
    """A calibration on 24 photographs, made smaller by bicubic:4."""
    folder = tmp_path_factory.mktemp("statuses")
    write_photographs(folder / "photographs", range(24))
    words = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes", "--run", str(folder / "run")]
    choices = ["--draws", "1", "--score", "bicubic-gap", "--metric", "rgb-linf"]
    assert run(["calibrate", str(folder / "photographs"), *words, *choices]) == 0
    return folder / "run" / "calibration.json"


def small(seed: int, quality: int | None = None) -> Image.Image:
    """An input, which went through JPEG of a `quality`; no file says so."""
    made = Image.fromarray(photograph(seed)).resize((20, 16), Image.Resampling.BICUBIC)
    if quality is None:
        return made
    buffer = BytesIO()
    made.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def large_input(seed: int) -> Image.Image:
    return Image.fromarray(photograph(seed, (192, 240))).resize((60, 48), Image.Resampling.BICUBIC)


def write(folder: Path, seeds: range, quality: int | None = None) -> Path:
    folder.mkdir()
    for seed in seeds:
        small(seed, quality).save(folder / f"new{seed}.png")
    return folder


class Masking:
    """`mask` into one run folder."""

    def __init__(self, folder: Path, server: FaultServer, calibration: Path, capsys: pytest.CaptureFixture[str]):
        self.folder, self.server, self.calibration, self.capsys = folder, server, calibration, capsys

    def __call__(self, inputs: Path, *more: str) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, entries of the document, and what was said."""
        words = ["--adapter", VENDOR, "-p", f"url={self.server.url}", "--run", str(self.folder / "run"), "--force"]
        places = ["--calibration", str(self.calibration), "--out", str(self.folder / "out"), "--alpha", "0.9", "--json"]
        code = run(["mask", str(inputs), *words, *places, *(more or ["--yes"])])
        found = self.capsys.readouterr()
        return code, json.loads(found.out).get("pictures", []), found.err


@pytest.fixture
def mask(tmp_path: Path, server: FaultServer, calibration: Path, capsys: pytest.CaptureFixture[str]) -> Masking:
    return Masking(tmp_path, server, calibration, capsys)


def statuses(entries: list[dict[str, Any]]) -> set[str]:
    return {entry["status"] for entry in entries}


def test_a_batch_of_another_kind_is_told_before_it_is_paid_and_no_mask_is_guaranteed(mask):
    inputs, paid = write(mask.folder / "inputs", range(100, 108), quality=10), mask.server.account.paid
    suggesting = f"blackbox-conformal inputs {inputs} --suggest --photographs PHOTOGRAPHS --scale 4"
    code, entries, said = mask(inputs, "--max-calls", "0")
    assert (code, entries, mask.server.account.paid) == (4, [], paid), said
    assert "8 that were masked in this run folder are of another kind: your inputs are" in said
    assert suggesting in said
    code, entries, said = mask(inputs)
    assert (code, statuses(entries), len(entries)) == (3, {"outside-calibration"}, 8)
    assert mask.server.account.paid == paid + 8, "all masks are made, and marked"
    assert "8 masks carry no guarantee, and everything is written" in said
    assert suggesting in said.partition("error:")[2]
    certificate = bc.Certificate.from_json(Path(entries[0]["certificate"]).read_text(encoding="utf-8"))
    assert certificate.stated.startswith("No guarantee: the guarantee is for pictures like the calibration's 24")


def test_right_inputs_have_a_condition_however_many_they_are(mask):
    code, entries, said = mask(write(mask.folder / "many", range(200, 230)))
    assert (code, statuses(entries)) == (0, {"if-like-calibration"})
    assert "30 of 30 guarantees hold if the input is like the calibration's" in said
    for entry in entries:
        certificate = bc.Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
        check, stream = certificate.input_check, certificate.stream_check
        assert check is not None
        assert stream is not None
        assert (stream.n, stream.pictures, stream.found) == (24, 30, None)
        assert stream.evidence < ALARM
        assert certificate.stated.startswith("If this input is like the 24 calibrated (")
        assert certificate.stated.endswith(certificate.statement)
        told = f"nothing tells its input from theirs (p = {check.p_value:.2g}), nor did it for up to 91 of 100 pictures"
        assert (told in certificate.stated) == (check.p_value > 0.05)
        assert ("1 in 20 inputs like theirs differs so much" in certificate.stated) == (check.p_value <= 0.05)
        assert certificate.quality is None or check.p_value > 0.05


def test_only_a_statement_that_allows_for_other_kinds_is_called_guaranteed(mask):
    inputs = write(mask.folder / "inputs", range(200, 212))
    code, entries, _ = mask(inputs, "--yes", "--guarantee", "expected:outsiders=0.1")
    assert code == 0
    for entry in entries:
        assert entry["status"] == ("guaranteed" if entry["input_p_value"] > 0.05 else "if-like-calibration")
        certificate = bc.Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
        assert "10 %" in " ".join((certificate.statement, *certificate.assumptions))
    assert "guaranteed" in statuses(entries)
    wrong = write(mask.folder / "wrong", range(100, 112), quality=10)
    assert statuses(mask(wrong, "--yes", "--guarantee", "expected:outsiders=0.1")[1]) == {"outside-calibration"}


def test_what_was_marked_together_stays_marked_one_by_one(mask):
    inputs = write(mask.folder / "wrong", range(100, 112), quality=10)
    together = mask(inputs)[1]
    for entry in together:
        code, entries, said = mask(Path(entry["input"]))
        assert (code, entries[0]["status"], entries[0]["reason"]) == (3, "outside-calibration", entry["reason"]), said
    code, entries, _ = mask(write(mask.folder / "right", range(200, 220)))
    assert (code, statuses(entries)) == (0, {"if-like-calibration"}), "it does not count against what follows"


def test_inputs_of_another_kind_that_come_one_by_one_are_found(mask):
    found: list[str] = []
    for seed in range(100, 130):
        code, entries, said = mask(write(mask.folder / f"{seed}", range(seed, seed + 1), quality=10))
        found.append(entries[0]["status"])
        if code:
            break
    assert set(found[:-1]) == {"if-like-calibration"}, "never guaranteed"
    assert (code, found[-1]) == (3, "outside-calibration"), said
    assert "Mask other kinds of pictures with another --run" in entries[0]["reason"]
    code, entries, said = mask(write(mask.folder / "next", range(130, 131), quality=10))
    assert (code, statuses(entries)) == (3, {"outside-calibration"}), said
    assert mask(mask.folder / "100")[0] == 3 or found.index("outside-calibration") > 8, "asked again, it is marked"


def test_the_screen_says_under_every_picture_whether_its_guarantee_holds(mask, capsys):
    for name, quality in (("wrong", 10), ("right", None)):
        inputs = write(mask.folder / name, range(100, 108), quality=quality)
        words = ["--adapter", VENDOR, "-p", f"url={mask.server.url}", "--run", str(mask.folder / name / "run"), "--yes"]
        places = ["--calibration", str(mask.calibration), "--out", str(mask.folder / name / "out"), "--alpha", "0.9"]
        run(["mask", str(inputs), *words, *places])
        said = capsys.readouterr().out
        if quality:
            assert said.count("  no guarantee: the guarantee is for pictures like") == 1
            assert said.count("  no guarantee: outside-calibration, as above") == 7
        else:
            assert said.count("  the guarantee holds if this input is like the calibration's (p = ") == 8


def test_a_jpeg_file_beside_a_calibration_without_jpeg_has_no_guarantee(mask):
    folder = mask.folder / "jpeg"
    folder.mkdir()
    small(100).save(folder / "new100.jpg", quality=95)
    code, entries, said = mask(folder)
    assert (code, statuses(entries)) == (3, {"outside-calibration"})
    assert entries[0]["reason"].startswith("the input is a JPEG file, and those of the calibration were made without")
    assert "1 mask carries no guarantee, and everything is written" in said


def test_verify_recomputes_the_status_from_what_the_certificate_states(mask):
    _, entries, _ = mask(write(mask.folder / "few", range(100, 101)))
    path = Path(entries[0]["certificate"])
    content = json.loads(path.read_text(encoding="utf-8"))

    def verified(**changes: object) -> tuple[int, str]:
        said = {name: value for name, value in (content | changes).items() if (name, value) != ("stream_check", None)}
        path.write_text(redigested(said), encoding="utf-8")
        code = run(["verify", str(path), "--calibration", str(mask.calibration)])
        return code, mask.capsys.readouterr().out

    code, said = verified()
    assert (code, "its guarantee holds if the input is like the calibration's: nothing tells" in said) == (0, True)
    stream = content["stream_check"]
    for changes, follows in (
        ({"status": "guaranteed", "reason": None}, "'if-like-calibration' follows"),
        ({"status": "guaranteed", "reason": None, "drift": "it moved"}, "'outside-calibration' follows"),
        ({"stream_check": stream | {"found": "it moved"}}, "'outside-calibration' follows"),
        ({"input": content["input"] | {"format": "JPEG"}}, "'outside-calibration' follows"),
        ({"stream_check": stream | {"n": 400}}, "'n': 24"),
        ({"status": "guaranteed", "reason": None, "stream_check": None}, "'if-like-calibration' follows"),
    ):
        code, said = verified(**changes)
        assert (code, follows in said) == (3, True), said
    code, said = verified(version=2)
    assert (code, "format 2, which called masks guaranteed whose inputs were not compared" in said) == (3, True)
    assert "blackbox-conformal mask INPUT --calibration FILE --alpha ALPHA --force" in said


def test_answers_of_a_batch_that_are_others_mark_its_certificates(mask, server):
    _, entries, _ = mask(write(mask.folder / "few", range(200, 201)))
    sure = bc.Certificate.from_json(Path(entries[0]["certificate"]).read_text(encoding="utf-8"))
    marked = sure.marked("the answers differ")
    assert (marked.status, marked.notes[-1], marked.quality) == ("outside-calibration", "the answers differ", None)
    assert marked.stated == "No guarantee: the answers differ."
    assert contradictions(marked, bc.Calibration.load(mask.calibration)) == []
    assert marked.marked("again").reason == "the answers differ"
    doubted = sure.doubted("it fell back")
    assert (doubted.status, doubted.reason) == ("if-like-calibration", "it fell back")
    assert contradictions(doubted, bc.Calibration.load(mask.calibration)) == []
    vendor = SynchronousVendor(url=server.url)
    with bc.Session(mask.calibration, vendor, 0.9, run=mask.folder / "session", max_cost=9) as session:
        found = {session.mask((f"new{seed}", small(seed))).certificate.status for seed in range(200, 225)}
        large = session.mask(("large", large_input(130))).certificate
    assert found == {"if-like-calibration"}
    assert large.status == "if-like-calibration"
    assert large.reason == "it has 9.0 times the pixels of the largest, and pictures of other sizes are no like ones"
    assert contradictions(large, bc.Calibration.load(mask.calibration)) == []
