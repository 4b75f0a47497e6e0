"""Figures are SVG that stands alone, and that takes the colours of a notebook's page."""

import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest
from support.synthetic import photograph

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.pages.notebook import LOOKS
from blackbox_conformal.support.blocks import Figure
from blackbox_conformal.support.plots import Bar, Bars, Chart, Dot, Dots, Plot, Raster, Series

HOSTILE = '</svg><script>alert("x")</script>'


def plots() -> list[Plot]:
    points = ((0.1, 0.2), (0.2, 0.3), (0.3, 0.6))
    series = [
        Series(HOSTILE, "realised", points, "dots", ((0.1, 0.1, 0.3), (0.3, 0.2, 9.0))),
        Series("bound", "bound", points, "step"),
        Series("allowed", "allowed", points),
    ]
    return [
        Chart(HOSTILE, "alpha", "risk", series, y_range=(0.0, 1.0)),
        Dots("dots", [Dot(HOSTILE, "1", 1.0, "promised", (0.5, 1.5)), Dot("b", "2", 2.0, "unpromised")], line=1.5),
        Bars("bars", "", [Bar(HOSTILE, 3, "realised"), Bar("b", 1, "bound")]),
        Raster("picture", image_png(photograph(1)), 80, 64),
    ]


@pytest.mark.parametrize("alone", [True, False])
def test_it_is_xml_without_foreign_marks_and_says_what_it_shows(alone):
    figure = Figure(plots())
    root = ElementTree.fromstring(figure.svg if alone else figure._repr_html_())
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "g", "text", "line", "path", "circle", "image", "rect", "tspan"}
    assert root.get("role") == "img"
    assert HOSTILE in root.get("aria-label", "")
    text = "".join(root.itertext())
    assert text.count(HOSTILE) == 5


def test_every_plot_lies_within_it_and_none_on_another():
    root = ElementTree.fromstring(Figure(plots()).svg)
    space = "{http://www.w3.org/2000/svg}"
    groups = [group.get("transform", "")[len("translate(") : -1].split() for group in root.findall(f"{space}g")]
    corners = [(float(x), float(y)) for x, y in groups]
    boxes = [(x, y, x + plot.width, y + plot.height) for (x, y), plot in zip(corners, plots(), strict=True)]
    for (left, top, right, bottom), other in combinations(boxes, 2):
        assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    assert max(box[2] for box in boxes) <= float(root.get("width", ""))
    assert max(box[3] for box in boxes) <= float(root.get("height", ""))


def test_alone_it_is_dark_on_white_and_in_a_page_in_the_pages_colour():
    figure = Figure(plots())
    assert 'fill="#ffffff"' in figure.svg
    assert 'color="#16181d"' in figure.svg
    inside = figure._repr_html_()
    assert "#ffffff" not in inside
    assert 'fill="currentColor"' in inside
    assert "<style" not in inside


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    values = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_colours_can_be_seen_on_light_and_on_dark(ground):
    for role, look in LOOKS.items():
        lighter, darker = sorted((luminance(look.colour), luminance(ground)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, role


def test_it_is_saved_once_and_as_svg_alone(tmp_path):
    figure = Figure(plots())
    path = figure.save(tmp_path / "figure.svg")
    assert path.read_text("utf-8") == figure.svg == figure._repr_svg_()
    assert figure.save(str(path)) == path
    with pytest.raises(UsageError, match=r"ends with \.svg; got .*figure\.png"):
        figure.save(tmp_path / "figure.png")
    with pytest.raises(UsageError, match="--force"):
        Figure(plots()[1:]).save(path)
    assert repr(figure).startswith("<Figure: ")
