"""Inputs of another kind than the calibration's are told before anything is paid, and marked when they are masked."""

import json
import shlex
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.command_line import VENDOR, ended
from support.mutations import redigested
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.method.audits.stream_evidence import ALARM
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photographs calibrate; others are made as small as their inputs, as JPEG files, and three of those as PNG."""
    folder = tmp_path_factory.mktemp("inputs")
    write_photographs(folder / "photographs", range(24))
    for kind in ("alike", "compressed", "single"):
        (folder / kind).mkdir()
    for seed in range(40, 52):
        small = Image.fromarray(photograph(seed)).resize((20, 16), Image.Resampling.BICUBIC)
        small.save(folder / "alike" / f"new{seed}.png")
        small.save(folder / "compressed" / f"new{seed}.jpg", quality=10)
    for compressed in sorted((folder / "compressed").iterdir())[:3]:
        Image.open(compressed).save(folder / "single" / f"{compressed.stem}.png")
    with FaultServer() as server:
        arguments = ["calibrate", str(folder / "photographs"), "--adapter", VENDOR, "-p", f"url={server.url}", "--yes"]
        assert run([*arguments, *CHOICES, "--run", str(folder / "run")]) == 0
    return folder


def compared(folder: Path, kind: str, *more: str) -> int:
    return run(["inputs", str(folder / kind), "--calibration", str(folder / "run" / "calibration.json"), *more])


def test_compressed_inputs_are_told_with_the_direction(calibrated, capsys):
    page = calibrated / "page.html"
    assert compared(calibrated, "compressed", "--out", str(page)) == 3
    found = capsys.readouterr()
    assert "* your inputs are blurrier in their colours: colour sharpness median" in found.out
    assert "the inputs differ from the calibration's, so its guarantee does not speak of them" in found.out
    assert "12 inputs beside 24 made by bicubic:4" in found.out
    assert "Calibrate with a --degradation that makes such inputs" in found.err
    assert "If --suggest found the present one, give it more inputs" in found.err
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") == 9
    assert "your inputs are blurrier in their colours" in text
    assert compared(calibrated, "alike", "--out", str(page)) == 0, "a page as it was written is made anew"
    page.write_text("mine")
    assert compared(calibrated, "alike", "--out", str(page)) == 2
    assert "--force" in capsys.readouterr().err
    assert compared(calibrated, "alike", "--out", str(page), "--force") == 0


def test_like_inputs_pass_and_what_cannot_be_compared_is_named(calibrated, capsys):
    assert compared(calibrated, "alike", "--json", "--level", "0.01") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["differ"] is False
    assert document["p_value"] > 0.01
    assert (document["inputs"], document["calibration_inputs"], document["level"]) == (12, 24, 0.01)
    assert document["degradation"] == "bicubic:4"
    assert document["page"] is None
    shift = bc.compare_inputs(calibrated / "alike", calibrated / "run" / "calibration.json", level=0.01)
    assert shift.p_value == document["p_value"]
    assert compared(calibrated, "alike", "--group", "night") == 2
    assert "photographs of the group night are like; this one does not" in capsys.readouterr().err
    broken = calibrated / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    assert compared(calibrated, "broken") == 2
    assert "a.png" in capsys.readouterr().err
    pictures = sorted((calibrated / "alike").iterdir())
    file = str(calibrated / "run" / "calibration.json")
    assert run(["inputs", *map(str, pictures), "--calibration", file]) == 0
    line = capsys.readouterr().out.partition("Next: blackbox-conformal ")[2].splitlines()[0]
    words = shlex.split(line)
    assert words[:-1] == ["mask", *map(str, pictures), "--calibration", file, "--alpha"]
    assert float(words[-1]) > 0, "without a level `mask` refuses"


def test_plan_compares_before_anything_is_paid(server, calibrated, capsys):
    plan = ["plan", str(calibrated / "photographs"), "--adapter", VENDOR, "-p", f"url={server.url}", *CHOICES]
    plan += ["--run", str(calibrated / "planned")]
    document = json.loads(ended(capsys, [*plan, "--inputs", str(calibrated / "alike"), "--json"]).out)
    assert document["inputs"]["differ"] is False
    assert document["calls"] == 48
    found = ended(capsys, [*plan, "--inputs", str(calibrated / "compressed")], 3)
    assert "your inputs are blurrier in their colours" in found.out
    paths = f"{calibrated / 'compressed'} --suggest --photographs {calibrated / 'photographs'} --scale 4"
    assert f"Next: blackbox-conformal inputs {paths}" in found.out
    assert "Next: blackbox-conformal calibrate" not in found.out
    plan += ["--degradation", "bicubic:4+jpeg:10"]
    assert run([*plan, "--inputs", str(calibrated / "compressed")]) == 0
    assert "12 inputs beside 24 made by bicubic:4+jpeg:10" in capsys.readouterr().out
    assert server.account.paid == 0


def masked(folder: Path, server: FaultServer, kind: str, out: str, *more: str) -> int:
    arguments = ["mask", str(folder / kind), "--calibration", str(folder / "run" / "calibration.json")]
    places = ["--run", str(folder / "masking"), "--out", str(folder / out), "--alpha", "0.99"]
    return run([*arguments, "--adapter", VENDOR, "-p", f"url={server.url}", "--yes", *places, *more])


def test_masks_of_other_inputs_carry_no_guarantee(server, calibrated, capsys):
    assert masked(calibrated, server, "single", "marked", "--outside", "0.05", "--safe", "--json") == 0
    found = capsys.readouterr()
    entries = json.loads(found.out)["pictures"]
    assert [entry["status"] for entry in entries] == ["outside-calibration"] * 3
    assert "warning: 3 of 3 inputs are not like the calibration's" in found.err
    assert "warning: 3 of 3 masks carry no guarantee: outside-calibration" in found.err
    assert (
        "no guarantee: the guarantee is for inputs like the calibration's and does not speak of this one" in found.err
    )
    for entry in entries:
        certificate = bc.Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
        assert certificate.input_check is not None
        assert certificate.input_check.p_value == entry["input_p_value"] == 1 / 25
        assert "so all of it is plain enlargement" in certificate.outputs["safe"]["statement"]
        low = Image.open(entry["input"]).convert("RGB").resize((80, 64), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(np.asarray(Image.open(entry["safe"])), np.asarray(low))
        assert certificate.stated.startswith("No guarantee: the guarantee is for inputs like the calibration's")
    path = entries[0]["certificate"]
    assert run(["verify", path, "--calibration", str(calibrated / "run" / "calibration.json")]) == 0
    assert "undamaged, and it gives no guarantee" in capsys.readouterr().out


def test_one_picture_is_not_marked_beside_too_few_photographs(server, calibrated, capsys):
    assert masked(calibrated, server, "single", "unmarked", "--json") == 0
    found = capsys.readouterr()
    assert {entry["status"] for entry in json.loads(found.out)["pictures"]} == {"if-like-calibration"}
    assert "Beside only 24 calibration inputs no p-value can be as small as 0.01" in found.err
    assert masked(calibrated, server, "alike", "alike-masked", "--outside", "0", "--json") == 0
    assert masked(calibrated, server, "alike", "refused", "--outside", "1") == 2


def test_masks_made_with_another_outside_or_guarantee_are_not_overwritten_and_nothing_is_paid(
    server, calibrated, tmp_path, capsys
):
    batch = tmp_path / "batch"
    batch.mkdir()
    first, second = sorted((calibrated / "alike").iterdir())[:2]
    (batch / first.name).write_bytes(first.read_bytes())
    places = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    assert masked(calibrated, server, str(batch), "", *places) == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    paid = server.account.paid
    (batch / second.name).write_bytes(second.read_bytes())
    for more, says in (
        (["--outside", "0.05"], "was made with --outside 0.01; got --outside 0.05"),
        (["--outside", "0"], "was made with --outside 0.01; got --outside 0"),
        (["--guarantee", "expected:leaked=1"], "was made with another guarantee, expected with its parameters"),
    ):
        assert masked(calibrated, server, str(batch), "", *places, *more) == 2
        assert says in capsys.readouterr().err
    assert server.account.paid == paid
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == written
    assert masked(calibrated, server, str(batch), "", *places) == 0
    assert masked(calibrated, server, str(batch), "", *places, "--outside", "0.05", "--force") == 0
    certificate = json.loads((tmp_path / "out" / f"{first.stem}-certificate.json").read_text())
    assert certificate["input_check"]["level"] == 0.05


def test_an_edited_check_of_an_input_is_not_verified(server, calibrated, tmp_path, capsys):
    assert masked(calibrated, server, "single", "edited", "--outside", "0.05", "--json") == 0
    entries = json.loads(capsys.readouterr().out)["pictures"]
    path = next(Path(entry["certificate"]) for entry in entries if entry["status"] == "outside-calibration")
    content = json.loads(path.read_text(encoding="utf-8"))
    against = ["--calibration", str(calibrated / "run" / "calibration.json")]

    def refused(**changes: object) -> str:
        path.write_text(redigested(content | changes), encoding="utf-8")
        return ended(capsys, ["verify", str(path), *against], 3).out

    check = content["input_check"]
    assert "status is 'guaranteed'" in refused(status="guaranteed")
    assert "input_check is" in refused(input_check=check | {"p_value": 0.5}, status="guaranteed")
    assert "does not say it" in refused(input_check=None, status="guaranteed")
    assert "out of its range" in refused(input_check=check | {"statistics": check["statistics"] | {"noise": -1.0}})
    assert "expected sharpness, " in refused(input_check=check | {"statistics": {"noise": 1.0}})


def test_one_jpeg_file_is_told_what_its_mask_would_say(calibrated, capsys):
    assert compared(calibrated, "compressed/new40.jpg", "--json") == 0
    found = capsys.readouterr()
    said = (
        "1 of 1 input would get no guarantee: the input is a JPEG file, and those of the calibration were made without"
    )
    assert f"warning: {said} JPEG (bicubic:4)" in found.err
    assert json.loads(found.out)["files"].startswith(said)
    assert compared(calibrated, "alike", "--json") == 0
    found = capsys.readouterr()
    assert (json.loads(found.out)["files"], "warning" in found.err) == (None, False)
    given = [str(calibrated / "photographs"), "--adapter", VENDOR, "-p", "url=http://127.0.0.1:9", *CHOICES]
    run(["plan", *given, "--inputs", str(calibrated / "compressed" / "new40.jpg")])
    assert f"warning: {said} JPEG (bicubic:4)" in capsys.readouterr().err


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 photographs; 20 others made smaller and saved as JPEG and as AVIF files; 20 inputs of quite another kind."""
    folder = tmp_path_factory.mktemp("suggest")
    for kind in ("photographs", "inputs", "others", "avif"):
        (folder / kind).mkdir()
    chain, stripes = Mixture.of_text("area:2"), np.indices((32, 40))[1] % 2 * 255
    for seed in range(20):
        truth, other = (photograph(place) for place in (seed, seed + 20))
        Image.fromarray(truth).save(folder / "photographs" / f"{seed}.png")
        Image.fromarray(chain.apply(other, 2, seed)).save(folder / "inputs" / f"{seed}.jpg", quality=60)
        Image.fromarray(chain.apply(other, 2, seed)).save(folder / "avif" / f"{seed}.avif", quality=95)
        striped = np.repeat(np.abs(stripes - seed)[:, :, None], 3, axis=2).astype(np.uint8)
        Image.fromarray(striped).save(folder / "others" / f"{seed}.png")
    return folder


def suggested(folder: Path, kind: str, *more: str) -> int:
    photographs = ["--photographs", str(folder / "photographs"), "--scale", "2"]
    return run(["inputs", str(folder / kind), "--suggest", *photographs, *more])


def test_options_can_be_pasted_and_what_is_missing_is_named(folders, capsys):
    assert suggested(folders, "inputs") == 0
    text, told = capsys.readouterr()
    assert "lossy" not in told
    assert "traces of JPEG in 100% of the inputs, quality 60;" in text
    assert "None of these pictures was used to find the chain." in text
    words = shlex.split(text.splitlines()[-1])
    assert words[:3] == ["--scale", "2", "--degradation"]
    assert Mixture.of_text(words[3]).at(2).text.endswith("+jpeg:60")
    assert f"10 inputs beside 10 made by {words[3]}" in text
    inputs = str(folders / "inputs")
    assert "give --calibration FILE, or --suggest" in ended(capsys, ["inputs", inputs], 2).err
    assert "give --photographs FOLDER" in ended(capsys, ["inputs", inputs, "--suggest"], 2).err
    assert suggested(folders, "inputs", "--group", "night") == 2
    assert "expected --suggest without --group" in capsys.readouterr().err


def test_a_chain_without_losses_is_told_beside_lossy_inputs(folders, capsys):
    suggested(folders, "avif")
    found = capsys.readouterr()
    chain = shlex.split(found.out.splitlines()[-1])[3]
    assert "jpeg" not in chain
    assert f"warning: 20 of 20 inputs are lossy files (AVIF), and the inputs that {chain} makes are not" in found.err
    assert f"add --degradation {chain}+jpeg:60-95\n" in found.err


@pytest.mark.slow
def test_document_says_what_still_differs(folders, capsys):
    assert suggested(folders, "others", "--json") == 3
    found = capsys.readouterr()
    document = json.loads(found.out)
    assert document["scale"] == 2
    assert Mixture.of_text(document["degradation"]).at(2)
    assert document["proof"]["differ"] is True
    assert document["proof"]["verdict"] == "your inputs differ from what the chain makes"
    assert "error: after the nearest chain your inputs are" in found.err


@pytest.fixture(scope="module")
def one_server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory, one_server: FaultServer) -> Path:
    """A calibration on 24 photographs, made smaller by bicubic:4."""
    folder = tmp_path_factory.mktemp("statuses")
    write_photographs(folder / "photographs", range(24))
    words = ["--adapter", VENDOR, "-p", f"url={one_server.url}", "--yes", "--run", str(folder / "run")]
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

    def __init__(self, folder: Path, one_server: FaultServer, calibration: Path, capsys: pytest.CaptureFixture[str]):
        self.folder, self.server, self.calibration, self.capsys = folder, one_server, calibration, capsys

    def __call__(self, inputs: Path, *more: str) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, entries of the document, and what was said."""
        words = ["--adapter", VENDOR, "-p", f"url={self.server.url}", "--run", str(self.folder / "run"), "--force"]
        places = ["--calibration", str(self.calibration), "--out", str(self.folder / "out"), "--alpha", "0.9", "--json"]
        code = run(["mask", str(inputs), *words, *places, *(more or ["--yes"])])
        found = self.capsys.readouterr()
        return code, json.loads(found.out).get("pictures", []), found.err


@pytest.fixture
def mask(tmp_path: Path, one_server: FaultServer, calibration: Path, capsys: pytest.CaptureFixture[str]) -> Masking:
    return Masking(tmp_path, one_server, calibration, capsys)


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
            assert said.count("trusted, no guarantee: the guarantee is for pictures like") == 1
            assert said.count("trusted, no guarantee: as above;") == 7
        else:
            assert said.count("trusted, if it is like the calibration's inputs (p = ") == 8


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


def test_answers_of_a_batch_that_are_others_mark_its_certificates(mask, one_server):
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
    vendor = SynchronousVendor(url=one_server.url)
    with bc.Session(mask.calibration, vendor, 0.9, run=mask.folder / "session", max_cost=9) as session:
        found = {session.mask((f"new{seed}", small(seed))).certificate.status for seed in range(200, 225)}
        large = session.mask(("large", large_input(130))).certificate
    assert found == {"if-like-calibration"}
    assert large.status == "if-like-calibration"
    assert large.reason == "it has 9.0 times the pixels of the largest, and pictures of other sizes are no like ones"
    assert contradictions(large, bc.Calibration.load(mask.calibration)) == []
