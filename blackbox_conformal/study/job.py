"""Prepare pictures once, in a run folder under one budget, draw them, and hand each to the caller's work."""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from blackbox_conformal.drawing.free_requests import refuse_retired
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.open_run import AnyRun
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import AnyEstimate, Estimate, agreed_limits, answered, estimate, total
from blackbox_conformal.drawing.spending.prices import refuse_unlimited
from blackbox_conformal.drawing.spending.spent import NOTHING, DrawsSpending, spending_on
from blackbox_conformal.drawing.task import Task, draw_keys
from blackbox_conformal.errors import BlackboxConformalError, IncompleteError
from blackbox_conformal.method.kernels import enlarge, moments, upscale
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.scores.score import Context, Score
from blackbox_conformal.study.listeners import SILENT, Listeners
from blackbox_conformal.study.stages.cluster import Cluster
from blackbox_conformal.study.stages.draws import (
    Drawn,
    EqualDraws,
    SecondOpinions,
    drawn_pictures,
    map_pictures,
    output_check,
    second_opinions,
    second_tasks,
)
from blackbox_conformal.study.stages.first_answers import FirstAnswers
from blackbox_conformal.study.stages.memory import BAND_PIXEL_BYTES, PIXEL_BYTES, narrowed, refuse_large
from blackbox_conformal.study.stages.prepare import KeptPixels, Prepared, prepare_photographs
from blackbox_conformal.study.stages.ready import Ready, each_on_cluster, refuse_elsewhere
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.vendor.adapter import Adapter

# Compile the kernels that a set-up needs in the background, while the first draws are under way.

_LARGE = 1 << 20  # Bytes of pixels below which a picture is no reason to load a compiler.
_PAYS_FROM = 1 << 26  # Bytes of pixels from which on a kernel pays: it takes about a second to compile, once.


@contextlib.contextmanager
def warming(setup: Setup, *, truths: bool = True, sizes: Iterable[tuple[int, int]] | None = None) -> Iterator[None]:
    """Score and measure a tiny picture in a thread, so that the kernels are there when draws are.

    `truths`: Whether delivered pictures will be compared with true ones.
    `sizes`: (height, width) of delivered pictures; None: any. A few small ones need no kernels for large ones.
    """
    over = threading.Event()
    large = True
    if sizes is not None:
        pixel_bytes = [3 * height * width for height, width in sizes]
        large = setup.procedure.draws * sum(size for size in pixel_bytes if size >= _LARGE) >= _PAYS_FROM
    thread = threading.Thread(target=rehearse, args=(setup, truths, large, over.is_set), name="warm-up", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # A thread inside the compiler must not outlive the interpreter.
        thread.join()


def rehearse(setup: Setup, truths: bool = True, large: bool = True, over: Callable[[], bool] = lambda: False) -> None:
    """Run score, metric, curve and, if `large`, large pictures' kernels once on noise, until all is `over`."""
    side = 16 * setup.procedure.scale
    draws = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    low = np.ascontiguousarray(draws[2, :: setup.procedure.scale, :: setup.procedure.scale])

    def score() -> None:
        accumulator = setup.score.start((side, side))
        for pixels in draws:
            accumulator.update(pixels)
        accumulator.finish(Context(draws[0], low, setup.procedure.scale, draws[1] if setup.second else None))

    def measure() -> None:
        setup.errors(draws[1], draws[0], low)

    def curve() -> None:
        # Large enough for the sort into buckets, with ties, which take kernels of their own.
        noise = np.random.default_rng(1).random((256, 256)).astype(np.float32)
        noise[:64] = 0
        RiskCurve.from_maps(noise, noise, bound=1.0)

    steps: list[tuple[bool, Callable[[], None]]] = [
        (_is_own(setup.score), score),
        (setup.procedure.delivery in ("mean", "medoid"), moments.warm_up),
        (setup.procedure.back_projections > 0, enlarge.warm_up),
        (truths and _is_own(setup.metric), measure),
        (truths, curve),
        (large, upscale.warm_up),
    ]
    for wanted, step in steps:
        if over():
            return
        # The real pictures tell whatever is wrong with the set-up.
        with contextlib.suppress(BlackboxConformalError, MemoryError):
            if wanted:
                step()


def _is_own(part: Score | Metric) -> bool:
    """Tell whether this package wrote `part`: a user's code must see real pictures only."""
    if isinstance(part, Score) and not all(map(_is_own, part.parts())):
        return False
    module = type(part).__module__
    return module.startswith("blackbox_conformal.") and not module.endswith((".custom_score", ".custom_metric"))


Value = TypeVar("Value")

About = Callable[[Drawn], Any]

Ask = Callable[["Job", Estimate], None]
"""Called with a job and its estimate before anything is sent; raises when a person does not agree."""


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Shared:
    """Vendors and memory shared by jobs that run at the same time in one run folder."""

    # Open vendors; None: the job opens them, or draws come from this machine's disk.
    first: AnyRun | None = None
    second: AnyRun | None = None
    # From (height, width) to the context in which a picture is evaluated.
    room: Callable[[tuple[int, int]], AbstractContextManager[None]] = lambda _: nullcontext()


ALONE = Shared()


@dataclass(frozen=True, slots=True)
class Terms:
    """Where a job keeps draws, what it may spend, whom it asks and whom it tells."""

    folder: Path
    limits: Limits = NO_LIMITS  # The user's limits, from which `Job.confirm` makes the budget.
    memory_bytes: int | None = None  # Memory limit of the calculation: fewer pictures at a time. None: no limit.
    ask: Ask | None = None  # Asks a person before anything is spent; None: `limits` have to be given.
    listeners: Listeners = SILENT
    # Vendors and memory shared with other jobs; then the kernels are compiled, and a limit is given.
    shared: Shared = ALONE
    # Evaluates the pictures, and `memory_bytes` limits each worker. None: threads of this process.
    cluster: Cluster | None = None
    check: bool = False  # Whether the first answers are looked at before the others are bought.

    def refuse_unlimited(self, adapter: Adapter) -> None:
        """Refuse to spend money with no person to ask and no limit; errors as for `prices.refuse_unlimited`."""
        if self.ask is None:
            refuse_unlimited(adapter, self.limits, self.folder)


@dataclass
class Job:
    """Prepared pictures, and what it takes to draw and evaluate them."""

    setup: Setup
    pictures: Sequence[Prepared]
    terms: Terms
    models: Collection[str] = ()  # The vendor's models at calibration; another one ends the run.
    pixel_bytes: int = PIXEL_BYTES
    kept: KeptPixels | None = None  # Photographs and inputs; None: all are read again.
    whole: "Job | None" = None  # The job that this one is a part of; it counts this one's draws, too.
    falls_back: bool = False  # Take the answer before where the last member of a cascade cannot be had.
    limits: Limits = field(init=False)  # Limits of the terms; after `confirm` the one budget for these pictures' draws.
    # Submissions, repetitions included; draws stored before; US dollars added to the bill. Both vendors, once `drawing`
    # or `run` is over.
    calls: int = field(default=0, init=False)
    cached: int = field(default=0, init=False)
    cost_usd: Decimal = field(default=Decimal(0), init=False)
    vendor_models: set[str] = field(default_factory=set, init=False)  # Names of the models that answered.
    first_answers: FirstAnswers | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.whole is not None:
            self.first_answers = self.whole.first_answers
        elif self.terms.check and self.setup.bands is None:
            self.first_answers = FirstAnswers(self.setup, self.pictures)
        self.limits = self.terms.limits if self.whole is None else self.whole.limits

    @classmethod
    def of_photographs(
        cls,
        setup: Setup,
        paths: Sequence[Path],
        terms: Terms,
        *,
        models: Collection[str] = (),
        pixel_bytes: int = PIXEL_BYTES,
        to_draw: bool = True,
        tiles: Mapping[str, str] | None = None,
    ) -> "Job":
        """Read and prepare photographs for a job; no other function does.

        `to_draw`: Whether all will be drawn: they stay decoded until then, and limits have to allow it.
        `tiles`: See `prepare_photographs`.
        """
        if to_draw:
            terms.refuse_unlimited(setup.adapter)
        refuse_large(paths, terms.memory_bytes, pixel_bytes=pixel_bytes)
        # Workers read photographs themselves.
        kept = KeptPixels(terms.folder) if to_draw and terms.cluster is None else None
        pictures = prepare_photographs(
            paths, setup, terms.listeners.progress, memory_bytes=terms.memory_bytes, kept=kept, tiles=tiles
        )
        return cls(setup, pictures, terms, models, pixel_bytes, kept)

    @property
    def folder(self) -> Path:
        return self.terms.folder

    @property
    def listeners(self) -> Listeners:
        return self.terms.listeners

    def only(self, pictures: Sequence[Prepared]) -> "Job":
        """Return the same job on these pictures alone."""
        return self._part(self.setup, pictures, self.pixel_bytes)

    def chosen(self, setup: Setup) -> "Job":
        """Return the same job under `setup`, with another score, equal uploads and no more draws."""
        pictures = [replace(picture, tasks=picture.tasks[: setup.procedure.draws]) for picture in self.pictures]
        return self._part(setup, pictures, PIXEL_BYTES)

    def _part(self, setup: Setup, pictures: Sequence[Prepared], pixel_bytes: int) -> "Job":
        return Job(setup, pictures, self.terms, self.models, pixel_bytes, self.kept, self)

    @property
    def tasks(self) -> list[Task]:
        """Return every draw of the first vendor."""
        return [task for picture in self.pictures for task in picture.tasks]

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys of all draws by both vendors."""
        keys = draw_keys(self.setup.adapter, self.tasks)
        return keys if self.setup.second is None else keys | draw_keys(self.setup.second, self.second_tasks)

    @property
    def second_tasks(self) -> list[Task]:
        """Return every draw of the second vendor; empty without one."""
        return list(second_tasks(self.setup, self.pictures).values())

    def estimate(self) -> Estimate:
        """Estimate what both vendors' draws would cost; reads only."""
        adapter = self.setup.adapter
        whole = estimate(adapter, self.folder, self.limits, self.tasks)
        if self.falls_back:
            # Without its last member the cascade finishes, too.
            least = estimate(adapter.without_last(), self.folder, self.limits, self.tasks)
            cost = whole.cost_usd and least.cost_usd and (least.cost_usd[0], whole.cost_usd[1])
            further = whole.calls + whole.passed_on - least.calls
            whole = replace(whole, calls=least.calls, cost_usd=cost, passed_on=further)
        return self.with_second(whole)

    def answered_pictures(self) -> set[str]:
        """Return digests of inputs whose draws are all answered, so that they cost nothing; reads only."""
        setup, limits = self.setup, self.limits
        drawn = [(picture.input_digest, task) for picture in self.pictures for task in picture.tasks]
        found = answered(setup.adapter, self.folder, limits, [task for _, task in drawn])
        missing = {digest for (digest, _), there in zip(drawn, found, strict=True) if not there}
        if setup.second is not None:
            seconds = second_tasks(setup, self.pictures)
            found = answered(setup.second, self.folder, limits, list(seconds.values()))
            missing.update(digest for digest, there in zip(seconds, found, strict=True) if not there)
        return {picture.input_digest for picture in self.pictures} - missing

    def with_second(self, expected: AnyEstimate) -> AnyEstimate:
        """Add the second vendor's calls, if any, to the first vendor's estimate."""
        if self.setup.second is None:
            return expected
        return total(expected, estimate(self.setup.second, self.folder, self.limits, self.second_tasks))

    def confirm(self, planned: Callable[[], Estimate] | None = None) -> None:
        """Ask the person who decides, and make the budget for these pictures' draws; errors as for `agree`.

        A repeated job continues, another one in the same folder starts at 0, and a part of a confirmed job keeps its
        budget.

        `planned`: Makes the estimate to show instead of the plain one, the second vendor included.
        """
        if self.limits.scope is None:
            agree([self], self.estimate() if planned is None else planned())

    @contextmanager
    def run(
        self,
        work: Callable[[Ready], Value],
        on_unusable: Callable[[Prepared, IncompleteError], None] | None = None,
        *,
        scores: Collection[Score] = (),
        about: About = lambda _: None,
    ) -> Iterator[Iterator[tuple[Drawn, Value]]]:
        """Draw missing draws, confirmed or not; give each picture and the result of `work`, as they arrive.

        `work` runs in threads or on workers, so it holds neither this job nor the screen. An error in the ``with``
        block ends drawing at once, so that nothing more is bought.

        `on_unusable`: Gets each picture that lacks a usable draw, instead of an error at the end.
        `scores`: Scores that `work` computes instead of the set-up's. Draws may then be equal, since some need only
          one.
        `about`: From a picture to its `Ready.about` for `work`.
        """
        with self.drawing(scores) as drawing:
            yield drawing.each(work, self.pictures, on_unusable, about)

    def gathered(
        self, doing: str, work: Callable[[Ready], Value], scores: Collection[Score] = ()
    ) -> list[tuple[Drawn, Value]]:
        """Return all that `run` gives, and tell the listeners how far `doing` is."""
        found = []
        with self.run(work, scores=scores) as arriving:
            for one in arriving:
                found.append(one)
                self.listeners.progress(doing, len(found), len(self.pictures))
        return found

    @contextmanager
    def drawing(self, scores: Collection[Score] = ()) -> Iterator["Drawing"]:
        """Open the vendors of `run`, for callers that go through pictures part by part."""
        self.confirm()
        setup, listeners, shared = self.setup, self.listeners, self.terms.shared
        before, samplers = self._taken(), list[Sampler]()

        def begun(sampler: Sampler) -> None:
            samplers.append(sampler)
            listeners.on_sampler(sampler)

        with ExitStack() as stack:
            if shared is ALONE and self.terms.cluster is None:
                sizes = [picture.size for picture in self.pictures]
                truths = all(picture.truth_digest is not None for picture in self.pictures)
                for score in {score.plugin_name(): score for score in scores or [setup.score]}.values():
                    stack.enter_context(warming(replace(setup, score=score), truths=truths, sizes=sizes))
            in_turn = Sampler.draw if self.first_answers is None else self.first_answers.drawn
            new_sampler = partial(
                Sampler,
                setup.adapter,
                self.folder,
                self.limits,
                models=self.models,
                check=output_check(setup),
                counted=None if scores else EqualDraws(setup),
                listener=listeners.listener,
                falls_back=self.falls_back,
                in_turn=in_turn,
                shared=shared.first,
            )
            if setup.second is not None and self.first_answers is not None:
                # Before the second vendor is paid, too.
                with new_sampler() as first:
                    begun(first)
                    self.first_answers.look_at(first, self.tasks)
            opened = second_opinions(
                setup, self.pictures, self.folder, self.limits, listeners.listener, begun, shared.second, in_turn
            )
            opinions = stack.enter_context(opened)
            sampler = stack.enter_context(new_sampler())
            begun(sampler)
            if self.terms.cluster is not None:
                refuse_elsewhere(self.terms.cluster, setup, scores, self.folder, self.pictures)
            yield Drawing(self, sampler, opinions)
        # Draws on this machine's disk are in no ledger.
        vendors = ((setup.adapter, self.tasks), (setup.second, self.second_tasks))
        local = sum(len(tasks) for vendor, tasks in vendors if vendor is not None and vendor.capabilities.local)
        since, after = before, self._taken()
        if LEDGERS.of(self.folder) is not None:
            # Others draw with the same ledger: only the attempts that were reserved here are this job's own.
            reserved = frozenset[int]().union(*(sampler.reserved for sampler in samplers))
            since, after = NOTHING, spending_on(self.folder, self.keys, whole=False, among=reserved)
        job: Job | None = self
        while job is not None:
            job.calls += after.calls - since.calls
            job.cost_usd += after.spent_usd - since.spent_usd
            job.cached += before.stored + local
            job = job.whole

    @property
    def in_all(self) -> DrawsSpending | None:
        """Return what all processes' draws took so far, where they share a ledger; else None."""
        return None if LEDGERS.of(self.folder) is None else self._taken()

    def _taken(self) -> DrawsSpending:
        return spending_on(self.folder, self.keys, whole=False)


def agree(
    jobs: Sequence[Job], expected: Estimate, *, folders: Collection[Path] = (), paid: Collection[str] = ()
) -> None:
    """Ask the person who decides, and make one budget for the draws of jobs with the same limits.

    `expected`: What all jobs together would cost.
    `folders`: Further run folders in which such draws may be.
    `paid`: Keys of draws that the budget does not cover.
    """
    for job in jobs:
        if job.setup.adapter.capabilities.retired and job.estimate().calls:
            refuse_retired(job.setup.adapter)
        job.terms.refuse_unlimited(job.setup.adapter)
    keys = frozenset[str]().union(*(job.keys for job in jobs)).difference(paid)
    # Refuse a limit that is too small before asking anything.
    limits = agreed_limits(jobs[0].limits, expected, {*folders, *(job.folder for job in jobs)}, keys)
    ask = jobs[0].terms.ask
    if ask is not None:
        ask(jobs[0], expected)
    for job in jobs:
        refuse_unlimited(job.setup.adapter, limits, job.folder)
        job.limits = limits


@dataclass(frozen=True, slots=True)
class Drawing:
    """A job while its vendors are open."""

    job: Job
    sampler: Sampler
    opinions: SecondOpinions

    def each(
        self,
        work: Callable[[Ready], Value],
        pictures: Sequence[Prepared],
        on_unusable: Callable[[Prepared, IncompleteError], None] | None = None,
        about: About = lambda _: None,
    ) -> Iterator[tuple[Drawn, Value]]:
        """Give each picture and the result of `work`, in arrival order; see `Job.run`."""

        def evaluated(drawn: Drawn) -> Value:
            second = None if drawn.refusal is not None else self.opinions.of(drawn.prepared)
            with terms.shared.room(drawn.prepared.size):
                read = lambda index: self.sampler.read(drawn.outcomes[index])  # noqa: E731
                return work(Ready(drawn, job.setup, read, second, about(drawn), job.kept))

        def counts(drawn: Drawn) -> bool:
            speaks_of, upload = job.setup.adapter.speaks_of, drawn.prepared.tasks[0].upload
            return drawn.refusal is not None or speaks_of(upload, self.sampler.read(drawn.outcomes[0]))

        job, terms, fail = self.job, self.job.terms, self.sampler.fail
        draw = Sampler.draw if job.first_answers is None else job.first_answers.drawn
        arriving = drawn_pictures(self.sampler, pictures, on_unusable, draw)
        if job.setup.adapter.members:
            arriving = filter(counts, arriving)
        bands = job.setup.bands
        memory = terms.memory_bytes, job.pixel_bytes + (0 if bands is None else BAND_PIXEL_BYTES * bands.count)
        if terms.cluster is None:
            found = map_pictures(arriving, evaluated, memory_bytes=narrowed(*memory), on_error=fail)
        else:
            second = self.opinions.outcomes
            found = each_on_cluster(
                terms.cluster, work, job.setup, job.folder, arriving, second, about, memory, on_error=fail
            )
        for drawn, value in found:
            job.vendor_models.update(model for outcome in drawn.outcomes for model in outcome.models)
            yield drawn, value
