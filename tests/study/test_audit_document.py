"""The audit as JSON: every figure once, no NaN, files named with their photographs, splits without a verdict."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.audit_material import audited_picture, calibration_of, curves, maps, refused_picture

from blackbox_conformal.method.audits.findings import WORST
from blackbox_conformal.method.audits.random_splits import CAUTION
from blackbox_conformal.study.audit.auditing import audit_splits
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.support.blocks import document as document_of

LEVELS = [0.02, 0.4, 0.6]


@pytest.fixture(scope="module")
def found():
    calibration = calibration_of(curves(0, 20))
    rng = np.random.default_rng(1)
    thresholds = [calibration.threshold(alpha) for alpha in LEVELS]
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(8)]
    return conclude(calibration, calibration.rule(), LEVELS, [*pictures, refused_picture("r", thresholds)])


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
    for index, alpha in enumerate(LEVELS):
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
