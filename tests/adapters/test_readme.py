"""The adapters' pages and the README's files are what the code says."""

import re
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest
from support.flow_driver import ADDRESS, PICTURE, drive, refused_by, seeded, upload

import blackbox_conformal
from blackbox_adapters._pages import main, pages, seed_class
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import RefusedError
from blackbox_conformal.study.plugins import describe
from blackbox_conformal.testing.contract import PROMISES, check_adapter
from blackbox_conformal.testing.static_contract import Subject, static_checks
from blackbox_conformal.vendor.example import Example, says, shows

FOLDER = Path(blackbox_conformal.__file__).parent / "docs" / "adapters"


def test_pages_are_current():
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    wanted = pages()
    stale = sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))
    assert not stale, f"run: python -m blackbox_adapters._pages blackbox_conformal/docs/adapters, for {stale}"


def test_a_page_says_what_a_user_asks():
    page = pages()["stability.md"]
    for wanted in ("STABILITY_API_KEY", "`creativity`", "0.40 USD", "1 to 4294967294", "resampled", "64 px"):
        assert wanted in page
    assert "[stability](stability.md)" in pages()["index.md"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("stability", "A"), ("comfyui", "B"), ("magnific", "C"), ("picsart", "D"), ("replicate", "depends")],
)
def test_seed_classes(name, expected):
    assert seed_class(describe(name)) == expected


def test_pages_of_adapters_that_are_gone_are_removed(tmp_path):
    (tmp_path / "gone.md").write_text("x")
    main(tmp_path)
    assert not (tmp_path / "gone.md").exists()
    assert (tmp_path / "index.md").exists()


README = Path(__file__).parents[2] / "adapters" / "README.md"
NAMES = "base64_text, decoded, fetched"


def block(language: str) -> str:
    """The first code block in `language`."""
    match = re.search(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    return match.group(1)


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("ACME_API_KEY", "made-up-acme-key")


@pytest.mark.usefixtures("key")
def test_the_recipe(tmp_path):
    path = tmp_path / "acme.toml"
    path.write_text(block("toml"), encoding="utf-8")
    adapter = Recipe(recipe=str(path), url=ADDRESS)
    answers = adapter.example_exchange().filled(PICTURE, ADDRESS)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    assert exchange.picture == PICTURE
    assert {name: exchange.submit.json[name] for name in ("factor", "seed", "format")} == {
        "factor": 4,
        "seed": 1,
        "format": "png",
    }
    error = refused_by(adapter, says('{"error":{"code":"rules","message":"broke the rules"}}', 451))
    assert type(error) is RefusedError
    assert ("broke the rules" in str(error), error.code) == (True, "rules")


@pytest.mark.usefixtures("key")
def test_the_recipe_keeps_the_contract(tmp_path):
    path = tmp_path / "acme.toml"
    path.write_text(block("toml"), encoding="utf-8")
    results = check_adapter(Recipe, Recipe(recipe=str(path)).example_exchange())
    assert [result for result in results if not result.passed] == []
    assert {promise.name for promise in PROMISES} & {result.name for result in results} == {
        "a failure of the vendor is booked as declared and asked again",
        "a told cost is booked",
        "an overdue job is cancelled as declared",
    }


@pytest.mark.parametrize("table", ["refusals", "price", "auth"])
def test_the_further_tables_of_a_recipe(table, tmp_path):
    first, *more = re.findall(r"^```toml\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    (sample,) = (text for text in more if text.startswith((f"[{table}]", f"[[{table}]]")))
    without = re.sub(rf"^\[{table}\][^\n]*\n.*?(?=^\[)", "", first, flags=re.M | re.S)
    without = without.replace("[submit]", '[options]\nuser = "me"\n\n[submit]', 1)
    path = tmp_path / "acme.toml"
    path.write_text(f"{without}\n{sample}", encoding="utf-8")
    assert Recipe(recipe=str(path)).named


def test_a_recipe_that_builds_on_another(tmp_path):
    (sample,) = re.findall(r"^```toml\n(extends.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    path = tmp_path / "old-photographs.toml"
    path.write_text(sample, encoding="utf-8")
    results = check_adapter(Recipe, Recipe(recipe=str(path)).example_exchange(), faults=False)
    assert [result for result in results if not result.passed] == []


def files() -> list[str]:
    """The whole adapters among the blocks; each begins with its docstring."""
    return re.findall(r'^```python\n(""".*?)^```', README.read_text(encoding="utf-8"), re.M | re.S)


def module_of(source: str) -> ModuleType:
    module = ModuleType("blackbox_adapters.acme")
    # The README is this project's own text.
    exec(compile(source, str(README), "exec"), module.__dict__)
    return module


@pytest.mark.usefixtures("key")
def test_the_file():
    module = module_of(files()[0])
    kind = module.ADAPTER
    results = static_checks(Subject(kind, module.EXAMPLE))
    assert [result for result in results if not result.passed] == []
    assert len(results) > 5


@pytest.mark.usefixtures("key")
def test_the_file_of_a_vendor_that_answers_at_once():
    module = module_of(files()[0])
    kind = module.ADAPTER
    adapter = kind(url=ADDRESS, scale="2", inputs='{"noise": 0.3}')
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), module.EXAMPLE.filled(PICTURE, ADDRESS))
    assert exchange.picture == PICTURE
    sent = {name: value for name, value in exchange.submit.json.items() if name != "image"}
    assert sent == {"noise": 0.3, "style": "photo", "factor": 2, "seed": 1, "format": "png"}
    assert (exchange.observed[0].cost_usd, exchange.observed[0].request_id) == (Decimal("0.03"), "r-1")


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("row", re.findall(r"^\| answers JSON .*$", README.read_text(encoding="utf-8"), re.M))
def test_the_other_places_of_a_picture(row):
    _, inside, shown = (re.findall(r"`(.*?)`", cell) for cell in row.strip("| ").split(" | "))
    source = files()[0].replace("return answer.body", inside[0]).replace("import base64_text", f"import peek, {NAMES}")
    source = source.replace("import Example, shows", "import *")
    module = module_of(source)
    answers = [eval(text, {"says": says, "shows": shows}) for text in shown if text.startswith(("says(", "shows("))]
    kind = module.ADAPTER
    adapter = kind(url=ADDRESS)
    filled = Example({}, tuple(answers)).filled(PICTURE, ADDRESS)
    assert drive(adapter, adapter.draw(upload(), seeded(adapter)), filled).picture == PICTURE
