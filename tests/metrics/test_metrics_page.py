"""The page on metrics names every metric with its bound, and every form of annotation."""

import re
from pathlib import Path

import pytest
from support.family_cases import built_without_parameters

import blackbox_conformal
from blackbox_conformal import catalog

PAGE = (Path(blackbox_conformal.__file__).parent / "docs" / "metrics.md").read_text(encoding="utf-8")
BOUNDS = dict(re.findall(r"^\| `([a-z0-9-]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", PAGE, re.M))


def test_every_metric_is_there():
    assert set(catalog.names("metrics")) == set(BOUNDS)


@pytest.mark.parametrize("name", built_without_parameters("metrics"))
def test_bounds_are_those_of_the_code(name):
    """Written as a number, or as the parameter that it is and its usual value."""
    parameter, usual = re.fullmatch(r"(?:`(\w+)`, )?([0-9.]+)(?: by default)?", BOUNDS[name]).groups()
    assert float(usual) == catalog.load("metrics", name).bound
    if parameter is not None:
        assert catalog.load("metrics", name, **{parameter: 7}).bound == 7


def test_every_form_of_annotation_is_there():
    assert set(re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.M)) >= set(
        catalog.names("annotations.formats")
    )
