"""Choosing by right detail under a guarantee about it; and inputs of unknown making, of which none holds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.choose.comparing import compare_contestants
from blackbox_conformal.study.choose.comparison import ComparedPicture
from blackbox_conformal.study.choose.contestants import Contest, Contestant, under_one_promise, vendor_folder
from blackbox_conformal.study.choose.scored import Tuning
from blackbox_conformal.study.choose.tuning import ToTune, parse_candidates, tune_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.study.stages.prepare import prepare_photographs
from blackbox_conformal.study.stages.settings import Setup, set_up
from blackbox_conformal.study.unseen_photographs import split_prepared

pytestmark = pytest.mark.usual_promise

ALPHAS = (0.2, 0.4)
PROMISE = "marked:largest_error=0.5"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for photograph in demo_photographs():
        pixels = read_image(photograph.path).pixels
        for part in range(2):
            crop = pixels[40 + 130 * part : 104 + 130 * part, 60:124]
            Image.fromarray(np.ascontiguousarray(crop)).save(folder / f"{photograph.name}-{part}.png")
    return sorted(folder.iterdir())


def contestants(guarantee: object = PROMISE) -> list[Contestant]:
    vendor = bc.load_adapter("embedded")
    return [
        Contestant(score, set_up(vendor, score=score, guarantee=guarantee))
        for score in ("predicted-invention", "unsupported")
    ]


@pytest.fixture(scope="module")
def compared(photographs, tmp_path_factory):
    root, pictures = tmp_path_factory.mktemp("runs"), list[ComparedPicture]()
    both, rule = under_one_promise(contestants, PROMISE)
    contest = Contest.of_photographs(both, photographs, Terms(root, ask=lambda *_: None), held_out=8, rule=rule)
    return compare_contestants(contest, ALPHAS, pictures.append), pictures, root


def energies(setup: Setup, picture: ComparedPicture) -> tuple[np.ndarray, np.ndarray]:
    found = setup.detail_metric.energies(picture.truth, picture.delivered, picture.low, setup.procedure.mixture)
    return found.part.astype(float), (found.whole - found.part).astype(float)


def test_rows_are_those_of_calibrate_and_audit(compared, photographs):
    found, _, root = compared
    for contestant in contestants():
        setup = contestant.setup
        run = vendor_folder(root, setup)
        calibrating, unseen = split_prepared(prepare_photographs(photographs, setup, lambda *_: None), 8, 0)
        paths, others = ([one.path for one in part if one.path] for part in (calibrating, unseen))
        calibration = calibrate_job(Job.of_photographs(setup, paths, Terms(run)), guarantee=PROMISE).calibration
        audited = bc.audit(setup.adapter, others, calibration, ALPHAS, run=run)
        rows = [row for row in found.rows if row.contestant == contestant.label]
        for row, level in zip(rows, audited.levels, strict=True):
            assert (row.alpha, row.trusted_share) == (level.alpha, pytest.approx(level.trusted_share))
            assert row.risk == pytest.approx(level.judgement.risk)
            assert "80 % of the detail" in rows[0].guarantee


def test_the_clear_part_that_restores_most_leads(compared):
    found, pictures, _ = compared
    setup, truly = contestants()[0].setup, dict[str, float]()
    for row in found.rows:
        own = [picture for picture in pictures if picture.contestant == row.contestant]
        clear = missing = 0.0
        for picture in own:
            right = energies(setup, picture)[1]
            clear += right[picture.score_map < picture.thresholds[row.alpha]].sum()
            missing += energies(setup, picture)[1].sum()
        restored = found.detail[row.contestant].restored[0]
        # Of the missing detail all that was restored is right, and a part of that is clear.
        assert row.restored_clear is not None
        assert row.restored_clear == pytest.approx(restored * clear / missing, rel=1e-4)
        assert 0 < row.restored_clear < restored
        if row.alpha == found.telling_alpha:
            truly[row.contestant] = row.restored_clear
    assert found.ranks["restored_clear"] == sorted(truly, key=lambda name: -truly[name])
    assert "trusted" not in found.ranks
    document = found.document()
    assert document["ranks"] == found.ranks
    assert {row["method"] for row in document["rows"]} == {"trust mask"}, "baselines speak of errors alone"


def test_where_one_has_a_score_of_another_unit_all_are_compared_under_expected():
    vendor = bc.load_adapter("embedded")

    def build(guarantee):
        usual = set_up(vendor, guarantee=guarantee)
        return [Contestant("usual", usual), Contestant("texture", set_up(vendor, score="texture"))]

    both, rule = under_one_promise(build, None)
    assert (rule.plugin_name(), both[0].setup.procedure.score["name"]) == ("expected", "learned")
    with pytest.raises(UsageError, match="Give --score predicted-invention"):
        under_one_promise(build, "marked")
    with pytest.raises(UsageError, match=r"expected --guarantee expected, marked or clear-share .* got per-image"):
        under_one_promise(build, "per-image:delta=0.1")


def tuned(photographs: list[Path], run: Path, alpha: float = 0.4) -> tuple[Tuning, Job]:
    setup = set_up(bc.load_adapter("embedded"), guarantee=PROMISE)
    job = Job.of_photographs(setup, photographs[:12], Terms(run))
    candidates = parse_candidates(["predicted-invention", "unsupported"], 1)
    return tune_job(job, candidates, alpha, 20, setup.promised(PROMISE)), job


def test_tuning_chooses_the_score_that_keeps_most_right_detail(photographs, compared, tmp_path):
    _, _, root = compared
    run = vendor_folder(root, contestants()[0].setup)
    found, job = tuned(photographs, run)
    kept = [one.kept for one in found.scored]
    assert kept == sorted(kept, key=lambda each: -(each or 0))
    assert all(one.kept is not None and 0 < one.kept < 1 for one in found.scored)
    assert found.document()["candidates"][0]["kept"] == kept[0]
    # As if calibrated: the sums of losses that 20 photographs may have.
    for one in found.scored:
        setup = job.setup.with_score(one.candidate.score, 1)
        alone = calibrate_job(Job.of_photographs(setup, photographs[:12], Terms(run)), guarantee=PROMISE).calibration
        detail = next(curves for curves in alone.detail if curves.kind == "marked")
        allowed = (0.4 * 21 - 1) / 20 * 12, (0.5 * 21 - alone.bound) / 20 * 12
        thresholds = np.unique(np.concatenate([detail.scores, alone.curves.scores]))
        thresholds = thresholds[thresholds <= 0.9]
        fits = [
            t
            for t in thresholds
            if detail.losses_at(t).sum() <= allowed[0] and alone.curves.losses_at(t).sum() <= allowed[1]
        ]
        assert one.trusted_share == pytest.approx(alone.curves.trusted_shares_at(max(fits)).mean(), abs=0.01)


def test_candidates_of_a_guarantee_about_detail_are_shares():
    vendor = bc.load_adapter("embedded")

    def to_tune(typed, guarantee, want_share=None):
        return ToTune.of(
            lambda score, rule: set_up(vendor, score=score, guarantee=rule),
            typed,
            1,
            second=False,
            alpha=None if want_share else 0.2,
            want_share=want_share,
            guarantee=guarantee,
        )

    found = to_tune([], "marked")
    assert {one.score.plugin_name() for one in found.candidates} == {"predicted-invention", "unsupported"}
    assert found.setup.procedure.score["name"] == "predicted-invention"
    with pytest.raises(UsageError, match="Give --score predicted-invention"):
        to_tune(["texture", "unsupported"], "marked")
    assert to_tune(["texture", "unsupported"], None).rule.plugin_name() == "expected"
    wanted = to_tune([], None, 0.5)
    assert wanted.rule.plugin_name() == "expected"
    assert "texture" in {one.score.plugin_name() for one in wanted.candidates}


@pytest.mark.parametrize(("scale", "name"), [(4, "predicted-invention"), (2, "unsupported"), (8, "unsupported")])
def test_a_guarantee_about_detail_brings_its_score(scale, name):
    vendor = bc.load_adapter("http", url="http://127.0.0.1:1/", scale=scale)
    for rule in ("marked", "clear-share", guarantee("marked", largest_error=0.4)):
        assert set_up(vendor, guarantee=rule).procedure.score["name"] == name
    assert set_up(vendor, guarantee="marked", score="texture").procedure.score["name"] == "texture"
    assert set_up(vendor, guarantee="expected").procedure.score["name"] in ("learned", "tie-broken")
    assert set_up(vendor, guarantee="marked", draws=8).procedure.score["name"] == "weighted"


@pytest.mark.parametrize("guarantee", [None, "marked", "clear-share", "per-image:of=marked"])
@pytest.mark.parametrize("degradation", ["unknown", "50% unknown | 50% web"])
def test_a_promise_about_detail_is_refused_with_the_cure(tmp_path, guarantee, degradation):
    photographs = write_photographs(tmp_path / "photographs", range(24))
    with pytest.raises(UsageError, match=r"got one about invented detail.*--suggest --photographs PHOTOGRAPHS --scale"):
        bc.calibrate(
            bc.load_adapter("embedded"), photographs, degradation=degradation, guarantee=guarantee, run=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists(), "nothing was begun"


@pytest.mark.slow
def test_inputs_of_another_making_are_outside_whatever_the_degradation(tmp_path):
    vendor = bc.load_adapter("embedded")
    photographs = write_photographs(tmp_path / "photographs", range(24))
    others = write_photographs(tmp_path / "others", range(30, 54))
    inputs = [made.input for made in bc.degrade(others, tmp_path / "inputs", scale=4, degradation="noise:8+bicubic")]
    statuses = {}
    for degradation, rule in (("unknown", "expected"), ("bicubic+blur:1+jpeg:50", "marked"), ("bicubic", "marked")):
        run = tmp_path / rule / degradation
        calibration = bc.calibrate(vendor, photographs, degradation=degradation, guarantee=rule, run=run)
        results = bc.mask_all(vendor, [read_image(path).pixels for path in inputs], calibration, 0.3, run=run)
        statuses[degradation] = {result.certificate.status for result in results}
        for certificate in (results[0].certificate, results[-1].certificate):
            assert certificate.stated.startswith("No guarantee: the guarantee is for pictures like the calibration's")
            assert certificate.quality is None
            assert contradictions(certificate, calibration) == []
    assert set().union(*statuses.values()) == {"outside-calibration"}
