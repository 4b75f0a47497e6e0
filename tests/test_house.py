"""The size and shape of the house only shrink: the figures of `house.toml` are upper limits.

A commit may lower a figure, and raise one only with a `gain`: a line of CHANGELOG.md that says what users got.
"""

import ast
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "blackbox_conformal"
FIGURES = tomllib.loads((ROOT / "tests" / "house.toml").read_text(encoding="utf-8"))
pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="what is measured is the checkout")
RINGS = ("gateway", "watching", "pages", "annotations", "testing", "embedded")
SHARED_NAMES = ("dialects", "metrics", "scores", "guarantees", "degradations", "perturbation", "formats")
"""Folders whose files are named after the members that they hold."""


LONGEST = 700
"""Lines of a file, at most."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name → file, of the package and the packages beside it."""
    found = {}
    for home in (ROOT, ROOT / "adapters"):
        for package in sorted(path.parent for path in home.glob("blackbox_*/__init__.py")):
            for path in sorted(package.rglob("*.py")):
                parts = path.relative_to(home).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules().items()}


@cache
def imports() -> dict[str, set[str]]:
    """Module → modules that it imports, at the top, late, or for types alone."""
    known, found = trees(), defaultdict(set)
    for name, tree in known.items():
        # The package itself finds its public names when they are asked for, and imports nothing.
        for node in ast.walk(tree) if name != "blackbox_conformal" else ():
            wanted: Iterable[str] = ()
            if isinstance(node, ast.ImportFrom) and node.module:
                wanted = [f"{node.module}.{alias.name}" for alias in node.names]
                wanted = [each if each in known else node.module for each in wanted]
            elif isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            found[name] |= {each for each in wanted if each in known and each != name}
    return found


def room(module: str) -> str:
    """The folder at the top that holds the module; none for the few modules that lie beside the folders."""
    parts = module.split(".")
    if parts[0] != "blackbox_conformal":
        return parts[0]
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


def strongly_connected(graph: dict[str, set[str]]) -> list[set[str]]:
    """Circles: sets of more than one node that all reach each other (Tarjan 1972, with a stack of its own)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles = []
    for start in graph:
        work = [(start, iter(graph[start]))] if start not in order else []
        while work:
            node, targets = work[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
            for target in targets:
                if target not in order:
                    work.append((target, iter(graph.get(target, ()))))
                    break
                if target in stack:
                    low[node] = min(low[node], order[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    at = stack.index(node)
                    circle = set(stack[at:])
                    del stack[at:]
                    if len(circle) > 1:
                        circles.append(circle)
    return circles


def of_rooms() -> dict[str, set[str]]:
    """Room → rooms that it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, targets in imports().items():
        if room(name):
            found[room(name)] |= {room(target) for target in targets if room(target)} - {room(name)}
    return found


def lines(of: Iterable[str]) -> int:
    """Without those that only hold a comment: to say why costs nothing."""
    known = modules()
    texts = (known[name].read_text(encoding="utf-8").splitlines() for name in of)
    return sum(not line.lstrip().startswith("#") for text in texts for line in text)


def folder(module: str) -> Path:
    return modules()[module].parent


def floors() -> int:
    """Rooms on the longest way down; those of a circle count as one after the other."""
    graph = of_rooms()
    member = {each: frozenset(circle) for circle in strongly_connected(graph) for each in circle}

    @cache
    def height(nodes: frozenset[str]) -> int:
        below = {member.get(to, frozenset({to})) for node in nodes for to in graph.get(node, ())} - {nodes}
        return len(nodes) + max(map(height, below), default=0)

    return max(height(member.get(node, frozenset({node}))) for node in list(graph))


def public_classes() -> Iterator[str]:
    for tree in trees().values():
        yield from (
            node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        )


def twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def is_member(module: str) -> bool:
    """Whether the module is found by its name, as members of families are."""
    path = modules()[module]
    return (path.parent.name in SHARED_NAMES or room(module) == "blackbox_adapters") and path.name[0] != "_"


def file_names() -> Iterator[str]:
    for name, path in modules().items():
        if path.name not in ("__init__.py", "__main__.py") and not is_member(name):
            yield path.name


def loads_at_once(reader: str, module: str) -> bool:
    """Whether the reader imports the module when it is itself imported: neither in a function nor for types alone."""
    found, home = trees()[reader].body, module.rpartition(".")[0]
    return any(
        node.module == module or (node.module == home and any(f"{home}.{one.name}" == module for one in node.names))
        for node in found
        if isinstance(node, ast.ImportFrom)
    )


def with_one_reader() -> list[str]:
    """Modules that one module alone imports, of the same folder, and that can lie in its file.

    Three kinds cannot: members of a family, which are found by their names; what the reader loads only when it is
    needed, so that a command starts quickly or an extra may be missing; and what makes the file too long.
    """
    readers: dict[str, set[str]] = defaultdict(set)
    for name, targets in imports().items():
        for target in targets:
            readers[target].add(name)
    return sorted(
        name
        for name, by in readers.items()
        if len(by) == 1 and folder(name) == folder(*by) and modules()[name].name != "__init__.py"
        if not is_member(name) and loads_at_once(*by, name) and lines([name, *by]) <= LONGEST
    )


def long_functions() -> list[str]:
    """Those above 60 lines, without lines that only hold a comment."""
    found = []
    for name, tree in trees().items():
        text = modules()[name].read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own = text[node.lineno - 1 : node.end_lineno]
                if sum(not line.lstrip().startswith("#") for line in own) > 60:
                    found.append(f"{name}.{node.name}")
    return sorted(found)


def words() -> int:
    """Of all pages but those of single adapters, outside blocks of code."""
    pages = [*(PACKAGE / "docs").glob("*.md"), ROOT / "README.md", ROOT / "adapters" / "README.md"]
    pages += [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md")]
    prose = [re.sub(r"^```.*?^```", " ", path.read_text(encoding="utf-8"), flags=re.M | re.S) for path in pages]
    return sum(len(re.findall(r"\S*\w\S*", text)) for text in prose)


NO_ACTOR = re.compile(r"\b(nobody|no one|whoever|told of)\b", re.IGNORECASE)


def without_an_actor() -> list[str]:
    """Places of words that stand for an actor and name none, in code, pages and templates."""
    texts = [
        path for folder in ("blackbox_conformal", "adapters", "examples", ".ci") for path in (ROOT / folder).rglob("*")
    ]
    texts += ROOT.glob("*.md")
    return sorted(
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in texts
        if path.suffix in {".py", ".md", ".html", ".js"}
        for found in NO_ACTOR.finditer(path.read_text(encoding="utf-8"))
    )


def core() -> list[str]:
    return [name for name in modules() if name.startswith("blackbox_conformal") and room(name) not in RINGS]


FOUND = {
    "rooms": lambda: len(set(map(room, modules())) - {""}),
    "floors": floors,
    "arrows_between_rooms": lambda: sum(map(len, of_rooms().values())),
    "circles_of_modules": lambda: len(strongly_connected(imports())),
    "circles_of_rooms": lambda: len(strongly_connected(of_rooms())),
    "imports_from_core_to_rings": lambda: sum(room(to) in RINGS for name in core() for to in imports()[name]),
    "lines_of_core": lambda: lines(core()),
    "lines_in_all": lambda: lines(modules()),
    "files": lambda: len(modules()),
    "public_classes_of_one_name": lambda: len(twice(public_classes())),
    "files_of_one_name": lambda: len(twice(file_names())),
    "modules_with_one_reader_beside_them": lambda: len(with_one_reader()),
    "functions_over_60_lines": lambda: len(long_functions()),
    "longest_file": lambda: max(lines([name]) for name in modules()),
    "words_of_documentation": words,
    "sentences_without_an_actor": lambda: len(without_an_actor()),
}


@pytest.mark.parametrize("figure", FIGURES)
def test_the_house_does_not_grow(figure: str) -> None:
    allowed, lowest = FIGURES[figure]["most"], FIGURES[figure]["lowest"]
    found = FOUND[figure]()
    assert found <= allowed, (
        f"{figure} is {found}, above {allowed}. Make it less; or raise `most` in tests/house.toml and name there under "
        "`gain` the line of CHANGELOG.md that says what users get for it"
    )
    if allowed > lowest:
        gain = FIGURES[figure].get("gain", "")
        assert len(gain) > 20, f"{figure}: expected a `gain` beside a `most` above `lowest` in tests/house.toml"
        changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert f"- {gain}" in changes, f"{figure}: no line of CHANGELOG.md begins with {gain!r}"


def test_every_figure_has_a_limit() -> None:
    assert list(FIGURES) == list(FOUND)


def test_circles_are_found_where_there_are_some() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"f"}, "f": {"g"}, "g": {"e"}}
    assert sorted(map(sorted, strongly_connected(graph))) == [["b", "c"], ["e", "f", "g"]]


if __name__ == "__main__":
    for each, measure in FOUND.items():
        print(f"{each:40} {measure()}")
    for title, found in (
        ("circles", strongly_connected(imports())),
        ("classes", twice(public_classes())),
        ("files", twice(file_names())),
        ("readers", with_one_reader()),
        ("sentences", without_an_actor()),
        ("functions", long_functions()),
        ("core to rings", [f"{n} -> {t}" for n in core() for t in imports()[n] if room(t) in RINGS]),
    ):
        print(title, *found, sep="\n  ")
