"""Draws the canaries of one visit, and measures each answer as it comes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from blackbox_conformal.errors import BlackboxConformalError, ModelChangedError, PayloadError
from blackbox_conformal.images.headers import inspect
from blackbox_conformal.pipeline.job import Job
from blackbox_conformal.pipeline.prices.budget import are_stored
from blackbox_conformal.pipeline.stages.draws import drawn_picture, output_check
from blackbox_conformal.pipeline.stages.uploads import sent_pixels
from blackbox_conformal.pipeline.watch_parts.planned_draws import calibrated_draws, task_of
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import Outcome, Task
from blackbox_conformal.types import Image
from blackbox_conformal.watching.features import features
from blackbox_conformal.watching.findings import Finding
from blackbox_conformal.watching.pixels import Difference
from blackbox_conformal.watching.records import Canary, Visit, WatchDraw, Watched

NOT_NEEDED = "not needed"
"""State of a reference draw that a vendor which repeats itself needs not be asked for."""


@dataclass
class Look:
    """What came of the draws of a visit.

    Attributes
    ----------
    draws
        Those of the visit, in their order, with what came.
    repeats_itself
        Whether the vendor answers equal requests equally; None where it could not be measured.
    differences
        Each repeated answer beside its reference.
    unread
        Whether a reference is not to be had any more.
    replaced
        What the sampler said when two models answered in one visit; None where that did not happen.
    """

    draws: list[WatchDraw]
    repeats_itself: bool | None
    differences: list[Difference] = field(default_factory=list)
    unread: bool = False
    replaced: str | None = None


class Looking:
    """The canaries of a watch, while their vendor is open.

    Parameters
    ----------
    job
        The draws that may have to be bought; its budget is agreed to.
    earlier
        The visits before this one.
    """

    def __init__(
        self, job: Job, sampler: Sampler, watch: Watched, canaries: Sequence[Canary], earlier: Sequence[Visit]
    ) -> None:
        self._job, self._sampler, self._watch = job, sampler, watch
        self._canaries, self._earlier = canaries, earlier
        self._seeded = job.setup.adapter.capabilities.seedable

    def look(self, planned: Sequence[WatchDraw]) -> Look:
        """Draw what is planned, part by part, and compare.

        Models are compared here and not by the sampler, which would end the visit: it is asked for the calibration's
        draws and for new ones apart.

        Raises
        ------
        VendorError, BudgetError, IncompleteError
            Before everything came. What came is kept, and the visit is gone on with next time.
        """
        found = Look([], self._watch.repeats_itself)
        done: dict[int, WatchDraw] = {}
        stored = calibrated_draws(planned)
        repeats = [draw for draw in planned if draw.purpose == "repeat"]
        try:
            self._take(stored, done)
            self._take(repeats, done)
            if found.repeats_itself is None:
                # A vendor without seeds whose calibrated draws differ is known to vary, whatever a cache answers now.
                found.repeats_itself = self._measured([done[draw.id] for draw in (repeats or stored)[:2]])
            rest = [draw for draw in planned if draw.id not in done]
            if found.repeats_itself and not self._seeded:
                unneeded = [draw for draw in rest if draw.purpose == "reference"]
                done.update((draw.id, replace(draw, state=NOT_NEEDED)) for draw in unneeded)
                rest = [draw for draw in rest if draw.purpose != "reference"]
            self._take(rest, done)
        except ModelChangedError as error:
            found.replaced = str(error)
        found.draws = [done.get(draw.id, draw) for draw in planned]
        if found.repeats_itself:
            self._compare(found)
        return found

    def _take(self, draws: Sequence[WatchDraw], done: dict[int, WatchDraw]) -> None:
        """Draw these and note what came of each."""
        by_task = {(canary.upload, draw.index): draw for draw in draws for canary in [self._canaries[draw.canary]]}
        arriving = self._outcomes(draws)
        for outcome in arriving:
            draw = by_task[outcome.task.upload.digest, outcome.task.index]
            done[draw.id] = self._looked_at(draw, outcome)
            self._job.watch.progress("looking at canaries", len(done), len(self._job.tasks))

    def _outcomes(self, draws: Iterable[WatchDraw]) -> Iterator[Outcome]:
        tasks = [task_of(self._canaries[draw.canary], draw) for draw in draws]
        return self._sampler.draw(tasks) if tasks else iter(())

    def _looked_at(self, draw: WatchDraw, outcome: Outcome) -> WatchDraw:
        """The draw with what the vendor declared and, where it is a picture of the right size, its features."""
        noted = replace(draw, state=outcome.state, file=outcome.digest, model=outcome.model, cost_usd=outcome.cost_usd)
        if outcome.digest is None:
            return noted
        try:
            content = self._sampler.read(outcome)
            container = inspect(content)
        except BlackboxConformalError:
            return noted
        noted = replace(noted, format=container.format, width=container.width, height=container.height)
        if outcome.state != "stored":
            return noted
        sent = sent_pixels(outcome.task.upload)
        return replace(noted, features=features(self._decoded(content, outcome.task, sent), sent))

    def _decoded(self, content: bytes, task: Task, sent: Image) -> Image:
        setup = self._job.setup
        return drawn_picture(content, task, setup, setup.sent(sent)).pixels

    def _pixels(self, draw: WatchDraw) -> Image | None:
        """The picture of a draw that is stored; None where it is not, is damaged, or is of a model before the present.

        Nothing is bought.
        """
        task = task_of(self._canaries[draw.canary], draw)
        if not are_stored(self._job.setup.adapter, [task], self._job.folder):
            return None
        try:
            outcome = next(iter(list(self._sampler.draw([task]))))
            return self._decoded(self._sampler.read(outcome), task, sent_pixels(task.upload))
        except (PayloadError, ModelChangedError):
            return None

    def _measured(self, repeats: Sequence[WatchDraw]) -> bool | None:
        """Whether the two answers to one request are the same picture."""
        pictures = [self._pixels(draw) for draw in repeats if draw.state == "stored"]
        if len(pictures) < 2 or pictures[0] is None or pictures[1] is None:
            return None
        return not Difference.between(pictures[0], pictures[1]).is_change

    def _compare(self, found: Look) -> None:
        """Put each repeated answer beside the reference of its canary."""
        references: dict[int, WatchDraw] = {}
        for draw in [*(draw for visit in self._earlier for draw in visit.draws), *found.draws]:
            if draw.known and draw.state == "stored":
                references.setdefault(draw.canary, draw)
        purposes = ("repeat",) if self._seeded else ("repeat", "fresh")
        for draw in found.draws:
            if draw.purpose not in purposes or draw.state != "stored" or draw.canary not in references:
                continue
            before, now = self._pixels(references[draw.canary]), self._pixels(draw)
            if before is None or now is None:
                found.unread = True
            else:
                found.differences.append(Difference.between(before, now))


def sampler_of(job: Job) -> Sampler:
    """What the canaries of a job are drawn with."""
    setup = job.setup
    return Sampler(setup.adapter, job.folder, job.limits, check=output_check(setup), listener=job.watch.listener)


def pixels_finding(found: Look) -> Finding:
    """What the repeated answers say."""
    if found.repeats_itself is False:
        return Finding("pixels", "not watched", "the vendor answers equal requests differently, so pixels say nothing")
    if not found.differences:
        reason = (
            "its reference is not in the run folder any more, or another model's"
            if found.unread
            else "no repeated answer came"
        )
        return Finding("pixels", "cannot tell", f"{reason}")
    worst = max(found.differences, key=lambda difference: (difference.largest, difference.share))
    compared = f"{len(found.differences)} repeated answers" if len(found.differences) > 1 else "the repeated answer"
    told = f"{compared} beside the reference: {worst.words}"
    if worst.is_change:
        return Finding("pixels", "changed", told, float(worst.largest))
    if worst.largest:
        return Finding(
            "pixels", "note", f"{told}: rounding, as another machine of the vendor makes it", float(worst.largest)
        )
    return Finding("pixels", "same", told, 0.0)
