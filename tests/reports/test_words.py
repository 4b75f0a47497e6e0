"""What the pages say is plain and true, and in an order that a screen reader follows."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from reports.test_comparison_page import found  # noqa: F401 - a fixture
from reports.test_html import Page
from support.report_material import make_result, make_run

from blackbox_conformal.reports.comparison_page import write_comparison
from blackbox_conformal.reports.html import write_report
from blackbox_conformal.reports.page import vendor_words


def words(path) -> str:
    return " ".join(" ".join(Page(path.read_text(encoding="utf-8")).words).split())


@pytest.fixture(scope="module")
def report(plain_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "report.html"
    return write_report(plain_run.folder, plain_run.calibration, plain_run.audit, plain_run.results, path, alpha=0.1)


@pytest.fixture
def comparison(found, tmp_path):  # noqa: F811
    return write_comparison(found, tmp_path / "comparison.html")


def check_order(text: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels)), levels
    headings = dict(re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', text))
    names = [headings[label] for label in re.findall(r'<section aria-labelledby="([^"]+)"', text)]
    names += re.findall(r'role="region" aria-label="([^"]+)"', text)
    assert len(set(names)) == len(names), "two landmarks of one name cannot be told apart"


def test_headings_descend_one_by_one_and_landmarks_have_names_of_their_own(report, comparison):
    check_order(report.read_text(encoding="utf-8"))
    check_order(comparison.read_text(encoding="utf-8"))


def test_the_vendor_is_called_what_the_user_calls_it():
    assert vendor_words({"adapter": "http", "parameters": {"label": "acme-x4", "model": "m"}}) == "acme-x4"
    assert vendor_words({"adapter": "replicate", "parameters": {"label": "", "model": "owner/name"}}) == "owner/name"
    assert vendor_words({"adapter": "embedded", "parameters": {}}) == "embedded"
    assert vendor_words({"adapter": "x", "parameters": {"label": "a\x1b[31m"}}).isprintable()


def test_the_page_is_headed_by_that_name(plain_run, tmp_path):
    vendor = {"adapter": "http", "parameters": {"label": "acme-x4"}}
    procedure = plain_run.calibration.procedure.model_copy(update={"vendor": vendor})
    calibration = replace(plain_run.calibration, procedure=procedure)
    said = words(write_report(tmp_path, calibration, None, [], tmp_path / "r.html", alpha=0.1))
    assert "How far to trust acme-x4 ×4" in said
    assert "adapter http" in said


def test_the_scale_of_a_picture_is_said_as_it_is(report):
    said = words(report)
    assert "1:1" not in said, "how large the browser draws a picture is not known here"
    assert "128×96 pixels, all of them in this page. A pixel of the mask is a pixel of the picture." in said
    assert "1030×700 pixels, in this page reduced to a third. A pixel of the mask stands for 3×3 of them." in said


def test_a_picture_that_stands_twice_is_explained(tmp_path):
    run = make_run(tmp_path / "run", hostile=False)
    twin = make_result(run.calibration, "audited 0", 900, 0.1)
    path = write_report(run.folder, run.calibration, run.audit, [*run.results, twin], tmp_path / "r.html", alpha=0.1)
    assert "audited 0 appears twice: as a masked picture" in words(path)


def test_nobody_is_explained_who_stands_once(report):
    assert "appears twice" not in words(report)


def test_sentences_are_plain(report, comparison):
    said = words(report)
    assert "Sensitivity: what if the vendor trained on some of your calibration photographs?" in said
    assert "Planted leakage" not in said
    assert said.index("Threshold") > said.index("Figures behind it")
    assert "A hollow dot is a baseline without a guarantee" in words(comparison)


def test_pictures_come_before_figures_and_tables(report):
    said = words(report)
    assert said.index("The guarantee at alpha") < said.index("At the level above, clear pixels are trusted")
    assert said.index("At the level above, clear pixels are trusted") < said.index("Risk, trusted share, quality")
