"""Masks say how an answer differs from its input, and have no guarantee where the vendor changed since calibration."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.command_line import called
from support.spoiling_vendor import Spoiling

import blackbox_conformal as bc
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.method.facts.levels import PairSizes
from blackbox_conformal.method.images.overlay import DIFFERING
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.testing.pictures import encode, upscale
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

CHOICES = {"score": "texture", "metric": "rgb-linf", "max_cost": 1}
ALPHA = 0.5


def _seam(answer):
    """Four tiles with steps of 8 levels between them, so that the whole keeps its colours."""
    sign = np.where(np.arange(answer.shape[1]) < 112, -1, 1)
    return answer + 4.0 * np.multiply.outer(sign, sign)[..., None]


CHANGES = {
    "tint": lambda answer: answer + np.array([12.0, 0, -12]),
    "darker": lambda answer: answer - 12.0,
    "moved": lambda answer: np.pad(answer, ((3, 0), (0, 0), (0, 0)), "edge")[:-3],
    "seam": _seam,
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """28 photographs of 224 pixels a side that calibrate an honest vendor, and 14 inputs of others."""
    folder, inputs = tmp_path_factory.mktemp("desk"), []
    (folder / "photographs").mkdir()
    for place, photograph in enumerate(demo_photographs()):
        pixels = read_image(photograph.path).pixels
        for side, left in enumerate((0, pixels.shape[1] - 224)):
            part = Image.fromarray(pixels[20:244, left : left + 224])
            if (2 * place + side) % 3 == 2:
                inputs.append(np.asarray(part.resize((56, 56), Image.Resampling.BICUBIC)))
                Image.fromarray(inputs[-1]).save(folder / f"input-{len(inputs)}.png")
            else:
                part.save(folder / "photographs" / f"{photograph.name}-{side}.png")
    with Spoiling() as server:
        vendor = SynchronousVendor(url=server.url)
        calibration = bc.calibrate(vendor, folder / "photographs", run=folder / "run", **CHOICES)
        calibration.save(folder / "calibration.json")
        yield folder, server, vendor, calibration, inputs


def masked(desk, run, change=None, calibration=None, count=4):
    _, server, vendor, own, inputs = desk
    server.change = change or (lambda answer: answer)
    named = [(f"input-{place}", pixels) for place, pixels in enumerate(inputs[:count])]
    return bc.mask_all(vendor, named, calibration or own, ALPHA, run=run, max_cost=1)


def test_a_calibration_keeps_how_its_answers_differ_and_reads_it_again(desk):
    folder, _, _, calibration, _ = desk
    again = bc.Calibration.load(folder / "calibration.json")
    assert again.digest == calibration.digest
    assert np.array_equal(again.pair_sizes.values, calibration.pair_sizes.values)
    assert again.usual_differences().own_pairs == 28
    earlier = replace(calibration, pair_sizes=PairSizes.unknown(calibration.n))
    earlier.save(folder / "earlier.json")
    assert "pair_sizes" not in (folder / "earlier.json").read_text()
    assert bc.Calibration.load(folder / "earlier.json").usual_differences().own is None
    content = json.loads((folder / "calibration.json").read_text())
    del content["pair_sizes"]["seams.line"]
    (folder / "other.json").write_text(json.dumps(content))
    with pytest.raises(bc.errors.FileFormatError):
        bc.Calibration.load(folder / "other.json")


def test_an_honest_answer_has_no_fact_and_the_certificate_that_it_had(desk, tmp_path):
    calibration = desk[3]
    earlier = replace(calibration, pair_sizes=PairSizes.unknown(calibration.n))
    found, before = (
        masked(desk, tmp_path / name, None, one) for name, one in (("now", calibration), ("then", earlier))
    )
    for new, old in zip(found, before, strict=True):
        assert (new.certificate.answer_check.n, new.certificate.answer_check.line) == (28, None)
        new_fields, old_fields = new.certificate.model_dump(), old.certificate.model_dump()
        other = {name for name, value in new_fields.items() if value != old_fields[name]}
        assert other == {"answer_check", "calibration_digest"}


@pytest.mark.parametrize(
    ("change", "words"), [("tint", "a tint of red"), ("darker", "darker on average"), ("moved", "pixels")]
)
def test_a_vendor_that_changed_loses_the_guarantee(desk, tmp_path, change, words):
    results = masked(desk, tmp_path / "run", CHANGES[change])
    lowered = [one.certificate for one in results if one.certificate.answer_check.changed(4)]
    assert len(lowered) >= (2 if change == "moved" else 3)
    for certificate in lowered:
        assert certificate.status == "outside-calibration"
        assert certificate.reason.startswith("the answer differs from the input by ")
        assert "more than in any of the 28 answers of the calibration" in certificate.reason
        assert certificate.quality is None
    assert any(words in certificate.reason for certificate in lowered)


def test_a_seam_is_told_and_takes_no_guarantee(desk, tmp_path):
    for result in masked(desk, tmp_path / "run", CHANGES["seam"], count=2):
        check = result.certificate.answer_check
        assert "seams" in {fact.kind for fact in check.facts}
        assert check.changed(4) is None
        assert result.certificate.status == "if-like-calibration"


VENDOR = ("--adapter", "blackbox_conformal.testing.reference_adapters:SynchronousVendor")


def typed(desk, tmp_path, change, *inputs, code=0, json_output=False):
    folder, server, _, _, _ = desk
    server.change = CHANGES.get(change, lambda answer: answer)
    words = ["mask", *(str(folder / f"{name}.png") for name in inputs), *VENDOR, "-p", f"url={server.url}", "--yes"]
    words += ["--calibration", str(folder / "calibration.json"), "--alpha", str(ALPHA), "--run", "run"]
    return called(*words, *(["--json"] if json_output else []), folder=tmp_path, code=code)


def test_one_line_tells_it_and_pages_hatch_it(desk, tmp_path):
    folder = desk[0]
    shown = typed(desk, tmp_path, "seam", "input-1")
    (line,) = (line for line in shown.stdout.splitlines() if "differs from the input by" in line)
    assert line.startswith("  the answer differs from the input by a step of 8 levels or more along ")
    assert "more than in any of the 28 answers of the calibration" in line
    (found,) = json.loads(typed(desk, tmp_path, "seam", "input-1", json_output=True).stdout)["pictures"]
    (fact,) = (one for one in found["differs"] if one["kind"] == "seams")
    assert found["status"] == "if-like-calibration"
    top, left, height, width = fact["places"][0]
    marked, mask = (read_image(tmp_path / "masked" / f"input-1-{kind}.png").pixels for kind in ("overlay", "mask"))
    cyan = (marked == DIFFERING).all(2)
    assert cyan[top : top + height, left : left + width].mean() > 0.2
    picture = read_image(tmp_path / "masked" / "input-1-image.png").pixels
    clear = (mask == 255).all(2)
    clear[top : top + height, left : left + width] = False
    assert np.array_equal(marked[clear], picture[clear])
    certificate = Certificate.from_json((tmp_path / "masked" / "input-1-certificate.json").read_text())
    assert certificate.outputs["overlay"]["statement"].startswith("framed and hatched in cyan: differs")
    called("report", "--run", "run", "--calibration", str(folder / "calibration.json"), folder=tmp_path, code=0)
    (page,) = (path.read_text() for path in tmp_path.rglob("*.html"))
    assert f'"differing": [[{top}, {left}, {height}, {width}]' in page
    assert '<svg class="differing"' in page
    assert "The answer differs from the input by a step of 8 levels or more" in page
    (entry,) = tmp_path.rglob("full-size/*.json")
    assert [top, left, height, width] in json.loads(entry.read_text())["differing"]


def test_a_changed_vendor_ends_with_three_and_verify_computes_it_again(desk, tmp_path):
    folder = desk[0]
    shown = typed(desk, tmp_path, "tint", "input-1", "input-2", code=3)
    assert shown.stdout.count("differs from the input by a tint of red") == 2
    assert "2 masks carry no guarantee" in shown.stderr
    assert "If the inputs changed" not in shown.stderr
    paper = tmp_path / "masked" / "input-1-certificate.json"
    against = ["--calibration", str(folder / "calibration.json"), "--input", str(folder / "input-1.png")]
    assert "does not speak of this answer" in called("verify", str(paper), *against, folder=tmp_path, code=0).stdout
    certificate = Certificate.from_json(paper.read_text())
    silent = certificate.answer_check.model_copy(update={"facts": ()})
    for forged, words in (
        ({"status": "guaranteed", "reason": None}, "status is 'guaranteed'"),
        ({"answer_check": silent}, "status is 'outside-calibration'"),
        ({"answer_check": None}, "status is 'outside-calibration'"),
        ({"answer_check": silent.model_copy(update={"n": 0})}, "compares with 0 answers"),
    ):
        paper.write_text(certificate.model_copy(update=forged).to_json())
        assert words in called("verify", str(paper), *against, folder=tmp_path, code=3).stdout
    # Whoever forges a status that fits is found by the pictures.
    honest = {"status": "if-like-calibration", "reason": certificate.input_check.unsure}
    for check in (silent, None):
        paper.write_text(certificate.model_copy(update={**honest, "answer_check": check}).to_json())
        found = called("verify", str(paper), *against, folder=tmp_path, code=3).stdout
        assert "its answer_check does not follow from the pictures" in found


def test_honest_pictures_have_no_line_and_verify(desk, tmp_path):
    shown = typed(desk, tmp_path, None, "input-1", "input-3")
    assert "differs from the input" not in shown.stdout + shown.stderr
    for name in ("input-1", "input-3"):
        paper = tmp_path / "masked" / f"{name}-certificate.json"
        called("verify", str(paper), "--calibration", str(desk[0] / "calibration.json"), folder=tmp_path, code=0)


def test_beside_few_own_pairs_only_useless_answers_lose_the_guarantee(desk, tmp_path):
    folder, server, vendor, _, inputs = desk
    server.change = lambda answer: answer
    few = sorted((folder / "photographs").iterdir())[:19]
    calibration = bc.calibrate(vendor, few, run=tmp_path / "few", **CHOICES)
    for name, change in {"tint": CHANGES["tint"], "swapped": lambda answer: answer[..., ::-1]}.items():
        server.change, found = change, []
        for place in range(3):
            run, named = tmp_path / f"{name}-{place}", ("input", inputs[place])
            found.append(bc.mask(vendor, named, calibration, ALPHA, run=run, max_cost=1).certificate)
        assert {one.answer_check.n for one in found} == {0}
        assert all(one.differs is None or "more than honest vendors differ" in one.differs for one in found)
        assert sum(one.differs is not None for one in found) >= 2
        assert sum(one.changed for one in found) == (0 if name == "tint" else 3)
        assert all(one.reason.endswith("on 20 photographs or more") for one in found if one.changed)


def test_check_compares_with_the_pairs_of_a_calibration(desk):
    _, _, _, calibration, inputs = desk
    small = inputs[0]
    honest = np.asarray(Image.open(io.BytesIO(upscale(encode(small), 4, 1, amplitude=4))))
    tinted = (honest + np.array([3, 0, -3])).clip(0, 255).astype(np.uint8)
    assert bc.check(small, tinted).differing == 0
    found = bc.check(small, tinted, calibration=calibration)
    assert found.differing == 1
    assert found.document()["usual"] == "the 28 answers of its calibration"
    with pytest.raises(bc.errors.UsageError, match="got both"):
        bc.check(small, tinted, calibration=calibration, usual=bc_levels(calibration))


def bc_levels(calibration):
    return calibration.usual_differences()
