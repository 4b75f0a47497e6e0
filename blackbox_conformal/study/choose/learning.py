"""Learn weights of a score on the user's own photographs: of `learned`, or of `predicted-invention`.

A score gives no guarantee on photographs that made it. So the run folder's tuning file, which calibrations obey, and
the weights record these photographs first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import CalibrationError, IncompleteError, UsageError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.scores._invention_training import FITS, InventionLesson, learn_invention
from blackbox_conformal.method.scores._learned_network import features, own_network
from blackbox_conformal.method.scores._learned_training import STEPS, Learned, Lesson, learn, usual_error
from blackbox_conformal.method.scores._weights_file import written
from blackbox_conformal.method.scores.predicted_invention import PredictedInvention
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.study.from_keywords import named_keywords, setup_of, terms_of
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.run_folder import run_folder
from blackbox_conformal.study.settings_table import LearnSettings
from blackbox_conformal.study.stages.evaluate import decoded_draws
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup, member
from blackbox_conformal.study.unseen_photographs import TUNING_FILE, TuningRecord, split_prepared
from blackbox_conformal.support.blocks import Block, Faces, Facts
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.types import Image
from blackbox_conformal.support.wording import share
from blackbox_conformal.vendor.adapter import Adapter

USUAL = "learned"  # Score that is learned where none is named.
FEWEST = 20  # Photographs that learning needs at least.
MOST = 10_000  # Photographs that a file of weights can name.
KEPT_APART = 4  # One photograph in this many chooses the best weights of `learned` and does not teach.

OnStep = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class TeachableScore:
    """A score whose weights can be learned.

    `measured`: What `Learned` measures, and in which words a screen says on what.
    `steps`: How many steps learning takes.
    `asks`: Whether the vendor's own answers teach; otherwise free ones of any network do.
    `lesson`: Makes a lesson of a set-up, truth, delivered picture and input.
    `learn`: Learns from pictures and their lessons by input digest, and says how many taught and how many judged.
    """

    measured: tuple[str, str]
    steps: int
    asks: bool
    lesson: Callable[[Setup, Image, Image, Image], Any]
    learn: Callable[[Score, Sequence[Prepared], Mapping[str, Any], int, OnStep], tuple[Learned, int, int]]


def _lesson_of_errors(setup: Setup, truth: Image, delivered: Image, low: Image) -> Lesson:
    scale = setup.procedure.scale
    errors = setup.errors(truth, delivered, low).reshape(low.shape[0], scale, low.shape[1], scale)
    return Lesson.of(features(setup.context(delivered, low, None), low), np.max(errors, axis=(1, 3)))


def _learn_from_errors(
    _: Score, pictures: Sequence[Prepared], lessons: Mapping[str, Lesson], seed: int, on_step: OnStep
) -> tuple[Learned, int, int]:
    parts = split_prepared(pictures, len(pictures) // KEPT_APART, seed)
    teaching, measuring = ([lessons[picture.input_digest] for picture in part] for part in parts)
    if usual_error(teaching) == 0:
        raise CalibrationError(f"expected outputs that differ from the photographs; {_EQUAL}")
    return learn(own_network().arrays, teaching, measuring, seed, on_step), len(teaching), len(measuring)


def _lesson_of_invention(setup: Setup, truth: Image, delivered: Image, low: Image) -> InventionLesson:
    _, energies = setup.judged(truth, delivered, low)
    score = cast(PredictedInvention, setup.score)
    return InventionLesson.of(score.network, *score.seen(setup.context(delivered, low, None), low), energies)


def _learn_from_invention(
    score: Score,
    pictures: Sequence[Prepared],
    lessons: Mapping[str, InventionLesson],
    seed: int,
    on_step: OnStep,
) -> tuple[Learned, int, int]:
    taught = [lessons[picture.input_digest] for picture in pictures]
    if not any(one.invented.any() for one in taught):
        raise CalibrationError(f"expected answers that add detail which the photographs lack; {_EQUAL}")
    # Each photograph is judged by weights that the others taught.
    learned = learn_invention(cast(PredictedInvention, score).network, taught, seed, on_step)
    return learned, len(taught), len(taught)


_EQUAL = "there is no error to learn from. Give the vendor's outputs with --outputs, or leave --learn out"

TEACHABLE = {
    "learned": TeachableScore(
        ("trusted", "on average over levels"), STEPS, False, _lesson_of_errors, _learn_from_errors
    ),
    "predicted-invention": TeachableScore(
        ("right detail clear", "where 70 to 90 % of the invention is hatched"),
        FITS,
        True,
        _lesson_of_invention,
        _learn_from_invention,
    ),
}
"""What can be learned, by the name of the score."""


@dataclass(frozen=True, slots=True, repr=False)
class Learning(Faces):
    """Learned weights, and the photographs that they come from.

    Attributes
    ----------
    score
        The score to calibrate with.
    weights
        The written file; None: the weights are not surely better than the package's.
    learned
        Its content, and the shares that can be trusted, or of right detail that is clear, before and after.
    teaching, measuring
        Photographs that taught, and photographs that judged weights which they did not teach.
    photographs
        All of them; none may calibrate.
    outputs_of
        The adapter whose outputs were learned from.
    calls
        Calls of your vendor that were made.
    """

    score: Score
    weights: Path | None
    learned: Learned
    teaching: int
    measuring: int
    photographs: tuple[KnownPhotograph, ...]
    outputs_of: str
    calls: int

    def __repr__(self) -> str:
        return (
            f"<Learning from {self.teaching} photographs, outputs of {self.outputs_of}: {self.measured[0]} "
            f"{self.learned.before:.1%} of {self.measuring} before, {self.learned.after:.1%} after>"
        )

    @property
    def measured(self) -> tuple[str, str]:
        """Return what was measured, and on what."""
        return TEACHABLE[self.score.plugin_name()].measured

    def blocks(self) -> Iterator[Block]:
        """Show what was learned from, what was gained, and the weights."""
        learned, weights = self.learned, None if self.weights is None else str(self.weights.resolve())
        (name, where), kept = self.measured, self.weights is not None
        gained = f" (with confidence 95 % at least {share(learned.least_gain)} more)" * kept
        apart = f"of {self.measuring} photographs that did not teach the weights they were judged by"
        calls = f"{self.calls} calls made" if self.calls else "no call of your vendor"
        facts = {
            "learned from": f"{self.teaching} photographs, outputs of {self.outputs_of}, {calls}",
            name: f"{share(learned.after)} instead of {share(learned.before)}{gained}, {where}, {apart}",
            "weights": weights or "none: others are not surely better for photographs like these",
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
    """Fit the score learned or predicted-invention to your own kind of photographs.

    The weights and the tuning file, which keeps the photographs from calibrating, go into the run folder.
    `second_adapter` is refused, and `seed` also chooses which photographs judge.

    Parameters
    ----------
    vendor
        The vendor to calibrate afterwards. For `score="predicted-invention"` it is asked once for each photograph; else
        free outputs teach, and it is not asked.
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
    <Learning from 15 photographs, outputs of embedded: trusted …% of 5 before, …% after>
    >>> bc.calibrate(vendor, "unseen", score=learning.score, tuning=learning.photographs, max_cost=20)
    <Calibration of …>
    """
    if "second_adapter" in settings:
        raise UsageError("expected learn_score without second_adapter, since one vendor's answers teach")
    score = member("scores", settings.get("score") or USUAL)
    setup = setup_to_learn(setup_of(vendor, {**settings, "score": None}), score)
    terms = terms_of(run_folder(Path("runs"), setup.procedure), settings)
    outputs = settings.get("outputs")
    job = job_to_learn(setup, None if outputs is None else str(outputs), photograph_paths(photographs), terms)
    return learn_job(job, score, terms.folder, settings.get("seed", 0))


def teachable(score: Score) -> TeachableScore:
    """Return how a score is learned; refuse one that has no weights."""
    if score.plugin_name() not in TEACHABLE:
        raise UsageError(
            f"expected a score with weights to learn, {' or '.join(TEACHABLE)}; got {score.plugin_name()}. Give "
            "--score predicted-invention"
        )
    return TEACHABLE[score.plugin_name()]


def asks_vendor(score: Score, outputs: str | None) -> bool:
    """Whether the vendor itself answers, which may cost money."""
    return outputs is None and teachable(score).asks


def setup_to_learn(setup: Setup, score: Score) -> Setup:
    """Give the set-up the score to learn, which looks at one answer."""
    teachable(score)
    if (refused := score.refused_at(setup.procedure.scale)) is not None:
        raise UsageError(
            f"{refused}; got scale {setup.procedure.scale}. Leave --learn out (tune in Python), to choose among others"
        )
    return setup.with_score(score, 1)


def job_to_learn(setup: Setup, outputs: str | None, paths: Sequence[Path], terms: Terms) -> Job:
    """Make the job of one output of each photograph, delivered as in `setup`, whose score is to be learned.

    `outputs`: The folder of outputs; None: the vendor is asked where its own answers teach, else the embedded vendor.
    `terms`: Of the job to calibrate; draws of other vendors are kept in a folder below its folder.
    """
    score, scale = setup.score, setup.procedure.scale
    if (terms.folder / TUNING_FILE).exists():
        TuningRecord.load(terms.folder / TUNING_FILE)
    if len(paths) < FEWEST:
        raise UsageError(
            f"expected {FEWEST} photographs or more to learn from, since fewer say nothing of others; got "
            f"{len(paths)}. Add photographs, or leave --learn out: {score.plugin_name()} needs no learning"
        )
    if len(paths) > MOST:
        raise UsageError(f"expected at most {MOST} photographs to learn from; got {len(paths)}. Name some of them")
    if asks_vendor(score, outputs):
        return Job.of_photographs(setup, paths, terms)
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
    price = stand_in.capabilities.price
    if price is None or price.high_usd > 0:
        raise UsageError(f"expected outputs that cost nothing to learn from; got those of {stand_in.name}")
    limits = replace(terms.limits, max_cost_usd=None, max_calls=None)
    free = replace(terms, folder=terms.folder / f"{stand_in.name}-stand-in", limits=limits)
    return Job.of_photographs(setup.with_stand_in(stand_in), paths, free)


def learn_job(
    job: Job, score: Score, folder: Path, seed: int = 0, out: Path | None = None, *, force: bool = False
) -> Learning:
    """Learn weights from a job's photographs; equal photographs, outputs and seed give equal weights.

    `score`: The score as it was named.
    `out`: Where the weights go; None: into the run folder.
    `force`: Whether they may replace another file.
    """
    samplers, drawing, subject = list[Sampler](), job.listeners, teachable(score)

    def begun(sampler: Sampler) -> None:
        samplers.append(sampler)
        drawing.on_sampler(sampler)

    def on_step(count: int) -> None:
        drawing.progress("fitting", count, subject.steps)
        if any(sampler.asked_to_stop for sampler in samplers):
            raise IncompleteError("stopped while learning, so nothing was learned; the same command begins anew")

    # Learning stops with the job, too.
    job = replace(job, terms=replace(job.terms, listeners=replace(drawing, on_sampler=begun)))

    def lesson_of(ready: Ready) -> Any:
        if ready.drawn.refusal is not None:
            return None
        truth, low = ready.truth_and_input("learned from")
        first, *_ = decoded_draws(ready.drawn, job.setup, ready.read, low)
        return subject.lesson(job.setup, truth, job.setup.delivered(first, low), low)

    measured = job.gathered("learning", lesson_of, [job.setup.score])
    lessons = {drawn.prepared.input_digest: lesson for drawn, lesson in measured if lesson is not None}
    usable = sorted((one for one in job.pictures if one.input_digest in lessons), key=lambda one: one.input_digest)
    if len(usable) < FEWEST:
        raise CalibrationError(
            f"expected outputs of {FEWEST} photographs or more to learn from; got {len(usable)}, the others were "
            "refused. Add photographs"
        )
    # Others than the vendor itself cost nothing.
    calls = job.calls if job.folder.resolve() == folder.resolve() else 0
    learned, teaching, measuring = subject.learn(job.setup.score, usable, lessons, seed, on_step)
    photographs = sorted((KnownPhotograph.of(one.sketch) for one in job.pictures), key=lambda one: one.truth)
    kept = {name: getattr(score, name) for name in score.model_fields_set - {"weights", "digest", "light"}}
    name, text, weights = score.plugin_name(), specification_text(score), None
    if learned.weights is not None:
        content = written(learned.weights, photographs)
        digest = digest_bytes(content).removeprefix("sha256:")
        weights = folder / f"{name}-{digest[:12]}.npz" if out is None else out
        text = specification_text(type(score)(**kept))
        text += f"{',' if ':' in text else ':'}weights={weights}"
    # Kept before the weights are written, so that no weights exist without a note of their photographs.
    TuningRecord(score=text, draws=1, alpha=None, photographs=tuple(photographs)).keep(folder / TUNING_FILE)
    if weights is not None:
        write_new(weights, content, force=force)
        score = type(score)(**kept | {"weights": weights})
    return Learning(score, weights, learned, teaching, measuring, tuple(photographs), job.setup.adapter.name, calls)
