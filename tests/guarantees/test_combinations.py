"""Every combination of guarantee and parameters: what can be built can be audited, and says what holds."""

from itertools import product

import numpy as np
import pytest
from support.audit_material import calibration_of, curves, detail_curves
from support.family_cases import built_without_parameters

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.verdict import claim, quantity
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees.guarantee import Guarantee, guarantee
from blackbox_conformal.method.guarantees.instance_bound import reason_of_nothing, rule_for_picture
from blackbox_conformal.method.metrics.rgb_linf import RgbLinf
from blackbox_conformal.method.risk.curve import DETAIL, RiskCurve
from blackbox_conformal.method.risk.trust import threshold_json
from blackbox_conformal.support import catalog

N = 24
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
PLAIN = built_without_parameters("guarantees")
AROUND = ("", "group", "cluster", "group of clusters")


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
    for name, around, values in product(PLAIN, AROUND, product(*CHOICES.values())):
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
        for kind, around in product(plain, AROUND)
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
