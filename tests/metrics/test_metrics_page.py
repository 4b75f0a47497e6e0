"""The page on metrics names every metric with its bound, and every form of annotation."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.family_cases import built_without_parameters, has_difference_of_blurs, metrics_of_pictures_alone

import blackbox_conformal
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support import catalog

DOCS = Path(blackbox_conformal.__file__).parent / "docs"
PAGE, GUARANTEES = ((DOCS / name).read_text(encoding="utf-8") for name in ("metrics.md", "guarantees.md"))
PICTURE = np.zeros((4, 5, 3), np.uint8)
BOUNDS = dict(re.findall(r"^\| `([a-z0-9-]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", PAGE, re.M))


@pytest.mark.parametrize("name", sorted(catalog.names("metrics") | BOUNDS.keys()))
def test_every_metric_has_a_row(name):
    assert name in catalog.names("metrics"), f"take the row of {name} out of docs/metrics.md: there is no such metric"
    assert name in BOUNDS, f"write a row in docs/metrics.md: | `{name}` | definition | bound | largest found |"


@pytest.mark.parametrize("name", [name for name in built_without_parameters("metrics") if name in BOUNDS])
def test_bounds_are_those_of_the_code(name):
    """Written as a number, or as the parameter that it is and its usual value."""
    bound = catalog.load("metrics", name).bound
    written = re.fullmatch(r"(?:`(\w+)`, )?([0-9.]+)(?: by default)?", BOUNDS[name])
    assert written is not None, f"write the bound of {name} in docs/metrics.md as a number: {bound:.12g}"
    assert float(written[2]) == bound, (
        f"write the bound of {name} in docs/metrics.md as the code has it: {bound:.12g}; the page says {BOUNDS[name]}"
    )
    if written[1] is not None:
        assert catalog.load("metrics", name, **{written[1]: 7}).bound == 7


def names_in(page, pattern):
    """The names in backquotes of the one place that the pattern finds."""
    return set(re.findall(r"`([a-z0-9-]+)`", re.search(pattern, page)[1]))


@pytest.mark.parametrize("name", metrics_of_pictures_alone())
def test_what_else_a_metric_does_is_on_the_pages(name):
    metric = catalog.load("metrics", name)
    places = {
        "the row difference-of-blurs of docs/metrics.md": (
            has_difference_of_blurs(name),
            names_in(PAGE, r"\n\| `difference-of-blurs` \| .* \| (.+) \|\n"),
        ),
        "the sentence on PSNR of docs/metrics.md": (
            metric.pointwise_root_mean_square,
            names_in(PAGE, r"\nOnly pointwise (.+) give a PSNR"),
        ),
        "the paragraph on bound_from=delivered of docs/guarantees.md": (
            bounds(metric.bound_from_delivered, PICTURE),
            names_in(GUARANTEES, r"\n\*\*`delivered`\*\* works for (.+) in every order"),
        ),
    }
    for place, (does, named) in places.items():
        assert does == (name in named), f"{'name' if does else 'do not name'} `{name}` in {place}"


def bounds(function, *given):
    """Whether such a bound is known."""
    try:
        function(*given)
    except UsageError:
        return False
    return True


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
