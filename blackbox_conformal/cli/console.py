"""What a person sees, and what a script reads: stderr for people, stdout for data.

Nothing is computed here.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from blackbox_conformal.redaction import redact


class Screen:
    """One command's output: `data` goes to stdout once, everything else to stderr."""

    def __init__(self, *, as_json: bool, quiet: bool, verbose: int) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._tasks: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.quiet:
            self.console.print(Text(redact(text)))

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table for people."""
        if self.quiet:
            return
        table = Table(title=title, title_justify="left", header_style="bold")
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*(Text(redact(cell)) for cell in row))
        self.console.print(table)

    def data(self, document: Any) -> None:
        """The one JSON document, when it was asked for."""
        if self.as_json:
            click.echo(json.dumps(document, ensure_ascii=False, default=str))

    @contextmanager
    def progress(self) -> Iterator[None]:
        """A live progress display on a terminal; silence elsewhere."""
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
        )
        try:
            with self._progress:
                yield
        finally:
            self._progress = None
            self._tasks.clear()

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Progress of one kind of work."""
        if self._progress is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, note=note)
        self._progress.update(self._tasks[what], completed=done, total=total, note=note)

    def event(self, event: Any) -> None:
        """One event of the drawing engine: the draw counter always, the event itself with -v."""
        counters = event.counters
        if counters is not None:
            self.step("drawing", counters.done, counters.total, _draw_note(counters))
        if self.verbose:
            self.console.print(Text(redact(json.dumps(event.to_json(), ensure_ascii=False, default=str))))


def _draw_note(counters: Any) -> str:
    parts = [f"{counters.cached} stored", f"{counters.in_flight} in flight"]
    if counters.spent or counters.budget is not None:
        budget = "" if counters.budget is None else f" of {counters.budget}"
        parts.append(f"${counters.spent}{budget}")
    if counters.too_many:
        parts.append(f"{counters.too_many} × 429")
    if counters.eta_s is not None:
        parts.append(f"{counters.eta_s:.0f} s left")
    return ", ".join(parts)


def money(low: Any, high: Any) -> str:
    """A price range for people."""
    return f"${low}" if low == high else f"${low} to ${high}"


def share(value: float) -> str:
    """A share for people."""
    return f"{100 * value:.1f} %"


def summary(pairs: Mapping[str, str]) -> str:
    """Aligned `name  value` lines."""
    width = max(len(name) for name in pairs)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in pairs.items())
