"""The viewer in a real browser: exact masks at every zoom, the divider, blinking, keys, the pixel under the pointer."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from support.report_browser import (
    drag_the_line,
    drawn,
    frame,
    move_to,
    opened,
    rule_mask,
    until,
    veiled_on_screen,
    view_of,
    wait_for_viewer,
    zoom_to,
)
from support.report_material import make_run, maps

from blackbox_conformal.method.metrics._detail import ADDED, CONTRADICTED, NOT_ADDED
from blackbox_conformal.pages.report.html import write_report
from blackbox_conformal.pages.report.preview import HEAVY, block_side, make_preview
from blackbox_conformal.pages.report.report_store import ReportStore

pytestmark = pytest.mark.browser


def show(page, name):
    card = page.locator(f'.card[data-name="{name}"]')
    card.locator("button").click()
    wait_for_viewer(page, name)
    frame(page)


@pytest.mark.parametrize("density", [1, 2])
@pytest.mark.parametrize("zoom", [1, 2, 0.37])
def test_the_mask_is_exact_at_every_zoom(chromium, plain_run, plain_report, zoom, density):
    scores = plain_run.scores[plain_run.audit.pictures[1].truth]
    with opened(chromium, plain_report, device_scale_factor=density) as page:
        alphas = page.evaluate("JSON.parse(document.getElementById('stops').textContent).alphas")
        show(page, "audited 1")
        zoom_to(page, zoom)
        counts = set()
        for alpha in (0.03, 0.05, 0.07):
            move_to(page, alphas.index(alpha))
            frame(page)
            veiled, view = drawn(page, "marks")[..., 3] > 0, view_of(page)
            height, width = veiled.shape
            untrusted = ~rule_mask(scores < plain_run.calibration.threshold(alpha))
            assert (view[2], view[3]) == (round(untrusted.shape[1] * zoom), round(untrusted.shape[0] * zoom))
            assert width == round(page.evaluate("document.getElementById('stage').clientWidth") * density)
            expected = veiled_on_screen(untrusted, view, width, height)
            assert (veiled == expected).all()
            counts.add(int(expected.sum()))
        assert len(counts) == 3


def test_dots_show_where_no_detail_was_added_beside_plain_enlargement(chromium, tmp_path):
    run = make_run(tmp_path / "run", hostile=False)
    truth, delivered, low, scores, errors = maps(3, 120, 160)
    detail = np.full(scores.shape, ADDED, np.uint8)
    detail[:, :80], detail[:, 120:] = NOT_ADDED, CONTRADICTED
    at = run.calibration.threshold(0.05)
    shown = {"low": low, "truth": truth, "errors": errors, "detail": detail}
    kept = make_preview("audit", "dotted", "dotted", delivered, scores, np.array([at]), **shown)
    ReportStore(run.folder, run.calibration).keep(kept)
    page_file = write_report(run.folder, run.calibration, None, run.results, run.folder / "report.html", alpha=0.05)
    with opened(chromium, page_file) as page:
        show(page, "dotted")
        assert page.locator("#marks-kind").input_value() == "classes"
        page.locator("#left-kind").select_option("plain")
        zoom_to(page, 1)
        left, top, across, down = view_of(page)
        marks = drawn(page, "marks")[-top : down - top, -left : across - left]
        dots = (marks[..., 3] == 255) & np.isin(marks[..., 0], (0, 255))
        assert dots[:, :80].sum() > 10
        assert not (dots & ~((detail == NOT_ADDED) & (scores < at))).any()
        against, heavy = (detail == CONTRADICTED) & ~(scores < at), marks[..., 3] == HEAVY[3]
        assert heavy.sum() > 0.5 * against.sum() > 0
        assert not (heavy & ~against).any()
        assert ((marks[..., 3] > 0) & ~dots == ~(scores < at)).all()
        plain = np.asarray(Image.fromarray(low).resize((160, 120), Image.Resampling.BICUBIC)).astype(int)
        apart = np.abs(drawn(page, "left")[-top : down - top, -left : across - left, :3] - plain)
        assert page.inner_text("#left-tag") == "plain enlargement"
        assert np.median(apart) <= 8
        show(page, "audited 1")
        assert page.locator("#marks-kind").input_value() == "mask"
        assert page.locator("#marks-kind option[value=classes]").is_disabled()


def test_pictures_and_mask_lie_on_each_other_when_moved(page):
    """At whole zooms the picture's screen pixels are its pixels: those at the stage's corner say where it lies."""
    show(page, "audited 1")
    page.locator("#marks-kind").select_option("none")
    page.locator("#left-kind").select_option("delivered")
    zoom_to(page, 4)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.locator("#marks-kind").select_option("mask")
    frame(page)
    left, top, *_ = view_of(page)
    assert left > 0
    assert top > 0
    data = page.locator('.card[data-name="audited 1"] img.delivered').get_attribute("src").split(",")[1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    for name in ("left", "right"):
        corner = drawn(page, name)[:40, :40, :3]
        rows, columns = (np.arange(40) + top) // 4, (np.arange(40) + left) // 4
        assert np.abs(corner.astype(int) - picture[rows][:, columns]).max() <= 2, "decoders round differently"


@pytest.mark.parametrize("share", [0.8, 0.2])
def test_the_divider_follows_to_the_right_and_to_the_left(page, share):
    """Pressed where the left picture lies."""
    show(page, "audited 1")
    box, middle = drag_the_line(page, 0.49, share, (0.25, 0.5, 0.75, 1))
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    assert page.locator("#divide").input_value() == f"{100 * share:.0f}"
    assert not page.evaluate("document.dispatchEvent(new Event('selectstart')) && getSelection().toString()")


def test_a_zoomed_picture_is_dragged_and_its_line_too(page):
    show(page, "audited 1")
    zoom_to(page, 6)
    before, line = view_of(page), page.locator("#divide").input_value()
    assert float(line) < 50, "most of the picture shows its mask"
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"] - 70, box["y"] + 60, steps=5)
    page.mouse.up()
    frame(page)
    after = view_of(page)
    assert [after[0] - before[0], after[1] - before[1]] == [70, 40]
    assert page.locator("#divide").input_value() == line
    page.mouse.move(box["x"] + float(line) / 100 * box["width"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 100, steps=5)
    page.mouse.up()
    assert view_of(page) == after
    assert page.locator("#divide").input_value() == "30"


def test_two_fingers_zoom(chromium, plain_report):
    with opened(chromium, plain_report) as page:
        show(page, "audited 1")
        zoom_to(page, 1)
        fingers = [("pointerdown", 1, 300, 100), ("pointerdown", 2, 400, 100), ("pointermove", 2, 500, 100)]
        page.locator("#stage").evaluate(
            """(stage, fingers) => {
              stage.setPointerCapture = () => {};
              const box = stage.getBoundingClientRect();
              for (const [type, pointerId, x, y] of fingers) {
                const at = {pointerId, clientX: box.left + x, clientY: box.top + y, button: 0};
                stage.dispatchEvent(new PointerEvent(type, at));
              }
            }""",
            fingers,
        )
        assert page.inner_text("#zoom") == "200 %"


def test_a_finger_moves_the_line_on_a_phone(chromium, plain_report):
    """Real touches, which the browser would take away for scrolling if the stage did not claim them."""
    with opened(chromium, plain_report, width=390, height=844, has_touch=True, is_mobile=True) as page:
        show(page, "audited 1")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        box = page.locator("#stage").bounding_box()
        touch = page.context.new_cdp_session(page)

        def send(kind, *shares):
            points = [{"x": box["x"] + share * box["width"], "y": box["y"] + 60} for share in shares]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        for way in ((0.5, 0.6, 0.7, 0.8), (0.8, 0.6, 0.4, 0.2)):
            send("touchStart", way[0])
            for share in way[1:]:
                send("touchMove", share)
            send("touchEnd")
            assert abs(int(page.locator("#divide").input_value()) - 100 * way[-1]) <= 1


def test_the_viewer_works_by_keyboard(page):
    show(page, "audited 1")
    assert page.evaluate("document.activeElement.id") == "stage", "what was asked for has the focus"
    clip = "document.getElementById('left').style.clipPath"
    page.keyboard.press("b")
    first = page.evaluate(clip)
    page.keyboard.press("b")
    second = page.evaluate(clip)
    assert {first, second} == {"inset(0px 0% 0px 0px)", "inset(0px 100% 0px 0px)"}
    assert page.get_attribute("#blink", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.evaluate(clip) == f"inset(0px {100 - int(page.locator('#divide').input_value())}% 0px 0px)"
    page.keyboard.press("1")
    page.keyboard.press("+")
    assert page.inner_text("#zoom") == "200 %"
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert page.inner_text("#zoom") == "50 %"
    page.keyboard.press("m")
    assert page.input_value("#marks-kind") == "none"
    page.keyboard.press("n")
    until(page, "() => document.getElementById('viewer').dataset.shown !== 'audited 1'")
    until(page, "() => document.getElementById('viewer').dataset.ready === 'yes'")
    page.keyboard.press("p")
    until(page, "() => document.getElementById('viewer').dataset.shown === 'audited 1'")
    page.locator("#divide").focus()
    page.keyboard.press("Home")
    assert page.evaluate(clip) == "inset(0px 100% 0px 0px)"
    assert page.locator("#divide").evaluate("one => getComputedStyle(one).outlineStyle") == "solid"


def test_menus_change_pictures_and_marks(page):
    show(page, "audited 1")
    pictures = set()
    for kind in ("low", "truth", "delivered", "safe"):
        page.locator("#left-kind").select_option(kind)
        frame(page)
        pictures.add(drawn(page, "left").tobytes())
    assert len(pictures) == 4
    assert page.inner_text("#left-tag") == "trusted, else plain enlargement"
    marks = set()
    for kind in ("mask", "score", "error", "none"):
        page.locator("#marks-kind").select_option(kind)
        frame(page)
        marks.add(drawn(page, "marks").tobytes())
        assert page.locator("#heat-key").is_visible() == (kind in ("score", "error"))
        assert page.locator("#veil-key").is_visible() == (kind == "mask")
    assert len(marks) == 4
    page.locator("#opacity").fill("40")
    assert page.locator("#marks").evaluate("one => one.style.opacity") == "0.4"
    show(page, "masked")
    kinds = page.locator("#left-kind option").evaluate_all("all => all.map(one => one.value)")
    assert kinds == ["delivered"], "this picture came without its input, and its truth is unknown"
    assert page.locator("#marks-kind option[value=error]").is_disabled()


def test_the_safe_picture_is_the_delivered_one_where_it_is_trusted(plain_run, page):
    scores = plain_run.scores[plain_run.audit.pictures[1].truth]
    show(page, "audited 1")
    zoom_to(page, 1)
    shown = {}
    for kind in ("low", "delivered", "safe"):
        page.locator("#right-kind").select_option(kind)
        frame(page)
        shown[kind] = drawn(page, "right")
    left, top, across, down = view_of(page)
    height = shown["safe"].shape[0]
    clear = rule_mask(scores < plain_run.calibration.threshold(0.1))
    assert clear.shape == (down, across)
    seen = (slice(max(-top, 0), max(-top, 0) + min(down, height)), slice(max(-left, 0), max(-left, 0) + across))
    inside = clear[max(top, 0) : max(top, 0) + min(down, height)]
    assert (shown["safe"][seen][inside] == shown["delivered"][seen][inside]).all()
    apart = np.abs(shown["safe"][seen][~inside].astype(int) - shown["low"][seen][~inside])
    assert np.median(apart) <= 2, "plain enlargement elsewhere"


def test_the_pixel_under_the_pointer_is_read(plain_run, page):
    scores = plain_run.scores[plain_run.audit.pictures[1].truth]
    show(page, "audited 1")
    zoom_to(page, 2)
    left, top, *_ = view_of(page)
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 301, box["y"] + 101)
    row, column = (101 + top) // 2 * 2, (301 + left) // 2 * 2
    said = page.inner_text("#reading")
    assert f"row {row}, column {column}:" in said
    block = block_side(scores.shape)
    worst = scores[row : row + block, column : column + block].max()
    alphas = page.evaluate("JSON.parse(document.getElementById('stops').textContent).alphas")
    first = next((alpha for alpha in alphas if worst < plain_run.calibration.threshold(alpha)), None)
    assert (f"trusted from alpha {first:g}" if first else "never trusted") in said
    assert "error about" in said


def test_side_by_side_shows_the_same_place_twice(page):
    show(page, "audited 1")
    page.locator("#left-kind").select_option("delivered")
    page.locator("#marks-kind").select_option("none")
    page.locator("#beside").click()
    frame(page)
    zoom_to(page, 3)
    left, right = drawn(page, "left"), drawn(page, "right")
    assert (left == right).all()
    assert len(np.unique(left.reshape(-1, 4), axis=0)) > 200
    boxes = [page.locator(f"#{name}").bounding_box() for name in ("left", "right")]
    assert boxes[0]["x"] + boxes[0]["width"] == pytest.approx(boxes[1]["x"], abs=1)
    assert [round(box["width"]) for box in boxes] == [left.shape[1]] * 2
    assert page.locator("#divider").is_hidden()
    assert page.locator("#divide").is_disabled()


def test_the_gallery_is_sorted_filtered_and_counted(page):
    alphas = page.evaluate("JSON.parse(document.getElementById('stops').textContent).alphas")

    def shown():
        return page.locator(".card:visible").evaluate_all("all => all.map(one => one.dataset.name)")

    def shares():
        return [float(text.split()[0].lstrip("<>")) for text in page.locator(".card:visible .share").all_inner_texts()]

    assert shown()[0] == "masked"
    page.locator("#order").select_option("least")
    assert shares() == sorted(shares())
    page.locator("#order").select_option("most")
    assert shares() == sorted(shares(), reverse=True)
    move_to(page, alphas.index(0.2))
    assert shares() == sorted(shares(), reverse=True), "the order follows the level"
    page.locator("#order").select_option("name")
    assert shown() == ["audited 0", "audited 1", "masked"]
    page.locator("#words").fill("audited")
    assert shown() == ["audited 0", "audited 1"]
    assert page.inner_text("#found") == "2 of 3 pictures"
    page.locator("#kind").select_option("result")
    assert shown() == []
    page.locator("#words").fill("")
    assert shown() == ["masked"]
    share = shares()[0]
    counts = page.locator("#histogram title").evaluate_all("all => all.map(one => parseInt(one.textContent))")
    assert counts[min(int(share // 10), 9)] == sum(counts) == 1
