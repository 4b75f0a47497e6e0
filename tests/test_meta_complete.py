"""What a new score, metric, dialect or adapter must bring along; each exception says why it needs none."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from naive import metrics, scores

import blackbox_adapters
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
    for family, twins in TWINS.items():
        for name in catalog.names(family):
            twin = name.replace("-", "_")
            assert hasattr(twins, twin) != (f"{family} {name}" in WITHOUT_TWIN), (
                f"write {twin} in tests/naive/{family}.py: the same map from its definition, without the package "
                "(WITHOUT_TWIN of this test lists those that need none)"
            )


ADAPTERS = Path(blackbox_adapters.__file__).parent


@pytest.mark.parametrize("name", sorted(path.stem for path in ADAPTERS.glob("[a-z]*.py")))
def test_every_adapter_has_an_example_and_tests(name: str) -> None:
    has_example = "\nEXAMPLE = " in (ADAPTERS / f"{name}.py").read_text(encoding="utf-8")
    assert has_example != (name in ("folder", "function", "cascade")), (
        f"write EXAMPLE in {name}.py: one draw with its answers (folder, function and cascade send none)"
    )
    files = [path.read_text(encoding="utf-8") for path in (TESTS / "adapters").glob("test_*.py")]
    named = [
        text
        for text in files
        if re.search(rf'\w\("{name.replace("_", "[_-]")}"|^from blackbox_adapters.{name} ', text, re.M)
    ]
    assert named, (
        f'write tests of {name} in tests/adapters: replay("{name}") of support/flow_driver.py shows what it sends'
    )


def require_tests(folder: str, name: str, how: str) -> None:
    """At least one test of a member in a file of its name; `how` says how such a test starts."""
    path = TESTS / folder / f"test_{name.replace('-', '_')}.py"
    found = path.is_file() and "\ndef test_" in path.read_text(encoding="utf-8")
    assert found, f"write tests of {name} in tests/{folder}/{path.name}: {how}"


@pytest.mark.parametrize("name", sorted(catalog.names("gateway.dialects")))
def test_every_dialect_has_a_page_tests_and_routes(name: str) -> None:
    page = (DOCS / "serving.md").read_text(encoding="utf-8")
    headings = {line.lower() for line in page.splitlines()}
    assert f"### {name}" in headings, f"write a section '### {name}' in docs/serving.md: what clients send and get"
    named = re.findall(r"`([a-z-]+)`", re.split(r"`--as`[^:]*:", page)[1].split(". ")[0])
    assert name in named, f"name `{name}` among the values of `--as` in docs/serving.md"
    require_tests("gateway", name, f'serving(…, dialects=("{name}",)) of support/gateway.py runs it on a socket')
    dialect = catalog.load("gateway.dialects", name)
    assert isinstance(dialect, Dialect)
    assert dialect.plugin_name() == name
    own = getattr(import_module(type(dialect).__module__), "NAME", name)
    assert own == name, f"let NAME be {name!r}, as the file is called, so that requests are found again; it is {own!r}"
    routes = dialect.routes()
    assert routes
    assert len({(route.method, route.path) for route in routes}) == len(routes), "two routes have one address"
    for other in catalog.names("gateway.dialects"):
        both = {(route.method, route.path) for route in catalog.load("gateway.dialects", other).routes()}
        shared = both & {(route.method, route.path) for route in routes}
        assert other == name or not shared, (
            f"{other} serves these addresses, too: {shared}. Choose others, as both may run"
        )
    for route in routes:
        assert route.path.startswith("/"), f"begin the path of a route with /: {route.path}"
        assert route.summary.endswith("."), f"say in a sentence what {route.method} {route.path} does: summary"
        assert route.gives, f"say what each status of {route.method} {route.path} means: gives={{200: …}}"
        assert all(100 <= status < 600 and said for status, said in route.gives.items()), route.gives
