"""A page in a real browser: it must stay silent on the network and on the console."""

import base64
import io
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from blackbox_conformal.pages.report.error_pairs import block_side

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@contextmanager
def opened(browser, path, width=1280, height=900, **settings):
    """A page that must stay silent: no console output, no error, no dialog, no request beyond it.

    `path` is a file, or an address that every request of the page must begin with.
    """
    address = path if isinstance(path, str) else path.as_uri()
    context = browser.new_context(viewport={"width": width, "height": height}, **settings)
    noise = []
    page = context.new_page()
    page.on("console", lambda message: noise.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: noise.append(f"error: {error}"))
    page.on("dialog", lambda dialog: noise.append("dialog"))
    page.on("popup", lambda popup: noise.append("popup"))
    page.on(
        "request", lambda request: request.url.startswith(("data:", address)) or noise.append(f"request: {request.url}")
    )
    page.goto(address)
    yield page
    assert page.url.split("#")[0] == address
    assert noise == []
    context.close()


def until(page, expression, argument=None):
    """Wait for `expression`; Playwright's own way evaluates a string in the page, which the page's policy forbids."""
    for _ in range(1600):
        if page.evaluate(expression, argument):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never became true: {expression}")


def shows(page, stop):
    until(page, "text => document.getElementById('now-alpha').textContent === text", label(page, stop))


def move_to(page, stop):
    page.locator("#alpha").evaluate(
        "(slider, stop) => { slider.value = stop; slider.dispatchEvent(new Event('input', {bubbles: true})); }", stop
    )
    shows(page, stop)


def label(page, stop):
    return page.evaluate("stop => JSON.parse(document.getElementById('stops').textContent).labels[stop]", stop)


def rule_mask(mask):
    """The stated rule on a full-resolution mask: a preview pixel is trusted when its whole block is."""
    block = block_side(mask.shape)
    height, width = mask.shape
    padded = np.ones((-(-height // block) * block, -(-width // block) * block), bool)
    padded[:height, :width] = mask
    return padded.reshape(padded.shape[0] // block, block, -1, block).all(axis=(1, 3))


def drawn(page, canvas):
    """(H, W, 4) uint8: what is drawn on a canvas of the viewer."""
    data = page.evaluate("name => document.getElementById(name).toDataURL()", canvas)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGBA"))


def view_of(page):
    """The place of the stage's corner in the drawing, and the drawing's size: left, top, across, down."""
    return page.evaluate("document.getElementById('stage').dataset.view.split(' ').map(Number)")


def zoom_to(page, zoom):
    """Pinches at the middle of the stage, from one screen pixel a picture pixel."""
    stage = page.locator("#stage")
    stage.focus()
    page.keyboard.press("1")
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    stage.evaluate(
        "(stage, zoom) => { const box = stage.getBoundingClientRect(); stage.dispatchEvent(new WheelEvent('wheel', "
        "{ctrlKey: true, deltaY: -200 * Math.log2(zoom), clientX: box.left + box.width / 2, "
        "clientY: box.top + box.height / 2, cancelable: true})); }",
        zoom,
    )
    frame(page)


def two_frames(page):
    """Waits for two frames: in the first a drawing begins that was asked for before."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def frame(page):
    """Waits until what was asked for is drawn, to its end."""
    two_frames(page)
    until(page, "() => document.getElementById('stage').dataset.drawing === 'no'")


def shown_pixels(count, start, size, drawn):
    """First and last picture pixel that each screen pixel shows, in whole numbers; None outside the picture."""
    found = []
    for at in range(start, start + count):
        if not 0 <= at < drawn:
            found.append(None)
        elif drawn < size:
            found.append((at * size // drawn, -(-(at + 1) * size // drawn) - 1))
        else:
            found.append(((2 * at + 1) * size // (2 * drawn),) * 2)
    return found


def veiled_on_screen(untrusted, view, width, height):
    """Where the stage must darken: a screen pixel of which any picture pixel is untrusted, by plain loops."""
    left, top, across, down = view
    columns = shown_pixels(width, left, untrusted.shape[1], across)
    rows = shown_pixels(height, top, untrusted.shape[0], down)
    veiled = np.zeros((height, width), bool)
    for y, row in enumerate(rows):
        if row is None:
            continue
        some = untrusted[row[0] : row[1] + 1].any(axis=0)
        veiled[y] = [span is not None and bool(some[span[0] : span[1] + 1].any()) for span in columns]
    return veiled


def drag_the_line(page, start, share, steps):
    """From `start` to `share` of the stage in these steps; at each, the pictures meet below the pointer."""
    box = page.locator("#stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], middle)
    page.mouse.down()
    for step in steps:
        place = start + step * (share - start)
        page.mouse.move(box["x"] + place * box["width"], middle)
        at = int(page.locator("#divide").input_value())
        assert abs(at - 100 * place) <= 0.51
        assert page.locator("#left").evaluate("one => one.style.clipPath") == f"inset(0px {100 - at}% 0px 0px)"
        assert page.locator("#marks").evaluate("one => one.style.clipPath") == f"inset(0px 0px 0px {at}%)"
    page.mouse.up()
    return box, middle


def wait_for_viewer(page, name):
    """Wait until the viewer shows the picture called `name`."""
    shown = "const d = document.getElementById('viewer').dataset; return d.shown === name && d.ready === 'yes';"
    until(page, f"name => {{ {shown} }}", name)


def violations(page):
    """What axe-core, the checker of accessibility, finds wrong: rule, severity and the elements."""
    import axe_playwright_python

    page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 10, "a page that is not looked at has no violations"
    return [(one["id"], one["impact"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
