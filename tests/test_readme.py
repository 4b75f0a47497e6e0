"""The README is short, and true of the code. Its commands are checked with those of all pages."""

import re
import tomllib

import pytest
from support.documentation import README, ROOT, text_of

import blackbox_conformal as bc
from blackbox_conformal.study.plugins import adapter_names
from blackbox_conformal.study.stages.defaults import DETAIL_GUARANTEE
from blackbox_conformal.study.stages.settings import member

pytestmark = pytest.mark.usual_promise

TEXT = text_of(README)
DEMO = "python3 -m venv .venv\n.venv/bin/pip install -q .\n.venv/bin/blackbox-conformal demo\n"
TESTS = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/pytest -n auto"


def test_it_is_one_screen() -> None:
    assert len(TEXT.splitlines()) <= 80


def test_it_has_the_commands_of_a_fresh_machine() -> None:
    assert DEMO in TEXT
    assert TESTS in TEXT
    # Continuous integration makes its environment and runs the tests with the parts of the second.
    made, tested = TESTS.rsplit(" && ", 1)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\n  {made}\n" in script
    assert f"\n  {tested}\n" in script


def test_it_leads_to_the_four_parts() -> None:
    linked = re.findall(r"\]\(blackbox_conformal/docs/([\w-]+)\.md\)", TEXT)
    assert {"tutorial", "how-to", "reference", "explanation"} <= set(linked)


def test_the_number_of_photographs_is_right() -> None:
    alpha = re.search(r"`--alpha ([\d.]+)`; the share", TEXT)[1]
    count = re.search(r"(\d+) photographs are the least", TEXT)[1]
    default = member("guarantees", DETAIL_GUARANTEE)
    assert int(count) == default.fewest_images(float(alpha), bc.metric_bound("lab-l1"))


def test_there_are_as_many_vendors_as_it_says() -> None:
    own = {"cascade", "embedded", "folder", "function", "recipe"}
    said = int(re.search(r"more than (\d+) vendors", TEXT)[1])
    assert said < len(set(adapter_names()) - own) <= said + 10, "neither wrong nor out of date"


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {bc.__version__}\n" in citation


def test_the_python_that_it_asks_for_is_the_packages() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert f"Python {required.removeprefix('>=')} or newer" in TEXT
