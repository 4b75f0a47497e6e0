"""Enters the pictures that are masked into the calibration's watch, which may suspend it. That costs nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.method.images.input_statistics.statistics import InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.watching.live_file import (
    Known,
    LivePicture,
    enter,
)
from blackbox_conformal.watching.records import Watched
from blackbox_conformal.watching.watch_file import WatchFile, watch_path


class LiveWatch:
    """A watch file while pictures are masked, and the photographs of the calibration that they are ranked among."""

    def __init__(self, file: WatchFile, watch: Watched, calibration: Calibration, group: str | None):
        self._file, self._watch = file, watch
        # Of a cascade every picture is ranked among those that end at the same vendor.
        groups = calibration.groups if calibration.procedure.vendors_that_end else (group,)
        self._known = {one: _known(calibration, one) for one in groups}
        self._seen = {image.input for image in calibration.images}

    def enter(
        self,
        picture: Prepared,
        statistics: InputStatistics,
        answers: Answers,
        threshold: float,
        group: str | None = None,
    ) -> None:
        """Let a picture bet that was not entered before and did not calibrate."""
        known = self._known.get(group)
        # A picture that calibrated is no test of the vendor.
        if known and picture.input_digest not in self._seen and not np.isnan(statistics.values).any():
            live = LivePicture(picture.input_digest, statistics, answers)
            enter(self._file, self._watch, known, live, threshold)


def _known(calibration: Calibration, group: str | None) -> Known:
    """The photographs of the calibration, or of a group, whose inputs are known."""
    rows = [
        row
        for row, image in enumerate(calibration.images)
        if group in (None, image.group) and not np.isnan(calibration.inputs.values[row, 0])
    ]
    return Known(group, calibration.inputs[rows], calibration.answers[rows])


@contextmanager
def live_watch(
    path: Path | None, calibration: Calibration, group: str | None, key: SigningKey | None = None
) -> Iterator[LiveWatch | None]:
    """The watch beside the calibration's file, for the ``with`` block; None where none goes on for live pictures.

    What is entered is signed with the `key`.
    """
    if path is None or not watch_path(path).exists() or not _ranks(calibration, group):
        yield None
        return
    with WatchFile(watch_path(path), key=key) as file:
        watch = file.current(calibration.digest)
        yield None if watch is None or not watch.live else LiveWatch(file, watch, calibration, group)


# A tile is more like another tile than two photographs are.
def _ranks(calibration: Calibration, group: str | None) -> bool:
    """Whether pictures can be ranked among the calibration's. Tiles of a photograph are more alike than photographs."""
    tiled = any(image.cluster is not None for image in calibration.images)
    return not tiled and len(calibration.comparable_inputs(group)) > 0
