"""What the pages say is plain and true, and in an order that a screen reader follows."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from reports.test_comparison_page import found  # noqa: F401 - a fixture
from reports.test_html import words_of
from support.report_material import make_result, make_run

from blackbox_conformal.method.guarantees.corollaries import statement
from blackbox_conformal.method.images.calibration_images import History
from blackbox_conformal.pages.report.comparison_page import write_comparison
from blackbox_conformal.pages.report.html import write_report
from blackbox_conformal.pages.report.page import few_cost, meaning, score_words, summary
from blackbox_conformal.pages.report.slider_levels import choose_stops
from blackbox_conformal.support.text import vendor_title


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


def test_headings_descend_one_by_one_and_landmarks_have_names_of_their_own(plain_report, comparison):
    for page in (plain_report, comparison):
        check_order(page.read_text(encoding="utf-8"))


def test_the_vendor_is_called_what_the_user_calls_it():
    titles = {
        "acme-x4": {"adapter": "http", "parameters": {"label": "acme-x4", "model": "m"}},
        "owner/name": {"adapter": "replicate", "parameters": {"label": "", "model": "owner/name"}},
        "house-ml": {"adapter": "recipe", "parameters": {"recipe": "house-ml", "scale": 4}},
        "the embedded vendor": {"adapter": "embedded", "parameters": {}},
    }
    assert [vendor_title(vendor) for vendor in titles.values()] == list(titles)
    assert vendor_title({"adapter": "x", "parameters": {"label": "a\x1b[31m"}}).isprintable()


def test_the_page_is_headed_by_that_name(plain_run, tmp_path):
    vendor = {"adapter": "http", "parameters": {"label": "acme-x4"}}
    procedure = plain_run.calibration.procedure.model_copy(update={"vendor": vendor})
    calibration = replace(plain_run.calibration, procedure=procedure)
    said = words_of(write_report(tmp_path, calibration, None, [], tmp_path / "r.html", alpha=0.1))
    assert "How far to trust acme-x4 ×4" in said
    assert "adapter http" in said


def test_the_scale_of_a_picture_is_said_as_it_is(plain_report):
    said = words_of(plain_report)
    assert "appears twice" not in said, "nobody is explained who stands once"
    assert "1:1" not in said, "how large the browser draws a picture is not known here"
    assert "128×96 pixels, all of them in this page. A pixel of the mask is a pixel of the picture." in said
    assert "1030×700 pixels, in this page reduced to half. A pixel of the mask stands for 2×2 of them." in said


def test_a_picture_that_stands_twice_is_explained(tmp_path):
    run = make_run(tmp_path / "run", hostile=False)
    twin = make_result(run.calibration, "audited 0", 900, 0.1)
    path = write_report(run.folder, run.calibration, run.audit, [*run.results, twin], tmp_path / "r.html", alpha=0.1)
    assert "audited 0 appears twice: as a masked picture" in words_of(path)


def test_sentences_are_plain(plain_report, comparison):
    said = words_of(plain_report)
    assert "what if the vendor trained on some of the 60 calibration photographs?" in said
    assert "Planted leakage" not in said
    assert said.index("Threshold") > said.index("Figures behind it")
    assert "A hollow dot is a baseline without a guarantee" in words_of(comparison)


def test_pictures_come_before_figures_and_tables(plain_report):
    order = (
        "Use the clear pixels",
        "At the level above, clear pixels are trusted",
        "A trust mask marks",
        "All pictures",
    )
    order += ("Where the mask was most wrong", "The guarantee at alpha", "Risk, trusted share", "The vendor Calls")
    said = words_of(plain_report)
    places = [said.index(words) for words in order]
    assert places == sorted(places)


def stop_at(calibration, alpha):
    (stop,) = [one for one in choose_stops(calibration, [alpha]) if one.alpha == alpha]
    return stop


def summary_of(calibration, alpha, audit=None):
    return " ".join(summary("acme-x4", calibration, stop_at(calibration, alpha), audit))


def test_the_first_paragraph_says_what_was_begun_before(plain_run):
    tried = replace(plain_run.calibration, history=History(earlier=2))
    assert "2 other calibrations of these photographs were begun in the same run folder before" in summary_of(
        tried, 0.1
    )
    assert "begun" not in summary_of(plain_run.calibration, 0.1)


def test_the_first_paragraph_says_who_what_is_promised_and_what_it_means(plain_run):
    said = summary_of(plain_run.calibration, 0.1)
    assert said.startswith("acme-x4 makes pictures 4 times larger, and some of the detail that it adds may be wrong.")
    assert statement(plain_run.calibration.rule(), 0.1, 60, plain_run.calibration.procedure.metric) in said
    assert "No audit has checked this promise" in said
    (lead,) = meaning(stop_at(plain_run.calibration, 0.1), 0.617, "a calibration photograph")
    assert lead.startswith("On average 62 % of a calibration photograph is trusted. Use the clear pixels as they are")


def test_few_photographs_say_what_they_cost(plain_run):
    calibration = plain_run.calibration
    rule, stop = calibration.rule(), stop_at(calibration, 0.05)
    # The sum of the losses may be alpha (n + 1) - B.
    allowed = (0.05 * (calibration.n + 1) - rule.loss_bound(calibration.bound)) / calibration.n
    (said,) = few_cost(calibration, stop)
    assert f"with only {calibration.n} calibration photographs their own mean risk may be {allowed:.2g} at most" in said
    assert few_cost(calibration, stop_at(calibration, 0.1)) == ()


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("confirmed", "An audit on 2 photographs that calibration has not seen confirmed this promise."),
        ("inconclusive", "found nothing against this promise, and is too small to confirm it."),
        ("shifted", "so the promise does not cover them."),
        ("contradicted", "contradicted this promise: do not rely on these masks."),
    ],
)
def test_the_first_paragraph_says_what_the_audit_found(plain_run, verdict, words):
    levels = [replace(level, judgement=replace(level.judgement, fewest=None)) for level in plain_run.audit.levels]
    audit = replace(plain_run.audit, verdict=verdict, levels=tuple(levels))
    assert words in summary_of(plain_run.calibration, 0.1, audit)
    assert "Warning" not in summary_of(plain_run.calibration, 0.1, audit)
    drifted = replace(audit, drift="the answers are unlike those before")
    assert "Warning: the answers are unlike those before." in summary_of(plain_run.calibration, 0.1, drifted)


def test_the_first_paragraph_says_how_many_photographs_could_confirm(plain_run):
    (level, *others) = plain_run.audit.levels
    judgement = replace(level.judgement, verdict="inconclusive", fewest=69, n=2)
    audit = replace(plain_run.audit, verdict="inconclusive", levels=(replace(level, judgement=judgement), *others))
    said = summary_of(plain_run.calibration, level.alpha, audit)
    assert (
        "found nothing against this promise. 2 photographs cannot confirm it, whatever they show; at least 69" in said
    )
    assert "too small" not in said


def test_where_nothing_is_trusted_nobody_is_told_to_use_it(plain_run):
    assert "Nothing can be trusted at 0.001" in summary_of(plain_run.calibration, 0.001)
    assert meaning(stop_at(plain_run.calibration, 0.001), 0.0, "it") == ("At this level nothing is trusted.",)


def test_a_vendor_that_restores_is_not_said_to_enlarge(plain_run):
    procedure = plain_run.calibration.procedure.model_copy(update={"scale": 1})
    assert "acme-x4 restores pictures, and some of what it changes may be wrong." in summary_of(
        replace(plain_run.calibration, procedure=procedure), 0.1
    )


def test_what_the_score_is_computed_from_is_said(plain_run):
    procedure = plain_run.calibration.procedure
    once = procedure.model_copy(update={"draws": 1, "score": {"name": "learned"}})
    assert score_words(once) == "learned, computed from one draw: the vendor was not asked twice"
    several = procedure.model_copy(update={"draws": 8, "score": {"name": "weighted"}})
    assert score_words(several) == "weighted, computed from 8 draws"
