"""Which pictures are sent at every visit: chosen once, by how far small changes of a vendor would move the answers."""

from collections.abc import Sequence

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import PayloadError, UsageError
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.stages.draws import drawn_picture, output_check
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.study.stages.uploads import sent_pixels
from blackbox_conformal.support.types import Image
from blackbox_conformal.watching.records import Canary
from blackbox_conformal.watching.sensitivity import sensitivity
from blackbox_conformal.watching.visit.planned_draws import draws_to_choose_by

CANDIDATES = 64
"""Photographs whose stored draws are looked at."""


def choose_canaries(job: Job, count: int) -> tuple[list[Canary], bool]:
    """`count` canaries among the pictures of a job, most sensitive first, and whether their first draws are stored.

    Where enough of the pictures are drawn, as those of a calibration are, they are compared by what planted changes do
    to their draws. Otherwise the first by digest are taken. Nothing is bought.

    Raises
    ------
    UsageError
        There are fewer pictures.
    """
    if len(job.pictures) < count:
        raise UsageError(
            f"expected at least {count} photographs to choose canaries from; got {len(job.pictures)}. Name more, or "
            f"give --canaries {len(job.pictures)}"
        )
    # By digest, so that the same photographs give the same canaries on every machine.
    ordered = sorted(job.pictures, key=lambda picture: picture.input_digest)
    stored = job.answered_pictures()
    # Only so many are looked at, since reading stored draws takes time.
    drawn = [picture for picture in ordered if picture.input_digest in stored][:CANDIDATES]
    measured = _measured(job, drawn) if len(drawn) >= count else []
    if len(measured) < count:
        return [_canary(picture, None) for picture in ordered[:count]], False
    measured.sort(key=lambda each: -each[1])
    return [_canary(picture, value) for picture, value in measured[:count]], True


def _measured(job: Job, candidates: Sequence[Prepared]) -> list[tuple[Prepared, float]]:
    """The sensitivity of each picture whose stored draws can be used."""
    setup, found = job.setup, []
    with Sampler(setup.adapter, job.folder, job.limits, check=output_check(setup)) as sampler:
        for done, picture in enumerate(candidates):
            job.listeners.progress("choosing canaries", done, len(candidates))
            pictures = stored_draws(setup, sampler, picture.tasks[: draws_to_choose_by(setup)])
            if pictures is not None:
                found.append((picture, sensitivity(*pictures)))
    job.listeners.progress("choosing canaries", len(candidates), len(candidates))
    return found


def stored_draws(setup: Setup, sampler: Sampler, tasks: Sequence[Task]) -> tuple[list[Image], Image] | None:
    """The pictures of stored draws of a canary, in order, and what was sent; None where one of them cannot be used."""
    outcomes = sorted(sampler.draw(tasks), key=lambda outcome: outcome.task.index)
    if any(outcome.state != "stored" for outcome in outcomes):
        return None
    sent = sent_pixels(tasks[0].upload)
    shown = setup.sent(sent)
    try:
        return [drawn_picture(sampler.read(each), each.task, setup, shown).pixels for each in outcomes], sent
    except PayloadError:
        return None


def _canary(picture: Prepared, value: float | None) -> Canary:
    upload = picture.tasks[0].upload
    return Canary(picture.name, upload.digest, upload.png, upload.width, upload.height, value)
