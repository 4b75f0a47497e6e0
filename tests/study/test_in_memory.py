"""What a program hands over and gets back: arrays, open pictures and files in; short words and files out."""

import inspect
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.picture_files import png, wide_profile
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.metrics._detail import kinds_of_detail
from blackbox_conformal.method.risk.whole_errors import SHOWN, SquaredErrors, Twentieths
from blackbox_conformal.method.safe_pictures import picture_to_show
from blackbox_conformal.study.mask.products import Wanted, encode_product
from blackbox_conformal.study.pictures_in_memory import as_files, photograph_paths
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}


class Desk:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.vendor = load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=url)
        self.steps: list[tuple[str, int, int]] = []
        self.calibration = bc.calibrate(
            self.vendor,
            write_photographs(folder / "photographs", range(8)),
            run=folder / "run",
            max_cost=1,
            progress=lambda *step: self.steps.append(step),
            **CHOICES,
        )
        self.small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
        self.small.save(folder / "small.png")

    def mask(self, image: object) -> bc.Result:
        return bc.mask(self.vendor, image, self.calibration, 0.9, run=self.folder / "run", max_cost=1)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with FaultServer() as server:
        yield Desk(tmp_path_factory.mktemp("desk"), server.url)


def test_progress_is_a_parameter_that_can_be_seen(desk):
    assert inspect.signature(bc.calibrate).parameters["progress"].default is None
    assert desk.steps[-1] == ("calibrating", 8, 8)


@pytest.mark.parametrize("kind", ["text", "path", "bytes", "open file", "array", "strided array", "picture"])
def test_a_picture_may_come_in_any_usual_form(desk, kind):
    path = desk.folder / "small.png"
    pixels = np.asarray(desk.small)
    given = {
        "text": str(path),
        "path": path,
        "bytes": path.read_bytes(),
        "open file": io.BytesIO(path.read_bytes()),
        "array": pixels,
        "strided array": np.repeat(pixels, 2, axis=1)[:, ::2],
        "picture": desk.small,
    }[kind]
    found = desk.mask(given)
    expected = desk.mask(path)
    np.testing.assert_array_equal(found.image, expected.image)
    assert found.certificate.input["pixels"] == expected.certificate.input["pixels"]


def test_an_open_picture_is_taken_by_the_same_rules_as_a_file(desk):
    clear = desk.small.convert("RGBA")
    clear.putalpha(90)
    opacity = desk.mask(clear).opacity
    assert opacity is not None
    assert (opacity == 90).all()
    grey = desk.mask(desk.small.convert("L"))
    assert any("grey" in one for one in grey.certificate.input["conversions"])
    assert not any("cut off" in note for note in grey.certificate.notes)


def test_that_colours_outside_srgb_are_cut_off_is_a_note_which_every_screen_shows(desk):
    desk.small.save(desk.folder / "wide.png", icc_profile=wide_profile())
    said = "ICC profile 'Test space' converted to sRGB (relative colorimetric): colours that sRGB lacks are cut off"
    assert said in desk.mask(desk.folder / "wide.png").certificate.notes


@pytest.mark.parametrize(
    "given",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8), 7, None],
    ids=["grey", "float", "four channels", "number", "nothing"],
)
def test_what_is_no_picture_is_refused_in_words(desk, given):
    with pytest.raises((UsageError, ImageError), match="expected"):
        desk.mask(given)


def test_a_mistake_is_told_before_the_budget_that_is_missing(desk):
    known = {"calibration": desk.calibration, "run": desk.folder / "run"}
    with pytest.raises(ImageError, match="uint8"):
        bc.mask(desk.vendor, np.zeros((20, 16, 3), np.float32), alpha=0.9, **known)
    for level in ("0.9", [0.9]):
        with pytest.raises(UsageError, match="expected alpha to be a finite number above 0, such as"):
            bc.mask(desk.vendor, desk.small, alpha=level, **known)
    with pytest.raises(UsageError, match=r"finite number above 0.*got '0.9'"):
        bc.audit(desk.vendor, desk.folder / "photographs", desk.calibration, "0.9", run=desk.folder / "run")


def test_a_certificate_is_short_on_the_screen(desk):
    certificate = desk.mask(desk.folder / "small.png").certificate
    assert len(repr(certificate)) < 120
    assert repr(certificate).startswith("<Certificate if-like-calibration: ")
    assert "alpha=0.9" in repr(certificate)


def test_a_safe_picture_is_added_to_what_was_saved_and_stays_in_the_certificate(desk, tmp_path):
    whole = desk.mask(desk.folder / "small.png")
    # A calibration on whose photographs the delivered picture was the nearest where it is clear.
    nearest = whole.certificate.inside.model_copy(update={"squared_errors": {"delivered": 1.0, "enlargement": 2.0}})
    certificate = whole.certificate.model_copy(update={"inside": nearest})
    result = replace(whole, mask=whole.score_map < np.median(whole.score_map), certificate=certificate)
    np.testing.assert_array_equal(result.safe[result.mask], result.image[result.mask])
    assert (result.safe[~result.mask] != result.image[~result.mask]).any()
    assert result.save(tmp_path).safe is None
    files = result.save(tmp_path, safe=True)
    assert files.safe == tmp_path / "small-safe.png"
    np.testing.assert_array_equal(np.asarray(PillowImage.open(files.safe)), result.safe)
    result.save(tmp_path)
    certificate = Certificate.from_json(files.certificate.read_text(encoding="utf-8"))
    certificate.verify(tmp_path)
    assert certificate.outputs["safe"]["feather"] == 0
    assert "inside the mask it is the delivered picture" in certificate.outputs["safe"]["statement"]
    with pytest.raises(UsageError, match=r"small-safe\.png exists with other content"):
        result.save(tmp_path, safe=True, feather=3)
    result.save(tmp_path, safe=True, feather=3, force=True)
    softer = np.asarray(PillowImage.open(files.safe))
    np.testing.assert_array_equal(softer[result.mask], result.image[result.mask])
    assert (softer != result.safe).any()
    with pytest.raises(UsageError, match="Add --safe"):
        result.save(tmp_path, feather=3)


def test_an_overlay_has_dots_where_asked_and_where_the_guarantee_is_about_detail(desk, tmp_path):
    result = desk.mask(desk.folder / "small.png")
    plain, dotted = (encode_product(result, "overlay", Wanted(dotted=dotted)) for dotted in (False, True))
    assert not plain.remarks
    assert "dotted: trusted, and no detail was added" in dotted.remarks["statement"]
    detail = kinds_of_detail(result.image, result.low_resolution, Mixture.of_text("bicubic"))
    np.testing.assert_array_equal(result.detail, detail)
    np.testing.assert_array_equal(result.unchanged, detail == 0)
    procedure = {**result.certificate.procedure, "metric": {"name": "invention"}}
    about_detail = replace(result, certificate=result.certificate.model_copy(update={"procedure": procedure}))
    assert encode_product(about_detail, "overlay") == dotted
    clear = replace(result, mask=np.ones_like(result.mask), image=bicubic_up(result.low_resolution, 4))
    shown = np.asarray(PillowImage.open(io.BytesIO(encode_product(clear, "overlay", Wanted(dotted=True)).content)))
    assert 0 < (shown != clear.image).any(axis=2).mean() < 0.1
    files = clear.save(tmp_path, dotted=True)
    certificate = Certificate.from_json(files.certificate.read_text(encoding="utf-8"))
    assert "clear: detail was added" in certificate.outputs["overlay"]["statement"]


def errors_that_favour(name: str, n: int) -> SquaredErrors:
    """Of n photographs, for which one picture is nearest to the truth, and the others are as far as each other."""
    scores, truth = np.arange(40, dtype=np.float32).reshape(5, 8), np.full((5, 8, 3), 100, np.uint8)
    shown = [(one, truth + (4 if one == name else 40)) for one in SHOWN]
    return SquaredErrors.together([SquaredErrors.of(Twentieths.of(scores), truth, shown)] * n)


@pytest.mark.parametrize("name", SHOWN)
def test_inside_and_outside_the_mask_stands_what_was_nearest_to_the_truth_there(desk, name):
    calibration = replace(desk.calibration, squared_errors=errors_that_favour(name, desk.calibration.n))
    result = bc.mask(desk.vendor, desk.small, calibration, 0.5, run=desk.folder / "run", max_cost=1)
    shown = picture_to_show(name, result.image, result.low_resolution, calibration.procedure.mixture)
    assert 0 < result.mask.mean() < 1
    np.testing.assert_array_equal(result.safe, shown)
    within = result.certificate.model_copy(update={"inside": None})
    earlier = replace(result, certificate=within)
    np.testing.assert_array_equal(earlier.safe, np.where(result.mask[..., None], result.image, shown))
    if name != "enlargement":
        statement = encode_product(result, "safe").remarks["statement"]
        assert "20.0 dB nearer than plain enlargement to the truth there on 8 calibration photographs" in statement
        unlike = result.certificate.model_copy(update={"status": "outside-calibration"})
        plain = picture_to_show("enlargement", result.image, result.low_resolution, calibration.procedure.mixture)
        np.testing.assert_array_equal(replace(result, certificate=unlike).safe, plain)
        unclear = result.certificate.model_copy(update={"status": "not-judged"})
        np.testing.assert_array_equal(replace(result, certificate=unclear).safe[~result.mask], plain[~result.mask])


def test_what_is_outside_a_sharp_picture_is_no_worse_than_plain_enlargement(desk):
    # The delivered picture is as near as plain enlargement, and the reference is nearer.
    calibration = replace(desk.calibration, squared_errors=errors_that_favour("reference", desk.calibration.n))
    result = bc.mask(desk.vendor, desk.small, calibration, 0.5, run=desk.folder / "run", max_cost=1)
    sharp = encode_product(result, "safe", Wanted(safe=True, sharp=True))
    np.testing.assert_array_equal(np.asarray(PillowImage.open(io.BytesIO(sharp.content))), result.image)
    assert "the delivered picture, 0.0 dB nearer" in sharp.remarks["statement"]


def test_a_calibration_without_these_errors_is_kept_as_it_was_and_has_plain_enlargement_outside(desk, tmp_path):
    earlier = replace(desk.calibration, squared_errors=SquaredErrors.unknown(desk.calibration.n))
    file = earlier.save(tmp_path / "earlier.json")
    assert "squared_errors" not in file.read_text(encoding="utf-8")
    assert bc.Calibration.load(file).digest == earlier.digest != desk.calibration.digest
    result = bc.mask(desk.vendor, desk.small, file, 0.5, run=desk.folder / "run", max_cost=1)
    assert "outside" not in result.certificate.to_json()
    plain = picture_to_show("enlargement", result.image, result.low_resolution, earlier.procedure.mixture)
    np.testing.assert_array_equal(result.safe, np.where(result.mask[..., None], result.image, plain))
    statement = encode_product(result, "safe").remarks["statement"]
    assert "keeps no errors to choose by; calibrated anew, without a call" in statement


def test_a_certificate_that_names_other_errors_contradicts_its_calibration(desk):
    certificate = desk.mask(desk.folder / "small.png").certificate
    assert contradictions(certificate, desk.calibration) == []
    errors = {**certificate.outside.squared_errors, "delivered": 0.5}
    forged = certificate.outside.model_copy(update={"squared_errors": errors})
    (found,) = contradictions(certificate.model_copy(update={"outside": forged}), desk.calibration)
    assert found.startswith("outside is ")


def test_a_safe_picture_of_an_overwritten_result_does_not_stay(desk, tmp_path):
    result = desk.mask(desk.folder / "small.png")
    safe = result.save(tmp_path, safe=True).safe
    assert safe is not None
    result.save(tmp_path, force=True)
    assert not safe.exists()
    (tmp_path / "small-safe.png").write_bytes(b"mine")
    result.save(tmp_path, force=True)
    assert safe.read_bytes() == b"mine"


@pytest.mark.parametrize(("perturbation", "is_a_file"), [("dihedral", True), ("shift", False)])
def test_an_answer_to_a_changed_input_is_no_file_of_the_delivered_picture(desk, tmp_path, perturbation, is_a_file):
    choices = {**CHOICES, "perturbation": perturbation, "run": tmp_path / "run", "max_calls": 100}
    calibration = bc.calibrate(desk.vendor, write_photographs(tmp_path / "photographs", range(8)), **choices)
    small = desk.folder / "small.png"
    result = bc.mask(desk.vendor, small, calibration, alpha=0.9, run=tmp_path / "run", max_calls=10)
    assert (result.vendor is not None) == is_a_file
    if result.vendor is not None:
        np.testing.assert_array_equal(np.asarray(PillowImage.open(io.BytesIO(result.vendor))), result.image)


def test_a_vendors_file_of_another_format_replaces_the_earlier_one_by_force_only(desk, tmp_path):
    result = desk.mask(desk.folder / "small.png")
    assert result.save(tmp_path).vendor == tmp_path / "small-vendor.png"
    out = io.BytesIO()
    PillowImage.fromarray(result.image).save(out, "WEBP", lossless=True)
    other = replace(result, vendor=out.getvalue(), certificate=result.certificate.model_copy(update={"alpha": 0.8}))
    with pytest.raises(UsageError, match="force"):
        other.save(tmp_path)
    files = other.save(tmp_path, force=True)
    assert (files.vendor, files.vendor.read_bytes()) == (tmp_path / "small-vendor.webp", out.getvalue())
    assert not (tmp_path / "small-vendor.png").exists()


def test_only_what_can_be_left_out_is(desk, tmp_path):
    result = desk.mask(desk.folder / "small.png")
    assert result.save(tmp_path, leave_out=["overlay"]).overlay is None
    with pytest.raises(UsageError, match="overlay, score_map, vendor, xmp; got mask"):
        result.save(tmp_path, leave_out=["mask"])
    assert not (tmp_path / "small-overlay.png").exists()


def test_a_result_saves_the_files_that_the_command_line_writes(desk, tmp_path):
    result = desk.mask(desk.folder / "small.png")
    files = result.save(tmp_path / "new" / "folder")
    kinds = ["certificate.json", "image.png", "mask.png", "overlay.png", "score-map.png", "vendor.png"]
    assert sorted(path.name for path in files.mask.parent.iterdir()) == [f"small-{kind}" for kind in kinds]
    Certificate.from_json(files.certificate.read_text(encoding="utf-8")).verify(files.certificate.parent)
    np.testing.assert_array_equal(np.asarray(PillowImage.open(files.mask)), result.mask)
    files.mask.write_bytes(b"mine")
    with pytest.raises(UsageError, match="force"):
        result.save(tmp_path / "new" / "folder")
    result.save(tmp_path / "new" / "folder", force=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_arrays_calibrate_as_their_files_do_and_pay_nothing_again(folder, vendor, server):
    write_photographs(folder / "photographs", range(6))
    of_files = bc.calibrate(vendor, "photographs", max_cost=1, **CHOICES)
    paid = server.account.paid
    in_memory = {f"p{seed}": photograph(seed) for seed in range(6)}
    in_memory["p1"] = PillowImage.fromarray(photograph(1))
    in_memory["p2"] = png(photograph(2))
    in_memory["p3"] = io.BytesIO(png(photograph(3)))
    in_memory["p4"] = folder / "photographs" / "p4.png"
    assert bc.calibrate(vendor, in_memory, max_cost=1, **CHOICES).digest == of_files.digest
    pairs = ((name, photograph(int(name[1:]))) for name in in_memory)
    assert bc.calibrate(vendor, pairs, max_cost=1, **CHOICES).digest == of_files.digest
    assert server.account.paid == paid == 12
    assert list((folder / "temporary").iterdir()) == []


def test_what_was_paid_is_kept_where_no_run_folder_is_named(folder, vendor, server):
    arrays = [photograph(seed) for seed in range(6)]

    def break_off(what, done, total):
        if what == "calibrating":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bc.calibrate(vendor, arrays, max_cost=1, progress=break_off, **CHOICES)
    assert server.account.paid > 0
    assert [folder.name for folder in (folder / "runs").iterdir()]
    calibration = bc.calibrate(vendor, arrays, max_cost=1, **CHOICES)
    assert (calibration.n, server.account.paid) == (6, 12)


def test_a_certificate_without_a_file_of_the_users(folder, vendor):
    calibration = bc.calibrate(vendor, [photograph(seed) for seed in range(10)], max_cost=1, **CHOICES)
    unseen = np.stack([photograph(seed) for seed in range(10, 14)])
    audit = bc.audit(vendor, unseen, calibration, 0.9, max_cost=1)
    assert audit.n == 4
    small = reduced(photograph(20), 4)
    results = bc.mask_all(
        vendor, [small, ("named", PillowImage.fromarray(small)), png(small)], calibration, 0.9, max_cost=1
    )
    assert [result.name for result in results] == [results[0].name, "named", results[2].name]
    assert {result.certificate.alpha for result in results} == {0.9}
    assert all(np.array_equal(result.image, results[0].image) for result in results)
    assert {path.name for path in folder.iterdir()} == {"runs", "temporary"}


def test_every_other_command_takes_them(folder, vendor):
    arrays = {f"p{seed}": photograph(seed) for seed in range(10)}
    calibration = bc.calibrate(vendor, arrays, max_cost=1, **CHOICES)
    calibration.save("calibration.json")
    assert bc.plan(vendor, arrays, **CHOICES).cached == 20
    both = {"one": vendor, "other": (vendor, {"score": "patch-variance"})}
    assert bc.compare(both, arrays, 0.9, max_cost=1, **CHOICES).n_evaluation == 5
    tuned = bc.tune(
        vendor, arrays, 0.9, candidates=["pixel-variance"], max_cost=1, run="tuned", nothing_chosen=True, **CHOICES
    )
    assert tuned.calibration is not None
    assert bc.watch(vendor, "calibration.json", arrays, canaries=2, max_cost=1).number == 1
    inputs = [reduced(pixels, 4) for pixels in arrays.values()]
    assert bc.compare_inputs(inputs, calibration).n == 10
    degraded = bc.degrade(arrays, "inputs")
    assert [one.photograph for one in degraded] == [Path(name) for name in arrays]
    assert [one.input for one in degraded] == [Path("inputs") / f"{name}.png" for name in arrays]
    assert list((folder / "temporary").iterdir()) == []


def test_inputs_come_out_as_arrays_where_no_folder_is_named(folder):
    arrays = {f"p{seed}": photograph(seed) for seed in range(3)}
    made = bc.degrade(arrays, scale=4)
    for one, pixels in zip(made, arrays.values(), strict=True):
        assert np.array_equal(one.pixels, reduced(pixels, 4))
    assert {path.name for path in folder.iterdir()} == {"temporary"}
    with pytest.raises(UsageError, match=r"none was named\. Give out='inputs', or take pixels"):
        made[0].input  # noqa: B018
    (written, *_) = bc.degrade(arrays, "inputs", scale=4)
    assert np.array_equal(np.asarray(PillowImage.open(written.input)), written.pixels)


def test_groups_go_by_the_names_of_arrays(folder, vendor):
    arrays = {name: photograph(seed) for seed, name in enumerate(("eins", "zwei", "drei", "vier"))}
    groups = {"eins": "a", "zwei": "a", "drei": "b", "vier": "b"}
    calibration = bc.calibrate(vendor, arrays, groups=groups, max_cost=1, **CHOICES)
    assert {image.name: image.group for image in calibration.images} == groups


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"grey": np.zeros((8, 8), np.uint8)}, ImageError, r"grey: expected .* np\.stack\(\[pixels\] \* 3, axis=2\)"),
        (
            [("float", np.zeros((8, 8, 3)))],
            ImageError,
            r"float: expected .*\(255 \* pixels\)\.round\(\)\.astype\('uint8'\)",
        ),
        ({"a/b": photograph(1)}, UsageError, "expected a name that a file can have; got 'a/b'"),
        ({"": photograph(1)}, UsageError, "expected a name that a file can have; got ''"),
        ({"x" * 300: photograph(1)}, UsageError, "expected a name that a file can have"),
        ([("one", photograph(1), 3)], UsageError, "expected a pair of name and picture; got 3 values"),
        ({"one": "nowhere.png"}, UsageError, "nowhere.png cannot be read: No such file"),
        (5.0, UsageError, r"such as \{'name': array\}; got float"),
        ([3], UsageError, "expected a picture as a path, bytes, .* got int"),
    ],
)
def test_what_cannot_be_a_photograph_is_told(given, error, said):
    with pytest.raises(error, match=said), as_files(given) as files:
        photograph_paths(files)


def test_one_picture_is_one_and_a_stack_is_several():
    for given in (photograph(1), png(photograph(1)), PillowImage.fromarray(photograph(1))):
        with as_files(given) as files:
            assert len(files) == 1
    with as_files(np.stack([photograph(1), photograph(2)])) as files:
        assert (len(files), photograph_paths(files)) == (2, files)
    assert not any(file.exists() for file in files)
