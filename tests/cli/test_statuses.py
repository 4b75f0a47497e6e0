"""`guaranteed` stands only on masks of inputs that enough others were compared with."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
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
from blackbox_conformal.documents.certificate import ENOUGH
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.watching.visit import live_pictures


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


def test_a_batch_of_another_kind_is_told_before_it_is_paid_and_no_mask_is_guaranteed(mask: Masking) -> None:
    inputs, paid = write(mask.folder / "inputs", range(100, 108), quality=10), mask.server.account.paid
    suggesting = f"blackbox-conformal inputs {inputs} --suggest --photographs PHOTOGRAPHS --scale 4"
    code, entries, said = mask(inputs, "--max-calls", "0")
    assert (code, entries, mask.server.account.paid) == (4, [], paid), said
    assert "these 8 together are of another kind: your inputs are" in said
    assert suggesting in said
    code, entries, said = mask(inputs)
    assert (code, statuses(entries), len(entries)) == (3, {"outside-calibration"}, 8)
    assert mask.server.account.paid == paid + 8, "all masks are made, and marked"
    assert "8 masks carry no guarantee, and everything is written" in said
    assert suggesting in said.partition("error:")[2]
    certificate = bc.Certificate.from_json(Path(entries[0]["certificate"]).read_text(encoding="utf-8"))
    assert certificate.stated.startswith("No guarantee: the guarantee is for inputs like the calibration's 24")


def test_enough_inputs_of_the_same_kind_are_guaranteed_and_fewer_are_under_a_condition(mask: Masking) -> None:
    few = write(mask.folder / "few", range(100, 105))
    code, entries, said = mask(few)
    assert (code, statuses(entries)) == (0, {"if-like-calibration"})
    assert "5 of 5 guarantees hold if the input is like the calibration's: 5 inputs are too few to tell" in said
    certificate = bc.Certificate.from_json(Path(entries[0]["certificate"]).read_text(encoding="utf-8"))
    assert certificate.stated.startswith("If this input is like the 24 calibrated (5 inputs are too few to tell; ")
    assert certificate.stated.endswith(certificate.statement)
    code, entries, _ = mask(write(mask.folder / "many", range(200, 200 + ENOUGH)))
    assert (code, statuses(entries)) == (0, {"guaranteed"})
    sure = bc.Certificate.from_json(Path(entries[0]["certificate"]).read_text(encoding="utf-8"))
    doubted = sure.doubted("the answers differ")
    assert (doubted.status, doubted.notes[-1]) == ("if-like-calibration", "the answers differ")
    assert doubted.stated == f"If this input is like the 24 calibrated (the answers differ): {sure.statement}"


def test_inputs_that_come_one_by_one_are_compared_with_those_before(mask: Masking) -> None:
    assert mask(write(mask.folder / "first", range(100, 100 + ENOUGH - 2)))[0] == 0
    _, entries, _ = mask(write(mask.folder / "last", range(300, 301)))
    assert entries[0]["reason"].startswith(f"{ENOUGH - 1} inputs are too few")
    code, entries, _ = mask(write(mask.folder / "enough", range(301, 302)))
    assert (code, statuses(entries)) == (0, {"guaranteed"})
    certificate = bc.Certificate.from_json(Path(entries[0]["certificate"]).read_text(encoding="utf-8"))
    assert (certificate.batch_check.pictures, certificate.batch_check.earlier) == (ENOUGH, ENOUGH - 1)
    for _ in range(2):
        _, entries, _ = mask(mask.folder / "enough")
        assert statuses(entries) == {"guaranteed"}, "an input is not compared with itself"


def test_inputs_of_another_kind_that_come_one_by_one_are_found(mask: Masking) -> None:
    found: list[str] = []
    for seed in range(100, 130):
        code, entries, said = mask(write(mask.folder / f"{seed}", range(seed, seed + 1), quality=10))
        found.append(entries[0]["status"])
        if code:
            break
    assert set(found) == {"if-like-calibration"}, "never guaranteed"
    assert code == 3, said
    assert "the inputs drifted: those of the pictures that are masked are" in said
    code, entries, said = mask(write(mask.folder / "next", range(130, 131), quality=10))
    assert (code, statuses(entries)) == (3, {"outside-calibration"}), said
    assert f"move {live_pictures.MASKED_FILE} out of the run folder" in entries[0]["reason"]
    (mask.folder / "run" / live_pictures.MASKED_FILE).unlink()
    assert mask(write(mask.folder / "right", range(200, 201)))[0] == 0


def test_what_was_marked_does_not_count_against_what_follows(mask: Masking) -> None:
    assert mask(write(mask.folder / "wrong", range(100, 112), quality=10))[0] == 3
    code, entries, _ = mask(write(mask.folder / "right", range(200, 200 + ENOUGH)))
    assert (code, statuses(entries)) == (0, {"guaranteed"})


def test_the_file_of_a_run_folder_begins_anew_and_keeps_what_was_masked(
    mask: Masking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_pictures, "MOST", ENOUGH)
    for start in (100, 200, 300):
        code, entries, _ = mask(write(mask.folder / f"{start}", range(start, start + ENOUGH)))
        assert (code, statuses(entries)) == (0, {"guaranteed"})
    with closing(sqlite3.connect(mask.folder / "run" / live_pictures.MASKED_FILE)) as connection:
        counts = connection.execute("SELECT count(*) FROM live GROUP BY watch ORDER BY watch").fetchall()
    assert counts == [(ENOUGH,)] * 3
    # Which of the last twenty stand beside it depends on the order in which they were done.
    _, entries, _ = mask(write(mask.folder / "one", range(400, 401)))
    certificate = bc.Certificate.from_json(Path(entries[0]["certificate"]).read_text(encoding="utf-8"))
    assert (certificate.batch_check.pictures, certificate.batch_check.earlier) == (ENOUGH, ENOUGH - 1)


def test_a_jpeg_file_beside_a_calibration_without_jpeg_has_no_guarantee(mask: Masking) -> None:
    folder = mask.folder / "jpeg"
    folder.mkdir()
    small(100).save(folder / "new100.jpg", quality=95)
    code, entries, said = mask(folder)
    assert (code, statuses(entries)) == (3, {"outside-calibration"})
    assert entries[0]["reason"].startswith("the input is a JPEG file, and those of the calibration were made without")
    assert "1 mask carries no guarantee, and everything is written" in said


def test_verify_recomputes_the_status_from_what_the_certificate_states(mask: Masking) -> None:
    _, entries, _ = mask(write(mask.folder / "few", range(100, 101)))
    path = Path(entries[0]["certificate"])
    content = json.loads(path.read_text(encoding="utf-8"))

    def verified(**changes: object) -> tuple[int, str]:
        path.write_text(redigested(content | changes), encoding="utf-8")
        code = run(["verify", str(path), "--calibration", str(mask.calibration)])
        return code, mask.capsys.readouterr().out

    code, said = verified()
    assert (code, "its guarantee holds if the input is like the calibration's: 1 input is" in said) == (0, True)
    enough = content["batch_check"] | {"pictures": ENOUGH, "earlier": ENOUGH - 1, "p_value": 0.6}
    for changes, follows in (
        ({"status": "guaranteed", "reason": None}, "'if-like-calibration' follows"),
        ({"status": "guaranteed", "reason": None, "batch_check": enough, "drift": "it moved"}, "'outside-calibration'"),
        (
            {
                "status": "guaranteed",
                "reason": None,
                "batch_check": enough,
                "input": content["input"] | {"format": "JPEG"},
            },
            "'outside-calibration' follows",
        ),
        ({"status": "guaranteed", "reason": None, "batch_check": enough, "doubt": "it moved"}, "'if-like-calibration'"),
        ({"batch_check": content["batch_check"] | {"n": 400}}, "'n': 24"),
    ):
        code, said = verified(**changes)
        assert (code, follows in said) == (3, True), said
    assert verified(status="guaranteed", reason=None, batch_check=enough)[0] == 0
    code, said = verified(version=2)
    assert (code, "format 2, which called masks guaranteed whose inputs were not compared" in said) == (3, True)
    assert "blackbox-conformal mask INPUT --calibration FILE --alpha ALPHA --force" in said


def test_a_session_says_guaranteed_once_enough_pictures_were_compared(mask: Masking, server: FaultServer) -> None:
    vendor = SynchronousVendor(url=server.url)
    with bc.Session(mask.calibration, vendor, 0.9, run=mask.folder / "session", max_cost=9) as session:
        found = [session.mask((f"new{seed}", small(seed))).certificate.status for seed in range(100, 100 + ENOUGH)]
        large = session.mask(("large", large_input(130))).certificate
    assert found == ["if-like-calibration"] * (ENOUGH - 1) + ["guaranteed"]
    assert large.status == "if-like-calibration"
    assert large.reason == "it has 9.0 times the pixels of the largest, and pictures of other sizes are no like ones"
    assert contradictions(large, bc.Calibration.load(mask.calibration)) == []
