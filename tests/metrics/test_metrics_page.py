"""The page on metrics names every metric with its bound, and every form of annotation."""

import re
from pathlib import Path

import pytest

import blackbox_conformal
from blackbox_conformal import catalog

PAGE = (Path(blackbox_conformal.__file__).parent / "docs" / "metrics.md").read_text(encoding="utf-8")
BOUNDS = dict(re.findall(r"^\| `([a-z0-9-]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", PAGE, re.M))


def test_every_metric_is_there():
    assert set(catalog.names("metrics")) == set(BOUNDS)


@pytest.mark.parametrize("name", sorted(set(BOUNDS) - {"custom-metric", "delta-e-2000"}))
def test_bounds_are_those_of_the_code(name):
    assert float(BOUNDS[name]) == catalog.load("metrics", name).bound


def test_every_form_of_annotation_is_there():
    assert set(re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.M)) >= set(
        catalog.names("annotations.formats")
    )
