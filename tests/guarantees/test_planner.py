import pytest

from blackbox_conformal.guarantees.choose import guarantee
from blackbox_conformal.guarantees.planner import Need, need, needs, reachable


def test_the_table_of_least_numbers():
    rows = {
        (3.0, "expected"): [149, 59, 29, 14],
        (1.9576, "expected"): [97, 39, 19, 9],
        (1.0, "false-trust"): [49, 19, 9, 4],
        (1.9576, "high-probability"): [292, 116, 58, 28],
    }
    for (bound, name), images in rows.items():
        rule = guarantee(name, **({"delta": 0.05} if name == "high-probability" else {}))
        assert [row.images for row in needs(rule, (0.02, 0.05, 0.1, 0.2), bound)] == images


def test_what_is_missing_is_priced():
    rule = guarantee("expected")
    assert need(rule, 0.1, 3.0, n=20, usd_per_image=0.5) == Need(0.1, 29, 9, 4.5)
    assert need(rule, 0.1, 3.0, n=40) == Need(0.1, 29, 0, None)


def test_what_a_budget_reaches():
    rule = guarantee("expected")
    n, alpha = reachable(rule, 20, 3.0, usd_per_image=0.5, budget_usd=4.6)
    assert n == 29
    assert alpha == pytest.approx(0.1)
    assert reachable(rule, 20, 3.0, usd_per_image=0.0, budget_usd=4.6)[0] == 20
    assert need(rule, alpha, 3.0, n).more == 0
