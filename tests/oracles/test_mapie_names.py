"""The page that translates MAPIE's words names what MAPIE has."""

import importlib
import inspect
import re
from pathlib import Path

import blackbox_conformal

PAGE = Path(blackbox_conformal.__file__).parent / "docs" / "notebook.md"
MODULES = ("regression", "risk_control", "metrics.regression", "exchangeability_testing", "utils")
NOT_MAPIES = {"fit", "GridSearchCV", "y", "X"}
"""scikit-learn's, and letters."""


def names_of_mapie() -> set[str]:
    """Every class and function, its methods, and keywords of all of them."""
    found: set[str] = set()
    for module in MODULES:
        for name, thing in vars(importlib.import_module(f"mapie.{module}")).items():
            if not (inspect.isclass(thing) or inspect.isfunction(thing)) or not thing.__module__.startswith("mapie"):
                continue
            if inspect.isclass(thing) and issubclass(thing, BaseException):
                continue
            found.add(name)
            methods = [] if inspect.isfunction(thing) else inspect.getmembers(thing, inspect.isfunction)
            found.update(method for method, _ in methods)
            for function in (thing, *(method for _, method in methods)):
                found.update(inspect.signature(function).parameters)
    return found


def test_every_name_on_the_left_is_mapies() -> None:
    rows = re.findall(r"^\| (.+?) \| .+ \|$", PAGE.read_text("utf-8").partition("| there | here |")[2], re.MULTILINE)
    assert len(rows) > 8
    codes = {code for row in rows for code in re.findall(r"`([^`]+)`", row)}
    names = {re.sub(r"[(=].*", "", code) for code in codes if not code.startswith('"')}
    known = names_of_mapie()
    assert sorted(names - known - NOT_MAPIES) == []
    assert {"conformalize", "predict_interval", "confidence_level", "prefit", "target_level"} <= names


def test_its_methods_of_risk_control_are_the_three_that_are_named() -> None:
    from mapie.risk_control import SemanticSegmentationController

    assert sorted(SemanticSegmentationController.valid_methods) == ["crc", "ltt", "rcps"]
