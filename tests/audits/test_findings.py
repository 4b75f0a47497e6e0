"""The worst photographs of an audit, and which levels were tested at all."""

import math
from dataclasses import replace

import numpy as np
from support.audit_material import audited_picture, calibration_of, curves, maps, refused_picture

from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.study.audit.conclude import conclude


def audit(thresholds=(0.3, 0.8)):
    rng = np.random.default_rng(1)
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(9)]
    pictures.append(refused_picture("refused", thresholds))
    return Audit(10, 10, "", (), "inconclusive", tuple(pictures))


def test_the_worst_come_first_and_show_a_place():
    found = audit()
    for level in range(2):
        losses = sorted((one.losses[level] for one in found.pictures if not one.refused), reverse=True)
        shown = found.worst(level, 4)
        assert [one.losses[level] for one in shown] == losses[:4]
        assert all(one.worst[level].error == one.losses[level] for one in shown)
        assert all(one.name != "refused" for one in found.worst(level, 100)), "it has no pixel to show"
    assert found.worst(0, 0) == []
    assert [one.refused for one in found.pictures] == [False] * 9 + [True]


def test_a_share_of_wrong_pixels_counts_before_the_error_at_one():
    rng = np.random.default_rng(3)
    pictures = [audited_picture(f"a{k}", *maps(rng), (0.3, 0.8), tolerance=0.2) for k in range(9)]
    shown = Audit(9, 9, "", (), "inconclusive", tuple(pictures)).worst(1, 9)
    losses = [one.losses[1] for one in shown]
    assert losses == sorted(losses, reverse=True)
    errors = [one.worst[1].error for one in shown]
    assert errors != sorted(errors, reverse=True), "the two orders differ, or nothing was tested"


def test_equal_losses_are_ordered_by_error_then_name():
    found = audit()
    first, second, third = found.pictures[:3]
    place = first.worst[0]
    same = tuple(
        replace(one, name=name, losses=(0.5, 0.5), worst=(replace(place, error=error),) * 2)
        for one, name, error in ((first, "b", 0.2), (second, "c", 0.7), (third, "a", 0.2))
    )
    assert [one.name for one in replace(found, pictures=same).worst(0, 3)] == ["c", "a", "b"]


def test_a_level_at_which_nothing_is_trusted_was_not_tested():
    calibration = calibration_of(curves(0, 12))
    rng = np.random.default_rng(2)
    levels = [0.05, 0.4]
    thresholds = [calibration.threshold(alpha) for alpha in levels]
    assert thresholds[0] == -math.inf < thresholds[1]
    pictures = [audited_picture(f"a{k}", *maps(rng), thresholds) for k in range(300)]
    found = conclude(calibration, calibration.rule(), levels, pictures)
    assert [level.tested for level in found.levels] == [False, True]
    assert [level.judgement.verdict for level in found.levels] == ["inconclusive", "confirmed"]
    assert found.levels[0].judgement.further is None
    assert found.levels[0].sentence.startswith("Nothing can be trusted at 0.05: 12 calibration photographs")
    assert found.levels[1].sentence.startswith("At 0.4: ")
    assert found.verdict == "confirmed", "what trusts nothing speaks neither for nor against it"
    assert conclude(calibration, calibration.rule(), [0.05], pictures).verdict == "inconclusive"
