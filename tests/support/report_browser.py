"""A page in a real browser: it must stay silent on the network and on the console."""

from contextlib import contextmanager

import numpy as np

from blackbox_conformal.reports.blocks import block_side

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@contextmanager
def opened(browser, path, width=1280, height=900, **settings):
    """A page that must stay silent: no console output, no error, no dialog, no request beyond the file itself."""
    context = browser.new_context(viewport={"width": width, "height": height}, **settings)
    noise = []
    page = context.new_page()
    page.on("console", lambda message: noise.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: noise.append(f"error: {error}"))
    page.on("dialog", lambda dialog: noise.append("dialog"))
    page.on("popup", lambda popup: noise.append("popup"))
    page.on(
        "request",
        lambda request: request.url.startswith(("data:", path.as_uri())) or noise.append(f"request: {request.url}"),
    )
    page.goto(path.as_uri())
    yield page
    assert page.url.split("#")[0] == path.as_uri()
    assert noise == []
    context.close()


def until(page, expression, argument=None):
    """Wait for `expression`; Playwright's own way evaluates a string in the page, which the page's policy forbids."""
    for _ in range(400):
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
