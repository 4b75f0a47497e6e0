"""What holds of every guarantee: thresholds, levels and numbers of photographs agree, and it says what it promises."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.audit_material import curves, detail_curves
from support.family_cases import built_without_parameters, settings

import blackbox_conformal
from blackbox_conformal.method.audits.contamination import leakage_curve
from blackbox_conformal.method.audits.verdict import claim
from blackbox_conformal.method.guarantees.guarantee import Guarantee, guarantee
from blackbox_conformal.method.risk.curve import SHARES
from blackbox_conformal.method.risk.exact import as_typed, exact_bound
from blackbox_conformal.support import catalog

N = 24
PLAIN = built_without_parameters("guarantees")
PAGE = (Path(blackbox_conformal.__file__).parent / "docs" / "guarantees.md").read_text(encoding="utf-8")
AROUND = {
    "by-group": {"groups": ("day", "night") * (N // 2), "group_new": "day"},
    "by-vendor": {"groups": ("vendor 1 of 2", "vendor 2 of 2") * (N // 2), "group_new": "vendor 2 of 2"},
    "by-cluster": {"clusters": tuple(f"scene {index // 2}" for index in range(N))},
}


def rules() -> list[Guarantee]:
    """Each guarantee in each of its settings, then in groups and in tiles where that is allowed."""
    plain = [guarantee(name, **parameters) for name in PLAIN for parameters in settings("guarantees", name)]
    around = [
        guarantee(outer, of=rule.plugin_name(), **parameters)
        for outer, parameters in AROUND.items()
        for rule in map(guarantee, PLAIN)
        if outer != "by-cluster" or rule.bounds_tile_means
    ]
    return plain + around


RULES = rules()


def name_of(rule: Guarantee) -> str:
    """For the test's name."""
    return " ".join(filter(None, [rule.plugin_name(), getattr(rule, "of", None)]))


@pytest.fixture(params=RULES, ids=name_of)
def rule(request):
    return request.param


@pytest.fixture
def material(rule):
    """Curves of the guarantee's kind."""
    if rule.threshold_ceiling is not None:
        return detail_curves(0, N, rule.needs.curve_kind, rule.threshold_ceiling)
    tolerance = 0.4 if rule.needs.curve_kind == "share" else None
    return curves(0, N, tolerance=tolerance, left_out=rule.left_out, side=rule.square_side)


def test_the_name_of_a_loss_is_of_errors_where_the_loss_is_and_else_of_a_share():
    for rule in RULES:
        assert ("trusted error" in rule.loss_name) == (rule.needs.curve_kind not in SHARES)


def test_every_guarantee_has_a_row_in_the_documentation():
    rows = set(re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", PAGE, re.M))
    assert rows == set(catalog.names("guarantees")) == {*PLAIN, *AROUND}


def test_a_level_and_its_threshold_belong_together(rule, material):
    last = -np.inf
    for alpha in np.linspace(0.02, 0.9, 45) * material.bound:
        threshold = rule.threshold(material, float(alpha))
        assert threshold >= last
        assert rule.risk(material, threshold) <= alpha * (1 + 1e-9)
        last = threshold
    assert rule.risk(material, -np.inf) == 0
    levels = rule.levels(material)
    assert (np.diff(levels) >= 0).all()
    for level in levels[levels < material.bound][:20]:
        assert rule.threshold(material, float(level)) > -np.inf


def test_the_least_number_of_photographs_reaches_the_level_and_one_less_does_not(rule):
    for alpha in (0.05, 0.2):
        fewest = rule.minimum_images(alpha, 1.0)
        assert rule.reachable_alpha(fewest, 1.0) <= alpha
        assert fewest == 0 or rule.reachable_alpha(fewest - 1, 1.0) > alpha


def test_it_says_what_it_promises_assumes_and_rests_on(rule, material):
    said = rule.statement(0.2, rule.counted(N), "lab-l1 error")
    if rule.threshold_ceiling is None:
        assert "0.2" in said
        assert "lab-l1 error" in said
    else:
        assert re.search(r"at least 80 %|at most 20 %", said)
    assert said.endswith(".")
    assert all(sentence.endswith(".") for sentence in rule.assumptions)
    assert re.search(r"\d{4}", rule.theorem), "the year of its source"
    assert rule.quantity("photographs")
    losses = material.losses_at(rule.threshold(material, 0.2))
    claim = rule.claim(losses, 0.2, material.bound)
    assert 0 < claim.level <= claim.bound
    assert ((claim.losses >= 0) & (claim.losses <= claim.bound)).all()


def test_a_specification_gives_the_same_guarantee(rule):
    specification = rule.specification()
    again = guarantee(specification.pop("name"), **specification)
    assert again.specification() == rule.specification()


def test_thresholds_that_random_splits_compute_at_once_are_the_guarantees_own(rule, material):
    if not rule.bounds_plain_sum:
        return
    for alpha in (0.1, 0.25, 0.5):
        budget = as_typed(alpha) * (len(material) + 1) - exact_bound(material.bound)
        assert material.merged.threshold(budget) == rule.threshold(material, alpha)


def test_what_holds_with_leaked_photographs_is_told_of_the_level_that_is_claimed(rule, material):
    if rule.allowing_leaked(2) is None:
        return
    (point,) = leakage_curve(material, material, 0.25, [2], rule=rule)
    level = claim(rule, material.losses_at(0.0), 0.25, material.bound).level
    assert point.bound == pytest.approx(min(level * (N + 1) / (N - 1), material.bound))
