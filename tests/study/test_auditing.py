"""The audit on a folder of outputs: no call, figures equal to those worked out by hand from the same files."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from support.synthetic import draw, photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import CalibrationError, FileFormatError, RefusedError, UsageError
from blackbox_conformal.method.audits.detail_shares import DetailMeter, DetailShares
from blackbox_conformal.method.audits.quality import peak_signal_to_noise
from blackbox_conformal.pages.report.report_store import AUDITS
from blackbox_conformal.study import job, stages
from blackbox_conformal.study.audit.measure import CROP_SIDE, WorstCrops
from blackbox_conformal.study.python.functions import audit
from blackbox_conformal.study.stages.draws import Drawn

DRAWS = 3
CHOICES = {"draws": DRAWS, "score": "pixel-variance", "metric": "rgb-linf"}
LEVELS = [0.04, 0.35, 0.5]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """(vendor, calibration, unseen photographs, run folder); outputs of 20 to 31 are of photographs not calibrated."""
    folder = tmp_path_factory.mktemp("audit")
    vendor = bc.load_adapter("folder", path=str(write_draws(folder / "outputs", range(32), DRAWS)), label="synthetic")
    known = write_photographs(folder / "known", range(20))
    unseen = write_photographs(folder / "unseen", range(20, 32))
    return vendor, bc.calibrate(vendor, known, run=folder / "run", **CHOICES), unseen, folder


def by_hand(seed):
    """Delivered picture, score and error map of photograph `seed`, from the draws alone."""
    draws = np.stack([draw(photograph(seed), 1000 * seed + index) for index in range(DRAWS)]).astype(np.float64) / 255
    scores = draws.var(axis=0).sum(axis=2)
    truth = photograph(seed) / 255
    return (255 * draws[0]).round().astype(np.uint8), scores, np.abs(truth - draws[0]).max(axis=2)


def test_every_figure_equals_the_one_worked_out_by_hand(scene):
    vendor, calibration, unseen, folder = scene
    crops = WorstCrops(2)
    seen = []
    found = audit(
        vendor,
        unseen,
        calibration,
        LEVELS,
        run=folder / "run",
        crops=crops,
        on_picture=lambda *a: seen.append(a[0].name),
    )
    assert (found.n, found.units, found.calls + found.cached) == (12, 12, 12 * DRAWS)
    assert sorted(seen) == sorted(path.stem for path in unseen)
    assert {one.name for one in found.pictures} == set(seen)
    assert not found.levels[0].tested
    for index, level in enumerate(found.levels):
        threshold = calibration.threshold(level.alpha)
        losses, shares, inside, outside, worst = [], [], [], [], {}
        for path in unseen:
            seed = int(path.stem[1:])
            delivered, scores, errors = by_hand(seed)
            mask = scores < threshold
            # Scores are float32 in the product: a pixel at the very threshold may fall on either side.
            mask &= ~np.isclose(scores, threshold, rtol=1e-6)
            losses.append(errors[mask].max() if mask.any() else 0.0)
            shares.append(mask.mean())
            worst[path.stem] = losses[-1]
            inside.append(peak_signal_to_noise(photograph(seed), delivered, mask))
            outside.append(peak_signal_to_noise(photograph(seed), delivered, ~mask))
        assert level.judgement.risk == pytest.approx(np.mean(losses), abs=1e-6)
        assert level.trusted_share == pytest.approx(np.mean(shares), abs=1e-6)
        assert level.empty_share == np.mean(np.array(shares) == 0)
        for quality, values in ((level.inside, inside), (level.outside, outside)):
            known = [value for value in values if not math.isnan(value)]
            assert quality.psnr == pytest.approx(np.mean(known) if known else math.nan, abs=1e-6, nan_ok=True)
        order = sorted(worst, key=lambda name: -worst[name])
        assert [one.name for one in found.worst(index, 2)] == (order[:2] if level.tested else [])
        assert [crop.name for crop in crops.of(level.alpha)] == (order[:2] if level.tested else [])
    assert 0.1 < found.levels[1].trusted_share < found.levels[2].trusted_share
    assert found.leakage.n == 20


def test_the_vendor_stands_beside_pictures_that_cost_nothing_whatever_the_metric(scene):
    vendor, calibration, unseen, folder = scene
    found = audit(vendor, unseen, calibration, [0.5], run=folder / "run")
    meter = DetailMeter(calibration.procedure.mixture)
    hand = []
    for path in unseen:
        truth = photograph(int(path.stem[1:]))
        hand.append(meter(path.stem, truth, reduced(truth, 4), by_hand(int(path.stem[1:]))[0]))
    rows = found.document()["detail"]
    assert [row["picture"] for row in rows] == ["vendor", "plain enlargement", "free reference"]
    for row in rows:
        own = DetailShares.of(hand, row["picture"])
        assert (row["photographs"], row["psnr"][0]) == (12, pytest.approx(own.psnr[0]))
        assert row["restored"][0] == pytest.approx(own.restored[0], abs=1e-9)
    assert rows[0]["restored"][0] < 0.05 < 0.9 < rows[0]["invented"][0], "it adds noise"
    stored = AUDITS.content(found)
    for picture in stored["pictures"]:
        del picture["detail"]
    assert AUDITS.parse(AUDITS.text(stored).encode()).document()["detail"] == [], "an audit that did not look"


def test_the_worst_pixel_and_its_crop_are_those_of_the_files(scene):
    vendor, calibration, unseen, folder = scene
    crops = WorstCrops(1)
    found = audit(vendor, unseen, calibration, [0.5], run=folder / "run", crops=crops)
    one = found.worst(0, 1)[0]
    delivered, scores, errors = by_hand(int(one.name[1:]))
    place = one.worst[0]
    assert place.error == pytest.approx(errors[place.row, place.column], abs=1e-6) == one.losses[0]
    mask = scores < calibration.threshold(0.5)
    assert mask[place.row, place.column]
    assert errors[mask].max() == pytest.approx(place.error, abs=1e-6)
    crop = crops.of(0.5)[0]
    rows, columns = slice(crop.row, crop.row + CROP_SIDE), slice(crop.column, crop.column + CROP_SIDE)
    np.testing.assert_array_equal(crop.delivered, delivered[rows, columns])
    np.testing.assert_array_equal(crop.photograph, photograph(int(one.name[1:]))[rows, columns])


def test_a_second_audit_draws_nothing(scene):
    vendor, calibration, unseen, folder = scene
    audit(vendor, unseen[:4], calibration, [0.5], run=folder / "run")
    again = audit(vendor, unseen[:4], calibration, [0.5], run=folder / "run")
    assert (again.calls, again.cached) == (0, 4 * DRAWS)


def test_a_photograph_that_the_vendor_refuses_counts_at_the_worst_loss(scene, tmp_path, monkeypatch):
    vendor, calibration, unseen, _ = scene
    drawn_pictures = job.drawn_pictures

    def refusing(*given):
        for drawn in drawn_pictures(*given):
            refused = drawn.prepared.name == "p25"
            yield Drawn(drawn.prepared, (), RefusedError("nothing with a face")) if refused else drawn

    plain = audit(vendor, unseen, calibration, LEVELS, run=tmp_path / "plain")
    monkeypatch.setattr(job, "drawn_pictures", refusing)
    found = audit(vendor, unseen, calibration, LEVELS, run=tmp_path / "run")
    one = next(one for one in found.pictures if one.name == "p25")
    assert one.refused
    assert one.losses == (0.0, 1.0, 1.0), "the metric's bound as soon as anything is trusted"
    assert one.worst == (None,) * 3
    before = next(other for other in plain.pictures if other.name == "p25")
    for index, level in enumerate(found.levels):
        change = (one.losses[index] - before.losses[index]) / 12
        assert level.judgement.risk == pytest.approx(plain.levels[index].judgement.risk + change)
        assert level.trusted_share == pytest.approx(plain.levels[index].trusted_share - before.shares[index] / 12)
    assert any("refused 1 of 12 audit photographs, first p25" in note for note in found.notes)


def test_tiles_count_once_and_need_their_photographs_named(scene):
    vendor, calibration, unseen, folder = scene
    tiles = {path.stem: f"whole {index // 3}" for index, path in enumerate(unseen)}
    found = audit(vendor, unseen, calibration, [0.5], run=folder / "run", tiles=tiles)
    assert (found.n, found.units) == (12, 4)
    by_name = {one.name: one.losses[0] for one in found.pictures}
    means = [np.mean([by_name[name] for name, whole in tiles.items() if whole == f"whole {k}"]) for k in range(4)]
    assert found.levels[0].judgement.risk == pytest.approx(np.mean(means))
    with pytest.raises(UsageError, match="the photograph of every audited picture; 11 of 12"):
        audit(vendor, unseen, calibration, [0.5], run=folder / "run", tiles={unseen[0].stem: "x"})
    with pytest.raises(UsageError, match="Audit one picture of each photograph"):
        audit(vendor, unseen, calibration, [0.5], run=folder / "run", tiles=tiles, guarantee="per-image")


def test_the_bound_in_use_is_the_one_that_is_audited(tmp_path):
    """With bound_from=delivered each mask has a threshold of its own, which the audit must use as `mask` does."""
    choices = {"draws": DRAWS, "score": "smoothed-variance:sigma=2", "metric": "lab-l1:kernel=gaussian,sigma=2"}
    vendor = bc.load_adapter("folder", path=str(write_draws(tmp_path / "outputs", range(30), DRAWS)), label="synthetic")
    known = write_photographs(tmp_path / "known", range(24))
    calibration = bc.calibrate(vendor, known, run=tmp_path / "run", **choices)
    unseen = write_photographs(tmp_path / "unseen", range(24, 30))
    used = []
    own = audit(
        vendor,
        unseen,
        calibration,
        [0.09],
        guarantee="expected:bound_from=delivered",
        run=tmp_path / "run",
        on_picture=lambda picture, *rest: used.append((picture.name, rest[-1][0][1])),
    )
    plain = audit(vendor, unseen, calibration, [0.09], run=tmp_path / "run")
    assert len({threshold for _, threshold in used}) > 1
    assert all(threshold >= calibration.threshold(0.09) for _, threshold in used)
    assert own.levels[0].trusted_share > plain.levels[0].trusted_share
    assert own.levels[0].judgement.risk >= plain.levels[0].judgement.risk
    assert not any(one.broken_bound for one in own.pictures), "the bound holds for any sRGB truth"
    for name, threshold in used:
        seed = int(name[1:])
        draws = np.stack([draw(photograph(seed), 1000 * seed + index) for index in range(DRAWS)]).astype(np.float64)
        scores = gaussian_filter((draws / 255).var(axis=0).sum(axis=2), 2, mode="reflect")
        mask = scores < threshold
        share = next(one.shares[0] for one in own.pictures if one.name == name)
        assert share == pytest.approx(mask.mean(), abs=3e-3)


def test_a_bound_of_the_picture_that_its_loss_exceeds_is_noticed(tmp_path, monkeypatch):
    """An understated bound, as if the truth could not be that colour: the audit must not confirm it."""
    from blackbox_conformal.method.metrics.lab_l1 import LabL1

    choices = {"draws": DRAWS, "score": "smoothed-variance:sigma=2", "metric": "lab-l1:kernel=gaussian,sigma=2"}
    vendor = bc.load_adapter("folder", path=str(write_draws(tmp_path / "outputs", range(30), DRAWS)), label="synthetic")
    known = write_photographs(tmp_path / "known", range(24))
    calibration = bc.calibrate(vendor, known, run=tmp_path / "run", **choices)
    unseen = write_photographs(tmp_path / "unseen", range(24, 30))
    monkeypatch.setattr(
        LabL1, "bound_from_delivered", lambda _, delivered: np.full(delivered.shape[:2], 1e-4, np.float32)
    )
    found = audit(vendor, unseen, calibration, [0.09], guarantee="expected:bound_from=delivered", run=tmp_path / "run")
    assert found.verdict == "contradicted"
    assert all(one.broken_bound for one in found.pictures)


def test_what_cannot_be_audited_is_refused_before_anything_is_drawn(scene, tmp_path):
    vendor, calibration, unseen, folder = scene
    with pytest.raises(CalibrationError, match="has not seen; 1 of 13 were used"):
        audit(vendor, [*unseen, folder / "known" / "p3.png"], calibration, run=tmp_path / "new")
    (tmp_path / "empty").mkdir()
    with pytest.raises((CalibrationError, UsageError), match="found none"):
        audit(vendor, tmp_path / "empty", calibration, run=tmp_path / "new")
    with pytest.raises(UsageError, match="Leave bound_from out"):
        audit(vendor, unseen, calibration, guarantee="false-trust:bound_from=delivered", run=tmp_path / "new")
    with pytest.raises(CalibrationError, match="without groups"):
        audit(vendor, unseen, calibration, group="night", run=tmp_path / "new")
    assert not (Path(tmp_path) / "new").exists()


def test_per_image_and_high_probability_are_audited_by_their_own_claims(scene):
    vendor, calibration, unseen, folder = scene
    each = audit(vendor, unseen, calibration, [0.4], guarantee="per-image:delta=0.2", run=folder / "run")
    threshold = calibration.threshold(0.4, "per-image", delta=0.2)
    assert each.levels[0].threshold == threshold > -math.inf
    assert each.levels[0].judgement.risk == np.mean([one.losses[0] > 0.4 for one in each.pictures])
    high = audit(vendor, unseen, calibration, [0.6], guarantee="high-probability:delta=0.2", run=folder / "run")
    assert high.levels[0].threshold == calibration.threshold(0.6, "high-probability", delta=0.2)
    assert "0.2 of the calibration sets" in high.quantity


def test_an_interval_is_exact_only_where_no_photograph_was_audited_with_others_before(scene, tmp_path):
    vendor, calibration, unseen, _ = scene
    terms = {"guarantee": "per-image:delta=0.2", "run": tmp_path / "run"}
    first, again = (audit(vendor, unseen[:6], calibration, [0.4], **terms) for _ in range(2))
    more = audit(vendor, unseen, calibration, [0.4], **terms)
    others = audit(vendor, unseen[6:], calibration, [0.4], run=tmp_path / "other", guarantee="per-image:delta=0.2")
    assert [found.levels[0].judgement.exact for found in (first, again, more, others)] == [True, True, False, True]
    assert any("were audited before, together with fewer or other ones" in note for note in more.notes)
    exact = audit(vendor, unseen, calibration, [0.4], run=tmp_path / "fresh", guarantee="per-image:delta=0.2")
    assert exact.levels[0].judgement.interval[1] < more.levels[0].judgement.interval[1]
    (tmp_path / "run" / "audited.jsonl").write_bytes(b"{}\n")
    with pytest.raises(FileFormatError, match=r"audited.jsonl: expected the photographs of earlier audits"):
        audit(vendor, unseen, calibration, [0.4], **terms)


def test_a_photograph_that_is_read_again_and_was_changed_is_noticed(scene, tmp_path, monkeypatch):
    vendor, calibration, unseen, _ = scene
    paths = [tmp_path / path.name for path in unseen[:3]]
    for path, original in zip(paths, unseen, strict=False):
        path.write_bytes(original.read_bytes())
    prepare = job.prepare_photographs

    def prepare_and_change(*given, **named):
        pictures = prepare(*given, **named)
        paths[2].write_bytes(paths[1].read_bytes())
        return pictures

    monkeypatch.setattr(job, "prepare_photographs", prepare_and_change)
    monkeypatch.setattr(stages.prepare, "MOST_BYTES", 0)
    with pytest.raises(CalibrationError, match="was changed while it was being audited; run again"):
        audit(vendor, paths, calibration, [0.5], run=tmp_path / "run")
