"""The pages in a real browser, on paper and without scripts: exact masks, keyboard, silence, labels that are whole."""

import base64
import io
import re
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from support.report_browser import label, move_to, opened, rule_mask, shows, until
from support.report_material import make_calibration, make_run
from support.watched_file import CHANGED, live, visit

from blackbox_conformal.method.guarantees.corollaries import in_short, statement
from blackbox_conformal.method.images.encode import mask_png
from blackbox_conformal.pages.report.comparison_page import write_comparison
from blackbox_conformal.pages.report.encoded import webp
from blackbox_conformal.pages.report.html import write_report
from blackbox_conformal.pages.report.preview import content_of, parts_of
from blackbox_conformal.pages.report.watch_page import write_watch_page
from blackbox_conformal.study.choose.comparison import INTERVALS, OURS, Comparison, ComparisonRow, Standing
from blackbox_conformal.watching.watch_file import WatchFile, watch_path

pytestmark = pytest.mark.browser

SHOWN = """card => {
  const canvas = card.querySelector("canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const alpha = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  const clear = [];
  for (let i = 3; i < alpha.length; i += 4) clear.push(alpha[i] === 0 ? 1 : 0);
  return [canvas.width, canvas.height, clear];
}"""


def maps_by_name(run):
    names = dict(zip(run.names, ["masked", *(one.truth for one in run.audit.pictures)], strict=True))
    return names, {**run.scores, "masked": run.results[0].score_map}


def settled(page, card, stop):
    card.scroll_into_view_if_needed()
    until(page, "([card, stop]) => card.dataset.stop === String(stop)", [card.element_handle(), stop])


def test_masks_are_exact_at_five_levels(plain_run, page):
    names, scores = maps_by_name(plain_run)
    alphas = page.evaluate("JSON.parse(document.getElementById('stops').textContent).alphas")
    finite = [stop for stop, alpha in enumerate(alphas) if np.isfinite(plain_run.calibration.threshold(alpha))]
    stops = [finite[len(finite) * part // 6] for part in range(1, 6)] + [len(alphas) - 1]
    seen = set()
    for stop in stops:
        move_to(page, stop)
        threshold = plain_run.calibration.threshold(alphas[stop])
        for card in page.locator(".card").all():
            settled(page, card, stop)
            width, height, clear = card.evaluate(SHOWN)
            shown = np.array(clear, bool).reshape(height, width)
            full = scores[names[card.get_attribute("data-name")]]
            mask = np.asarray(Image.open(io.BytesIO(mask_png(full < np.float64(threshold)))))
            assert (shown == rule_mask(mask)).all()
            said = f"{100 * mask.mean():.1f} % trusted" if mask.any() else "nothing trusted"
            assert said in card.inner_text()
            assert mask.any() or "largest trusted error" not in card.inner_text()
            seen.add((card.get_attribute("data-name"), int(shown.sum())))
    assert len(seen) >= 5 * len(names), "the levels must differ, or nothing was tested"


def test_the_slider_moves_guarantee_threshold_share_and_charts(plain_run, page):
    alphas = page.evaluate("JSON.parse(document.getElementById('stops').textContent).alphas")
    for alpha in (0.1, 0.05):
        stop = alphas.index(alpha)
        move_to(page, stop)
        said = in_short(
            plain_run.calibration.rule(), alpha, plain_run.calibration.n, plain_run.calibration.procedure.metric
        )
        assert page.inner_text("#now-statement") == said
        assert page.inner_text("#now-threshold") == f"score < {plain_run.calibration.threshold(alpha):.6g}"
        mean = np.mean([one.shares[[0.05, 0.1, 0.2].index(alpha)] for one in plain_run.audit.pictures])
        assert page.inner_text("#now-share") == f"{100 * mean:.1f} %"
        line = page.locator("figure svg[data-x0]").first
        share = (alpha - float(line.get_attribute("data-x0"))) / (
            float(line.get_attribute("data-x1")) - float(line.get_attribute("data-x0"))
        )
        left, right = (float(line.get_attribute(f"data-{side}")) for side in ("left", "right"))
        assert float(line.locator("line.now").get_attribute("x1")) == pytest.approx(left + share * (right - left))


def test_everything_works_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#alpha").focus()
    before = int(page.input_value("#alpha"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert int(page.input_value("#alpha")) == before + 1
    shows(page, before + 1)
    page.keyboard.press("Home")
    shows(page, 0)
    assert page.get_attribute("#alpha", "aria-valuetext") == f"alpha {label(page, 0)}"
    reached = set()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))
    assert {"INPUT", "SELECT", "SUMMARY", "BUTTON"} <= reached


def test_hostile_text_runs_nowhere_and_breaks_no_layout(chromium, hostile_report):
    for width in (390, 1280):
        with opened(chromium, hostile_report, width=width) as page:
            closed = page.locator("details:not([open]) > summary")
            while closed.count():
                closed.first.click()
            for card in page.locator(".card").all():
                card.scroll_into_view_if_needed()
                until(page, "card => card.dataset.ready === 'yes'", card.element_handle())
                card.hover()
            assert page.title().startswith("Trust masks: ")
            assert "owned" not in page.title() or "onerror" in page.title(), "shown as text at most"
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("iframe, object, embed, form, base").count() == 0
            assert (page.locator("link").count(), page.locator(".card").count()) == (1, 3)
            assert page.locator("h1").is_visible()


def test_the_policy_stops_what_would_slip_through(chromium, plain_report, tmp_path):
    """Markup planted past the template: the policy alone must keep it from running or fetching."""
    planted = plain_report.read_text().replace(
        "<main>",
        "<main><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
        "<img src='https://example.org/beacon.png'><style>main{display:none}</style>"
        "<iframe srcdoc=\"<script>top.document.title='owned'</script>\"></iframe>",
    )
    path = tmp_path / "planted.html"
    path.write_text(planted)
    context = chromium.new_context()
    page = context.new_page()
    reached = []
    page.on("response", lambda response: reached.append(response.url))
    page.goto(path.as_uri())
    page.wait_for_timeout(300)
    assert page.title() == "Trust masks: the embedded vendor ×4"
    assert page.locator("main").is_visible()
    assert [url for url in reached if not url.startswith(("data:", path.as_uri()))] == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_phone_and_desktop_light_and_dark(chromium, plain_report, width, scheme):
    with opened(chromium, plain_report, width=width, color_scheme=scheme) as page:
        page.locator(".card").first.scroll_into_view_if_needed()
        until(page, "document.querySelector('.card').dataset.ready === 'yes'")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 22, 26)"}[scheme]
        assert page.locator("#alpha").bounding_box()["width"] > 0.8 * min(width, 1100)
        picture = np.asarray(Image.open(io.BytesIO(page.locator(".card .stage").first.screenshot())).convert("RGB"))
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 200, "a picture is shown"
        shown = [one for one in page.locator("button, select, summary").all() if one.is_visible()]
        assert len(shown) > 15
        assert [one for one in shown if one.bounding_box()["height"] < 24] == []


def test_tables_that_go_on_beyond_the_edge_are_reached_by_keyboard(chromium, plain_report):
    with opened(chromium, plain_report, width=390) as page:
        page.locator("details.part").evaluate_all("all => all.forEach(one => { one.open = true; })")
        regions = page.locator(".scroll").all()
        wide = [one for one in regions if one.evaluate("region => region.scrollWidth > region.clientWidth")]
        assert wide, "a phone is narrower than some table, or nothing was tested"
        for region in wide:
            region.focus()
            page.keyboard.press("ArrowRight")
            until(page, "region => region.scrollLeft > 0", region.element_handle())
            assert region.get_attribute("aria-label")


def test_crops_of_the_worst_places_are_shown_at_full_resolution_and_ringed(page):
    figures = page.locator(".pairs figure").all()
    assert figures
    for figure in figures:
        pictures = figure.locator("img").all()
        assert len(pictures) == 3
        for picture in pictures:
            picture.scroll_into_view_if_needed()
            width = picture.evaluate("image => image.decode().then(() => image.naturalWidth)")
            assert picture.bounding_box()["width"] >= width, "never smaller than its pixels"
        ring = figure.locator("circle.ring-in").first.bounding_box()
        box = pictures[0].bounding_box()
        assert box["x"] - 8 <= ring["x"] <= box["x"] + box["width"]
        assert box["y"] - 20 <= ring["y"] <= box["y"] + box["height"]


def test_a_hundred_and_thirty_large_pictures_stay_small_and_open_soon(chromium, tmp_path):
    run = make_run(tmp_path / "large", hostile=False, sizes=((2048, 2048),))
    folder = next((run.folder / "report").iterdir())
    content = content_of(next(folder.glob("audit-*.preview")).read_bytes())
    delivered = np.array(Image.open(io.BytesIO(content["delivered"])))
    for index in range(129):
        # No two pictures are equal, since a browser decodes equal ones once.
        delivered[:40] = index
        content["delivered"] = webp(Image.fromarray(delivered))
        (folder / f"audit-{index:024x}.preview").write_bytes(b"".join(parts_of(content)))
    path = write_report(run.folder, run.calibration, None, [], tmp_path / "large.html", alpha=0.1)
    assert path.stat().st_size < 30e6
    with opened(chromium, path) as page:
        assert page.locator(".card").count() == 130
        loaded = page.locator("img.delivered").evaluate_all("all => all.filter(one => one.naturalWidth > 0).length")
        assert loaded < 60, "pictures far below are not decoded yet"
        card = page.locator(".card").last
        card.scroll_into_view_if_needed()
        until(page, "card => card.dataset.ready === 'yes'", card.element_handle())
        timing = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        print(f"{path.stat().st_size / 1e6:.1f} MB, loaded after {timing:.0f} ms")


def pictures_in(pdf):
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


def test_delivered_pictures_are_printed_as_they_lie_in_the_page(page):
    """Pictures of another form would be printed pixel by pixel, in ten times as many bytes."""
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


def test_on_paper_only_what_works_on_paper_is_left(page):
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


def test_the_button_prints(page):
    page.evaluate("window.print = () => { window.printed = true; }")
    page.locator("#print").click()
    until(page, "window.printed")


def test_without_scripts_every_picture_is_there_with_its_mask(chromium, plain_run, plain_report):
    names, scores = maps_by_name(plain_run)
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


def test_with_scripts_nothing_is_said_of_their_absence(page):
    assert page.get_by_text("without JavaScript").count() == 0 or page.get_by_text("without JavaScript").is_hidden()
    page.locator(".card").first.scroll_into_view_if_needed()
    until(page, "document.querySelector('.card').dataset.ready === 'yes'")
    assert page.locator(".card img.still").first.is_hidden(), "the mask that moves has taken its place"


ADDRESS = "http:url=http://192.168.178.20:8000/v1/models/real-esrgan/upscale,picture-field=data.0.url,draws="

LABELS = [f"{ADDRESS}4", f"{ADDRESS}8", "W" * 90, "超解像" * 20, "ΩΩΩ @@@ %%% " * 9, "short"]

FOUND = """() => [...document.querySelectorAll("figure svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text.row")].map(text => {
    const lines = text.querySelectorAll("tspan");
    const own = text.getBoundingClientRect();
    return {text: text.textContent, lines: lines.length, over: own.right - box.right, under: box.left - own.left,
            top: own.top, bottom: own.bottom};
  });
})"""


def test_long_labels_are_whole_and_inside_the_plot(chromium, tmp_path):
    def row(label: str, method: str, gain: float) -> ComparisonRow:
        promised = "On average the error is at most 0.1." if method == OURS else "no guarantee on errors: made up"
        return ComparisonRow(
            label, method, 0.1, promised, 0.62, 0.04, 41.0, 27.5, 0.12, (gain, gain - 0.1, gain), (0.0,) * 3
        )

    rows = tuple(row(label, method, 0.1 * k) for k, label in enumerate(LABELS) for method in (OURS, INTERVALS))
    standings = tuple(Standing(label, 4, 8, 8, 0, 0, 0, Decimal(1), Decimal("0.4"), None) for label in LABELS)
    page_file = write_comparison(Comparison(21, 20, rows, standings), tmp_path / "page.html")
    with opened(chromium, page_file) as page:
        figures = page.evaluate(FOUND)
        assert len(figures) == 4
        for texts in figures:
            shown = [one["text"] for one in texts]
            # The figure of differences leaves out the first row, which they are to.
            for label in LABELS[len(texts) < len(LABELS) :]:
                assert any("".join(label.split()) in "".join(text.split()) for text in shown), label
            assert len(set(shown)) == len(shown)
            for one in texts:
                assert one["over"] <= 0, one
                assert one["under"] <= 0, one
            for upper, lower in pairwise(texts):
                assert upper["bottom"] <= lower["top"], (upper, lower)
            assert next(one["lines"] for one in texts if one["text"].startswith("short")) == 1
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


VERDICTS = """() => [...document.querySelector("table").querySelectorAll("tbody tr")].map(row => {
  const verdict = row.children[2], range = document.createRange();
  range.selectNodeContents(verdict);
  return {word: verdict.textContent, lines: range.getClientRects().length};
})"""


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (360, "light")])
def test_it_fits_its_window_and_breaks_no_verdict(chromium, tmp_path, width, scheme):
    calibration = make_calibration(n=5, hostile=False)
    file = calibration.save(tmp_path / "calibration.json")
    with WatchFile(watch_path(file)) as watch:
        for number in range(3):
            visit(watch, calibration)
            live(watch, calibration, number)
        visit(watch, calibration, CHANGED)
    page_file = write_watch_page(calibration, file, tmp_path / "run", tmp_path / "watch.html")
    with opened(chromium, page_file, width=width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        verdicts = page.evaluate(VERDICTS)
        assert {row["word"] for row in verdicts} == {"changed", "same"}
        assert all(row["lines"] == 1 for row in verdicts), verdicts
        titles = page.evaluate("[...document.querySelectorAll('.charts h3')].map(title => title.textContent)")
        assert [title.partition(":")[0] for title in titles] == ["Canaries", "Inputs", "Answers"]
