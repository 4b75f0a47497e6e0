"""Adapters by name: shipped ones, other packages' ones, and broken ones that hurt nobody else."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from blackbox_conformal.errors import AdapterError, UsageError
from blackbox_conformal.study.plugins import (
    adapter_class,
    adapter_names,
    describe,
    installed_adapter_class,
    load_adapter,
)
from blackbox_conformal.support import catalog
from blackbox_conformal.vendor.adapter import Adapter

GROUP = "blackbox_conformal.adapters"

GOOD = '''
from typing import ClassVar
from blackbox_conformal.vendor.adapter import Adapter, Capabilities

class Good(Adapter):
    """A vendor of the tests."""
    name = "{name}"
    level: int = 3
    mode: "str | None" = None
    @property
    def capabilities(self): return Capabilities(scale_factors=(2, 4))
    @property
    def base_url(self): return "http://127.0.0.1:9"
    def draw(self, upload, draw):
        yield
        return b""

class Needy(Good):
    token: str
    @property
    def capabilities(self): return Capabilities(scale_factors=(len(self.token),))

ADAPTER = Good
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package `vendors_of_tests` that holds one good adapter."""
    folder = tmp_path / "vendors_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "my_vendor.py").write_text(GOOD.replace("{name}", "my-vendor"))
    (folder / "_hidden.py").write_text("raise RuntimeError('never imported')")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("vendors_of_tests")]:
        del sys.modules[name]


def announce(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    """Add entry points to those that are installed."""
    installed = list(catalog.entry_points(group=GROUP))
    added = [EntryPoint(name, value, GROUP) for name, value in points]
    monkeypatch.setattr(catalog, "entry_points", lambda group: [*added, *installed])
    catalog.listings.cache_clear()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    catalog.listings.cache_clear()
    yield
    catalog.listings.cache_clear()


def test_the_shipped_adapters_are_found_under_their_file_names() -> None:
    import blackbox_adapters

    folder = Path(blackbox_adapters.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if path.stem[0] != "_"}
    recipes = {path.stem.replace("-", "_") for path in folder.glob("recipes/*.toml")}
    assert {name.replace("-", "_") for name in adapter_names()} == files | recipes
    assert {"http", "folder", "embedded"} <= files


@pytest.mark.parametrize("name", adapter_names())
def test_every_shipped_adapter_loads_and_describes_itself_in_json(name: str) -> None:
    kind = adapter_class(name)
    assert kind.name == name
    found = describe(name)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["error"] is None
    assert found["origin"].startswith("blackbox-conformal ")
    assert found["summary"]
    assert found["capabilities"]["scale_factors"] or name == "cascade"
    assert all(one["help"] for one in found["parameters"])


def test_listing_imports_no_adapter() -> None:
    script = (
        "import sys; from blackbox_conformal.study.plugins import adapter_names; names = adapter_names();"
        "print(len(names) > 3, [name for name in sys.modules if name.startswith('blackbox_adapters.')],"
        " 'numpy' in sys.modules, 'httpx' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True [] False False"


@pytest.mark.parametrize(
    ("script", "unneeded"),
    [
        ("from blackbox_conformal.study.plugins import describe; describe('replicate')", "numpy"),
        ("import blackbox_conformal; blackbox_conformal.score_map", "blackbox_conformal.study.job"),
    ],
)
def test_a_short_task_does_not_load_what_it_does_not_need(script: str, unneeded: str) -> None:
    command = [sys.executable, "-c", f"import sys; {script}; print({unneeded!r} in sys.modules)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_only_the_chosen_adapter_is_imported() -> None:
    script = (
        "import sys; from blackbox_conformal.study.plugins import adapter_class; adapter_class('folder');"
        "print(sorted(name for name in sys.modules if name.startswith('blackbox_adapters.')))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['blackbox_adapters.folder']"


def test_a_package_of_adapters_joins_in(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    announce(monkeypatch, ("anything", "vendors_of_tests"))
    assert "my-vendor" in adapter_names()
    assert "-hidden" not in adapter_names()
    assert "hidden" not in adapter_names()
    adapter = load_adapter("my-vendor", level="5")
    assert adapter.model_dump() == {"level": 5, "mode": None}
    assert load_adapter("My_Vendor").name == "my-vendor"


def test_one_class_is_named_after_its_entry_point(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    announce(monkeypatch, ("single_one", "vendors_of_tests.my_vendor:Good"))
    assert "single-one" in adapter_names()
    assert "vendors_of_tests.my_vendor" not in sys.modules
    assert adapter_class("single-one").__name__ == "Good"


def test_naming_a_score_imports_no_adapter_of_its_package(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    (package / "idea.py").write_text(
        "from blackbox_conformal.method.scores.score import Score\n\n\nclass Idea(Score):\n    pass\n"
    )
    announced = {
        GROUP: EntryPoint("my-vendor", "vendors_of_tests.my_vendor:Good", GROUP),
        "blackbox_conformal.scores": EntryPoint("idea", "vendors_of_tests.idea:Idea", "blackbox_conformal.scores"),
    }
    monkeypatch.setattr(catalog, "entry_points", lambda group: [announced[group]] if group in announced else [])
    catalog.listings.cache_clear()
    assert importlib.import_module("vendors_of_tests.idea").Idea.plugin_name() == "idea"
    assert "vendors_of_tests.my_vendor" not in sys.modules


def test_a_package_names_adapters_that_have_no_file(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    (package / "__init__.py").write_text("def further_plugins(): return {'told': 'vendors_of_tests.my_vendor:Good'}")
    announce(monkeypatch, ("mine", "vendors_of_tests"))
    assert {"my-vendor", "told"} <= set(adapter_names())
    assert "vendors_of_tests.my_vendor" not in sys.modules
    assert adapter_class("told").__name__ == "Good"


@pytest.mark.parametrize("name", ["vendors_of_tests.my_vendor:Good", "antigravity:x", ":", None, 3, ["http"]])
def test_a_file_may_name_an_installed_adapter_and_nothing_to_import(package: Path, name: Any) -> None:
    with pytest.raises(UsageError, match=r"adapter in cal\.json: expected the name of an installed adapter; got"):
        installed_adapter_class(name, "adapter in cal.json")
    assert "vendors_of_tests.my_vendor" not in sys.modules
    assert installed_adapter_class("http", "adapter in cal.json") is adapter_class("http")


def test_a_class_path_needs_no_entry_point(package: Path) -> None:
    assert load_adapter("vendors_of_tests.my_vendor:Good", mode="x").model_dump() == {"level": 3, "mode": "x"}
    assert describe("vendors_of_tests.my_vendor:Good")["class"] == "vendors_of_tests.my_vendor:Good"


BROKEN = {
    "no-package": "there_is_no_such_package",
    "no-module": "there_is_no_such_package.module:Class",
    "not-a-package": "json.decoder",
    "fails": "vendors_of_tests.failing",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_and_hurts_nobody(monkeypatch: pytest.MonkeyPatch, package: Path, name: str) -> None:
    (package / "failing.py").write_text("raise ZeroDivisionError('as it loads')")
    announce(monkeypatch, (name, BROKEN[name]))
    assert name in adapter_names()
    assert "folder" in adapter_names()
    found = describe(name)
    assert found["name"] == name
    assert found["error"]
    with pytest.raises(AdapterError, match=f"adapter {name} from unknown package cannot be used"):
        load_adapter(name)
    assert adapter_class("http").name == "http"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("raise OSError('no licence')", "OSError: no licence"),
        ("def broken(:", "SyntaxError"),
        ("import there_is_no_such_module", "there_is_no_such_module"),
        ("", "ADAPTER"),
        ("ADAPTER = 3", "expected a subclass of Adapter"),
        ("ADAPTER = dict", "expected a subclass of Adapter"),
        (
            GOOD + "\nfrom blackbox_conformal.vendor.adapter import Adapter as Half\nADAPTER = Half",
            "does not define base_url",
        ),
        (GOOD.replace('name = "{name}"', ""), "does not set `name`"),
    ],
)
def test_a_broken_adapter_file_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, package: Path, content: str, said: str
) -> None:
    (package / "broken_one.py").write_text(content)
    announce(monkeypatch, ("anything", "vendors_of_tests"))
    assert "broken-one" in adapter_names()
    with pytest.raises(AdapterError, match=said):
        load_adapter("broken-one")
    assert said in describe("broken-one")["error"]
    assert load_adapter("my-vendor").name == "my-vendor"


def test_a_plugin_cannot_take_over_a_shipped_name(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    (package / "folder.py").write_text(GOOD.replace("{name}", "folder"))
    announce(monkeypatch, ("anything", "vendors_of_tests"))
    assert adapter_class("folder").__module__ == "blackbox_adapters.folder"
    (clash,) = [one for one in catalog.listings("adapters") if one.error and one.name == "folder"]
    assert clash.target == "vendors_of_tests.folder"
    assert "already taken by blackbox-conformal" in str(clash.error)
    assert describe("folder")["error"] is None
    assert adapter_names().count("folder") == 1


@pytest.mark.parametrize(("typed", "meant"), [("replicat", "replicate"), ("embeded", "embedded"), ("HTTPS", "http")])
def test_a_typing_error_shows_near_matches(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean .*{meant}"):
        load_adapter(typed)


def test_a_strange_name_shows_all_names() -> None:
    with pytest.raises(UsageError, match=r"there are: .*embedded, .*folder, .*http"):
        load_adapter("zzzzzz")
    with pytest.raises(UsageError, match="there are"):
        describe("zzzzzz")
    with pytest.raises(AdapterError, match="cannot be loaded: ModuleNotFoundError"):
        load_adapter("no_such:Thing")


def test_a_wrong_parameter_lists_the_right_ones() -> None:
    with pytest.raises(UsageError, match=r"adapter http: .*url is required.*Its parameters are: .*seed-parameter"):
        load_adapter("http")
    with pytest.raises(UsageError, match=r"no parameter 'sclae' \(did you mean scale\?\)"):
        load_adapter("http", url="http://127.0.0.1:9", sclae=4)


def test_description_tells_types_defaults_and_what_identifies(package: Path) -> None:
    found = describe("vendors_of_tests.my_vendor:Needy")
    by_name: dict[str, dict[str, Any]] = {one["name"]: one for one in found["parameters"]}
    assert by_name["level"] == {
        "name": "level",
        "type": "int",
        "required": False,
        "default": 3,
        "help": "",
        "identifies": True,
    }
    assert by_name["mode"]["type"] == "str | none"
    assert by_name["token"]["required"]
    assert found["capabilities"] == {**found["capabilities"], "scale_factors": [], "price": None}
    http = {one["name"]: one for one in describe("http")["parameters"]}
    assert not http["url"]["identifies"]
    assert http["label"]["identifies"]


def test_a_required_parameter_does_not_hide_what_the_example_shows() -> None:
    assert describe("http")["capabilities"]["idempotency_header"] == "Idempotency-Key"
    assert describe("embedded")["capabilities"]["price"]["high_usd"] == "0"


def test_what_is_loaded_is_an_adapter() -> None:
    adapter = load_adapter("embedded")
    assert isinstance(adapter, Adapter)
    assert type(adapter) is importlib.import_module("blackbox_adapters.embedded").ADAPTER
