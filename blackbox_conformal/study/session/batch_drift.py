"""Whether the answers to the pictures of a session, batch by batch, are like those to the calibration's photographs."""

import threading
from collections.abc import Callable

from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.study.mask.mask_request import MaskRequest
from blackbox_conformal.study.stages.evaluate import drifted

DRIFT_BATCH = 32
"""So many pictures in a row are compared together with the calibration's photographs."""


class BatchDrift:
    """Compares the answers to pictures, batch by batch, with those to the calibration's photographs.

    Batches do not overlap, so that each is called another by chance as rarely as one batch that `mask_all` is given.
    `note` is what was found of the latest batch; None: it is like the calibration, or there is none yet.
    """

    def __init__(self, request: MaskRequest, on_drift: Callable[[str], None]) -> None:
        self.tell = on_drift
        self.note: str | None = None
        self._request = request
        self._batch: list[Answers] = []
        self._lock = threading.Lock()

    def add_answers(self, answers: Answers) -> None:
        request = self._request
        if request.for_unknown:
            return
        with self._lock:
            self._batch.append(answers)
            if len(self._batch) < DRIFT_BATCH:
                return
            batch, self._batch = self._batch, []
        thresholds = [request.rule.threshold(request.curves, request.alpha)]
        self.note = drifted(request.calibration, batch, thresholds, request.group)
        if self.note is not None:
            self.tell(self.note)
