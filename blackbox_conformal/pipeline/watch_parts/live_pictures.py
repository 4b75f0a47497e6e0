"""Shows the pictures that are masked to the calibration's watch, where one goes on; it costs nothing."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from blackbox_conformal.calibration import Calibration
from blackbox_conformal.images.input_statistics.rows import InputStatistics
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.signing_key import SigningKey
from blackbox_conformal.watching.live_file import Known, LivePicture, enter
from blackbox_conformal.watching.records import Watched
from blackbox_conformal.watching.states import WatchState, refuse_suspended
from blackbox_conformal.watching.watch_file import WatchFile, watch_path


class LiveWatch:
    """The watch of a calibration while pictures are masked; see `live_watch`."""

    def __init__(
        self,
        file: WatchFile,
        watch: Watched,
        path: Path,
        calibration: Calibration,
        group: str | None,
        trusted: Collection[str],
    ):
        self._file, self._watch, self._path, self._calibration = file, watch, path, calibration
        self._trusted = trusted
        rows = [
            row
            for row, image in enumerate(calibration.images)
            if group in (None, image.group) and not np.isnan(calibration.inputs.values[row, 0])
        ]
        self._known = Known(group, calibration.inputs[rows], calibration.answers[rows])
        self._seen = {image.input for image in calibration.images}

    def show(
        self, picture: Prepared, statistics: InputStatistics, answers: Answers, threshold: float
    ) -> WatchState | None:
        """Let a picture bet that the watch has not seen; gives what certificates have to say of the watch from now on.

        Raises
        ------
        SuspendedError
            The answers say that the vendor changed.
        """
        if picture.input_digest not in self._seen and not np.isnan(statistics.values).any():
            enter(
                self._file,
                self._watch,
                self._known,
                LivePicture(picture.input_digest, statistics, answers),
                threshold,
            )
        return refuse_suspended(self._path, self._calibration, self._trusted, whole=False)


@contextmanager
def live_watch(
    path: Path | None,
    calibration: Calibration,
    group: str | None,
    trusted: Collection[str] = (),
    key: SigningKey | None = None,
) -> Iterator[LiveWatch | None]:
    """The watch beside the calibration's file, for the ``with`` block; None where none goes on for live pictures.

    Tiles of one photograph are more alike than photographs, so where tiles calibrated nothing can be said. What is
    entered is signed with the `key`.

    Raises
    ------
    UsageError, FileFormatError
        The watch file cannot be read or written.
    """
    tiled = any(image.cluster is not None for image in calibration.images)
    if path is None or tiled or not watch_path(path).exists():
        yield None
        return
    with WatchFile(watch_path(path), key=key) as file:
        watch = file.current(calibration.digest)
        yield None if watch is None or not watch.live else LiveWatch(file, watch, path, calibration, group, trusted)
