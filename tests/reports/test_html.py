"""The page is one closed file, no foreign text is markup, and its words are plain, true and in order."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from reports.test_comparison_page import found  # noqa: F401 - a fixture
from support.audit_material import audited_picture, calibration_of, curves, maps
from support.report_material import HOSTILE, make_calibration, make_ledger, make_result, make_run

from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.random_splits import CAUTION
from blackbox_conformal.method.audits.verdict import EXPLAINED, FIXED
from blackbox_conformal.method.guarantees.corollaries import in_short
from blackbox_conformal.method.images.calibration_images import History
from blackbox_conformal.pages.report.comparison_page import write_comparison
from blackbox_conformal.pages.report.html import number, write_report
from blackbox_conformal.pages.report.page import few_cost, meaning, score_words, summary
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.report.slider_levels import choose_stops
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.support.text import vendor_title
from blackbox_conformal.support.wording import at_most, between, share


class Page(HTMLParser):
    """Elements with their attributes, and the text of each script and style."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.raw, self.words, self.inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag in ("script", "style"):
            self.raw.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in ("script", "style"):
            tag, attrs, text = self.raw[-1]
            self.raw[-1] = (tag, attrs, text + data)
        else:
            self.words.append(data)


def words_of(path):
    return " ".join(" ".join(Page(path.read_text(encoding="utf-8")).words).split())


@pytest.fixture(scope="module")
def report(hostile_report):
    return hostile_report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(report):
    return Page(report)


def test_the_policy_allows_its_own_style_and_script_and_nothing_else(parsed):
    policy = next(a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    for kind in ("style", "script"):
        own = [text for tag, a, text in parsed.raw if tag == kind and "type" not in a]
        assert len(own) == 1
        digest = base64.b64encode(hashlib.sha256(own[0].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


def test_elements_are_the_templates_own(parsed):
    allowed = {"script": 5, "style": 1, "link": 1, "iframe": 0, "a": 3, "object": 0, "form": 0, "base": 0}
    counts = {name: sum(tag == name for tag, _ in parsed.elements) for name in allowed}
    assert counts == allowed
    for tag, attributes in parsed.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "style" not in attributes, "inline styles would be blocked by the policy"
        for name in ("src", "href", "action", "data", "srcset", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)


def test_hostile_text_is_shown_as_text(parsed):
    words = "".join(parsed.words)
    for text in HOSTILE[:7]:
        assert text in words, "shown, not swallowed"
    assert json.dumps(HOSTILE[7]) in words
    assert "\x1b" not in words
    assert "\u202e" not in words


def test_json_blocks_are_json_and_close_no_script(parsed):
    blocks = [json.loads(text) for tag, a, text in parsed.raw if a.get("type") == "application/json"]
    assert len(blocks) == 4
    stops, *cards = blocks
    assert len(stops["alphas"]) == len(stops["thresholds"]) == len(stops["statements"]) == len(stops["shares"]) <= 255
    assert all(len(card["shares"]) == len(stops["alphas"]) for card in cards)


def test_figures_are_those_of_calibration_audit_and_masks(hostile_run, parsed):
    stops, *cards = [json.loads(text) for _, a, text in parsed.raw if a.get("type") == "application/json"]
    calibration = hostile_run.calibration
    at = stops["alphas"].index(0.1)
    shares = [scores < calibration.threshold(0.1) for scores in hostile_run.scores.values()]
    assert sorted(card["shares"][at] for card in cards) == sorted(round(float(mask.mean()), 5) for mask in shares)
    known = sorted(card["losses"][at] for card in cards if card["losses"])
    expected = [one.curve.loss(calibration.threshold(0.1)) for one in hostile_run.audit.pictures]
    assert known == pytest.approx(sorted(expected), abs=1e-5)
    audited = [one.shares[1] for one in hostile_run.audit.pictures]
    assert stops["shares"][at] == pytest.approx(sum(audited) / len(audited), abs=1e-4)
    assert f"{hostile_run.audit.levels[1].judgement.risk:.4f}" in "".join(parsed.words)


def test_answers_unlike_those_of_the_calibration_are_warned_of_on_the_page(plain_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(plain_run.folder, folder)
    drift = "the answers to these 4 pictures are not like those"
    ReportStore(folder, plain_run.calibration).keep_audit(replace(plain_run.audit, drift=drift))
    path = write_report(folder, plain_run.calibration, None, [], tmp_path / "r.html", alpha=0.1)
    assert f"Warning: {drift}." in words_of(path)


def test_calls_at_an_unknown_price_do_not_look_free(tmp_path):
    said = []
    for name, given in (("priced", {}), ("unpriced", {"price": 0, "priced": False})):
        (tmp_path / name).mkdir()
        make_ledger(tmp_path / name, **given)
        calibration = make_calibration(hostile=False)
        said.append(
            words_of(write_report(tmp_path / name, calibration, None, [], tmp_path / f"{name}.html", alpha=0.1))
        )
    assert "Paid $0.12 7 calls" in said[0]
    assert "unknown" not in said[0]
    words = said[1]
    assert "Paid unknown 7 calls" in words
    assert "3 calls were made at an unknown price; the others cost $0" in words
    assert "$0 7 calls" not in words


def test_every_part_of_the_audit_is_in_the_page(plain_run, tmp_path):
    audit = plain_run.audit
    path = write_report(plain_run.folder, plain_run.calibration, None, [], tmp_path / "r.html", alpha=0.1)
    page, words = Page(path.read_text()), words_of(path)
    for level in audit.levels:
        assert level.sentence in words
        low, high = level.judgement.interval
        assert f"{level.judgement.risk:.4f} {between((low, high))}".replace(" ", "") in words.replace(" ", "")
        assert f"{level.inside.psnr:.2f}" in words
        assert f"{level.outside.ssim:.3f}" in words
    assert FIXED in words
    assert f"Risk is {audit.quantity}." in words
    assert EXPLAINED[audit.levels[0].judgement.verdict] in words
    for point in audit.leakage.points:
        assert at_most(point.bound, 4) in words
        assert f"{point.risk_allowed:.4f}" in words
    for one in audit.worst(1, 12):
        assert one.name in words
        assert f"{one.worst[1].error:.3f}" in words
    titles = [text.strip() for text in page.words if text.strip()]
    assert {f"{what} against alpha" for what in ("Risk", "Trusted share", "PSNR, sRGB", "Mean SSIM")} <= set(titles)
    assert any(title.startswith("If the vendor trained on them, at alpha = 0.1") for title in titles)


def test_random_splits_stand_with_their_warning_and_without_a_verdict(plain_run, tmp_path):
    splits = ReportStore(plain_run.folder, plain_run.calibration).splits()
    path = write_report(plain_run.folder, plain_run.calibration, None, [], tmp_path / "r.html", alpha=0.1)
    words = words_of(path)
    assert "20 random splits of" in words
    assert CAUTION in words
    assert "are measured: no verdict" in words
    for level in splits.levels:
        assert f"{level.risk[0]:.4f} ± {level.risk[1]:.4f}" in words
    alone = write_report(tmp_path, plain_run.calibration, plain_run.audit, [], tmp_path / "s.html", alpha=0.1)
    assert "20 random splits of" not in alone.read_text()


def audited(levels, n, **given):
    calibration, rng = calibration_of(curves(0, n), **given), np.random.default_rng(1)
    pictures = [audited_picture(f"a{k}", *maps(rng), [calibration.threshold(a) for a in levels]) for k in range(9)]
    return calibration, conclude(calibration, calibration.rule(), levels, pictures), pictures


def test_per_image_shows_the_share_of_misses_against_delta(tmp_path):
    calibration, audit, pictures = audited([0.3, 0.5], 30, guarantee={"name": "per-image", "delta": 0.2})
    path = write_report(tmp_path, calibration, audit, [], tmp_path / "r.html", alpha=0.3)
    words = words_of(path)
    assert "Photographs with an error above alpha" in words
    assert "allowed: delta = 0.2" in words
    assert "claimed at most" in words
    assert "Risk against alpha" not in words
    misses = np.mean([one.curve.loss(calibration.threshold(0.3)) > 0.3 for one in pictures])
    row = re.search(
        r'<tr><th scope="row">0\.3</th><td[^>]*>score[^<]*</td><td>[^<]*</td><td>([^<]*)</td>', path.read_text()
    )
    assert row.group(1) == f"{misses:.4f}"


def test_how_inputs_are_made_stands_among_what_must_hold(tmp_path):
    path = write_report(tmp_path, calibration_of(curves(0, 30)), None, [], tmp_path / "r.html", alpha=0.3)
    assert "<li>Inputs are made like those of the calibration: bicubic.</li>" in path.read_text()


def test_bounds_of_the_picture_are_said_to_be_in_use(tmp_path):
    for guarantee in ({"name": "expected", "bound_from": "delivered"}, None):
        calibration = calibration_of(curves(0, 30), guarantee=guarantee)
        path = write_report(tmp_path, calibration, None, [], tmp_path / "r.html", alpha=0.3, force=True)
        assert ("they use the metric’s bound, which trusts no more" in path.read_text()) == (guarantee is not None)


def test_what_a_certificate_notes_is_said_at_the_picture(plain_run, tmp_path):
    store = ReportStore(tmp_path, plain_run.calibration, (0.1,))
    result = plain_run.results[0]
    noted = result.certificate.doubted("the input is a JPEG file: the guarantee is for others")
    store.add_doubt(store.masked(result), noted)
    text = write_report(tmp_path, plain_run.calibration, None, [], tmp_path / "r.html", alpha=0.1).read_text()
    assert text.count('<p class="noted small">The input is a JPEG file.</p>') == 1
    assert "The input is a JPEG file: the guarantee is for others.</p>" in text


def test_a_level_at_which_nothing_is_trusted_is_no_verdict(tmp_path, plain_run):
    calibration, audit, _ = audited([0.05, 0.5], 12)
    text = write_report(tmp_path, calibration, audit, [], tmp_path / "r.html", alpha=0.5).read_text()
    assert text.count(">nothing trusted</td>") == 1
    assert "Nothing can be trusted at 0.05: 12 calibration photographs" in text
    path = write_report(tmp_path, plain_run.calibration, None, [], tmp_path / "s.html", alpha=0.001)
    assert "Nothing can be trusted at 0.001" in path.read_text()


def test_no_jinja_in_data_runs(report):
    assert "{{ 7 * 7 }}" in report
    assert not re.search(r">\s*49\s*<", report)


def test_a_report_of_masked_and_audited_pictures_says_the_whole_statement_once(plain_report):
    page = plain_report.read_text()
    assert "Masked picture" in page
    assert "photographs that calibration has not seen" in page
    assert page.count("On average over new photographs") == 1


def test_a_report_without_anything_is_still_a_report(plain_run, tmp_path):
    path = write_report(tmp_path, plain_run.calibration, None, [], tmp_path / "r.html", alpha=0.2)
    words = "".join(Page(path.read_text()).words)
    assert "There is no audit yet" in words
    error = "locally averaged rgb-linf error (Gaussian of sigma 4, about 9 pixels wide)"
    assert f"Risk is the mean over photographs of the largest {error} of a trusted pixel." in words
    assert plain_run.calibration.rule().statement(0.2, 60, error) in words


def test_who_vouches_for_the_calibration_stands_in_the_report(plain_run, tmp_path):
    plain, signed = tmp_path / "plain.html", tmp_path / "signed.html"
    write_report(tmp_path, plain_run.calibration, None, [], plain, alpha=0.2)
    said = "".join(Page(plain.read_text()).words)
    assert f"Calibration {plain_run.calibration.digest}, not signed, so no key vouches for it" in said
    assert "It is not signed, so no key vouches for it" in said
    key = SigningKey.new("<b>Laboratory</b>")
    write_report(tmp_path, plain_run.calibration.signed(key), None, [], signed, alpha=0.2)
    said = "".join(Page(signed.read_text()).words)
    assert f'{plain_run.calibration.digest}, signed by {key.key} (says it is "<b>Laboratory</b>")' in said
    assert f"It carries a signature by {key.key}" in said
    assert "a key that you trust" not in said
    assert "no key vouches" not in said


def test_a_mask_outside_the_calibration_is_shown_without_its_statement(plain_run, tmp_path):
    (result, *_) = plain_run.results
    outside = {"status": "outside-calibration", "reason": "the guarantee does not speak of it"}
    marked = replace(result, certificate=result.certificate.model_copy(update=outside))
    page = write_report(tmp_path, plain_run.calibration, None, [marked], tmp_path / "r.html", alpha=0.1).read_text()
    assert "Its certificate is for alpha = 0.1 and says: No guarantee: the guarantee does not speak of it." in page
    assert "Its certificate is for alpha = 0.1." not in page
    assert '<p class="noted small">No guarantee: the guarantee does not speak of it.</p>' in page
    assert "no guarantee: outside-calibration" in repr(marked)
    assert "No guarantee" in marked._repr_html_()


def test_results_at_hand_replace_stored_ones(plain_run, tmp_path):
    store = ReportStore(tmp_path, plain_run.calibration)
    store.masked(plain_run.results[0])
    path = write_report(tmp_path, plain_run.calibration, None, plain_run.results, tmp_path / "r.html", alpha=0.1)
    assert path.read_text().count("<article") == 1


def test_nothing_is_overwritten_without_force(plain_run, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("mine")
    arguments = (tmp_path, plain_run.calibration, None, [], path)
    with pytest.raises(UsageError, match="--force"):
        write_report(*arguments, alpha=0.1)
    assert path.read_text() == "mine"
    write_report(*arguments, alpha=0.1, force=True)
    assert path.read_text().startswith("<!doctype html>")


def test_levels_that_are_none_are_refused(plain_run, tmp_path):
    for alpha in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="alpha"):
            write_report(tmp_path, plain_run.calibration, None, [], tmp_path / "r.html", alpha=alpha)


def test_writing_twice_gives_the_same_bytes(hostile_run, tmp_path):
    first, second = (
        write_report(hostile_run.folder, hostile_run.calibration, None, [], tmp_path / name, alpha=0.1)
        for name in ("a.html", "b.html")
    )
    assert first.read_bytes() == second.read_bytes()


def test_numbers_for_people():
    assert [number(value) for value in (None, float("nan"), float("inf"), 0.12345)] == ["–", "–", "∞", "0.1235"]
    assert [share(value) for value in (None, float("nan"), 0.5)] == ["–", "–", "50.0 %"]


def test_of_too_many_pictures_the_worst_are_shown(plain_run, tmp_path, monkeypatch):
    arguments = (plain_run.folder, plain_run.calibration, None, [])
    everything = write_report(*arguments, tmp_path / "all.html", alpha=0.1).read_text()
    assert "left out, because" not in everything
    assert everything.count("<article") == 2
    monkeypatch.setattr("blackbox_conformal.pages.report.html.MOST_PICTURES", 1)
    some = write_report(*arguments, tmp_path / "some.html", alpha=0.1).read_text()
    assert "1 more picture is left out, because the page would be too large" in some
    worst = max(plain_run.audit.pictures, key=lambda picture: picture.losses[0])
    assert re.findall(r'<article class="card" data-name="([^"]*)"', some) == [worst.name]
    level = plain_run.audit.levels[1]
    assert f"{level.judgement.risk:.4f}" in some, "figures are of all photographs"


@pytest.mark.parametrize(("room", "longest"), [(2 * 515**2, 515), (2 * 300**2, 258)])
def test_many_pictures_are_shown_smaller(plain_run, tmp_path, monkeypatch, room, longest):
    monkeypatch.setattr("blackbox_conformal.pages.report.html.PAGE_PIXELS", room)
    monkeypatch.setattr("blackbox_conformal.pages.report.html.SIDES", (515, 260))
    path = write_report(plain_run.folder, plain_run.calibration, None, [], tmp_path / "r.html", alpha=0.1)
    cards = [json.loads(text) for _, a, text in Page(path.read_text()).raw if a.get("type") == "application/json"][1:]
    assert max(max(card["width"], card["height"]) for card in cards) == longest


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
    assert in_short(plain_run.calibration.rule(), 0.1, 60, plain_run.calibration.procedure.metric) in said
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
