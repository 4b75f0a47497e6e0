"""Learn weights of the score `learned` on the user's own photographs, from outputs that cost nothing.

A score gives no guarantee on photographs that made it. So the run folder's tuning file, which calibrations obey, and
the weights record these photographs first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import CalibrationError, IncompleteError, UsageError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.scores._learned_network import features, network_of, own_network, written
from blackbox_conformal.method.scores._learned_training import STEPS, Learned, Lesson, learn, usual_error
from blackbox_conformal.method.scores.learned import LearnedScore
from blackbox_conformal.study.from_keywords import named_keywords, setup_of, terms_of
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.run_folder import run_folder
from blackbox_conformal.study.settings_table import LearnSettings
from blackbox_conformal.study.stages.evaluate import decoded_draws
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.study.unseen_photographs import TUNING_FILE, TuningRecord, split_prepared
from blackbox_conformal.support.blocks import Block, Faces, Facts
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.wording import share
from blackbox_conformal.vendor.adapter import Adapter

FEWEST = 20  # Photographs that learning needs at least.
MOST = 10_000  # Photographs that a file of weights can name.
KEPT_APART = 4  # One photograph in this many chooses the best weights and does not teach.


@dataclass(frozen=True, slots=True, repr=False)
class Learning(Faces):
    """Learned weights, and the photographs that they come from.

    Attributes
    ----------
    weights
        The written file; None: the weights are not surely better than the package's.
    learned
        Its content, and the shares that can be trusted before and after.
    teaching, measuring
        Photographs that taught, and photographs kept apart to choose by.
    photographs
        All of them; none may calibrate.
    outputs_of
        The adapter whose outputs were learned from.
    """

    weights: Path | None
    learned: Learned
    teaching: int
    measuring: int
    photographs: tuple[KnownPhotograph, ...]
    outputs_of: str

    @property
    def score(self) -> LearnedScore:
        """Return the score to calibrate with."""
        return LearnedScore(weights=self.weights)

    def __repr__(self) -> str:
        learned = self.learned
        return (
            f"<Learning from {self.teaching} photographs, outputs of {self.outputs_of}: {learned.before:.1%} of "
            f"{self.measuring} others could be trusted before, {learned.after:.1%} after>"
        )

    def blocks(self) -> Iterator[Block]:
        """Show what was learned from, what was gained, and the weights."""
        learned, weights = self.learned, None if self.weights is None else str(self.weights.resolve())
        gained = f"; at least {share(learned.least_gain)} more, with confidence 95 %" * (weights is not None)
        facts = {
            "learned from": f"{self.teaching} photographs, outputs of {self.outputs_of}, at no cost",
            "trusted": f"{share(learned.after)} of {self.measuring} photographs kept apart, before "
            f"{share(learned.before)}, on average over levels" + gained,
            "weights": weights
            or "none: it is not sure that others are better for photographs like these than the package's own",
            "photographs": f"{len(self.photographs)}, which must not calibrate",
        }
        data = {
            "weights": weights,
            "score": specification_text(self.score),
            "outputs_of": self.outputs_of,
            "n_teaching": self.teaching,
            "n_measuring": self.measuring,
            "share_before": learned.before,
            "share_after": learned.after,
            "least_gain": learned.least_gain,
            "teaching_share_before": learned.taught_before,
            "teaching_share_after": learned.taught_after,
        }
        yield Facts(facts, data)


@named_keywords
@photographs_as_files("photographs")
def learn_score(vendor: Adapter, photographs: Photographs, **settings: Unpack[LearnSettings]) -> Learning:
    """Fit the score learned to your own kind of photographs, by outputs that cost nothing; no photograph is sent.

    The weights and the tuning file, which keeps the photographs from calibrating, go into the run folder.
    `score` and `second_adapter` are refused, and `seed` also chooses which photographs teach.

    Parameters
    ----------
    vendor
        The vendor to calibrate afterwards; it is not asked.
    photographs
        20 or more; the more, the better.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> learning = bc.learn_score(vendor, "photographs", run="learned")
    >>> learning
    <Learning from 15 photographs, outputs of embedded: …% of 5 others could be trusted before, …% after>
    >>> bc.calibrate(vendor, "unseen", score=learning.score, tuning=learning.photographs, max_cost=20)
    <Calibration of …>
    """
    for name in ("score", "second_adapter"):
        if name in settings:
            raise UsageError(f"expected learn_score without {name}, since it makes weights of the score learned")
    setup = setup_to_learn(setup_of(vendor, settings))
    terms = terms_of(run_folder(Path("runs"), setup.procedure), settings)
    outputs = settings.get("outputs")
    job = job_to_learn(setup, None if outputs is None else str(outputs), photograph_paths(photographs), terms)
    return learn_job(job, terms.folder, settings.get("seed", 0))


def setup_to_learn(setup: Setup) -> Setup:
    """Give the set-up the score learned."""
    learned, scale = LearnedScore(), setup.procedure.scale
    if (refused := learned.refused_at(scale)) is not None:
        raise UsageError(f"{refused}; got scale {scale}. Leave --learn out (tune in Python), to choose among others")
    return setup.with_score(learned, setup.procedure.draws)


def job_to_learn(setup: Setup, outputs: str | None, paths: Sequence[Path], terms: Terms) -> Job:
    """Make the job of one free output of each photograph, delivered as in `setup`.

    `outputs`: The folder of outputs; None: the embedded vendor makes them.
    `terms`: Of the job to calibrate; draws are kept in a folder below its folder.
    """
    if (terms.folder / TUNING_FILE).exists():
        TuningRecord.load(terms.folder / TUNING_FILE)
    scale = setup.procedure.scale
    if outputs is not None:
        label = Path(outputs).name or "outputs"
        stand_in = load_adapter("folder", path=outputs, label=label, scale=str(scale))
    else:
        stand_in = load_adapter("embedded")
        if scale not in stand_in.capabilities.scale_factors:
            raise UsageError(
                f"expected --outputs FOLDER with outputs of scale {scale} to learn from, since the embedded vendor "
                "magnifies by 4 only. Add --outputs outputs"
            )
    if len(paths) < FEWEST:
        raise UsageError(
            f"expected {FEWEST} photographs or more to learn from, since fewer say nothing of others; got "
            f"{len(paths)}. Add photographs, or leave --learn out: the score learned needs no learning"
        )
    if len(paths) > MOST:
        raise UsageError(f"expected at most {MOST} photographs to learn from; got {len(paths)}. Name some of them")
    price = stand_in.capabilities.price
    if price is None or price.high_usd > 0:
        raise UsageError(f"expected outputs that cost nothing to learn from; got those of {stand_in.name}")
    limits = replace(terms.limits, max_cost_usd=None, max_calls=None)
    free = replace(terms, folder=terms.folder / f"{stand_in.name}-stand-in", limits=limits)
    return Job.of_photographs(setup.with_score(setup.score, 1).with_stand_in(stand_in), paths, free)


def learn_job(job: Job, folder: Path, seed: int = 0, out: Path | None = None, *, force: bool = False) -> Learning:
    """Learn weights from a job's photographs; equal photographs, outputs and seed give equal weights.

    `out`: Where the weights go; None: into the run folder.
    `force`: Whether they may replace another file.
    """
    samplers, drawing = list[Sampler](), job.listeners

    def begun(sampler: Sampler) -> None:
        samplers.append(sampler)
        drawing.on_sampler(sampler)

    def on_step(count: int) -> None:
        drawing.progress("fitting", count, STEPS)
        if any(sampler.asked_to_stop for sampler in samplers):
            raise IncompleteError("stopped while learning, so nothing was learned; the same command begins anew")

    # Learning stops with the job, too.
    job = replace(job, terms=replace(job.terms, listeners=replace(drawing, on_sampler=begun)))

    def lesson_of(ready: Ready) -> Lesson | None:
        if ready.drawn.refusal is not None:
            return None
        setup, scale = job.setup, job.setup.procedure.scale
        truth, low = ready.truth_and_input("learned from")
        first, *_ = decoded_draws(ready.drawn, setup, ready.read, low)
        delivered = setup.delivered(first, low)
        errors = setup.errors(truth, delivered, low).reshape(low.shape[0], scale, low.shape[1], scale)
        return Lesson.of(features(setup.context(delivered, low, None), low), np.max(errors, axis=(1, 3)))

    measured = job.gathered("learning", lesson_of, [job.setup.score])
    lessons = {drawn.prepared.input_digest: lesson for drawn, lesson in measured if lesson is not None}
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
    learned = learn(own_network(), teaching, measuring, seed, on_step)
    weights = None
    if learned.content is not None:
        content = written(network_of(learned.content).arrays, photographs)
        learned, digest = replace(learned, content=content), digest_bytes(content).removeprefix("sha256:")
        weights = folder / f"learned-{digest[:12]}.npz" if out is None else out
    # Kept before the weights are written, so that no weights exist without a note of their photographs.
    score = "learned" if weights is None else f"learned:weights={weights}"
    TuningRecord(score=score, draws=1, alpha=None, photographs=tuple(photographs)).keep(folder / TUNING_FILE)
    if weights is not None and learned.content is not None:
        write_new(weights, learned.content, force=force)
    return Learning(weights, learned, len(teaching), len(measuring), tuple(photographs), job.setup.adapter.name)
