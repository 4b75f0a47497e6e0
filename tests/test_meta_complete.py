"""What a new score, metric or dialect must bring along; each exception says why it needs none."""

import re
from pathlib import Path

import pytest
from naive import metrics, scores

import blackbox_conformal
from blackbox_conformal.gateway.dialects.dialect import Dialect
from blackbox_conformal.support import catalog

TESTS, DOCS = Path(__file__).parent, Path(blackbox_conformal.__file__).parent / "docs"
TWINS = {"scores": scores, "metrics": metrics}
WITHOUT_TWIN = {
    "scores custom-score": "a function of the user's",
    "scores tie-broken": "orders two other scores, which have twins",
    "scores weighted": "adds two other scores, which have twins",
    "metrics custom-metric": "a function of the user's",
    "metrics in-holes": "another metric where pixels are missing",
    "metrics semantic": "reads marks of people, and calculates nothing",
}


def test_every_score_and_metric_has_a_naive_twin() -> None:
    without = {
        f"{family} {name}"
        for family, twins in TWINS.items()
        for name in catalog.names(family)
        if not hasattr(twins, name.replace("-", "_"))
    }
    assert without == set(WITHOUT_TWIN), "write the same map by plain loops, under the member's name, in tests/naive"


@pytest.mark.parametrize("name", sorted(catalog.names("gateway.dialects")))
def test_every_dialect_has_a_page_tests_and_routes(name: str) -> None:
    page = (DOCS / "serving.md").read_text(encoding="utf-8")
    assert re.search(rf"^### {name}$", page, re.M | re.I), f"write a section {name} in docs/serving.md"
    assert f"`{name}`" in page, f"name `{name}` among the values of --as in docs/serving.md"
    assert (TESTS / "gateway" / f"test_{name}.py").is_file(), f"write tests/gateway/test_{name}.py"
    dialect = catalog.load("gateway.dialects", name)
    assert isinstance(dialect, Dialect)
    assert dialect.plugin_name() == name
    routes = dialect.routes()
    assert routes
    assert len({(route.method, route.path) for route in routes}) == len(routes)
    for route in routes:
        assert route.path.startswith("/"), route
        assert route.summary.endswith("."), route
        assert route.gives, route
        assert all(100 <= status < 600 and said for status, said in route.gives.items()), route
