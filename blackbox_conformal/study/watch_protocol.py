"""Declare the watch of a calibration that masks, audits and checks find by entry point."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.documents.watch_head import WatchHead, WatchStanding
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.support import catalog

if TYPE_CHECKING:
    from blackbox_conformal.study.job import Job
    from blackbox_conformal.study.stages.prepare import Prepared


@dataclass(frozen=True, slots=True)
class WatchState:
    """A certificate's words about the watch of its calibration.

    Attributes
    ----------
    note
        A sentence; None where there is nothing to say.
    head
        Head of the watch file as read; None where an earlier version wrote it.
    drift
        Why the guarantee does not hold for inputs like the masked ones; None where they did not drift.
    """

    note: str | None
    head: WatchHead | None
    drift: str | None = None


class EnteredState(Protocol):
    """State that a watch left a calibration in, since when, and why."""

    @property
    def state(self) -> str: ...
    @property
    def at(self) -> str: ...
    @property
    def reason(self) -> str: ...


class MaskedPictures(Protocol):
    """A ranking of masked pictures among the calibration's."""

    def enter(
        self,
        picture: "Prepared",
        statistics: InputStatistics,
        answers: Answers,
        threshold: float,
        group: str | None = None,
    ) -> None:
        """Enter a picture once, unless it calibrated, among the photographs of its group."""


class Watching(Protocol):
    """A watch's answers. An unreadable watch file is an error, since it may hold a suspension."""

    def state_of(self, file: Path, calibration: Calibration, trusted: Collection[str] = ()) -> EnteredState | None:
        """Return the state that the watch beside the calibration's `file` left it in; None without a watch."""

    def standing_of(self, file: Path, calibration: Calibration, trusted: Collection[str] = ()) -> WatchStanding | None:
        """Return how far that watch reaches and who vouches for it."""

    def holds(self, file: Path, head: WatchHead) -> bool:
        """Tell whether that watch has the entry that a certificate names."""

    def refuse_suspended(
        self, file: Path, calibration: Calibration, trusted: Collection[str] = (), *, whole: bool = True
    ) -> WatchState | None:
        """Return what a certificate says about that watch; `SuspendedError` where it suspended the calibration."""

    def check_beside(self, path: Path, calibration: Calibration) -> None:
        """Refuse a watch that was changed since it was written."""

    def sign_beside(self, path: Path, calibration: Calibration, key: SigningKey) -> None:
        """Sign the log of that watch, if there is one."""

    def begin_watch(
        self, job: "Job", calibration: Calibration, path: Path, count: int, key: SigningKey | None = None
    ) -> object:
        """Choose canaries among the calibration's photographs, and begin its watch; buys nothing."""

    def live_watch(
        self, path: Path | None, calibration: Calibration, group: str | None, key: SigningKey | None = None
    ) -> AbstractContextManager[MaskedPictures | None]:
        """Return a place to enter masked pictures into that watch; None where no watch goes on for them."""


def watching() -> Watching:
    """Return the installed watch."""
    watch: Watching = catalog.hook("watch")
    return watch
