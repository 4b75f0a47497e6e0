"""Risk by kind of photograph: quarters of the calibration, tiles, groups, words, files, and who is named."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from support.audit_material import alike, audited_picture, calibration_of, curves, maps, refused_picture

from blackbox_conformal.method.audits.kinds import AtLevel, KindRisk, kind_risks, kind_rows, kinds_in_words
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.guarantee import Claim
from blackbox_conformal.method.images.input_statistics import InputKind
from blackbox_conformal.pages.report.report_store import AUDITS
from blackbox_conformal.study.audit.conclude import calibrated_kinds, conclude


def kind(texture, brightness=100.0, pixels=64):
    return InputKind(texture=float(texture), brightness=float(brightness), pixels=pixels)


def known(count=20, groups=None):
    """A calibration whose photographs have textures 0, 0.5, 1, … and differ in brightness, not in size."""
    calibration = calibration_of(curves(0, count), groups=groups)
    by_name = {f"c{k}": kind(k / 2, 10 * k) for k in range(count)}
    images = tuple(image.model_copy(update={"kind": by_name[image.name]}) for image in calibration.images)
    return replace(calibration, images=images)


def unseen(calibration, levels, *, rough=3.0, count=40):
    """Photographs of which the textured half errs more, up to the bound."""
    rng = np.random.default_rng(1)
    thresholds = [calibration.threshold(level) for level in levels]
    found = []
    for k in range(count):
        picture = audited_picture(f"a{k}", *maps(rng, harder=rough if k % 2 else 0.3), thresholds)
        found.append(replace(picture, kind=kind(9.9 if k % 2 else 0.1, 95)))
    return found


def test_quarters_are_the_calibrations_and_figures_are_plain_means():
    calibration, levels = known(), [0.3, 0.5]
    pictures = unseen(calibration, levels)
    found = conclude(calibration, calibration.rule(), levels, pictures)
    textured = next(one for one in found.kinds if (one.name, one.alpha) == ("textured", 0.3))
    members = [one for one in pictures if one.kind.texture >= np.quantile([k / 2 for k in range(20)], 0.75)]
    assert (textured.n, textured.by, textured.high) == (20, "texture", math.inf)
    assert textured.low == np.quantile([k / 2 for k in range(20)], 0.75)
    assert textured.risk == pytest.approx(np.mean([one.losses[0] for one in members]))
    assert textured.trusted_share == pytest.approx(np.mean([one.shares[0] for one in members]))
    whole = next(level for level in found.levels if level.alpha == 0.3)
    assert textured.interval[0] < textured.risk < textured.interval[1]
    assert textured.risk > whole.judgement.risk
    assert {one.by for one in found.kinds} == {"texture", "brightness"}, "photographs of one size have no quarters"
    assert {one.name for one in found.kinds if one.by == "brightness"} == {"rather bright"}, "of none nothing is shown"


def test_a_kind_above_the_level_is_named_with_what_to_do_and_others_are_not():
    calibration, levels = known(), [0.5]
    bad = conclude(calibration, calibration.rule(), levels, unseen(calibration, levels, rough=9.0, count=120))
    (sentence, advice) = kinds_in_words(bad.kinds)
    textured = next(one for one in bad.kinds if one.name == "textured")
    assert textured.fails
    assert textured.interval[0] > 0.5
    assert sentence.startswith(f"Textured photographs: risk {textured.risk:.3g} at alpha=0.5, above 0.5 (at least ")
    assert "must be named on photographs that were not looked at" in advice
    good = conclude(calibration, calibration.rule(), levels, unseen(calibration, levels, rough=0.3))
    assert kinds_in_words(good.kinds) == []


def test_all_levels_and_kinds_share_the_error_level():
    losses = np.linspace(0, 0.5, 40)
    at = [AtLevel(alpha, Claim(losses, alpha, 1.0), losses) for alpha in (0.1, 0.2, 0.3)]
    textures = {"texture": np.arange(40.0)}
    one_level, three = kind_risks(textures, textures, (), at[:1]), kind_risks(textures, textures, (), at)
    assert len(three) == 3 * len(one_level) == 12
    assert all(three[k].interval[0] < one_level[k].interval[0] for k in range(1, 4))
    assert all(three[k].interval[1] > one_level[k].interval[1] for k in range(3))
    grouped = kind_risks({}, {}, ["sky", None] * 20, at[:1])
    assert [(one.name, one.n) for one in grouped] == [("sky", 20)]
    assert grouped[0].interval[0] > kind_risks(textures, textures, ["sky", None] * 20, at[:1])[-1].interval[0]


def test_tiles_count_once():
    calibration = calibration_of(curves(0, 24))
    images = tuple(image.model_copy(update={"kind": kind(k / 2)}) for k, image in enumerate(calibration.images))
    calibration = replace(calibration, images=images)
    rule = ByCluster(of="expected", clusters=tuple(f"c{k // 2}" for k in range(24)))
    pictures = unseen(calibration, [0.5], count=24)
    tiles = [f"p{k // 4}" for k in range(24)]
    groups = {f"a{k}": "night" if k < 4 else "day" for k in range(24)}
    found = conclude(calibration, rule, [0.5], pictures, clusters=tiles, groups=groups)
    assert {one.name: one.n for one in found.kinds if one.by == "group"} == {"day": 5, "night": 1}
    assert sum(one.n for one in found.kinds if one.by == "texture") == 6
    night = next(one for one in found.kinds if one.name == "night")
    assert night.risk == pytest.approx(np.mean([one.losses[0] for one in pictures[:4]]))


def test_a_calibration_describes_its_own_photographs_without_intervals():
    calibration = known(groups=["a"] * 10 + ["b"] * 10)
    described = calibrated_kinds(calibration, 0.5)
    losses = calibration.curves.losses_at(calibration.threshold(0.5))
    assert all(one.interval is None and not one.fails for one in described)
    assert {one.name: one.n for one in described if one.by == "group"} == {"a": 10, "b": 10}
    quarters = [one for one in described if one.by == "texture"]
    assert sum(one.n * one.risk for one in quarters) == pytest.approx(losses.sum())
    assert calibrated_kinds(calibration, 1e-6) == (), "where nothing is trusted there is nothing to describe"


def test_calibrations_and_audits_of_versions_that_did_not_look_have_no_quarters(tmp_path):
    calibration = calibration_of(curves(0, 20))
    found = conclude(calibration, calibration.rule(), [0.5], unseen(calibration, [0.5]))
    assert found.kinds == ()
    path = AUDITS.write(found, tmp_path / "audit.json")
    content = json.loads(path.read_text())
    del content["kinds"]
    for picture in content["pictures"]:
        del picture["kind"]
    path.write_text(json.dumps(content))
    assert AUDITS.read(path).kinds == ()


def test_files_and_documents_hold_the_kinds(tmp_path):
    calibration, levels = known(), [0.3, 0.5]
    thresholds = [calibration.threshold(level) for level in levels]
    pictures = [*unseen(calibration, levels), replace(refused_picture("r", thresholds), kind=kind(9.9))]
    found = conclude(calibration, calibration.rule(), levels, pictures, groups={"a1": "x"})
    assert alike(AUDITS.read(AUDITS.write(found, tmp_path / "audit.json")), found)
    rows = json.loads(json.dumps(found.document(), allow_nan=False))["kinds"]
    assert rows == kind_rows(found.kinds)
    assert {row["by"] for row in rows} == {"texture", "brightness", "group"}


def test_tables_of_pandas_hold_the_kinds():
    pytest.importorskip("pandas")
    calibration = known()
    found = conclude(calibration, calibration.rule(), [0.5], unseen(calibration, [0.5]))
    assert list(found.to_frame("kinds")["kind"]) == [one.name for one in found.kinds]
    assert "texture" in found.to_frame("photographs")


def test_the_words_of_a_kind():
    one = KindRisk("texture", "textured", 7.1, math.inf, 0.2, 0.2, 30, 0.2171, (0.20004, 0.3), 0.1)
    assert one.sentence == (
        "Textured photographs: risk 0.217 at alpha=0.2, above 0.2 (at least 0.20004 with 95 % confidence, 30 audited)."
    )
    assert (one.range, replace(one, low=-math.inf, high=2.0).range) == ("texture from 7.1", "texture below 2")
    assert replace(one, by="group", name="sky", low=None, high=None).sentence.startswith("Photographs of group sky: ")
