"""The report on paper and where no script runs: every picture is there, and nothing that would do nothing."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from support.report_browser import move_to, opened, rule_mask, until

from blackbox_conformal.method.guarantees.corollaries import statement

pytestmark = pytest.mark.browser


def pictures_in(pdf):
    """(width, height) of the pictures that a PDF file of Chromium holds."""
    found = re.findall(rb"/Subtype /Image\s(?:(?!endobj).)*?/Width (\d+)\s(?:(?!endobj).)*?/Height (\d+)", pdf, re.S)
    return {(int(width), int(height)) for width, height in found}


def test_printing_by_the_browsers_own_command_gives_every_picture(chromium, plain_report):
    with opened(chromium, plain_report, height=500) as page:
        stop = int(page.input_value("#alpha")) + 3
        move_to(page, stop)
        page.locator("#words").fill("masked")
        assert page.locator(".card:visible").count() == 1
        shown = pictures_in(page.pdf())
        for card in page.locator(".card").all():
            assert card.get_attribute("data-stop") == str(stop), "the mask on paper is that of the level on paper"
            for part in ("img.delivered", "canvas"):
                size = card.locator(part).evaluate(
                    "one => [one.naturalWidth ?? one.width, one.naturalHeight ?? one.height]"
                )
                assert tuple(size) in shown


def test_delivered_pictures_are_printed_as_they_lie_in_the_page(chromium, plain_report):
    """Pictures of another form would be printed pixel by pixel, in ten times as many bytes."""
    with opened(chromium, plain_report) as page:
        printed = page.pdf()
        sources = page.locator("img.delivered").evaluate_all("all => all.map(one => one.src)")
        for source in sources:
            assert base64.b64decode(source.split(",")[1]) in printed


def test_on_a_small_screen_details_are_folded_and_open_where_they_are_wanted(chromium, plain_report):
    with opened(chromium, plain_report, width=390, height=844) as page:
        parts = page.locator(".part")
        assert parts.count() == 6
        assert parts.evaluate_all("all => all.some(one => one.open)") is False
        assert page.locator("#guarantee").is_visible()
        page.get_by_role("link", name="What such errors look like").click()
        assert page.locator(".examples").is_visible()
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert parts.evaluate_all("all => all.every(one => one.open)") is True
    with opened(chromium, plain_report, java_script_enabled=False, width=390, height=844) as page:
        assert page.locator(".part:not([open])").count() == 0, "what cannot be opened by a script is open"
    with opened(chromium, plain_report) as page:
        assert page.locator(".part:not([open])").count() == 0


def test_on_paper_only_what_works_on_paper_is_left(chromium, plain_report):
    with opened(chromium, plain_report) as page:
        closed = page.locator("details:not(.long):not([open])").count()
        assert closed > 1
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        for what in ("#alpha", "#print", "#viewer", "#words", ".card button"):
            assert page.locator(what).first.is_hidden(), what
        assert page.locator(".card canvas").first.is_visible()
        page.set_viewport_size({"width": 700, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth") <= 700, "no table runs off the paper"
        opened_ones = page.locator("details").evaluate_all("all => all.map(one => [one.open, one.className])")
        assert [state for state, name in opened_ones if name != "long"] == [True] * (len(opened_ones) - 3)
        assert [state for state, name in opened_ones if name == "long"] == [False] * 3
        assert page.locator("pre:visible").count() == 0, "what only machines read is left out"
        assert "are left out on paper" in page.inner_text("main")
        cards = page.locator(".card")
        widths = cards.evaluate_all("all => all.map(one => [one.dataset.kind, one.getBoundingClientRect().width])")
        assert widths[0][0] == "result"
        assert widths[0][1] > 0.9 * page.locator("main").bounding_box()["width"] - 50, "the masked picture is large"
        assert all(width > 180 for _, width in widths)
        errors = page.locator("#errors").bounding_box()
        assert all(card.bounding_box()["y"] < errors["y"] for card in cards.all()), "pictures come first"
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details:not(.long):not([open])").count() == closed, "on the screen all is as it was"


def test_the_button_prints(chromium, plain_report):
    with opened(chromium, plain_report) as page:
        page.evaluate("window.print = () => { window.printed = true; }")
        page.locator("#print").click()
        until(page, "window.printed")


def test_without_scripts_every_picture_is_there_with_its_mask(chromium, plain_run, plain_report):
    names = dict(zip(plain_run.names, ["masked", *(one.truth for one in plain_run.audit.pictures)], strict=True))
    scores = {**plain_run.scores, "masked": plain_run.results[0].score_map}
    threshold = plain_run.calibration.threshold(0.1)
    with opened(chromium, plain_report, java_script_enabled=False) as page:
        assert page.locator("figure svg path").first.is_visible()
        assert statement(
            plain_run.calibration.rule(), 0.1, 60, plain_run.calibration.procedure.metric
        ) in page.inner_text("main")
        for dead in page.locator("input, select, button, #viewer").all():
            assert dead.is_hidden(), "what needs a script is not shown"
        said = " ".join(page.inner_text("main").split())
        assert "without JavaScript" in said
        assert "the level stays at alpha = 0.1" in said
        for card in page.locator(".card").all():
            still = Image.open(
                io.BytesIO(base64.b64decode(card.locator("img.still").get_attribute("src").split(",")[1]))
            )
            clear = np.asarray(still.convert("RGBA"))[..., 3] == 0
            assert (clear == rule_mask(scores[names[card.get_attribute("data-name")]] < threshold)).all()
            picture = np.asarray(Image.open(io.BytesIO(card.locator(".stage").screenshot())).convert("RGB"))
            assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 200, "a picture is shown"


def test_without_scripts_every_picture_is_printed(chromium, plain_report):
    with opened(chromium, plain_report, java_script_enabled=False) as page:
        shown = pictures_in(page.pdf())
        for card in page.locator(".card").all():
            width, height = map(int, card.locator(".stage > svg").get_attribute("viewBox").split()[2:])
            assert (width, height) in shown


def test_with_scripts_nothing_is_said_of_their_absence(chromium, plain_report):
    with opened(chromium, plain_report) as page:
        assert page.get_by_text("without JavaScript").count() == 0 or page.get_by_text("without JavaScript").is_hidden()
        page.locator(".card").first.scroll_into_view_if_needed()
        until(page, "document.querySelector('.card').dataset.ready === 'yes'")
        assert page.locator(".card img.still").first.is_hidden(), "the mask that moves has taken its place"
