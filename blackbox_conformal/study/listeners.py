"""Tells programs and people how far a job is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support import catalog

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how many are done, and how many there are."""


def unseen(what: str, done: int, total: int) -> None:
    """Show nothing."""


@runtime_checkable
class Display(Protocol):
    """Bars, which get the events of drawing, too."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far the work `what` has come."""

    def event(self, event: Event) -> None:
        """Show how far drawing has come."""

    def keep_in(self, folder: Path) -> None:
        """Say at the end where draws are kept."""


@contextmanager
def shown_progress(progress: bool | Progress | None) -> Iterator[Progress]:
    """Give what is called with each step.

    `progress`: True: bars. False: nothing. None: bars in a notebook and where stderr is a terminal. Else what is
    called.
    """
    if callable(progress):
        yield progress
        return
    if progress not in (None, True, False):
        raise UsageError(f"expected progress to be True, False, None or a function of three values; got {progress!r}")
    bars = None if progress is False else catalog.hook("progress").bars(wanted=bool(progress))
    if bars is None:
        yield unseen
        return
    try:
        yield bars
    finally:
        bars.close()


@dataclass(frozen=True, slots=True)
class Listeners:
    """Receivers of what a job does.

    Attributes
    ----------
    listener
        Gets every event of drawing, from any thread, one at a time.
    progress
        Gets what is done, how many are done, and how many there are.
    on_sampler
        Gets each sampler once it is open, so that it can be stopped.
    """

    listener: Callable[[Event], None] | None = None
    progress: Progress = lambda *_: None
    on_sampler: Callable[[Sampler], None] = lambda _: None


SILENT = Listeners()
