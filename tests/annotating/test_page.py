"""The page in a real browser: which pixels a hand marks, what is saved, two windows, keys alone, silence elsewhere."""

import json
from contextlib import contextmanager
from pathlib import Path

import axe_playwright_python
import numpy as np
import pytest
from support.report_browser import two_frames, until

from blackbox_conformal.annotations.formats._shapes import DrawnLevels
from blackbox_conformal.annotations.marks import Marks

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
HEIGHT, WIDTH = 64, 80


@contextmanager
def opened(browser, url, width=1280, height=800, expected=(), **settings):
    """The page, which asks nobody but its own server and complains of nothing but `expected`."""
    context = browser.new_context(viewport={"width": width, "height": height}, **settings)
    page, noise = context.new_page(), []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(f"error: {error}"))
    page.on("request", lambda request: request.url.startswith((url, "data:", "blob:")) or noise.append(request.url))
    page.goto(url)
    ready(page)
    yield page
    assert [text for text in noise if not any(part in text for part in expected)] == []
    context.close()


def ready(page, index=0):
    until(
        page,
        "index => { const {ready, index: at} = document.getElementById('annotate').dataset;"
        " return ready === 'yes' && at === index; }",
        str(index),
    )


def state(page, wanted):
    until(page, "wanted => document.getElementById('annotate').dataset.state === wanted", wanted)


def saved(page):
    state(page, "saved")


def stored(folder, pairs, name="ana", index=0):
    return Marks(folder, name).load(pairs.shown(index).pair, (HEIGHT, WIDTH))[0]


class Hand:
    """A hand on the mouse that knows where the pixels of the picture are on the screen."""

    def __init__(self, page, panel="#output"):
        # The place is told once it is drawn.
        page.locator(panel).scroll_into_view_if_needed()
        two_frames(page)
        self.page, self.box = page, page.locator(panel).bounding_box()
        place = page.locator("#stage").evaluate("stage => ({...stage.dataset})")
        ratio = page.evaluate("devicePixelRatio")
        self.zoom, self.x, self.y = (float(place[name]) / ratio for name in ("zoom", "x", "y"))

    def over(self, x, y, inside=0.5):
        """Somewhere within a pixel."""
        return (
            self.box["x"] + self.x + (x + inside) * self.zoom,
            self.box["y"] + self.y + (y + inside) * self.zoom,
        )

    def touch(self, *points):
        """Draw through those whole points of the window that are nearest to `points`, and say which pixels these are.

        A mouse has no other points.
        """
        corner = self.box["x"] + self.x, self.box["y"] + self.y
        windows = [[round(at) for at in self.over(*point)] for point in points]
        self._along(windows)
        return [tuple(int((at - edge) // self.zoom) for at, edge in zip(one, corner, strict=True)) for one in windows]

    def draw(self, *points, inside=0.5):
        self._along([self.over(*point, inside) for point in points])

    def _along(self, windows):
        self.page.mouse.move(*windows[0])
        self.page.mouse.down()
        for window in windows[1:]:
            self.page.mouse.move(*window)
        self.page.mouse.up()

    def click(self, x, y):
        self.page.mouse.click(*self.over(x, y))


def painted(strokes, levels=None):
    """The pixels that strokes of (points, diameter, level) mark, by the rule and not by the page's code."""
    levels = np.zeros((HEIGHT, WIDTH), np.uint8) if levels is None else levels.copy()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for points, diameter, level in strokes:
        for (ax, ay), (bx, by) in zip(points, points[1:] or points, strict=False):
            for cx, cy in line(ax, ay, bx, by):
                levels[4 * ((x - cx) ** 2 + (y - cy) ** 2) < diameter**2] = level
    return levels


def line(x, y, u, v):
    """Bresenham's line, both ends included."""
    dx, dy, sx, sy = abs(u - x), -abs(v - y), 1 if x < u else -1, 1 if y < v else -1
    error, pixels = dx + dy, [(x, y)]
    while (x, y) != (u, v):
        twice = 2 * error
        if twice >= dy:
            error, x = error + dy, x + sx
        if twice <= dx:
            error, y = error + dx, y + sy
        pixels.append((x, y))
    return pixels


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("zoom", ["0.37", "1", "2", "7"])
def test_strokes_mark_the_same_pixels_at_every_zoom(chromium, url, folder, pairs, zoom, ratio):
    strokes = [([(20, 12), (47, 31), (40, 55)], 15, 255), ([(5, 60), (70, 3)], 5, 128), ([(40, 30)], 9, 0)]
    with opened(chromium, url, device_scale_factor=ratio) as page:
        hand = zoomed(page, float(zoom))
        drawn = [hand.touch(*strokes[0][0])]
        page.keyboard.press("5")
        page.keyboard.press("[")
        page.keyboard.press("[")
        drawn.append(hand.touch(*strokes[1][0]))
        page.keyboard.press("e")
        page.keyboard.press("]")
        drawn.append(hand.touch(*strokes[2][0]))
        saved(page)
    strokes = [(points, *rest) for points, (_, *rest) in zip(drawn, strokes, strict=True)]
    np.testing.assert_array_equal(stored(folder, pairs), painted(strokes))


def zoomed(page, zoom):
    """The page at a zoom, by turning the wheel."""
    page.keyboard.press("a")
    hand, ratio = Hand(page), page.evaluate("devicePixelRatio")
    page.mouse.move(*hand.over(40, 32))
    # How much of a turn arrives differs between screens.
    for _ in range(6):
        page.mouse.wheel(0, float(-np.log(zoom / (hand.zoom * ratio)) / np.log(1.0015)))
        hand = Hand(page)
    assert hand.zoom * ratio == pytest.approx(zoom, rel=0.05)
    return hand


def test_both_panels_and_every_part_of_a_pixel_are_the_same_place(chromium, url, folder, pairs):
    strokes = [([(x, 5)], 1, 255) for x in (3, 9, 15)] + [([(x, 9)], 1, 255) for x in (3, 9, 15)]
    with opened(chromium, url) as page:
        for _ in range(4):
            page.keyboard.press("[")
        for panel, row in (("#reference", 5), ("#output", 9)):
            hand = Hand(page, panel)
            for x, inside in ((3, 0.02), (9, 0.5), (15, 0.98)):
                hand.draw((x, row), inside=inside)
        saved(page)
    np.testing.assert_array_equal(stored(folder, pairs), painted(strokes))


@pytest.mark.parametrize(
    "corners",
    [
        [(5, 5), (60, 9), (47, 50), (12, 40)],
        [(10, 10), (70, 50), (70, 10), (10, 50)],
        [(0, 0), (79, 0), (79, 63), (0, 63)],
        [(30, 20), (50, 20)],
        [(11, 7), (12, 60), (13, 7), (14, 60), (15, 7)],
    ],
)
def test_polygons_are_those_of_the_importers(chromium, url, folder, pairs, corners):
    drawing = DrawnLevels((HEIGHT, WIDTH))
    drawing.polygon([(x + 0.5, y + 0.5) for x, y in corners], 179)
    with opened(chromium, url) as page:
        hand = Hand(page)
        page.keyboard.press("7")
        page.keyboard.press("g")
        hand.click(40, 40)
        page.keyboard.press("Escape")
        for corner in corners:
            hand.click(*corner)
        hand.click(1, 1)
        page.keyboard.press("Backspace")
        page.keyboard.press("Enter")
        saved(page)
    np.testing.assert_array_equal(stored(folder, pairs), drawing.levels)


def test_undo_and_redo_give_every_state_back(chromium, url, folder, pairs):
    strokes = [([(20, 12), (47, 31)], 15, 255), ([(30, 30), (60, 20)], 15, 26), ([(47, 31)], 15, 0)]
    with opened(chromium, url) as page:
        hand = Hand(page)
        hand.draw(*strokes[0][0])
        page.keyboard.press("1")
        hand.draw(*strokes[1][0])
        page.keyboard.press("e")
        hand.draw(*strokes[2][0])
        wanted = [painted(strokes[:count]) for count in range(4)]
        for key, states in (("Control+z", (2, 1, 0)), ("r", (1, 2)), ("u", (1,)), ("Control+Shift+z", (2, 3))):
            for count in states:
                page.keyboard.press(key)
                page.keyboard.press("s")
                saved(page)
                np.testing.assert_array_equal(stored(folder, pairs), wanted[count])
        assert page.locator("#redo").is_disabled()


def test_marks_are_saved_by_themselves_and_there_after_reloading(chromium, url, folder, pairs):
    with opened(chromium, url) as page:
        assert page.get_attribute("#annotate", "data-state") == "new"
        Hand(page).draw((20, 12), (47, 31))
        saved(page)
        page.reload()
        ready(page)
        saved(page)
        assert "% marked" in page.inner_text("#share")
        assert page.inner_text("#share") != "0.0 % marked"
        # A stroke and at once the next picture: the stroke is saved first.
        Hand(page).draw((60, 50), (70, 50))
        page.keyboard.press("n")
        ready(page, 1)
        page.keyboard.press("s")
        saved(page)
        assert page.locator("#pictures option").all_inner_texts()[0].startswith("✓")
    strokes = [([(20, 12), (47, 31)], 15, 255), ([(60, 50), (70, 50)], 15, 255)]
    np.testing.assert_array_equal(stored(folder, pairs), painted(strokes))
    assert not stored(folder, pairs, index=1).any(), "nothing differs, and that is said"


def test_the_later_of_two_windows_is_refused_and_keeps_its_marks(chromium, url, folder, pairs):
    first, second = [([(20, 12), (47, 31)], 15, 255)], [([(60, 50), (70, 20)], 15, 255)]
    refused = ("412",)
    with opened(chromium, url, expected=refused) as one, opened(chromium, url, expected=refused) as other:
        Hand(one).draw(*first[0][0])
        saved(one)
        Hand(other).draw(*second[0][0])
        until(other, "() => document.getElementById('forestalled').open")
        np.testing.assert_array_equal(stored(folder, pairs), painted(first))

        # As another person: both are kept.
        other.locator("#other").fill("ben")
        other.locator("#as-other button").click()
        saved(other)
        assert other.inner_text("#who") == "ben"
        np.testing.assert_array_equal(stored(folder, pairs, "ben"), painted(second))
        np.testing.assert_array_equal(stored(folder, pairs), painted(first))

    with opened(chromium, url, expected=refused) as one, opened(chromium, url, expected=refused) as other:
        Hand(one).draw(*second[0][0])
        saved(one)
        both = painted(first + second)
        mine = ([(5, 5), (5, 30)], 15, 255)
        Hand(other).draw(*mine[0])
        until(other, "() => document.getElementById('forestalled').open")
        # Take the other's; one's own come back by undoing.
        other.locator("#take").click()
        saved(other)
        np.testing.assert_array_equal(stored(folder, pairs), both)
        other.locator("#stage").focus()
        other.keyboard.press("u")
        other.keyboard.press("s")
        saved(other)
        np.testing.assert_array_equal(stored(folder, pairs), painted([mine], painted(first)))

        # The other way round, replaced on purpose.
        Hand(one).draw((40, 5), (70, 5))
        until(one, "() => document.getElementById('forestalled').open")
        one.locator("#replace").click()
        saved(one)
        np.testing.assert_array_equal(stored(folder, pairs), painted([([(40, 5), (70, 5)], 15, 255)], both))


def test_what_is_drawn_while_the_next_picture_loads_is_kept(chromium, url, folder, pairs):
    held = []
    with opened(chromium, url) as page:
        page.route("**/pictures/1", lambda route: held.append(route))
        hand = Hand(page)
        page.keyboard.press("n")
        until(page, "() => document.getElementById('annotate').dataset.ready === 'no'")
        hand.draw((20, 12), (47, 31))
        held[0].continue_()
        ready(page, 1)
        page.unroute("**/pictures/1")
    np.testing.assert_array_equal(stored(folder, pairs), painted([([(20, 12), (47, 31)], 15, 255)]))


@pytest.mark.parametrize("slow", [True, False])
def test_each_press_of_next_goes_one_on_however_long_a_picture_takes(chromium, url, slow):
    """Of several pictures that are asked for, the last one is shown."""
    held = []
    with opened(chromium, url) as page:
        for presses, wanted in (("npnn", 2), ("pnpp", 0), ("nnp", 1)):
            if slow:
                page.route("**/pictures/*", lambda route: held.append(route))
            for key in presses:
                page.keyboard.press(key)
            while slow and len(held) < len(presses):
                page.wait_for_timeout(10)
            while held:
                held.pop(0).continue_()
            ready(page, wanted)
            page.unroute("**/pictures/*")


COUNTED = """
window.bitmaps = 0;
const make = createImageBitmap, end = ImageBitmap.prototype.close;
createImageBitmap = async (...given) => { const made = await make(...given); bitmaps++; return made; };
ImageBitmap.prototype.close = function () { if (this.width) bitmaps--; end.call(this); };
"""


def test_pictures_that_are_not_shown_take_no_memory(chromium, url):
    with opened(chromium, url, expected=("409",)) as page:
        page.add_init_script(COUNTED)
        page.reload()
        ready(page)
        for index in (1, 2, 1):
            page.select_option("#pictures", index=index)
            ready(page, index)
            assert page.evaluate("bitmaps") == 2
        for index in (0, 1, 0, 2):
            page.select_option("#pictures", index=index)
        ready(page, 2)
        until(page, "() => bitmaps === 2")
        page.route("**/pictures/1", lambda route: route.fulfill(status=409, body="{}"))
        page.keyboard.press("p")
        until(page, "() => bitmaps === 0")


def test_a_picture_that_cannot_be_shown_shows_nothing(chromium, url, folder):
    body = json.dumps({"detail": "the vendor refused p1"})
    with opened(chromium, url, expected=("409", "willReadFrequently")) as page:
        page.route("**/pictures/1", lambda route: route.fulfill(status=409, body=body))
        page.keyboard.press("n")
        until(page, "() => document.getElementById('status').textContent === 'the vendor refused p1'")
        some = (
            "() => document.getElementById('output').getContext('2d').getImageData(0, 0, 400, 400).data.some(Boolean)"
        )
        assert not page.evaluate(some)
        page.mouse.click(900, 400)
        page.keyboard.press("Space")
        page.keyboard.press("n")
        ready(page, 2)
        two_frames(page)
        assert page.evaluate(some)
    assert not folder.exists()


def test_everything_works_by_keys_alone(chromium, url, folder, pairs):
    with opened(chromium, url) as page:
        keys = page.keyboard
        # The place begins in the middle, (40, 32).
        for key in ("3", "[", "ArrowRight", "Shift+ArrowUp"):
            keys.press(key)
        keys.down("Space")
        for _ in range(6):
            keys.press("ArrowDown")
        keys.up("Space")
        keys.press("ArrowDown")
        # The pen stays down by itself.
        for key in ("x", "Shift+ArrowLeft", "Shift+ArrowLeft", "x", "Shift+ArrowLeft"):
            keys.press(key)
        saved(page)
        strokes = [([(41, 22), (41, 28)], 9, 77), ([(41, 29), (21, 29)], 9, 77)]
        np.testing.assert_array_equal(stored(folder, pairs), painted(strokes))

        keys.press("g")
        keys.press("0")
        keys.press("Space")
        for key in ("Shift+ArrowDown", "Space", "Shift+ArrowRight", "Shift+ArrowRight", "Space", "Enter"):
            keys.press(key)
        drawing = DrawnLevels((HEIGHT, WIDTH))
        drawing.polygon([(11.5, 29.5), (11.5, 39.5), (31.5, 39.5)], 255)
        keys.press("s")
        saved(page)
        wanted = painted(strokes)
        wanted[drawing.levels > 0] = 255
        np.testing.assert_array_equal(stored(folder, pairs), wanted)

        keys.press("n")
        ready(page, 1)
        keys.press("p")
        ready(page, 0)
        keys.press("b")
        assert page.inner_text("#left-tag") == "Reference photograph"
        assert page.locator("#output").is_hidden()
        keys.press("b")
        assert page.inner_text("#left-tag") == "Delivered picture"
        reached = set()
        for _ in range(60):
            keys.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
        shown = {
            "brush",
            "eraser",
            "polygon",
            "smaller",
            "larger",
            "save",
            "pictures",
            "next",
            "fit",
            "opacity",
        }
        assert shown <= reached


def test_blinking_shows_the_one_picture_and_then_the_other(chromium, url, pairs):
    with opened(chromium, url, expected=("willReadFrequently",)) as page:
        page.keyboard.press("t")
        page.keyboard.press("a")
        seen = []
        for _ in range(2):
            two_frames(page)
            place = page.locator("#stage").evaluate("stage => ({...stage.dataset})")
            x, y = round(float(place["x"])), round(float(place["y"]))
            shown = page.locator("#reference").evaluate(
                "(canvas, [x, y, w, h]) => [...canvas.getContext('2d').getImageData(x, y, w, h).data]",
                [x, y, WIDTH, HEIGHT],
            )
            seen.append(np.array(shown, np.uint8).reshape(HEIGHT, WIDTH, 4)[:, :, :3])
            page.keyboard.press("b")
        shown = pairs.shown(0)
        # Away from the edge, where half pixels of the place blend in.
        for found, wanted in zip(seen, (shown.truth, shown.delivered), strict=True):
            assert np.abs(found[2:-2, 2:-2].astype(int) - wanted[2:-2, 2:-2]).mean() < 3


def test_a_file_of_another_tool_is_taken_in_and_can_be_undone(chromium, url, folder, pairs, tmp_path):
    file = tmp_path / "from elsewhere.json"
    shapes = [{"label": "wrong", "shape_type": "rectangle", "points": [[3, 5], [10, 12]]}]
    name = pairs.names[0]
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    file.write_text(json.dumps({"imagePath": f"{name}.png", **size, "shapes": shapes}))
    with opened(chromium, url, expected=("400",)) as page:
        Hand(page).draw((40, 40), (50, 40))
        page.locator("details:has(#file) summary").click()
        page.locator("#format").select_option("labelme")
        page.locator("#file").set_input_files(file)
        state(page, "unsaved")
        saved(page)
        wanted = np.zeros((HEIGHT, WIDTH), np.uint8)
        wanted[5:12, 3:10] = 255
        np.testing.assert_array_equal(stored(folder, pairs), wanted)
        page.locator("#format").select_option("coco")
        page.locator("#file").set_input_files(file)
        until(page, "() => document.getElementById('status').textContent.includes('Not imported: expected')")
        page.locator("#stage").focus()
        page.keyboard.press("u")
        page.keyboard.press("s")
        saved(page)
        np.testing.assert_array_equal(stored(folder, pairs), painted([([(40, 40), (50, 40)], 15, 255)]))
        with page.expect_download() as download:
            page.locator("a[data-format=coco]").click()
        assert json.loads(Path(download.value.path()).read_text())["images"][0]["width"] == WIDTH


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_has_no_violation(chromium, url, width, scheme):
    with opened(chromium, url, width=width, color_scheme=scheme, bypass_csp=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        Hand(page).draw((40, 40), (50, 40))
        saved(page)
        page.keyboard.press("g")
        for details in page.locator("details").all():
            details.evaluate("one => { one.open = true; }")
        assert violations(page) == []
        page.evaluate("document.getElementById('forestalled').showModal()")
        assert violations(page) == []
        page.goto(f"{url}agreement")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def violations(page):
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 5
    return [
        (rule["id"], rule["impact"], [node["html"][:200] for node in rule["nodes"]]) for rule in found["violations"]
    ]


def test_what_the_vendor_answers_anew_is_not_marked_by_accident(chromium, url, folder):
    """A window that shows an older answer cannot save; what it says tells why."""
    with opened(chromium, url, expected=("409",)) as page:
        page.route("**/marks?**", lambda route: route.continue_(url=route.request.url.replace("pair=", "pair=x")))
        Hand(page).draw((40, 40), (50, 40))
        until(page, "() => document.getElementById('status').textContent.includes('the vendor answered anew')")
        assert not folder.exists()
