"""Pictures of the same size, and pictures made consistent with their input: certified, audited, tuned, or refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR, ended
from support.restoring_vendor import RESTORING, RestoringVendor
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import ProcedureMismatchError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.safe_pictures import back_projected
from blackbox_conformal.study.plan.promises import ways
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.fault_server import FaultServer

TASKS = {"noise:10": "rgb-linf", "grey": "chroma", "holes:0.2,side=8-16": "in-holes:of=rgb-linf"}


@pytest.mark.parametrize("degradation", TASKS)
def test_calibrate_mask_and_audit_at_scale_1(server, degradation, tmp_path, capsys):
    write_photographs(tmp_path / "photographs", range(8))
    write_photographs(tmp_path / "unseen", range(8, 12))
    truth = photograph(20)
    sent = Mixture.of_text(degradation).apply(truth, 1, "of the user")
    PillowImage.fromarray(sent).save(tmp_path / "input.png")
    settings = ["--draws", "2", "--metric", TASKS[degradation], "--degradation", degradation]
    vendor = ["--adapter", RESTORING, "-p", f"url={server.url}", "--run", str(tmp_path / "run"), "--yes"]
    assert run(["calibrate", str(tmp_path / "photographs"), *vendor, *settings, "-q"]) == 0
    given = ["--calibration", str(tmp_path / "run" / "calibration.json"), *vendor]
    mask = ["mask", str(tmp_path / "input.png"), "--alpha", "0.5", "--out", str(tmp_path / "out"), "--json"]
    (entry,) = json.loads(ended(capsys, [*mask, *given, "--degradation", degradation]).out)["pictures"]
    assert run(["audit", str(tmp_path / "unseen"), *given, "--alpha", "0.5", "--json"]) in (0, 3)
    document = json.loads(capsys.readouterr().out)
    before = server.account.paid
    assert run([*mask, *given, "--degradation", "jpeg:30"]) == 2
    assert f"for inputs made by {degradation}; got --degradation 'jpeg:30'" in capsys.readouterr().err
    assert server.account.paid == before
    assert np.asarray(PillowImage.open(entry["image"])).shape == truth.shape
    calibration = bc.Calibration.load(tmp_path / "run" / "calibration.json")
    assert calibration.procedure.scale == 1
    certificate = json.loads(Path(entry["certificate"]).read_text())
    assert certificate["input_bound"] is None
    assert f"Inputs are made like those of the calibration: {degradation}." in certificate["assumptions"]
    assert document["n"] == 4


def test_what_is_wrong_outside_holes_does_not_count(server, tmp_path):
    photographs = write_photographs(tmp_path / "photographs", range(6))
    curves = {}
    vendor = bc.load_adapter(RESTORING, url=server.url)
    for metric in ("rgb-linf", "in-holes:of=rgb-linf"):
        curves[metric] = bc.calibrate(
            vendor,
            photographs,
            draws=2,
            score="pixel-variance",
            metric=metric,
            degradation="holes:0.1,side=8",
            run=tmp_path / "run",
            max_cost=1,
        ).curves
    assert server.account.paid == 12, "one metric's draws are the other's"
    whole, in_holes = (curves[metric].losses_at(np.inf) for metric in curves)
    assert (in_holes <= whole).all()
    assert in_holes.min() > 0.3, "the fault server leaves holes as they are"


def test_vendors_and_scores_are_compared_inside_holes(server, tmp_path, capsys):
    """`compare` and `tune` measure as `calibrate` does, on its draws."""
    photographs = str(write_photographs(tmp_path / "photographs", range(6))[0].parent)
    vendor = ["-p", f"url={server.url}", "--run", str(tmp_path / "run"), "--yes", "--json", "--alpha", "0.9"]
    settings = ["--draws", "2", "--degradation", "holes:0.1,side=8", "--metric", "in-holes:of=rgb-linf"]
    tune = ["tune", photographs, "--adapter", RESTORING, *vendor, *settings, "--candidate", "pixel-variance"]
    assert run([*tune, "--out", str(tmp_path / "tuned.json")]) == 0
    capsys.readouterr()
    two = [f"{RESTORING}:label={score},score={score}" for score in ("pixel-variance", "texture")]
    vendors = [word for one in two for word in ("--vendor", one)]
    assert run(["compare", photographs, *vendors, *vendor, *settings, "--no-baselines"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n_evaluation"] == 3
    assert server.account.paid == 12
    losses = bc.Calibration.load(tmp_path / "tuned.json").curves.losses_at(np.inf)
    assert losses.min() > 0.3
    assert bc.Calibration.load(tmp_path / "tuned.json").procedure.metric["of"] == "rgb-linf"


def test_the_seed_of_random_inputs_is_the_calibrations(server, tmp_path, capsys):
    photographs = write_photographs(tmp_path / "photographs", range(6))
    vendor = ["--adapter", RESTORING, "-p", f"url={server.url}", "-p", "seedable=false"]
    more = ["--run", str(tmp_path / "run"), "--yes", "--draws", "2", "--degradation", "noise:10", "--seed", "7"]
    assert run(["calibrate", *map(str, photographs), *vendor, *more, "--perturbation", "dihedral", "-q"]) == 0
    calibration = tmp_path / "run" / "calibration.json"
    assert bc.Calibration.load(calibration).procedure.root_seed == 7
    unseen = write_photographs(tmp_path / "unseen", range(8, 10))
    audit = ["audit", *map(str, unseen), "--calibration", str(calibration), *vendor, "--yes"]
    before = server.account.paid
    assert run([*audit, "--seed", "8", "--run", str(tmp_path / "run")]) == 2
    assert "which fixes it to 7; got --seed 8" in capsys.readouterr().err
    assert server.account.paid == before


CHOICES = {"draws": 1, "score": "bicubic-gap:sigma=2", "metric": "rgb-linf:kernel=gaussian,sigma=2"}
TYPED = ["--draws", "1", "--score", CHOICES["score"], "--metric", CHOICES["metric"]]
BICUBIC = Mixture.of_text("bicubic:4")
LOW = BICUBIC.apply(photograph(20), 4)
SENTENCE = (
    "The guarantee is about the delivered picture, not about the vendor's own: it is the first draw, made consistent "
    "with its input by 2 steps of back-projection."
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, unseen ones, an input, and a calibration."""
    folder = tmp_path_factory.mktemp("consistent")
    write_photographs(folder / "photographs", range(8))
    write_photographs(folder / "unseen", range(8, 12))
    PillowImage.fromarray(LOW).save(folder / "small.png")
    more = ["--delivery", "consistent", "--yes", "-q", "--run", str(folder / "run")]
    with FaultServer() as server:
        assert run(["calibrate", str(folder / "photographs"), *of(server), *TYPED, *more]) == 0
    return folder


def of(server: FaultServer) -> list[str]:
    return ["--adapter", VENDOR, "-p", f"url={server.url}"]


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(PillowImage.open(path).convert("RGB"))


def test_the_consistent_picture_is_delivered_with_its_certificate_and_the_vendors_beside_it(scene, server, tmp_path):
    calibration = str(scene / "run" / "calibration.json")
    given = [*of(server), "--calibration", calibration, "--run", str(tmp_path / "run"), "--yes", "-q"]
    out = tmp_path / "out"
    assert run(["mask", str(scene / "small.png"), *given, "--alpha", "0.9", "--out", str(out)]) == 0
    vendors, delivered = pixels_of(next(out.glob("small-vendor.*"))), pixels_of(out / "small-image.png")
    expected = back_projected(vendors, LOW, BICUBIC.linear_part(), 2)
    np.testing.assert_array_equal(delivered, expected)
    assert (delivered != vendors).any()
    certificate = json.loads((out / "small-certificate.json").read_text())
    assert certificate["procedure"]["delivery"] == "consistent:steps=2"
    assert SENTENCE in certificate["assumptions"]
    said = certificate["outputs"]["vendor"]["statement"]
    assert said == "the vendor's file from which the delivered picture was made, as received"
    assert run(["verify", str(out / "small-certificate.json"), "--calibration", calibration]) == 0
    assert run(["audit", str(scene / "unseen"), *given, "--alpha", "0.9"]) in (0, 3)


def test_errors_are_of_what_is_delivered(scene, vendor):
    paths = sorted((scene / "photographs").iterdir())
    consistent = bc.Calibration.load(scene / "run" / "calibration.json")
    first = bc.calibrate(vendor, paths, run=scene / "run", max_calls=8, **CHOICES)
    again = bc.calibrate(vendor, paths, run=scene / "run", max_calls=8, delivery="consistent:steps=2", **CHOICES)
    assert again.digest == consistent.digest
    assert again.procedure.fingerprint != first.procedure.fingerprint
    everything = [float(np.mean([curve.loss(np.inf) for curve in one.curves])) for one in (consistent, first)]
    assert everything[0] != everything[1]


def test_python_delivers_the_same_and_more_steps_are_nearer(scene, vendor, tmp_path):
    gaps = []
    for steps in (1, 3):
        delivery = f"consistent:steps={steps}"
        calibration = bc.calibrate(
            vendor, scene / "photographs", run=scene / "run", max_calls=8, delivery=delivery, **CHOICES
        )
        result = bc.mask(vendor, scene / "small.png", calibration, alpha=0.9, run=tmp_path / "run", max_cost=1)
        gaps.append(np.abs(BICUBIC.apply(result.image, 4).astype(int) - LOW).mean())
        assert f"by {steps} step{'s' * (steps > 1)} of back-projection" in " ".join(result.certificate.assumptions)
    assert gaps[1] < gaps[0]


def test_candidates_are_tuned_on_what_is_delivered(scene, server, capsys):
    found = {}
    for delivery in ("first", "consistent"):
        given = [str(scene / "photographs"), *of(server), *TYPED, "--candidate", f"{CHOICES['score']}@1", "--yes"]
        more = ["--only-choose", "--alpha", "0.16", "--delivery", delivery, "--run", str(scene / "run"), "--json"]
        found[delivery] = json.loads(ended(capsys, ["tune", *given, *more]).out)["candidates"]
    assert found["first"] != found["consistent"]


@pytest.mark.parametrize(
    "degradation", ["bicubic+jpeg:75", "bicubic+noise:4", "50% bicubic | 50% area", "blur:1-3+bicubic"]
)
@pytest.mark.parametrize("command", ["calibrate", "plan"])
def test_a_degradation_that_nobody_can_repeat_is_refused_before_anything_is_drawn(
    command, degradation, scene, server, tmp_path, capsys
):
    before = server.account.paid
    given = [str(scene / "photographs"), *of(server), *TYPED, "--run", str(tmp_path / "run"), "--yes"]
    told = ended(capsys, [command, *given, "--delivery", "consistent:steps=3", "--degradation", degradation], 2).err
    assert "since --delivery consistent:steps=3 makes inputs of delivered pictures" in told
    assert "Give --delivery first" in told
    assert server.account.paid == before


@pytest.mark.parametrize(
    "delivery", ["median", "consistent:steps=0", "consistent:steps=11", "consistent:steps=2\n", ""]
)
def test_a_delivery_that_does_not_exist_is_refused(delivery, vendor):
    with pytest.raises(UsageError, match="to be first, mean, medoid, aligned, or consistent:steps=N"):
        set_up(vendor, delivery=delivery, **CHOICES)


def test_another_delivery_than_the_calibrated_one_is_refused(scene, vendor):
    calibrated = bc.Calibration.load(scene / "run" / "calibration.json").procedure
    for other, named in (("first", "'first'"), ("consistent:steps=3", "'consistent:steps=3'")):
        with pytest.raises(ProcedureMismatchError, match=f"delivery: 'consistent:steps=2' → {named}"):
            calibrated.require(set_up(vendor, delivery=other, **CHOICES).procedure)


def test_at_the_same_size_the_difference_itself_is_added(server):
    setup = set_up(RestoringVendor(url=server.url), degradation="blur:2", delivery="consistent:steps=1", **CHOICES)
    low = setup.procedure.degraded(photograph(2), "digest")
    again = setup.procedure.mixture.apply(low, 1)
    expected = np.clip(low.astype(int) + low - again, 0, 255)
    np.testing.assert_array_equal(setup.delivered(low, low), expected)


def test_a_metric_that_the_input_fixes_is_refused_and_never_offered():
    vendor = load_adapter("embedded")
    blurred = {"metric": "lab-l1:kernel=gaussian,sigma=4,order=difference-of-blurs"}
    with pytest.raises(UsageError, match=r"invented texture too\. Give --metric lab-l1 or --delivery first"):
        set_up(vendor, delivery="consistent", **blurred)
    assert [way.procedure.delivery for way in ways(set_up(vendor, **blurred), deliver_consistent=True)] == ["first"]
    usual = ways(set_up(vendor), deliver_consistent=True)
    assert [way.procedure.delivery for way in usual] == ["first", "consistent:steps=2"]
