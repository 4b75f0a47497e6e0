"""What the project depends on: no version with a known flaw is allowed, and no licence comes along without a word."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.documentation import DOCS, text_of

import blackbox_conformal

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
ALLOWED = [Requirement(one) for named in (PROJECT["dependencies"], *EXTRAS) for one in named]

REPAIRED = {
    # The first version without any flaw known in November 2026, and the latest of its advisories.
    "cryptography": ("50.0.0", "CVE-2026-69247"),
    "distributed": ("2026.1.1", "CVE-2026-23528"),
    "filelock": ("3.20.3", "CVE-2026-22701"),
    "h11": ("0.16.0", "CVE-2025-43859"),
    "jinja2": ("3.1.6", "CVE-2025-27516"),
    "pillow": ("12.3.0", "PYSEC-2026-3453"),
    "python-multipart": ("0.0.31", "CVE-2026-53540"),
    "starlette": ("1.3.1", "CVE-2026-54283"),
}


def floor(requirement: Requirement) -> Version:
    (lowest,) = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
    return lowest


@pytest.mark.parametrize("name", REPAIRED)
def test_the_lowest_version_that_is_allowed_has_no_known_flaw(name: str) -> None:
    repaired, advisory = REPAIRED[name]
    found = [one for one in ALLOWED if canonicalize_name(one.name) == name]
    assert found
    assert all(floor(one) >= Version(repaired) for one in found), f"{advisory} is repaired in {repaired}"


def test_conda_allows_what_pip_allows() -> None:
    text = (ROOT / ".ci" / "conda" / "recipe.yaml").read_text()
    named = yaml.safe_load(re.sub(r"\$\{\{.*?\}\}", "x", text))["requirements"]["run"]
    conda = {one.partition(" ")[0].replace("python-isal", "isal"): one.partition(" ")[2] for one in named}
    pip = {one.name: one.specifier for one in map(Requirement, PROJECT["dependencies"])}
    assert {name: set(said.split(",")) for name, said in conda.items() if name != "python"} == {
        name: set(map(str, specifier)) for name, specifier in pip.items()
    }


@pytest.mark.parametrize(
    ("package", "licence", "of_its_own", "naming"),
    [
        ("pillow-heif", "GPLv2", "GPLv2", r"extra `heif`|pip install pillow-heif|^heif ="),
        ("psycopg", "LGPL-3.0", "LGPL-3.0-only", r"whl\[postgres\]|conformal\[postgres\]|^postgres ="),
    ],
)
def test_who_is_told_to_install_a_package_is_told_its_licence(
    package: str, licence: str, of_its_own: str, naming: str
) -> None:
    bundled = [file.read_text() for file in distribution(package).files or () if "LICENSE" in file.name.upper()]
    assert of_its_own in "".join([distribution(package).metadata.get("License-Expression", ""), *bundled])
    sources = [*Path(blackbox_conformal.__file__).parent.rglob("*.py"), ROOT / "pyproject.toml"]
    places = {path: path.read_text(encoding="utf-8") for path in sources} | {p: text_of(p) for p in DOCS.glob("*.md")}
    told = 0
    for path, text in places.items():
        for found in re.finditer(naming, text, re.MULTILINE):
            told += 1
            # Within a few lines of it.
            assert licence in text[max(0, found.start() - 400) : found.end() + 400], path
    assert told >= 2
