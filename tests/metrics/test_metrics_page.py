"""The page on metrics names every metric with its bound, and every form of annotation."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.family_cases import built_without_parameters

import blackbox_conformal
from blackbox_conformal.support import catalog

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


def test_the_colours_differ_by_what_the_page_says():
    rows = re.findall(r"^\| (\d+) (\d+) (\d+) \| (\d+) (\d+) (\d+) \| ([\d.]+) \|", PAGE, re.M)
    assert len(rows) == 7
    for *colours, error in rows:
        true, delivered = (np.full((1, 1, 3), part, np.uint8) for part in (colours[:3], colours[3:]))
        assert blackbox_conformal.error_map(true, delivered, metric="lab-l1")[0, 0] == pytest.approx(
            float(error), abs=0.005
        )
