"""Progress bars of a command, in a notebook or in a terminal.

A notebook's bars are IPython's own displays: every notebook shows and keeps them, and no widget has to be installed. A
terminal's bars are rich's.
"""

from __future__ import annotations

import html
import math
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from blackbox_conformal.support.text import dollars, visible

REFRESH_S = 0.1  # Seconds between two looks of a notebook's bars.


class ProgressDisplay:
    """One bar for each kind of work, from its first step on; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept_in: Path | None = None
        self._drew = False

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """Show the progress of the work `what`."""
        with self._lock:
            # A name with a line break would move all bars below it.
            self._step(visible(what).replace("\n", " "), done, total, note)

    def event(self, event: Any) -> None:
        """Show the progress of drawing by one of its events."""
        counters = event.counters
        if counters is not None and counters.total:
            self._drew = True
            self("drawing", counters.done, counters.total, draw_note(counters))

    def keep_in(self, folder: Path) -> None:
        """Say at the end where draws are kept."""
        self._kept_in = folder

    def close(self) -> None:
        """Leave the bars as they are."""
        with self._lock:
            kept = f"The draws are kept in {self._kept_in}: the same call again pays for none of them."
            self._close(visible(kept) if self._drew and self._kept_in is not None else "")

    def _step(self, what: str, done: int, total: int, note: str) -> None:
        raise NotImplementedError

    def _close(self, remark: str) -> None:
        raise NotImplementedError


class TerminalDisplay(ProgressDisplay):
    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        self._tasks: dict[str, Any] = {}

    def _step(self, what: str, done: int, total: int, note: str) -> None:
        if self._progress is None:
            self._progress = terminal_progress(self._console, prints_above=sys.stdout.isatty())
            self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, note=note)
        self._progress.update(self._tasks[what], completed=done, total=total, note=note)

    def _close(self, remark: str) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if remark:
            self._console.print(remark, markup=False, soft_wrap=True)


class NotebookDisplay(ProgressDisplay):
    """The bars below the running cell of a notebook."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, tuple[int, int, str, float, float]] = {}
        self._handle: Any = None
        self._remark = ""
        self._shown = -math.inf

    def _step(self, what: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        begun = self._rows[what][3] if what in self._rows else now
        self._rows[what] = done, total, note, begun, now
        # Redrawing at every step would keep a notebook busy.
        if now - self._shown >= REFRESH_S or done == total:
            self._show()

    def _close(self, remark: str) -> None:
        self._remark = remark
        if self._rows:
            self._show()

    def _show(self) -> None:
        # Imported late: outside of notebooks there is no IPython.
        display: Callable[..., Any] = import_module("IPython.display").display
        self._shown = time.monotonic()
        bundle = {"text/html": self._html(), "text/plain": self._text()}
        if self._handle is None:
            # The same output is changed in place, instead of one more below it.
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def _html(self) -> str:
        # The text beside each bar says all that the bar shows.
        cell = "border:0;text-align:left;padding:.1em .8em .1em 0;background:none"
        rows = "".join(
            f'<tr style="background:none"><td style="{cell}">{html.escape(what)}</td>'
            f'<td style="{cell}"><progress aria-hidden="true" value="{done}" max="{total or 1}"></progress></td>'
            f'<td style="{cell}">{done} of {total}</td><td style="{cell}">{_clock(now - begun)}</td>'
            f'<td style="{cell}">{html.escape(note)}</td></tr>'
            for what, (done, total, note, begun, now) in self._rows.items()
        )
        remark = f'<div style="font-size:.9em">{html.escape(self._remark)}</div>' if self._remark else ""
        return f'<table style="border:0;margin:0;font-variant-numeric:tabular-nums">{rows}</table>{remark}'

    def _text(self) -> str:
        lines = [f"{what}: {done} of {total}" for what, (done, total, *_) in self._rows.items()]
        return "\n".join([*lines, *filter(None, [self._remark])])


def terminal_progress(console: Console, *, transient: bool = False, prints_above: bool = False) -> Progress:
    """Return the bars of a terminal, which take a `note` with each step.

    `transient`: the bars go at the end. `prints_above`: prints of the program go to the console, above the bars.
    """
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=transient,
        redirect_stdout=prints_above,
    )


def draw_note(counters: Any) -> str:
    """Return the note beside the bar of drawing: stored draws, calls in flight, money, time left."""
    parts = [f"{counters.cached} stored"]
    if counters.in_flight:
        parts.append(f"{counters.in_flight} in flight")
    if counters.spent or counters.budget is not None:
        budget = "" if counters.budget is None else f" of {dollars(counters.budget)}"
        parts.append(f"{dollars(counters.spent)}{budget}")
    if counters.too_many:
        parts.append(f"{counters.too_many} × 429")
    if counters.eta_s is not None and counters.done < counters.total:
        parts.append(f"{counters.eta_s:.0f} s left")
    return ", ".join(parts)


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this process; a terminal's IPython has no kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def bars(*, wanted: bool) -> ProgressDisplay | None:
    """Return the bars of a notebook or a terminal; None: this is neither, and no bars are `wanted` all the same."""
    if in_notebook():
        return NotebookDisplay()
    return TerminalDisplay() if wanted or sys.stderr.isatty() else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
