"""Nothing outside a family asks which member it has: a new score, metric or guarantee needs no line elsewhere."""

import ast
from pathlib import Path

import blackbox_conformal
from blackbox_conformal.support import catalog

ROOT = Path(blackbox_conformal.__file__).parent
FAMILIES = ("scores", "metrics", "guarantees")
FOLDERS = tuple(f"method.{family}" for family in FAMILIES)
MEMBERS = {f"method.{family}.{name.replace('-', '_')}" for family in FAMILIES for name in catalog.names(family)}


def is_of_a_member(module: str) -> bool:
    """Whether the module defines a member of a family, or what only members share."""
    module = module.removeprefix("blackbox_conformal.")
    return module in MEMBERS or (module.startswith(FOLDERS) and "._" in module)


def questions(source: str) -> list[int]:
    """The lines that ask whether something is of a member's class."""
    tree = ast.parse(source)
    classes = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and is_of_a_member(node.module or "")
        for alias in node.names
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("isinstance", "issubclass")
        and classes & {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
    ]


def test_nothing_outside_a_family_asks_for_the_class_of_a_member():
    asking = {
        str(path.relative_to(ROOT)): lines
        for path in ROOT.rglob("*.py")
        if not ".".join(path.relative_to(ROOT).parts).startswith(FOLDERS)
        and (lines := questions(path.read_text(encoding="utf-8")))
    }
    assert not asking, f"ask a method of the member instead, and give it to the base class: {asking}"


def test_such_a_question_is_found():
    source = "from blackbox_conformal.method.guarantees.expected import Expected\nisinstance(rule, (int, Expected))"
    assert questions(source) == [2]
    assert (
        questions("from blackbox_conformal.method.guarantees.guarantee import Guarantee\nisinstance(a, Guarantee)")
        == []
    )
