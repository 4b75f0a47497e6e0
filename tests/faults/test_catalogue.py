"""The table of faults and the tests keep in step."""

import ast
import re
from importlib.resources import files
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
LETTERS = "NPIDSX"


def table() -> dict[str, str]:
    text = files("blackbox_conformal").joinpath("docs/faults.md").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in re.finditer(r"^\| ([A-Z]\d+) \|.*$", text, re.MULTILINE)}


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def here() -> set[str]:
    return {name for path in Path(__file__).parent.glob("test_*.py") for name in functions(path)}


def test_every_fault_has_a_row() -> None:
    """Numbers of one letter follow each other; a test whose fault has no row is found below."""
    rows = list(table())
    counts = {letter: sum(row.startswith(letter) for row in rows) for letter in LETTERS}
    assert min(counts.values()) > 0
    assert rows == [f"{letter}{number}" for letter, count in counts.items() for number in range(1, count + 1)]


def test_every_row_names_a_test_or_says_why_it_needs_none() -> None:
    for fault, row in table().items():
        shown = row.rsplit("|", 2)[1]
        assert re.search(r"`(test_\w+|tests/[\w/.]+)`", shown) or "does not apply" in row, fault


def test_every_named_test_exists() -> None:
    known = {name for path in TESTS.rglob("test_*.py") for name in functions(path)}
    for fault, row in table().items():
        shown = row.rsplit("|", 2)[1]
        for name in re.findall(r"`(test_\w+)`", shown):
            assert name in known, (fault, name)
        for path in re.findall(r"`(tests/[\w/.]+)`", shown):
            assert (TESTS.parent / path).exists(), (fault, path)


def test_every_test_of_a_fault_is_in_its_row() -> None:
    rows = table()
    for name in here():
        for letter, number in re.findall(r"(?<=_)([npidsx])(\d\d)(?=_)", name):
            fault = f"{letter.upper()}{int(number)}"
            assert f"`{name}`" in rows[fault], name
