"""What holds of every guarantee and of every combination that can be built."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from support.audit_material import calibration_of, curves, detail_curves
from support.family_cases import built_without_parameters, settings

import blackbox_conformal
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.contamination import leakage_curve
from blackbox_conformal.method.audits.verdict import claim, quantity
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees.corollaries import error_in_words, in_short
from blackbox_conformal.method.guarantees.guarantee import Guarantee, guarantee
from blackbox_conformal.method.guarantees.instance_bound import reason_of_nothing, rule_for_picture
from blackbox_conformal.method.metrics.rgb_linf import RgbLinf
from blackbox_conformal.method.risk.curve import DETAIL, SHARES, RiskCurve
from blackbox_conformal.method.risk.exact import as_typed, exact_bound
from blackbox_conformal.method.risk.trust import threshold_json
from blackbox_conformal.support import catalog
from blackbox_conformal.support.wording import complement, exactly, percent

N = 24
PLAIN = built_without_parameters("guarantees")
PAGE = (Path(blackbox_conformal.__file__).parent / "docs" / "guarantees.md").read_text(encoding="utf-8")
AROUND = {
    "by-group": {"groups": ("day", "night") * (N // 2), "group_new": "day"},
    "by-score": {"groups": ("lower half", "higher half") * (N // 2), "group_new": "lower half"},
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


def test_every_guarantee_is_said_in_25_words_with_its_level_and_never_says_more_than_in_full(rule, material):
    metrics = {"name": "rgb-linf"}, {"name": "lab-l1", "sigma": 4.0, "kernel": "gaussian"}
    for alpha, metric in product((0.05, 0.125, 0.2), metrics):
        said, words = in_short(rule, alpha, len(material), metric), error_in_words(metric)
        assert len(said.split()) <= 25, said
        # An error that is averaged says nothing of a single pixel.
        assert ("averaged" in said) == (" error" in said and "averaged" in words)
        size = (f"{percent(alpha)} %", f"{percent(complement(alpha))} %", exactly(alpha))
        assert any(number in said for number in size), said
        # What holds on average is not said of each picture.
        full = rule.statement(alpha, len(material), "error")
        assert ("n average" in said) <= ("n average" in full or "tile" in full)
        assert ("With confidence" in said or "(confidence" in said) == ("With confidence" in full)
        assert ("In at least" in said) == ("n at least" in full)


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


GROUPS = tuple("day" if index % 4 else "night" for index in range(N))
CLUSTERS = tuple(f"scene {index // 2}" for index in range(N))
CHOICES = {
    "bound_from": [None, "metric", "delivered", "input"],
    "bound_new": [None, 0.5],
    "leaked": [None, 2],
    "weights": [None, (1.0,) * N],
    "tolerance": [None, 0.4],
    "share": [None, 0.05],
    "delta": [None, 0.2],
    "confidence": [None, 0.9],
}
WITHIN = ("", "group", "cluster", "group of clusters")


def parameters_of(values):
    found = {name: value for name, value in zip(CHOICES, values, strict=True) if value is not None}
    return {**found, "weight_new": 1.0} if "weights" in found else found


def takes_bound_from(name: str) -> bool:
    try:
        return guarantee(name, bound_from="input").bound_source == "input"
    except UsageError:
        return False


def within(name: str, parameters: dict, around: str) -> Guarantee:
    if around.endswith(("cluster", "clusters")):
        name, parameters = "by-cluster", {"of": name, "parameters": parameters, "clusters": CLUSTERS}
    if around.startswith("group"):
        name, parameters = "by-group", {"of": name, "parameters": parameters, "groups": GROUPS, "group_new": "day"}
    return guarantee(name, **parameters)


def accepted():
    """Every combination that the guarantees themselves let through."""
    for name, around, values in product(PLAIN, WITHIN, product(*CHOICES.values())):
        parameters = parameters_of(values)
        try:
            yield name, around, parameters, within(name, parameters, around)
        except UsageError:
            continue


@pytest.fixture(scope="module")
def calibration():
    all_but = [list(curves(0, N, left_out=share)) for share in (0.01, 0.05)]
    shares = [list(curves(0, N, tolerance=0.4))]
    detail = [list(detail_curves(0, N, kind, 0.9)) for kind in DETAIL]
    local = [list(curves(0, N, side=64))]
    return calibration_of(curves(0, N), groups=GROUPS, shares=shares, all_but=all_but, detail=detail, local=local)


@pytest.fixture(scope="module")
def picture():
    """Delivered, input, scores, and how the input is made."""
    rng = np.random.default_rng(3)
    low = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    delivered = np.repeat(np.repeat(low, 2, 0), 2, 1)
    scores = rng.random((32, 32)).astype(np.float32)
    return delivered, low, scores, Mixture.of_text("area:2")


def test_what_a_mask_takes_an_audit_takes_and_the_statement_names_it(calibration, picture):
    metric = RgbLinf(order="difference-of-blurs", kernel="gaussian", sigma=2)
    seen = set()
    for name, around, parameters, rule in accepted():
        clusters = CLUSTERS if "cluster" in around else None
        found = calibration.curves_for(rule)
        own = rule_for_picture(rule, metric, *picture)
        threshold_json(own.threshold(found, 0.5))
        losses = found.losses_at(own.threshold(found, 0.5))
        assert 0 <= claim(rule, losses, 0.5, calibration.bound_for(rule), clusters).level <= 0.5
        assert quantity(rule, clusters)
        source = parameters.get("bound_from", "metric")
        assert rule.bound_source == source
        assert source == "metric" or reason_of_nothing(rule, found, 0.001) is None
        said = own.statement(0.5, N, "error") + " ".join(own.assumptions)
        for parameter, words in {
            "leaked": "also if up to 2 of them were in the vendor's training set",
            "weights": "weighted, worth",
            "tolerance": "exceeds 0.4",
            "share": "worst of them, 5 % of the whole picture",
            "bound_new": "at most 0.5 in this picture",
        }.items():
            assert (words in said) == (parameter in parameters), (name, around, parameters, said)
        assert (f"from its {'input' if source == 'input' else 'delivered colours'}" in said) == (source != "metric")
        assert ("group 'day'" in said) == around.startswith("group")
        assert ("tile drawn at random" in said) == ("cluster" in around)
        if source != "metric":
            assert takes_bound_from(name)
            assert own != rule
            assert isinstance(own.own_bound, RiskCurve)
            bare = within(name, {key: value for key, value in parameters.items() if key != "bound_from"}, around)
            assert own.threshold(found, 0.5) >= bare.threshold(found, 0.5)
        assert own.specification()["name"] == rule.specification()["name"]
        seen.add((type(rule.innermost).__name__, around, source))
    assert {one for one in seen if one[2] != "metric"} == {
        (catalog.member("guarantees", name).__name__, around, source)
        for name, around, source in product(filter(takes_bound_from, PLAIN), ("", "group"), ("delivered", "input"))
    }
    plain = [catalog.member("guarantees", name) for name in PLAIN]
    assert {one for one in seen if one[2] == "metric"} == {
        (kind.__name__, around, "metric")
        for kind, around in product(plain, WITHIN)
        if kind.bounds_tile_means or "cluster" not in around
    }


def test_within_a_group_the_bound_of_the_picture_is_used(calibration, picture):
    metric = RgbLinf(order="difference-of-blurs", kernel="gaussian", sigma=2)
    alone = rule_for_picture(guarantee("expected", bound_from="input"), metric, *picture)
    grouped = rule_for_picture(within("expected", {"bound_from": "input"}, "group"), metric, *picture)
    day = calibration.curves.subset(np.flatnonzero(np.array(GROUPS) == "day"))
    assert grouped.threshold(calibration.curves, 0.1) == alone.threshold(day, 0.1)
    assert grouped.specification()["parameters"] == {"bound_from": "input", "bound_new": "from the picture itself"}


@pytest.mark.parametrize(
    ("name", "parameters", "around", "said"),
    [
        ("false-trust", {"bound_from": "delivered"}, "", "Leave bound_from out"),
        ("false-trust", {"bound_from": "input"}, "group", "Leave bound_from out"),
        ("expected", {"bound_from": "input"}, "cluster", "bound_from cannot be combined with photographs in tiles"),
        ("expected", {"bound_from": "input", "bound_new": 0.5}, "", "bound_from and bound_new"),
        ("per-image", {"bound_from": "input"}, "", "bound_from cannot be combined"),
        ("high-probability", {"bound_from": "input"}, "", "bound_from cannot be combined"),
    ],
)
def test_a_combination_without_a_proof_is_refused_by_the_guarantee(name, parameters, around, said):
    with pytest.raises(UsageError, match=said):
        within(name, parameters, around)
