"""Who hears of what a job does."""

from collections.abc import Callable
from dataclasses import dataclass

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.sampler import Sampler

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how many are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Receivers of what a job does: events, progress, samplers.

    Attributes
    ----------
    listener
        Gets every event of drawing, from any thread, one at a time.
    progress
        Gets what is done, how many are done, and how many there are.
    on_sampler
        Gets each sampler as soon as it is open, so that it can be stopped.
    """

    listener: Callable[[Event], None] | None = None
    progress: Progress = lambda *_: None
    on_sampler: Callable[[Sampler], None] = lambda _: None


SILENT = Listeners()
