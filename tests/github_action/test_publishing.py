"""What a release says of itself is true: systems, versions of Python, requirements, and who may publish."""

import re
import tomllib
from typing import Any

import pytest
import yaml
from support.documentation import DOCS, ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ELSEWHERE = {"isal": "python-isal"}
"""Names that conda-forge has for packages."""


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8"))


def test_classifiers_name_what_continuous_integration_runs_on_and_nothing_else():
    matrix = workflow("ci")["jobs"]["elsewhere"]["strategy"]["matrix"]
    named = {one.split(" :: ")[-1] for one in PROJECT["classifiers"] if one.startswith("Programming Language ::")}
    assert named == set(matrix["python"])
    runs = {"ubuntu": "POSIX :: Linux", "macos": "MacOS", "windows": "Microsoft :: Windows"}
    systems = {one.removeprefix("Operating System :: ") for one in PROJECT["classifiers"] if "Operating System" in one}
    assert systems
    assert systems <= {runs[system.partition("-")[0]] for system in matrix["os"]}


def test_only_the_job_that_publishes_may_and_it_runs_no_script():
    jobs = workflow("release")["jobs"]
    publish = jobs["publish"]
    assert (publish["environment"], publish["permissions"]) == ("release", {"id-token": "write"})
    assert publish["needs"] == "build"
    assert not any("run" in step for step in publish["steps"])
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["release", "scorecard", "site"])
def test_a_workflow_may_nothing_that_a_job_does_not_name(name):
    assert workflow(name)["permissions"] == {}
    checkouts = [
        step for job in workflow(name)["jobs"].values() for step in job["steps"] if "checkout" in step.get("uses", "")
    ]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_conda_recipe_requires_what_the_wheel_does():
    recipe = yaml.safe_load((ROOT / ".ci" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["context"]["version"] == PROJECT["version"]
    named = dict(re.fullmatch(r"([a-z0-9-]+)(.*)", one).groups() for one in PROJECT["dependencies"])
    wanted = {f"{ELSEWHERE.get(name, name)} {limits}" for name, limits in named.items()}
    assert set(recipe["requirements"]["run"]) == {*wanted, f"python {PROJECT['requires-python']}"}


def test_no_page_installs_a_name_that_is_not_registered():
    pages = [*DOCS.glob("*.md"), *ROOT.glob("*.md"), ROOT / "adapters" / "README.md"]
    told = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if "pip install" in line]
    assert any("blackbox_conformal-0.1.0-py3-none-any.whl" in line for line in told)
    assert [line for line in told if re.search(r"(?<!/)\bblackbox-conformal\b(?!/)", line)] == []
