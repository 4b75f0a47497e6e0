"""Enters the pictures that are masked into two files: the run folder's own, and the calibration's watch if one goes on.

Neither costs anything. The watch may suspend the calibration. The run folder's own file needs no watch. It says which
inputs were masked before, and whether inputs or answers are no longer like the calibration's.
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signing_key import SigningKey
from blackbox_conformal.method.images.input_statistics.statistics import InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.support.files import require_writable
from blackbox_conformal.watching.live_file import (
    Known,
    LivePicture,
    count_of_pictures,
    enter,
    inputs_before,
    live_findings,
)
from blackbox_conformal.watching.records import Watched
from blackbox_conformal.watching.watch_file import WatchFile, watch_path

MASKED_FILE = "masked-inputs.sqlite"
"""The run folder's own file."""

LEVEL = 0.1
"""Of the run folder's own file, 10 % of it for inputs and 15 % for answers. In at most 1 % of run folders inputs like
the calibration's are ever said to have drifted, and in 1.5 % unchanged answers to have moved."""

MOST = 1000
"""So many pictures are ranked together, since each takes time for all before it; then ranking begins anew."""

_BEGINNING = threading.Lock()


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

    @property
    def drift(self) -> str | None:
        """What the pictures of the run folder found of inputs and answers, in words; None where they found nothing."""
        findings = live_findings(self._file, self._watch)
        found = [finding.statement for finding in findings if finding.verdict in ("note", "changed")]
        if not found:
            return None
        return (
            f"{'; '.join(found)}. Once that is mended, move {MASKED_FILE} out of the run folder, so that what follows "
            "is compared anew"
        )

    def before(self, inputs: Collection[str], most: int) -> InputStatistics:
        """The inputs that were entered last, at most so many, without those that have these digests."""
        return inputs_before(self._file, self._watch.calibration, tuple(self._known), inputs, most)


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

    Raises
    ------
    UsageError, FileFormatError
        The watch file cannot be read or written.
    """
    if path is None or not watch_path(path).exists() or not _ranks(calibration, group):
        yield None
        return
    with WatchFile(watch_path(path), key=key) as file:
        watch = file.current(calibration.digest)
        yield None if watch is None or not watch.live else LiveWatch(file, watch, calibration, group)


@contextmanager
def masked_before(
    folder: Path, calibration: Calibration, group: str | None, *, make: bool = True
) -> Iterator[LiveWatch | None]:
    """The run folder's own file, for the ``with`` block; None where the calibration's inputs cannot be compared with.

    `make`: make it where there is none. Errors as for `live_watch`.
    """
    path = folder / MASKED_FILE
    if not _ranks(calibration, group) or not (make or path.exists()):
        yield None
        return
    require_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with WatchFile(path) as file:
        with _BEGINNING:
            # Two processes that both begin a watch would count each picture in one of them.
            watch = file.current(calibration.digest)
            live = None if watch is None else LiveWatch(file, watch, calibration, group)
            if watch is None or live is None or (count_of_pictures(file, watch) >= MOST and live.drift is None):
                watch = file.begin(calibration.digest, LEVEL, (), calibrated=False)
                live = LiveWatch(file, watch, calibration, group)
        yield live


# A tile is more like another tile than two photographs are.
def _ranks(calibration: Calibration, group: str | None) -> bool:
    """Whether pictures can be ranked among the calibration's. Tiles of a photograph are more alike than photographs."""
    tiled = any(image.cluster is not None for image in calibration.images)
    return not tiled and len(calibration.comparable_inputs(group)) > 0
