"""`view`: pictures of a run folder at full resolution, in a browser on this machine; draws and writes nothing."""

import contextlib
import html
import os
import secrets
import sys
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli import values
from blackbox_conformal.cli.cache import ledger_option
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.run_folders import run_folder_of
from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway.serve_command import refuse_missing
from blackbox_conformal.support.files import private_folder

# Opens a link that only this program and the user's browser may know.


class Browser:
    """An opener of links by way of a private file, since all users see the arguments of programs."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: list[Path] = []

    def open(self, url: str) -> None:
        """Open a link, without waiting for the browser; do nothing without a private folder."""
        if self._folder is None:
            return
        path = self._folder / f"open-{secrets.token_hex(8)}.html"
        goal = html.escape(url)
        page = (
            f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={goal}"><title>…</title>'
        )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        self._files.append(path)
        # A browser inside the terminal would return only when the user leaves it.
        threading.Thread(target=webbrowser.open, args=(path.as_uri(),), daemon=True).start()

    def forget(self) -> None:
        """Remove the files."""
        for path in self._files:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    opened = Browser(private_folder("XDG_STATE_HOME", ".local/state"))
    try:
        yield opened
    finally:
        opened.forget()


@click.command("view")
@click.argument("run", required=False, type=shared.FOLDER)
@shared.option("--calibration", type=shared.NAMED_FILE, help="Calibration file.  [default: that of the run]")
@shared.option(
    "--alpha", type=values.level, metavar="ALPHA", help="The level it opens at.  [default: chosen from the audit]"
)
@ledger_option
@shared.option("--port", type=values.whole(0, 65535), help="Port to listen on.  [default: a free one]")
@shared.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.")
@shared.option(
    "--beyond-loopback",
    is_flag=True,
    help="Let --host be an address that other machines reach. Everybody who knows the link then sees all, unencrypted.",
)
@shared.option("--no-open", is_flag=True, help="Do not open a browser; the link is printed.")
@shared.output
def command(
    screen: Screen,
    run: str | None,
    calibration: str | None,
    alpha: float | None,
    ledger: str | None,
    port: int | None,
    host: str,
    beyond_loopback: bool,
    no_open: bool,
) -> None:
    """Show the pictures of run folder RUN at full resolution: masks at any level, scores, errors, safe pictures.

    Serves this machine alone, under a link with a random key, until Ctrl-C. RUN may be left out where there is one.
    """
    refuse_missing()
    # A settings file must not let other machines in.
    source = click.get_current_context().get_parameter_source("beyond_loopback")
    if beyond_loopback and source is not click.core.ParameterSource.COMMANDLINE:
        raise UsageError(
            "expected --beyond-loopback to be typed, since it lets other machines in; a settings file or the "
            "environment sets it. Remove it there, or type it"
        )
    from blackbox_conformal.drawing.ledger.addresses import LEDGERS
    from blackbox_conformal.pages.report.html import calibration_of_run
    from blackbox_conformal.pages.viewer.local_site import LocalSite
    from blackbox_conformal.pages.viewer.view_page import open_run

    if ledger is not None:
        LEDGERS.name(ledger)
    if run is None:
        # A run that failed has no calibration, and so nothing to show.
        holds = "calibration.json" if calibration is None else ""
        folder = run_folder_of(None, screen.note, option="RUN, the folder of a run", file=holds)
    else:
        folder = Path(run)
    about = calibration_of_run(folder, calibration)
    page = open_run(folder, about, alpha)
    for name, why in page.left_out[:5]:
        screen.note(f"note: {name} is left out: {why}")
    terminal = sys.stdout.isatty() and sys.stderr.isatty()

    def tell(url: str) -> None:
        screen.say(f"{page.count} pictures at {url}")
        screen.say("Stop with Ctrl-C.")
        screen.data({"url": url, "pictures": page.count, "calibration": about.digest, "alpha": page.opening})
        if terminal and not no_open:
            shown_by.open(url)

    with (
        browser() as shown_by,
        LocalSite(page.routes(), host=host, port=port or 0, beyond_loopback=beyond_loopback) as site,
    ):
        site.run(tell)
