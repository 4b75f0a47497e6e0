"""The report in a real browser: sliders, exact masks, keyboard, silence on the network and on the console."""

import io

import numpy as np
import pytest
from PIL import Image
from support.report_browser import label, move_to, opened, rule_mask, shows, until
from support.report_material import make_run

from blackbox_conformal.method.guarantees.corollaries import statement
from blackbox_conformal.method.images.encode import mask_png
from blackbox_conformal.pages.report.encoded import webp
from blackbox_conformal.pages.report.html import write_report
from blackbox_conformal.pages.report.preview import content_of, parts_of

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


def settled(page, card, stop):
    card.scroll_into_view_if_needed()
    until(page, "([card, stop]) => card.dataset.stop === String(stop)", [card.element_handle(), stop])


def test_masks_are_exact_at_five_levels(chromium, plain_run, plain_report):
    names = dict(zip(plain_run.names, ["masked", *(one.truth for one in plain_run.audit.pictures)], strict=True))
    scores = dict(plain_run.scores)
    scores["masked"] = plain_run.results[0].score_map
    with opened(chromium, plain_report) as page:
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


def test_the_slider_moves_guarantee_threshold_share_and_charts(chromium, plain_run, plain_report):
    with opened(chromium, plain_report) as page:
        alphas = page.evaluate("JSON.parse(document.getElementById('stops').textContent).alphas")
        for alpha in (0.1, 0.05):
            stop = alphas.index(alpha)
            move_to(page, stop)
            said = statement(
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


def test_everything_works_by_keyboard(chromium, plain_report):
    with opened(chromium, plain_report) as page:
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
            assert page.locator("link").count() == 1
            assert page.locator(".card").count() == 3
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


def test_crops_of_the_worst_places_are_shown_at_full_resolution_and_ringed(chromium, plain_report):
    with opened(chromium, plain_report) as page:
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
