"""Learn weights of the score `price` on photographs of the user's own kind, from outputs that cost nothing.

A score that was made by photographs gives no guarantee on them. So those that were learned from are kept in the run
folder's tuning file, which calibrations obey, before anything is made of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.calibration import KnownPhotograph
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.pipeline.held_out import split_prepared
from blackbox_conformal.pipeline.job import Job, Ready, Terms
from blackbox_conformal.pipeline.stages.evaluate import decoded_draws
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.scores._price_features import features
from blackbox_conformal.scores._price_learning import Learned, Lesson, learn, usual_error
from blackbox_conformal.scores._price_network import own_network
from blackbox_conformal.scores.score import Context

FEWEST = 20
"""Photographs from which anything can be learned."""

KEPT_APART = 4
"""One photograph in so many does not teach: by it the best weights are chosen."""


@dataclass(frozen=True, slots=True)
class Learning:
    """What was learned, and from which photographs.

    Attributes
    ----------
    learned
        The file of weights, and the shares that can be trusted before and after.
    teaching, measuring
        How many photographs taught, and how many were kept apart to choose by.
    photographs
        All of them, which must not calibrate.
    """

    learned: Learned
    teaching: int
    measuring: int
    photographs: tuple[KnownPhotograph, ...]


def job_to_learn(setup: Setup, stand_in: Adapter, paths: Sequence[Path], terms: Terms) -> Job:
    """The job of one free output of each photograph, as `setup` would deliver it, by `stand_in`.

    Raises
    ------
    UsageError
        There are fewer than `FEWEST` photographs, or the outputs would cost something; see also `set_up`.
    """
    if len(paths) < FEWEST:
        raise UsageError(
            f"expected {FEWEST} photographs or more to learn from, since fewer say nothing of others; got "
            f"{len(paths)}. Add photographs, or leave --learn out: the score price needs no learning"
        )
    price = stand_in.capabilities.price
    if price is None or price.high_usd > 0:
        raise UsageError(f"expected outputs that cost nothing to learn from; got those of {stand_in.name}")
    return Job.of_photographs(setup.with_stand_in(stand_in), paths, terms)


def learn_job(job: Job, seed: int = 0) -> Learning:
    """Learn weights from a job's photographs; the same photographs, outputs and seed give the same weights.

    Raises
    ------
    CalibrationError
        The outputs are the photographs themselves, or too many were refused.
    BlackboxConformalError
        Outputs are missing, or cannot be used; see `Job.run`.
    """
    job.confirm()
    lessons: dict[str, Lesson] = {}
    with job.run(lambda ready: _lesson(job, ready), scores=[job.setup.score]) as measured:
        for count, (drawn, lesson) in enumerate(measured, 1):
            if lesson is not None:
                lessons[drawn.prepared.input_digest] = lesson
            job.watch.progress("learning", count, len(job.pictures))
    usable = sorted((one for one in job.pictures if one.input_digest in lessons), key=lambda one: one.input_digest)
    if len(usable) < FEWEST:
        raise CalibrationError(
            f"expected outputs of {FEWEST} photographs or more to learn from; got {len(usable)}, the others were "
            "refused. Add photographs"
        )
    parts = split_prepared(usable, len(usable) // KEPT_APART, seed)
    teaching, measuring = ([lessons[picture.input_digest] for picture in part] for part in parts)
    if usual_error(teaching) == 0:
        raise CalibrationError(
            "expected outputs that differ from the photographs; all are equal to them, so that there is no error to "
            "learn from. Give the vendor's outputs with --outputs"
        )
    photographs = sorted((KnownPhotograph.of(one.sketch) for one in job.pictures), key=lambda one: one.truth)
    learned = learn(own_network(), teaching, measuring, seed)
    return Learning(learned, len(teaching), len(measuring), tuple(photographs))


def _lesson(job: Job, ready: Ready) -> Lesson | None:
    """The features of one picture, and its errors; None for a refused one."""
    drawn, setup = ready.drawn, job.setup
    if drawn.refusal is not None:
        return None
    scale = setup.procedure.scale
    truth = job.truth(drawn.prepared, "learned from")
    low = drawn.prepared.input_of(truth, setup)
    first, *_ = decoded_draws(drawn, setup, ready.read, low)
    delivered = setup.delivered(first, low)
    errors = setup.errors(truth, delivered, low).reshape(low.shape[0], scale, low.shape[1], scale)
    context: Context = setup.context(delivered, low, None)
    return Lesson.of(features(context, low), np.max(errors, axis=(1, 3)))
