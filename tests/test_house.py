"""The shape of the house: imports go one way, names stand once, and files and functions have one thought each.

Sizes have no limit here: `python .ci/size.py` prints them, and a reviewer refuses growth that is not worth its lines.
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "blackbox_conformal"
pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="what is measured is the checkout")
RINGS = ("gateway", "watching", "pages", "annotations", "testing", "embedded")
SHARED_NAMES = ("dialects", "metrics", "scores", "guarantees", "degradations", "perturbation", "formats")
"""Folders whose files are named after the members that they hold."""

FLOORS = 9
"""Rooms on the longest way down, at most."""

LONGEST_FILE = 700
"""Lines of a file, at most."""

LONGEST_FUNCTION = 90
"""Lines of a function with its decorators, docstring and comments, at most."""


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


def lines(module: str) -> int:
    return modules()[module].read_text(encoding="utf-8").count("\n")


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
        if not is_member(name) and loads_at_once(*by, name) and lines(name) + lines(*by) <= LONGEST_FILE
    )


def long_functions() -> Iterator[str]:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min(each.lineno for each in (node, *node.decorator_list))
                if (node.end_lineno or first) - first >= LONGEST_FUNCTION:
                    yield f"{name}.{node.name}"


def imports_of_rings() -> Iterator[str]:
    """Imports of the core that lead to a ring."""
    for name in modules():
        if name.startswith("blackbox_conformal") and room(name) not in RINGS:
            yield from (f"{name} -> {to}" for to in imports()[name] if room(to) in RINGS)


FAULTS: dict[str, Callable[[], Iterable[object]]] = {
    "circles of modules": lambda: strongly_connected(imports()),
    "circles of rooms": lambda: strongly_connected(of_rooms()),
    "imports from the core to a ring": imports_of_rings,
    "public classes of one name": lambda: twice(public_classes()),
    "files of one name": lambda: twice(file_names()),
    "modules that only the file beside them reads, and that fit into that file": with_one_reader,
    f"functions over {LONGEST_FUNCTION} lines": long_functions,
    f"files over {LONGEST_FILE} lines": lambda: [name for name in modules() if lines(name) > LONGEST_FILE],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_house_has_no(fault: str) -> None:
    found = list(FAULTS[fault]())
    assert not found, f"{fault}: {found}"


def test_rooms_stand_on_few_floors() -> None:
    assert floors() <= FLOORS


def test_circles_are_found_where_there_are_some() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"f"}, "f": {"g"}, "g": {"e"}}
    assert sorted(map(sorted, strongly_connected(graph))) == [["b", "c"], ["e", "f", "g"]]
