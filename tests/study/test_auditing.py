"""An audit from photographs: figures by hand, which guarantee and tiles, what it can find, and its document."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from support.audit_material import audited_picture, calibration_of, curves, detail_curves, maps, refused_picture
from support.synthetic import draw, photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import CalibrationError, FileFormatError, RefusedError, UsageError
from blackbox_conformal.method.audits.confidence import fewest, further, stakes, upper_bound
from blackbox_conformal.method.audits.detail_shares import DetailMeter, DetailShares
from blackbox_conformal.method.audits.findings import WORST
from blackbox_conformal.method.audits.quality import peak_signal_to_noise
from blackbox_conformal.method.audits.random_splits import CAUTION, split_audit
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.guarantees.high_probability import HighProbability
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.pages.report.report_store import AUDITS
from blackbox_conformal.study import job, stages
from blackbox_conformal.study.audit.audited_rule import audited_rule, is_own, outlook, photographs_of, refuse_hopeless
from blackbox_conformal.study.audit.auditing import audit_splits
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.study.audit.measure import CROP_SIDE, WorstCrops
from blackbox_conformal.study.python.functions import audit
from blackbox_conformal.study.stages.draws import Drawn
from blackbox_conformal.support.blocks import document as document_of

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
    terms = {"run": folder / "run", "crops": crops, "on_picture": lambda *a: seen.append(a[0].name)}
    found = audit(vendor, unseen, calibration, LEVELS, **terms)
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


GROUPS = ("day", "day", "night", "day")
TILES = {"c0": "p", "c1": "p", "c2": "q", "c3": "r"}


@pytest.fixture
def calibration():
    return calibration_of(curves(0, 4), groups=GROUPS, guarantee={"name": "per-image", "delta": 0.3})


def test_the_calibrations_own_guarantee_is_the_default(calibration):
    rule = audited_rule(calibration)
    assert rule == PerImage(delta=0.3)
    assert is_own(calibration, rule)
    assert is_own(calibration, audited_rule(calibration, "per-image:delta=0.3"))


@pytest.mark.parametrize(
    ("guarantee", "expected"),
    [
        ("per-image:delta=0.2", PerImage(delta=0.2)),
        ("expected", Expected()),
        ("expected:bound_from=delivered", Expected(bound_from="delivered")),
        ("false-trust:tolerance=0.2", FalseTrust(tolerance=0.2)),
        ("high-probability:delta=0.1", HighProbability(delta=0.1)),
    ],
)
def test_another_guarantee_is_not_the_own(calibration, guarantee, expected):
    rule = audited_rule(calibration, guarantee)
    assert rule == expected
    assert not is_own(calibration, rule)


def test_a_group_wraps_the_guarantee(calibration):
    rule = audited_rule(calibration, group="day")
    own = tuple(image.group for image in calibration.images)
    assert isinstance(rule, ByGroup)
    assert (rule.inner, rule.groups, rule.group_new) == (PerImage(delta=0.3), own, "day")
    assert not is_own(calibration, rule)


def test_tiles_of_calibration_photographs_make_photographs(calibration):
    rule = audited_rule(calibration, "expected:leaked=1", tiles={**TILES, "new": "s"})
    assert isinstance(rule, ByCluster)
    assert rule.inner == Expected(leaked=1)
    assert rule.clusters == tuple(TILES[image.name] for image in calibration.images)
    grouped = audited_rule(calibration, "expected", group="day", tiles=TILES)
    assert isinstance(grouped, ByGroup)
    assert isinstance(grouped.inner, ByCluster)
    assert photographs_of(grouped, ["new"], {**TILES, "new": "s"}) == ("s",)


def test_a_calibration_that_knows_its_tiles_needs_no_table_of_them():
    found = list(curves(0, 4))
    plain = calibration_of(found)
    images = [one.model_copy(update={"cluster": TILES[one.name]}) for one in plain.images]
    tiled = type(plain).from_curves(plain.procedure, plain.bound, images, list(plain.curves))
    rule = audited_rule(tiled, tiles={"new": "s"})
    assert rule == audited_rule(plain, tiles=TILES)
    assert is_own(tiled, rule)
    assert tiled.threshold(0.9) == plain.threshold(0.9, "by-cluster", clusters=rule.clusters)
    assert rule.counted(tiled.n) == 3
    grouped = audited_rule(calibration_of(found, groups=GROUPS), "expected", group="day", tiles=TILES)
    assert "calibrated on 2 photographs" in grouped.statement(0.5, 4)
    assert grouped.counted(4) == 2
    with pytest.raises(CalibrationError, match="some have none"):
        type(plain).from_curves(plain.procedure, plain.bound, [*images[:3], plain.images[3]], list(plain.curves))
    with pytest.raises(CalibrationError, match="tiles of 1 were used for it, first q"):
        photographs_of(rule, ["a"], {"a": "q"})


def test_tiles_of_audit_photographs_alone_leave_the_guarantee(calibration):
    assert audited_rule(calibration, "expected", tiles={"new": "s"}) == Expected()


@pytest.mark.parametrize(("name", "way"), [("by-cluster", "--tiles FILE"), ("by-group", "--group NAME")])
def test_groups_and_tiles_are_named_beside_the_guarantee_within(calibration, name, way):
    with pytest.raises(UsageError, match=f"guarantee that holds within; got {name}.*{way}"):
        audited_rule(calibration, name)
    with pytest.raises(UsageError, match=way):
        audited_rule(calibration, f"{name}:of=expected")


def test_some_calibration_photographs_without_a_photograph_are_refused(calibration):
    with pytest.raises(UsageError, match=r"of every calibration picture or of none; 1 of 4 have none"):
        audited_rule(calibration, "expected", tiles={name: TILES[name] for name in ("c0", "c1", "c2")})


def test_audited_tiles_name_their_photographs(calibration):
    rule = audited_rule(calibration, "expected", tiles=TILES)
    assert photographs_of(rule, ["a", "b"], None) is None
    assert photographs_of(rule, ["b", "a"], {"a": "one", "b": "two", "other": "x"}) == ("two", "one")
    with pytest.raises(UsageError, match="1 of 2 have none, first b"):
        photographs_of(rule, ["a", "b"], {"a": "one"})
    with pytest.raises(CalibrationError, match="tiles of 1 were used for it, first q"):
        photographs_of(rule, ["a", "b"], {"a": "one", "b": "q"})
    assert photographs_of(Expected(), ["b"], {"b": "q"}) == ("q",)


DOCUMENT_LEVELS = [0.02, 0.4, 0.6]


@pytest.fixture(scope="module")
def found():
    calibration = calibration_of(curves(0, 20))
    rng = np.random.default_rng(1)
    thresholds = [calibration.threshold(alpha) for alpha in DOCUMENT_LEVELS]
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(8)]
    return conclude(calibration, calibration.rule(), DOCUMENT_LEVELS, [*pictures, refused_picture("r", thresholds)])


def test_it_is_strict_json(found):
    text = json.dumps(found.document(), allow_nan=False)
    assert json.loads(text) == found.document()


def test_levels_carry_every_figure_of_the_audit(found):
    document = found.document()
    assert (document["n"], document["units"], document["verdict"]) == (9, 9, found.verdict)
    assert [level["tested"] for level in document["levels"]] == [False, True, True]
    for level, given in zip(document["levels"], found.levels, strict=True):
        assert level["alpha"] == level["claimed"] == given.alpha
        assert (level["risk"], level["ci"]) == (given.judgement.risk, list(given.judgement.interval))
        assert level["ci"][0] <= level["risk"] <= level["ci"][1]
        assert (level["trusted_share"], level["empty_share"]) == (given.trusted_share, given.empty_share)
        assert level["psnr_bound"] == pytest.approx(-20 * math.log10(given.alpha))
        assert level["psnr_bound_if_trusted"] == pytest.approx(given.promise.psnr_if_trusted)
        for key, quality in (("trusted", given.inside), ("untrusted", given.outside), ("all", given.whole)):
            for name in ("psnr", "ssim"):
                value = getattr(quality, name)
                assert level[f"{name}_{key}"] == (None if math.isnan(value) else value)
        assert level["ssim_bound"] is None
    assert document["levels"][0]["threshold"] == "-inf" or document["levels"][0]["threshold"] is None
    assert document["levels"][0]["psnr_trusted"] is None


def test_planted_leakage_stands_beside_its_bound(found):
    leakage = found.document()["leakage"]
    assert (leakage["alpha"], leakage["n"]) == (0.4, 20)
    assert [point["leaked"] for point in leakage["points"]] == [0, 1, 2, 4, 6, 8, 10]
    for point in leakage["points"]:
        assert point["share"] == point["leaked"] / 20
        assert point["bound"] == pytest.approx(min(0.4 * 21 / (20 - point["leaked"] + 1), 1))


@pytest.mark.parametrize("most", [0, 1, WORST, 50])
def test_the_worst_are_named_at_each_level_with_their_files(found, most):
    one = found.worst(1, 1)[0]
    files = {(0.4, one.truth): {"delivered": Path("crops/x.png")}}
    worst = document_of(found.blocks(most, files))["worst"]
    for index, alpha in enumerate(DOCUMENT_LEVELS):
        own = [entry for entry in worst if entry["alpha"] == alpha]
        assert [entry["name"] for entry in own] == [picture.name for picture in found.worst(index, most)]
        assert len(own) == (0 if alpha == 0.02 else min(most, 8))
        for entry in own:
            assert entry["loss"] == pytest.approx(entry["error"])
    if most:
        named = [entry["files"] for entry in worst if entry["files"]]
        assert named == [{"delivered": str(Path("crops/x.png").resolve())}]


def test_splits_say_that_they_give_no_verdict():
    document = audit_splits(calibration_of(curves(0, 20)), [0.4, 0.6], splits=20, seed=9).document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["splits"], document["seed"], document["n_calibration"], document["n_measured"]) == (20, 9, 14, 6)
    assert (document["verdict"], document["caution"]) == ("none: dependent splits", CAUTION)
    for level in document["levels"]:
        assert level["verdict"] == "none: dependent splits"
        assert level["risk_range"][0] <= level["risk"] <= level["risk_range"][1]
        assert level["risk_spread"] > 0
        assert 0 <= level["splits_above"] <= 1


@pytest.mark.parametrize("level", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("known", [None, 0.0, 0.6])
def test_so_many_photographs_without_loss_and_no_fewer_confirm(level, known):
    stake = None if known is None else stakes(np.full(30, known * level), level)
    found = fewest(np.zeros(1), level, stake)
    assert found is not None
    assert upper_bound(np.zeros(found), stake=stake) <= level
    assert upper_bound(np.zeros(found - 1), stake=stake) > level


def test_like_losses_confirm_when_there_are_enough_of_them():
    generator = np.random.default_rng(0)
    losses = generator.choice([0.0, 0.05, 0.2], 10, p=[0.7, 0.2, 0.1])
    level = float(losses.mean()) * 3
    needed = fewest(losses, level)
    assert needed is not None
    blocks = -(-needed // 10)
    assert upper_bound(np.tile(losses, blocks)) <= level
    assert upper_bound(np.tile(losses, max(1, blocks - 1))) > level or blocks == 1
    assert further(losses, level) == (needed - 10 if needed > 10 else None)
    assert fewest(np.full(5, 0.5), 0.5) is None


def test_the_outlook_is_that_of_the_calibrations_own_losses():
    calibration = calibration_of(curves(0, 20))
    for rule in (calibration.rule(), PerImage(delta=0.1)):
        found = outlook(calibration, rule, [0.2, 0.3, 0.5])
        assert [one.alpha for one in found] == [0.2, 0.3, 0.5]
        for one in found:
            assert one.fewest is not None
            assert one.likely is None or one.likely >= one.fewest
    (single,) = outlook(calibration, calibration.rule(), [0.3])
    losses = calibration.curves.losses_at(calibration.threshold(0.3))
    stake = stakes(losses, 0.3)
    assert single.fewest is not None
    assert upper_bound(np.zeros(single.fewest), stake=stake) <= 0.3
    assert upper_bound(np.zeros(single.fewest - 1), stake=stake) > 0.3
    assert single.likely == fewest(losses, 0.3, stake)


def test_a_number_fixed_beforehand_needs_fewer_photographs_to_confirm_a_rate_of_misses():
    calibration = calibration_of(curves(0, 20))
    (stopping,) = outlook(calibration, PerImage(delta=0.1), [0.3])
    (fixed,) = outlook(calibration, PerImage(delta=0.1), [0.3], fixed=True)
    assert stopping.fixed == fixed.fewest == 29 < stopping.fewest
    assert fixed.fixed is None
    assert outlook(calibration, calibration.rule(), [0.3], fixed=True) == outlook(
        calibration, calibration.rule(), [0.3]
    )


def test_empty_masks_are_not_audited():
    calibration = calibration_of(curves(0, 4))
    with pytest.raises(CalibrationError, match="every mask would be empty at every level"):
        refuse_hopeless(calibration, calibration.rule(), [0.02, 0.05])
    refuse_hopeless(calibration, calibration.rule(), [0.02, 0.9])
    assert [one.alpha for one in outlook(calibration, calibration.rule(), [0.02, 0.9])] == [0.9]
    from_delivered = Expected(bound_from="delivered")
    refuse_hopeless(calibration, from_delivered, [0.02])
    assert outlook(calibration, from_delivered, [0.02]) == []


def test_what_is_promised_beside_takes_as_many_photographs_as_it_needs():
    detail = [list(detail_curves(0, 40, "marked", 0.9))]
    calibration = calibration_of(curves(0, 40), detail=detail)
    rule, strict = guarantee("marked"), guarantee("marked", largest_error=0.06)
    (alone,) = outlook(calibration, rule, [0.8])
    (both,) = outlook(calibration, strict, [0.8])
    assert alone.fewest is not None
    assert both.fewest is not None
    # Without any loss a level of 0.06 takes about 0.8 / 0.06 times the photographs.
    assert both.fewest > 5 * alone.fewest


SPLIT_LEVELS = [0.4, 0.6]


@pytest.fixture(scope="module")
def grouped():
    return calibration_of(curves(0, 20), groups=["ab"[k % 2] for k in range(20)])


def audit_of(grouped, rule, count=9, clusters=None):
    rng = np.random.default_rng(5)
    thresholds = [rule.threshold(grouped.curves_for(rule), alpha) for alpha in SPLIT_LEVELS]
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(count)]
    return conclude(grouped, rule, SPLIT_LEVELS, pictures, clusters=clusters)


def test_a_calibration_alone_is_split_at_seven_tenths(grouped):
    found = audit_splits(grouped, SPLIT_LEVELS, splits=30, seed=4)
    assert found == split_audit(
        Expected(), grouped.curves, SPLIT_LEVELS, splits=30, share=0.7, seed=4, error="rgb-linf error"
    )
    assert (found.n_calibration, found.n_measured) == (14, 6)
    assert audit_splits(grouped, SPLIT_LEVELS, splits=3, share=0.5).n_calibration == 10


def test_audited_photographs_join_and_as_many_calibrate_as_did(grouped):
    audit = audit_of(grouped, Expected())
    found = audit_splits(grouped, SPLIT_LEVELS, audited=audit, splits=30)
    together = CurveSet.from_curves([*grouped.curves, *(one.curve for one in audit.pictures)])
    assert found == split_audit(Expected(), together, SPLIT_LEVELS, splits=30, n_calibration=20, error="rgb-linf error")
    assert (found.n_calibration, found.n_measured) == (20, 9)
    halves = audit_splits(grouped, SPLIT_LEVELS, audited=audit, splits=3, share=0.5)
    assert (halves.n_calibration, halves.n_measured) == (14, 15)


def test_another_guarantee_is_split_by_its_own_rule(grouped):
    found = audit_splits(grouped, SPLIT_LEVELS, splits=20, guarantee="per-image:delta=0.3")
    assert found == split_audit(PerImage(delta=0.3), grouped.curves, SPLIT_LEVELS, splits=20, error="rgb-linf error")
    assert [level.claimed for level in found.levels] == [0.3, 0.3]


def test_a_group_takes_the_audit_into_it(grouped):
    rule = grouped.rule_of_group("b")
    own = [image.group == "b" for image in grouped.images]
    audit = audit_of(grouped, rule)
    found = audit_splits(grouped, SPLIT_LEVELS, audited=audit, splits=20, group="b")
    mine = [curve for curve, is_own in zip(grouped.curves, own, strict=True) if is_own]
    together = CurveSet.from_curves([*mine, *(one.curve for one in audit.pictures)])
    alone = split_audit(Expected(), together, SPLIT_LEVELS, splits=20, n_calibration=sum(own), error="rgb-linf error")
    assert found.levels == alone.levels
    assert isinstance(rule, ByGroup)


def test_tiles_join_as_photographs(grouped):
    tiles = {image.name: f"p{int(image.name[1:]) // 2}" for image in grouped.images}
    new = {f"a{k}": f"q{k // 3}" for k in range(9)}
    rule = ByCluster(of="expected", clusters=tuple(tiles[image.name] for image in grouped.images))
    audit = audit_of(grouped, rule, clusters=[new[f"a{k}"] for k in range(9)])
    found = audit_splits(grouped, SPLIT_LEVELS, audited=audit, splits=20, tiles={**tiles, **new})
    assert (found.n_calibration, found.n_measured, found.unit) == (10, 3, "photographs with all their tiles")
    with pytest.raises(UsageError, match="groups or tiles, not both"):
        audit_splits(grouped, SPLIT_LEVELS, audited=audit, splits=3, tiles={**tiles, **new}, group="b")


def test_tiles_on_one_side_only_cannot_change_sides(grouped):
    new = {f"a{k}": f"q{k // 3}" for k in range(9)}
    audit = audit_of(grouped, Expected(), clusters=list(new.values()))
    with pytest.raises(UsageError, match="cannot change sides"):
        audit_splits(grouped, SPLIT_LEVELS, audited=audit, splits=3, tiles=new)
