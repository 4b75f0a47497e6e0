"""Photographs and what the vendor delivered for them, made from stored draws when they are asked for."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from blackbox_conformal.annotations.annotation_file import Pair
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.listeners import SILENT, Listeners
from blackbox_conformal.study.stages.evaluate import evaluate
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.text import counted, printable
from blackbox_conformal.support.types import Image

_KEPT = 4
"""Pairs that stay in memory: the one that is marked, those beside it, and one of another window."""


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A photograph, cut to a multiple of the scale, and the delivered picture: (H, W, 3) uint8 each."""

    truth: Image
    delivered: Image
    pair: Pair


class Pairs:
    """Those photographs of a job whose draws are all stored.

    The run folder is in use while a pair is made, and not in between.

    Attributes
    ----------
    names
        Names of the photographs.
    references
        Digests of their pixels.
    missing
        How many photographs of the job are not drawn yet.

    Raises
    ------
    UsageError
        No photograph is drawn.
    """

    def __init__(self, job: Job) -> None:
        answered = job.answered_pictures()
        self._job = job
        # Half-drawn photographs would have to be paid for before they could be shown.
        self._pictures = [picture for picture in job.pictures if picture.input_digest in answered]
        self.missing = len(job.pictures) - len(self._pictures)
        if not self._pictures:
            raise UsageError(
                f"expected photographs whose draws are stored in {printable(job.folder)}; of "
                f"{counted(len(job.pictures), 'photograph')} none has any. Draw them first with `calibrate --run "
                f"{printable(job.folder)}` and the metric of your choice"
            )
        self.names: Sequence[str] = [picture.name for picture in self._pictures]
        self.references: Sequence[str] = [str(picture.truth_digest) for picture in self._pictures]
        self._kept: OrderedDict[int, ShownPair] = OrderedDict()
        self._alone = threading.Lock()

    @classmethod
    def of_photographs(cls, setup: Setup, paths: Sequence[Path], run: Path, listeners: Listeners = SILENT) -> "Pairs":
        """Those of these photographs, by their draws in the run folder `run`; errors also as for `Job.of_photographs`.

        What is not stored stays away: looking must not spend money.
        """
        # No call at all: a page that only shows must not spend money.
        nothing = Limits(max_calls=0, scope=frozenset())
        job = Job.of_photographs(setup, paths, Terms(run, nothing, listeners=listeners), to_draw=False)
        # Of reading a stored draw, each time that somebody looks at it, there is nothing to tell.
        job.terms = replace(job.terms, listeners=SILENT)
        return cls(job)

    def __len__(self) -> int:
        return len(self._pictures)

    def shown(self, index: int) -> ShownPair:
        """The pair of the photograph at `index`, as the metric of a calibration gets it.

        Raises
        ------
        CalibrationError
            The vendor refused the photograph, or its file was changed.
        LedgerError
            Another process uses the run folder.
        """
        # One at a time: making a pair opens the run folder, which has one owner.
        with self._alone:
            if index not in self._kept:
                self._kept[index] = self._make(index)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            # The pair that was asked for last is the last to go.
            self._kept.move_to_end(index)
            return self._kept[index]

    def _make(self, index: int) -> ShownPair:
        job = self._job.only([self._pictures[index]])

        def pair_of(ready: Ready) -> ShownPair | None:
            if ready.drawn.refusal is not None:
                return None
            truth, low = ready.truth_and_input("annotated")
            delivered = evaluate(ready.drawn, job.setup, ready.read, low, ready.second).delivered
            return ShownPair(truth, delivered, Pair.of(truth, delivered))

        with job.run(pair_of) as made:
            [(_, shown)] = list(made)
        if shown is None:
            raise CalibrationError(
                f"the vendor refused {printable(self.names[index])}; it counts as the worst loss, and there is nothing "
                "to mark. Go on to the next picture"
            )
        return shown
