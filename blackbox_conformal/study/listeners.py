"""Tell programs and people how far a job is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support import catalog

Progress = Callable[[str, int, int], None]  # Called with the work under way, how many are done, and how many there are.


@runtime_checkable
class Display(Protocol):
    """Bars that also get the events of drawing."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far the work `what` is."""

    def event(self, event: Event) -> None:
        """Show how far drawing is."""

    def keep_in(self, folder: Path) -> None:
        """Name at the end the folder that keeps the draws."""


@contextmanager
def shown_progress(progress: bool | Progress | None) -> Iterator[Progress]:
    """Give the function to call at each step.

    `progress`: True: bars. False: nothing. None: bars in a notebook and where stderr is a terminal. A function: itself.
    """
    if callable(progress):
        yield progress
        return
    if progress not in (None, True, False):
        raise UsageError(f"expected progress to be True, False, None or a function of three values; got {progress!r}")
    bars = None if progress is False else catalog.hook("progress").bars(wanted=bool(progress))
    if bars is None:
        yield lambda *_: None
        return
    try:
        yield bars
    finally:
        bars.close()


@dataclass(frozen=True, slots=True)
class Listeners:
    """Receivers of a job's news."""

    listener: Callable[[Event], None] | None = None  # Gets every event of drawing, from any thread, one at a time.
    progress: Progress = lambda *_: None  # Gets the work under way, how many are done, and how many there are.
    # Gets each sampler once it is open, so that it can be stopped.
    on_sampler: Callable[[Sampler], None] = lambda _: None


SILENT = Listeners()
