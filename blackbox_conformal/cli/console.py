"""A command's output for people and for scripts: results on stdout, progress and remarks on stderr.

With `--json`, stdout carries the one document alone, and results for people go to stderr too.
"""

import json
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import ROUND_CEILING, Decimal
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as RichTable
from rich.text import Text

from blackbox_conformal.cli.terminal_text import DOCUMENT, json_line, shown
from blackbox_conformal.support import catalog
from blackbox_conformal.support.blocks import NUMBER, Block, Facts, Note, Table
from blackbox_conformal.support.secrets import redact
from blackbox_conformal.support.text import dollars, printable

_UNBOUNDED = 100_000
"""Columns of a file or a pipe, which no window limits."""

_LONGEST_WORD = 4096
"""Letters of one word of a command that are shown."""

LINE_S = 20.0
"""Seconds between two lines of progress without a terminal."""

TROUBLES = ("retry", "throttled", "damaged", "unwritten")
"""Events that explain why nothing seems to happen."""


class _Stream(Console):
    """A console that goes on after its reader has gone, because files are still to be written."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


class Screen:
    """One command's output. With `as_json`, stdout gets `data` alone, and text for people goes to stderr."""

    def __init__(self, *, as_json: bool, quiet: bool, verbose: int) -> None:
        self.as_json = as_json
        DOCUMENT.renew(wanted=as_json)
        self.quiet = quiet
        self.verbose = verbose
        self.results = _stream(stderr=as_json)
        self.remarks = _stream(stderr=True)
        self._progress: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._next_line = time.monotonic() + LINE_S
        self._trouble = ""

    def free_stdout(self) -> None:
        """Send people's text to stderr, since stdout carries something else, such as a picture."""
        self.results = self.remarks

    def say(self, text: str) -> None:
        """Write a line of the result."""
        if not self.quiet:
            self._console().print(Text(shown(text)))

    def summary(self, pairs: Mapping[str, str]) -> None:
        """Write aligned `name value` lines of the result."""
        width = max(len(name) for name in pairs)
        self.say("\n".join(f"  {name:<{width}}  {value}" for name, value in pairs.items()))

    def columns(self, rows: Sequence[Sequence[str]]) -> None:
        """Write aligned lines of the result; a tool that searches lines finds whole ones."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        self.say("\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows))

    def next(self, *words: str) -> None:
        """Write the command to type next, on one line and ready to paste."""
        line = shlex.join(printable(word, _LONGEST_WORD) for word in ("blackbox-conformal", *words))
        self.say(f"Next: {line}")

    def note(self, text: str) -> None:
        """Write a line that is no result: an estimate, a warning, progress."""
        if not self.quiet:
            self.remarks.print(Text(shown(text)))

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Write a table of the result, as wide as it needs; a narrow terminal folds it and cuts nothing."""
        if self.quiet:
            return
        console = self._console()
        cells = [[shown(cell).replace("\n", " ") for cell in row] for row in rows]
        table = _table(columns, cells, whole_words=True)
        lines = "".join(segment.text for segment in console.render(table)).splitlines()
        # Words kept whole can make a table wider than the terminal.
        if max(map(cell_len, lines), default=0) > console.width:
            table = _table(columns, cells, whole_words=False)
        console.print(Text(shown(title), style="bold"))
        console.print(table, soft_wrap=False)

    def show(self, blocks: Iterable[Block]) -> None:
        """Write a result's blocks; details only with -v, figures never."""
        for block in blocks:
            if block.only == "page" or (block.detail and not self.verbose):
                continue
            match block:
                case Facts(known=known) if known:
                    if block.title:
                        self.say(block.title)
                    self.summary({printable(name): said for name, said in known.items()})
                case Table(columns=columns, rows=rows) if columns and rows:
                    self.table(block.title, *block.cells(without=block.not_in_terminal))
                case Note(text=text, remark=remark) if text:
                    (self.note if remark else self.say)(f"{remark}: {text}" if remark else text)

    def data(self, document: Any) -> None:
        """Write the one JSON document if it was asked for."""
        if self.as_json:
            DOCUMENT.write(document)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show progress live on a terminal; elsewhere write a line now and then."""
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        self._progress = catalog.hook("progress").terminal_progress(self.remarks, transient=True)
        try:
            with self._progress:
                yield
        finally:
            self._progress = None
            self._tasks.clear()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the progress display, so that a question can be asked."""
        if self._progress is None:
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        if self._progress is None:
            # A log gets at most one line every `LINE_S` seconds, with the latest trouble.
            if not self.quiet and time.monotonic() >= self._next_line:
                self._next_line = time.monotonic() + LINE_S
                trouble, self._trouble = self._trouble, ""
                parts = filter(None, [f"{what}: {done} of {total}", note, trouble])
                self.remarks.print(Text(shown("; ".join(parts))))
            return
        if what not in self._tasks:
            label = shown(what).replace("\n", " ")
            self._tasks[what] = self._progress.add_task(label, total=total, note=note)
        self._progress.update(self._tasks[what], completed=done, total=total, note=note)

    def event(self, event: Any) -> None:
        """Show an event of drawing: the draw counter always, the event itself with -v."""
        counters = event.counters
        if event.kind in TROUBLES:
            self._trouble = event.text
        if event.kind in ("inspected", "remembered", "unwritten"):
            self.note(f"note: {event.text}")
        if counters is not None:
            self.step("drawing", counters.done, counters.total, catalog.hook("progress").draw_note(counters))
        if self.verbose:
            self.remarks.print(Text(redact(json_line(event.to_json()))))

    def _console(self) -> Console:
        # During progress, another console than the display's own would tear the display.
        on_terminal = self._progress is not None and self.results.file.isatty()
        return self.remarks if on_terminal else self.results


def _stream(*, stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return _Stream(stderr=stderr, highlight=False, soft_wrap=True, width=None if terminal else _UNBOUNDED)


def _table(columns: list[str], rows: list[list[str]], *, whole_words: bool) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        numbers = index > 0 and all(NUMBER.match(cell) for cell in cells if cell)
        longest = max(len(word) for cell in (column, *cells) for word in cell.split(" "))
        table.add_column(
            Text(column),
            justify="right" if numbers else "left",
            overflow="fold",
            min_width=longest if whole_words else None,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def bill(cost: Decimal, calls: int, *vendors: Any) -> Decimal | None:
    """Return the money spent on `calls`; None if no price was told and a vendor's is unknown."""
    unknown = any(vendor is not None and vendor.capabilities.price is None for vendor in vendors)
    return None if calls and not cost and unknown else cost


def spent(cost: Decimal | None) -> str:
    return "spent: unknown, as the vendor's price is" if cost is None else f"{dollars(cost)} spent"


def limit_above(amount: Decimal) -> str:
    """Return a limit for people above `amount`: whole dollars, or cents below one."""
    return str(amount.quantize(Decimal(1) if amount > 1 else Decimal("0.01"), ROUND_CEILING))


def default_text(value: Any) -> str:
    if value in (None, ""):
        return "default none" if value is None else "default empty"
    return "default " + (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
