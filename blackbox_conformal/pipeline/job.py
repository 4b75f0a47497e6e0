"""One job: pictures that are prepared once, a run folder, one budget, and all that drawing them takes.

What is done with a picture that is drawn is said by the caller; the words in which a person is asked live in `cli`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from blackbox_conformal.errors import CalibrationError, IncompleteError
from blackbox_conformal.pipeline.planning import Plan, refuse_unlimited
from blackbox_conformal.pipeline.prices.budget import agreed_limits
from blackbox_conformal.pipeline.stages.draws import Drawn, EqualDraws, drawn_pictures, map_pictures, output_check
from blackbox_conformal.pipeline.stages.memory import PIXEL_BYTES, narrowed, refuse_large
from blackbox_conformal.pipeline.stages.prepare import Prepared, prepare_photographs, read_truth
from blackbox_conformal.pipeline.stages.second_vendor import SecondOpinions, second_opinions, second_tasks
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.pipeline.stages.warming import warming
from blackbox_conformal.sampling.estimate import Estimate, estimate
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import Outcome, Task, task_keys
from blackbox_conformal.scores.score import Score
from blackbox_conformal.types import Image

Expected = TypeVar("Expected", Plan, Estimate)
Value = TypeVar("Value")

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how many are done, and how many there are."""

Ask = Callable[["Job", Plan | Estimate], None]
"""Called with a job and what it would cost, before anything is sent; raises when a person does not agree."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of what a job does.

    Attributes
    ----------
    listener
        Gets every event of drawing, from any thread, one at a time.
    progress
        Gets what is done, how many are done, and how many there are.
    on_sampler
        Gets each sampler as soon as it is open, so that it can be stopped.
    """

    listener: Callable[[Event], None] | None = None
    progress: Progress = lambda *_: None
    on_sampler: Callable[[Sampler], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture whose draws are there.

    Attributes
    ----------
    drawn
        The picture and its draws, or why the vendor refused it.
    read
        The file of a draw by its index.
    second
        The second vendor's picture, (H, W, 3) uint8; None when the score needs none, and for a refused picture.
    """

    drawn: Drawn
    read: Callable[[int], bytes]
    second: Image | None


@dataclass
class Job:
    """Pictures that are prepared, and what it takes to draw and evaluate them.

    Attributes
    ----------
    folder
        The run folder.
    limits
        What was given; once `confirm` was called, the one budget for the draws of these pictures.
    models
        Names of the vendor's models that a calibration was made with; another one ends the run.
    memory_bytes, pixel_bytes
        Most memory that the calculation may take (None: no limit), and what it takes for a pixel.
    ask
        Asks a person before anything is spent; None: nobody is asked, so that `limits` have to be given.
    watch
        Who is told of what goes on.
    calls, cached, cost_usd
        Draws that were bought, draws that were stored before, and the price of those bought; of both vendors.
    vendor_models
        Names of the models that answered.
    """

    setup: Setup
    pictures: Sequence[Prepared]
    folder: Path
    limits: Limits
    models: Collection[str] = ()
    memory_bytes: int | None = None
    pixel_bytes: int = PIXEL_BYTES
    ask: Ask | None = None
    watch: Watch = Watch()
    calls: int = field(default=0, init=False)
    cached: int = field(default=0, init=False)
    cost_usd: Decimal = field(default=Decimal(0), init=False)
    vendor_models: set[str] = field(default_factory=set, init=False)

    @classmethod
    def of_photographs(
        cls,
        setup: Setup,
        paths: Sequence[Path],
        folder: Path,
        limits: Limits | None = None,
        *,
        models: Collection[str] = (),
        memory_bytes: int | None = None,
        pixel_bytes: int = PIXEL_BYTES,
        ask: Ask | None = None,
        watch: Watch = Watch(),
    ) -> "Job":
        """The job on these photographs, which are read and prepared here, and nowhere else.

        Raises
        ------
        BudgetError
            Nobody is to be asked, draws cost something, and no limit is given.
        UsageError, CalibrationError, PicturesError
            See `prepare_photographs` and `refuse_large`.
        """
        if ask is None:
            refuse_unlimited(setup.adapter, limits, folder)
        refuse_large(paths, memory_bytes, pixel_bytes=pixel_bytes)
        pictures = prepare_photographs(paths, setup, watch.progress, memory_bytes=memory_bytes)
        return cls(setup, pictures, folder, limits or Limits(), models, memory_bytes, pixel_bytes, ask, watch)

    def only(self, pictures: Sequence[Prepared]) -> "Job":
        """The same job on some of its pictures."""
        return replace(self, pictures=pictures)

    def chosen(self, setup: Setup) -> "Job":
        """The same job under `setup`, which has another score and draws no more often, but sends the same."""
        pictures = [replace(one, tasks=one.tasks[: setup.procedure.draws]) for one in self.pictures]
        return replace(self, setup=setup, pictures=pictures, pixel_bytes=PIXEL_BYTES)

    @property
    def tasks(self) -> list[Task]:
        """Every draw of the first vendor."""
        return [task for picture in self.pictures for task in picture.tasks]

    @property
    def has_truths(self) -> bool:
        """Whether the high-resolution version of every picture is known."""
        return all(picture.truth_digest is not None for picture in self.pictures)

    def estimate(self) -> Estimate:
        """What drawing would cost, the second vendor included; reads only."""
        return self.with_second(estimate(self.setup.adapter, self.folder, self.limits, self.tasks))

    def with_second(self, expected: Expected) -> Expected:
        """A plan or estimate of the first vendor's draws together with the calls of the second, where there is one."""
        if self.setup.second is None:
            return expected
        tasks = list(second_tasks(self.setup, self.pictures).values())
        other = estimate(self.setup.second, self.folder, self.limits, tasks)
        first, second = expected.cost_usd, other.cost_usd
        return replace(
            expected,
            calls=expected.calls + other.calls,
            cached=expected.cached + other.cached,
            again=expected.again + other.again,
            cost_usd=None if first is None or second is None else (first[0] + second[0], first[1] + second[1]),
        )

    def confirm(self, planned: Callable[[], Plan] | None = None) -> None:
        """Ask whoever is to be asked, and make the budget for the draws of these pictures alone.

        A repeated job goes on where it was, another one in the same folder starts at 0. Limits that name draws already,
        since these pictures are a part of a larger job, stay as they are.

        Parameters
        ----------
        planned
            Makes what is shown to the person instead of the plain estimate; the second vendor is added here.

        Raises
        ------
        BudgetError
            The person does not agree, or a limit is known to be too small.
        """
        if self.ask is None:
            if self.limits.counted is None and self.limits.spending:
                self.limits = replace(self.limits, counted=job_keys(self.setup, self.pictures))
            return
        expected: Plan | Estimate = self.estimate() if planned is None else self.with_second(planned())
        self.ask(self, expected)
        self.limits = agreed_limits(self.limits, expected, [self.folder], job_keys(self.setup, self.pictures))
        refuse_unlimited(self.setup.adapter, self.limits, self.folder)
        self.ask = None

    @contextmanager
    def run(
        self,
        work: Callable[[Ready], Value],
        on_unusable: Callable[[Prepared, IncompleteError], None] | None = None,
        *,
        scores: Collection[Score] = (),
    ) -> Iterator[Iterator[tuple[Drawn, Value]]]:
        """Draw what is missing; gives an iterator over each picture and what `work` made of it, in arrival order.

        `work` is called in threads. An error in the ``with`` block ends drawing at once, so that nothing more is
        bought.

        Parameters
        ----------
        on_unusable
            Gets each picture that lacks a usable draw, instead of an error at the end.
        scores
            What `work` computes instead of the set-up's score. Draws may then be equal, since some need only one.
        """
        with self.drawing(scores) as drawing:
            yield drawing.each(work, self.pictures, on_unusable)

    @contextmanager
    def drawing(self, scores: Collection[Score] = ()) -> Iterator["Drawing"]:
        """What `run` draws with, for whoever goes through the pictures part by part."""
        setup, watch = self.setup, self.watch
        with (
            self._warming(scores or [setup.score]),
            second_opinions(
                setup, self.pictures, self.folder, self.limits, watch.listener, watch.on_sampler
            ) as opinions,
            Sampler(
                setup.adapter,
                self.folder,
                self.limits,
                models=self.models,
                check=output_check(setup),
                counted=None if scores else EqualDraws(setup),
                listener=watch.listener,
            ) as sampler,
        ):
            watch.on_sampler(sampler)
            self.count(opinions.calls, opinions.cached, opinions.cost_usd)
            yield Drawing(self, sampler, opinions)

    @contextmanager
    def _warming(self, scores: Collection[Score]) -> Iterator[None]:
        """The kernels of every kind of score among `scores`, compiled in the background."""
        sizes = [picture.size for picture in self.pictures]
        with ExitStack() as stack:
            for score in {score.plugin_name(): score for score in scores}.values():
                stack.enter_context(warming(replace(self.setup, score=score), truths=self.has_truths, sizes=sizes))
            yield

    def truth(self, picture: Prepared, doing: str = "calibrated") -> Image:
        """The photograph's pixels, cut to a multiple of the scale: (H, W, 3) uint8; `doing` is for the message.

        Raises
        ------
        CalibrationError
            The file is not the one that was prepared.
        """
        assert picture.path is not None
        truth, found = read_truth(picture.path, self.setup.procedure.scale)
        if found.file_digest != picture.file_digest:
            raise CalibrationError(f"{picture.path} was changed while it was being {doing}; run again")
        return truth

    def count(self, calls: int, cached: int, cost_usd: Decimal) -> None:
        """Add to what the job took."""
        self.calls += calls
        self.cached += cached
        self.cost_usd += cost_usd


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
    ) -> Iterator[tuple[Drawn, Value]]:
        """Each of these pictures and what `work` made of it in a thread, in arrival order; see `Job.run`."""

        def evaluated(drawn: Drawn) -> Value:
            second = None if drawn.refusal is not None else self.opinions.of(drawn.prepared)
            return work(Ready(drawn, lambda index: self.sampler.read(drawn.outcomes[index]), second))

        job = self.job
        room = narrowed(job.memory_bytes, job.pixel_bytes)
        arriving = drawn_pictures(self.sampler, pictures, on_unusable)
        for drawn, value in map_pictures(arriving, evaluated, memory_bytes=room, on_error=self.sampler.fail):
            fresh = [one for one in drawn.outcomes if not one.cached]
            job.count(len(fresh), len(drawn.outcomes) - len(fresh), _price(fresh))
            job.vendor_models.update(one.model for one in drawn.outcomes if one.model)
            yield drawn, value


def _price(outcomes: Sequence[Outcome]) -> Decimal:
    return sum((one.cost_usd for one in outcomes), Decimal(0))


def job_keys(setup: Setup, pictures: Sequence[Prepared]) -> frozenset[str]:
    """Keys of every draw of these pictures, those of a second vendor among them."""
    keys = set(task_keys(setup.adapter.identity(), [task for picture in pictures for task in picture.tasks]))
    if setup.second is not None:
        keys.update(task_keys(setup.second.identity(), list(second_tasks(setup, pictures).values())))
    return frozenset(keys)
