"""Text as it leaves the program: for a terminal without control characters, for a script as one JSON document."""

import json
import os
import sys
from typing import Any

import click

from blackbox_conformal.support.secrets import redact
from blackbox_conformal.support.text import visible


def shown(text: str) -> str:
    """Make `text` fit for a terminal: remove keys, and hidden characters that move the cursor or turn letters."""
    return visible(redact(text))


def json_line(document: Any) -> str:
    """Write `document` as one line of JSON, in which hidden characters are escaped."""
    text = json.dumps(document, ensure_ascii=False, default=str)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


class Document:
    """The one JSON document of a command: whether stdout wants it, and whether it was written."""

    def __init__(self) -> None:
        self.wanted = False
        self.written = False

    def renew(self, *, wanted: bool) -> None:
        self.wanted, self.written = wanted, False

    def write(self, content: Any) -> None:
        """Write the document to stdout if it is wanted and none was written; a closed pipe is no error."""
        if not self.wanted or self.written:
            return
        self.written = True
        try:
            click.echo(json_line(content))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


DOCUMENT = Document()
"""The document of this process's command; the front door writes it if the command failed."""
