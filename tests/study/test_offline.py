"""The whole calculation on a folder of vendor outputs: no call is made, and everything that can be wrong is refused."""

import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import draw, photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.errors import (
    AdapterError,
    BlackboxConformalError,
    CalibrationError,
    CheckFailedError,
    ImageError,
    ProcedureMismatchError,
)
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.study.mask.products import write_products
from blackbox_conformal.study.python.functions import mask_all

DRAWS = 4
CHOICES = {"draws": DRAWS, "score": "smoothed-variance:sigma=2", "metric": "rgb-linf:kernel=gaussian,sigma=2"}


def low_of(seed: int) -> bytes:
    return image_png(reduced(photograph(seed), 4))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of photographs, outputs and a run of them, which no test changes."""
    folder = tmp_path_factory.mktemp("offline")
    write_draws(folder / "outputs", range(40), DRAWS)
    write_photographs(folder / "photographs", range(30))
    return folder


@pytest.fixture(scope="module")
def vendor(made):
    return bc.load_adapter("folder", path=str(made / "outputs"), label="synthetic")


@pytest.fixture(scope="module")
def photographs(made):
    return [made / "photographs" / f"p{seed}.png" for seed in range(30)]


@pytest.fixture(scope="module")
def calibration(made, vendor, photographs):
    return bc.calibrate(vendor, photographs, run=made / "run", **CHOICES)


@pytest.fixture
def own(made, tmp_path):
    """A test's own copy, which it may change."""
    for name in ("outputs", "photographs"):
        shutil.copytree(made / name, tmp_path / name)
    adapter = bc.load_adapter("folder", path=str(tmp_path / "outputs"), label="synthetic")
    return adapter, [tmp_path / "photographs" / f"p{seed}.png" for seed in range(30)]


def test_calibrate_mask_and_audit(tmp_path, vendor, calibration):
    assert calibration.n == 30
    threshold = calibration.threshold(0.2)
    assert 0 < threshold < math.inf
    result = mask_all(vendor, [("p35", low_of(35))], calibration, 0.2, run=tmp_path / "run")[0]
    assert result.image.shape == photograph(35).shape
    np.testing.assert_array_equal(result.image, draw(photograph(35), 35_000))
    np.testing.assert_array_equal(result.mask, result.score_map < threshold)
    assert 0.1 < result.mask.mean() < 0.9
    assert result.mask[:, :20].mean() > result.mask[:, -20:].mean()
    assert result.certificate.status == "if-like-calibration"
    assert float.fromhex(result.certificate.threshold_hex) == threshold
    assert "<script" not in result._repr_html_()
    unseen = write_photographs(tmp_path / "unseen", range(30, 40))
    found = bc.audit(vendor, unseen, calibration, [0.2, 0.3], run=tmp_path / "run")
    document = json.loads(json.dumps(found.document()))
    assert document["n"] == 10
    assert document["verdict"] in ("confirmed", "inconclusive")
    for level in document["levels"]:
        assert level["risk"] <= level["alpha"]
        assert level["ci"][0] <= level["risk"] <= level["ci"][1]
        assert level["psnr_trusted"] >= level["psnr_all"]
    assert document["levels"][0]["psnr_trusted"] > document["levels"][0]["psnr_all"] + 1


def test_the_calibration_is_the_same_whatever_the_order_of_files(tmp_path, vendor, photographs, calibration):
    other = bc.calibrate(vendor, photographs[::-1], run=tmp_path / "run", **CHOICES)
    assert calibration.digest == other.digest


def test_another_level_or_guarantee_reads_no_picture(tmp_path, own):
    vendor, photographs = own
    bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES).save(tmp_path / "c.json")
    shutil.rmtree(tmp_path / "outputs")
    shutil.rmtree(tmp_path / "photographs")
    loaded = bc.Calibration.load(tmp_path / "c.json")
    thresholds = [loaded.threshold(alpha) for alpha in np.linspace(0.01, 0.99, 40)]
    assert thresholds == sorted(thresholds)
    assert loaded.threshold(0.3, "per-image", delta=0.2) > -math.inf


def test_files_and_certificate_of_a_mask(tmp_path, vendor, calibration):
    result = mask_all(vendor, [("p31", low_of(31))], calibration, 0.2, run=tmp_path / "run")[0]
    products = write_products(result, tmp_path / "out")
    mask = PillowImage.open(products.mask)
    assert mask.mode == "1"
    np.testing.assert_array_equal(np.asarray(mask), result.mask)
    np.testing.assert_array_equal(np.asarray(PillowImage.open(products.image)), result.image)
    with PillowImage.open(products.score_map) as scores:
        assert scores.mode == "I;16"
    certificate = Certificate.from_json(products.certificate.read_text())
    certificate.verify(tmp_path / "out")
    assert (certificate.calibration_digest, certificate.trusted_share) == (calibration.digest, result.mask.mean())
    assert "average" in " ".join(certificate.assumptions) + certificate.statement
    products.mask.write_bytes(products.image.read_bytes())
    with pytest.raises(CheckFailedError, match="was changed"):
        certificate.verify(tmp_path / "out")


def test_an_unreachable_level_gives_an_empty_mask_that_says_why(tmp_path, vendor, calibration):
    with pytest.warns(UserWarning, match="every mask is empty: .*at least 99"):
        result = mask_all(vendor, [("p31", low_of(31))], calibration, 0.01, run=tmp_path / "run")[0]
    assert not result.mask.any()
    assert (result.certificate.status, result.certificate.missing_images) == ("abstains", 99 - 30)
    assert "69" in str(result.certificate.reason)


def test_too_few_photographs_for_the_level_are_refused_before_anything_is_drawn(tmp_path, vendor, photographs):
    with pytest.raises(CalibrationError, match=r"at least 99 calibration photographs.*got 30.*69 are missing"):
        bc.calibrate(vendor, photographs, alpha=0.01, run=tmp_path / "run", **CHOICES)
    assert not (tmp_path / "run").exists()


def test_duplicates_are_refused(tmp_path, own):
    vendor, photographs = own
    shutil.copy(photographs[0], tmp_path / "photographs" / "copy.png")
    with pytest.raises(CalibrationError, match="same"):
        bc.calibrate(vendor, tmp_path / "photographs", run=tmp_path / "run", **CHOICES)


def test_identical_draws_are_refused(tmp_path, own):
    vendor, photographs = own
    for index in range(1, DRAWS):
        shutil.copy(tmp_path / "outputs/p3/0.png", tmp_path / f"outputs/p3/{index}.png")
    with pytest.raises(AdapterError, match="same picture every time"):
        bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES)


def test_photographs_that_are_given_as_their_own_answers_are_refused(tmp_path, photographs):
    vendor = bc.load_adapter("folder", path=str(photographs[0].parent), label="mistaken")
    with pytest.raises(CalibrationError, match="expected answers that differ from the photographs"):
        bc.calibrate(vendor, photographs, run=tmp_path / "run")


def test_an_output_of_another_size_is_refused(tmp_path, own):
    vendor, photographs = own
    PillowImage.fromarray(draw(photograph(3), 0)[:-4]).save(tmp_path / "outputs/p3/1.png")
    with pytest.raises((ImageError, BlackboxConformalError), match=r"80×64|80x64"):
        bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES)


def test_a_missing_draw_is_named(tmp_path, own):
    vendor, photographs = own
    (tmp_path / "outputs/p3/3.png").unlink()
    with pytest.raises(BlackboxConformalError, match="p3"):
        bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES)


def test_a_foreign_calibration_is_refused_with_each_difference(made, tmp_path, calibration):
    other = bc.load_adapter("folder", path=str(made / "outputs"), label="another vendor")
    with pytest.raises(ProcedureMismatchError, match=r"label: 'synthetic' → 'another vendor'"):
        bc.mask(other, low_of(31), calibration, alpha=0.2, run=tmp_path / "run")


def test_a_calibration_photograph_is_neither_masked_nor_audited(tmp_path, vendor, photographs, calibration):
    with pytest.raises(CalibrationError, match="has not seen"):
        mask_all(vendor, [("p3", low_of(3))], calibration, 0.2, run=tmp_path / "run")
    with pytest.raises(CalibrationError, match=r"again is calibration photograph p4: .*has not seen"):
        mask_all(vendor, [("again", photographs[4])], calibration, 0.2, run=tmp_path / "run")
    with pytest.raises(CalibrationError, match="has not seen"):
        bc.audit(vendor, photographs[:3], calibration, [0.2], run=tmp_path / "run")


@pytest.mark.parametrize("delivery", ["mean", "medoid"])
def test_other_delivery_rules(made, tmp_path, vendor, photographs, delivery):
    calibration = bc.calibrate(vendor, photographs, run=made / "run", delivery=delivery, **CHOICES)
    result = mask_all(vendor, [("p33", low_of(33))], calibration, 0.3, run=made / "run")[0]
    draws = np.stack([draw(photograph(33), 33_000 + index) for index in range(DRAWS)]).astype(int)
    if delivery == "mean":
        np.testing.assert_array_equal(result.image, (2 * draws.sum(0) + DRAWS) // (2 * DRAWS))
        assert result.vendor is None
        assert result.save(tmp_path / "out").vendor is None
    else:
        distances = [sum(((one - other) ** 2).sum() for other in draws) for one in draws]
        np.testing.assert_array_equal(result.image, draws[int(np.argmin(distances))])
        assert result.vendor == (made / "outputs" / "p33" / f"{np.argmin(distances)}.png").read_bytes()


def test_a_bound_from_the_delivered_colours_never_trusts_less(made, vendor, photographs):
    choices = {**CHOICES, "metric": "lab-l1:kernel=gaussian,sigma=2"}
    calibration = bc.calibrate(vendor, photographs, run=made / "run", **choices)
    gained = 0
    for alpha in (0.05, 0.06, 0.07, 0.08, 0.1, 0.12):
        plain = mask_all(vendor, [("p35", low_of(35))], calibration, alpha, empty_masks=True)[0]
        own = mask_all(vendor, [("p35", low_of(35))], calibration, alpha, guarantee="expected:bound_from=delivered")[0]
        assert (own.mask | plain.mask == own.mask).all()
        assert own.certificate.guarantee["bound_new"] == "from the picture itself"
        gained += int(own.mask.sum() - plain.mask.sum())
    assert gained > 0


def test_a_bound_of_the_picture_counts_within_its_group_and_is_refused_where_it_proves_nothing(
    made, vendor, photographs
):
    choices = {**CHOICES, "metric": "rgb-linf:kernel=gaussian,sigma=4,order=difference-of-blurs"}
    groups = {f"p{seed}": "even" if seed % 2 == 0 else "odd" for seed in range(30)}
    calibration = bc.calibrate(
        vendor, photographs, run=made / "run", groups=groups, guarantee="false-trust:tolerance=0.03", **choices
    )

    def masked(guarantee):
        return mask_all(vendor, [("p35", low_of(35))], calibration, 0.08, guarantee=guarantee, group="odd")[
            0
        ].certificate

    plain, own = masked("expected"), masked("expected:bound_from=input")
    assert float.fromhex(own.threshold_hex) > float.fromhex(plain.threshold_hex)
    assert own.guarantee["parameters"]["bound_new"] == "from the picture itself"
    assert "bounded from its input" in own.statement
    with pytest.raises(BlackboxConformalError, match="Leave bound_from out"):
        masked("false-trust:tolerance=0.03,bound_from=input")


def test_the_bound_from_the_input_is_certified(made, vendor, photographs):
    choices = {**CHOICES, "metric": "rgb-l1:kernel=gaussian,sigma=4,order=difference-of-blurs"}
    calibration = bc.calibrate(vendor, photographs, run=made / "run", **choices)
    result = mask_all(vendor, [("p35", low_of(35))], calibration, 0.5, guarantee="expected:bound_from=input")[0]
    assert "whatever the truth" in str(result.certificate.input_bound)
    assert result.mask.any()


def test_groups_calibrate_apart(made, tmp_path, vendor, photographs):
    groups = {f"p{seed}": "even" if seed % 2 == 0 else "odd" for seed in range(30)}
    calibration = bc.calibrate(vendor, photographs, run=made / "run", groups=groups, **CHOICES)
    loaded = bc.Calibration.load(calibration.save(tmp_path / "c.json"))
    even = loaded.rule_of_group("even").threshold(loaded.curves, 0.2)
    kept = [curve for curve, image in zip(loaded.curves, loaded.images, strict=True) if image.group == "even"]
    assert even == bc.threshold(kept, 0.2)
    with pytest.raises(CalibrationError, match="calibrated, even, odd; got none"):
        mask_all(vendor, [("p35", low_of(35))], loaded, 0.2, group="none", run=tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(BlackboxConformalError, match="groups of these photographs, p0, p1, p10, …; got groups of x"):
        bc.calibrate(vendor, photographs, run=tmp_path / "other", groups={"x": "even"}, **CHOICES)
    assert not (tmp_path / "other").exists()


def test_false_trust_comes_from_the_same_calibration(made, tmp_path, vendor, photographs, calibration):
    loaded = bc.Calibration.load(calibration.save(tmp_path / "plain.json"))
    usual = loaded.threshold(0.05, "false-trust")
    assert -math.inf < usual == calibration.threshold(0.05, "false-trust", tolerance=0.1)
    with pytest.raises(CalibrationError, match=r"stored for 0\.1; asked for 0\.3"):
        loaded.threshold(0.05, "false-trust", tolerance=0.3)
    own = bc.calibrate(vendor, photographs, guarantee="false-trust:tolerance=0.3", run=made / "run", **CHOICES)
    assert own.threshold(0.05) >= usual
    result = mask_all(vendor, [("p35", low_of(35))], own, 0.05, run=made / "run")[0]
    errors = bc.error_map(photograph(35), result.image, "rgb-linf", kernel="gaussian", sigma=2)
    assert (result.mask & (errors > 0.3)).mean() <= 0.05
    assert "exceeds 0.3 is at most 0.05" in result.certificate.statement
    assert result.certificate.bound == 1
    found = bc.audit(vendor, write_photographs(tmp_path / "new", range(30, 40)), own, [0.05])
    assert found.levels[0].judgement.risk <= 0.05


def test_a_blank_answer_to_a_picture_is_no_draw(tmp_path, own):
    vendor, photographs = own
    PillowImage.new("RGB", (80, 64)).save(tmp_path / "outputs/p3/1.png")
    with pytest.raises(BlackboxConformalError, match="one colour everywhere for an input that is not blank"):
        bc.calibrate(vendor, photographs, run=tmp_path / "run", **CHOICES)
