"""The pages of the documentation name modules, files and links that exist."""

import importlib
import re
import sqlite3
from pathlib import Path

import pytest
from support.documentation import DOCS, PACKAGE, PAGES, ROOT, text_of
from support.report_material import make_ledger

from blackbox_conformal.cli.commands import names
from blackbox_conformal.drawing.ledger.states import STATES
from blackbox_conformal.support import catalog

FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if path.is_dir())
HERE = "|".join(["blackbox_conformal", "adapters", "tests", "examples", *FOLDERS])


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    name, attributes = dotted, []
    while name:
        try:
            thing = importlib.import_module(name)
        except ModuleNotFoundError:
            name, _, attribute = name.rpartition(".")
            attributes.insert(0, attribute)
            continue
        for attribute in attributes:
            thing = getattr(thing, attribute, None)
        return thing is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_exist(page: Path) -> None:
    text = re.sub(r"entry-points\.\S+", "", text_of(page))
    groups = {family.group for family in catalog.FAMILIES.values()} | {
        "blackbox_conformal.commands",
        "blackbox_conformal.hooks",
    }
    named = set(re.findall(r"\bblackbox_(?:conformal|adapters)(?:\.\w+)+", text)) - groups
    assert [name for name in sorted(named) if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_exist(page: Path) -> None:
    # Targets of links are relative to the page, and have a test of their own.
    text = re.sub(r"\]\([^)]*\)", "]", text_of(page))
    named = set(re.findall(rf"(?<![\w/.-])((?:{HERE})/[\w./-]+\.(?:py|md|toml))\b", text))
    # What the reader is to write.
    named = {path for path in named if not re.search(r"(acme|NAME)\.py$", path)}
    # In the checkout, in the package, or where package and adapters were installed from a wheel.
    places = {path: (ROOT / path, PACKAGE / path, PACKAGE.parent / path.removeprefix("adapters/")) for path in named}
    assert [path for path in sorted(named) if not any(place.exists() for place in places[path])] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        # Beside the page, or where the package was installed from a wheel.
        bare = path.replace("../", "")
        places = [page.parent / path, ROOT / bare, PACKAGE.parent / bare] if path else [page]
        target = next((place for place in places if place.exists()), None)
        if target is None or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_ledgers_tables_and_queries_are_as_the_page_says(tmp_path: Path) -> None:
    page = text_of(PACKAGE / "docs" / "drawing.md")
    make_ledger(tmp_path)
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    for table, described in re.findall(r"^\| `(attempt|total|lease)` \| [^|]+ \| (.+) \|$", page, re.MULTILINE):
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        assert set(re.findall(r"`(\w+)`", described)) <= columns, table
    queries = re.findall(r"^(SELECT .+;)$", page, re.MULTILINE)
    assert len(queries) == 5
    results = [connection.execute(query).fetchall() for query in queries]
    assert results[-1] == [(1,)]
    connection.close()


def test_states_of_an_attempt_are_those_of_the_page() -> None:
    page = text_of(PACKAGE / "docs" / "drawing.md")
    table = page.split("| state | meaning | money |")[1].split("\n\n")[0]
    named = {
        name for cell in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert named == set(STATES)


def test_every_command_has_a_row_in_the_table_of_commands() -> None:
    table = text_of(DOCS / "commands.md").split("## Settings")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    listed = [name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)]
    assert sorted(listed) == sorted(names())


def test_every_page_is_listed_in_one_of_the_parts() -> None:
    """The site makes its navigation of these lists."""
    parts = {name: text_of(DOCS / f"{name}.md") for name in ("index", "how-to", "reference", "explanation")}
    listed = [link for text in parts.values() for link in re.findall(r"(?<=\]\()([\w-]+)(?=\.md\))", text)]
    missing = {page.stem for page in DOCS.glob("*.md")} - set(listed) - {"index"}
    assert sorted(missing) == [], "list it on how-to.md, reference.md or explanation.md of blackbox_conformal/docs"


def test_the_page_on_many_machines_shows_the_server_of_the_example() -> None:
    lines = (ROOT / "examples" / "postgres" / "compose.yaml").read_text().splitlines()
    shown = "\n".join(line for line in lines if not line.startswith("#"))
    assert f"```yaml\n{shown}\n```" in text_of(DOCS / "many-machines.md")
