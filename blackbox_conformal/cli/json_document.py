"""The one JSON document of a command: written once, and by the front door where the command ends in an error."""

import os
import sys
from typing import Any

import click


class Document:
    """Whether stdout is to carry a document, and whether it has one."""

    def __init__(self) -> None:
        self.wanted = False
        self.written = False

    def renew(self, *, wanted: bool) -> None:
        """Another command begins."""
        self.wanted, self.written = wanted, False

    def write(self, content: Any) -> None:
        """Put the document on stdout, if it is wanted and there is none yet; nobody needs to read it."""
        if not self.wanted or self.written:
            return
        from blackbox_conformal.cli.terminal_text import json_line

        self.written = True
        try:
            click.echo(json_line(content))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


DOCUMENT = Document()
"""That of the command that runs in this process."""
