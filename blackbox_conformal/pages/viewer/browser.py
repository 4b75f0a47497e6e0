"""Opens a link that is to stay between this program and the user's browser."""

import contextlib
import html
import os
import secrets
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from blackbox_conformal.support.files import private_folder


class Browser:
    """Opens links by a file of the user's own: the words with which programs are started are seen by all users."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: list[Path] = []

    def open(self, url: str) -> None:
        """Open a link, without waiting for the browser; nothing where there is no private folder."""
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
        # A browser of the terminal's own would not return before it is left.
        threading.Thread(target=webbrowser.open, args=(path.as_uri(),), daemon=True).start()

    def forget(self) -> None:
        """Remove the files."""
        for path in self._files:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser for the ``with`` block."""
    opened = Browser(private_folder("XDG_STATE_HOME", ".local/state"))
    try:
        yield opened
    finally:
        opened.forget()
