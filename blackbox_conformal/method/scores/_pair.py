"""Scores made of two others that see the same draws."""

from copy import copy
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.method.scores._bases import MomentsAccumulator, MomentsScore
from blackbox_conformal.method.scores.score import Accumulator, Context, Score
from blackbox_conformal.support import catalog
from blackbox_conformal.support.types import Image, Map


class PairedScore(Score):
    """Two scores whose maps a file puts together in `combine`.

    `first`, `second`: Their names.
    `first_package`, `second_package`: The packages that brought them, with versions; None: this one. Filled in, and
      checked where given.
    `sigma`: Standard deviation in pixels of the Gaussian window of the first, and of the second unless it has its own.
    """

    candidates: ClassVar[tuple[str, ...]] = ()
    at_scale_one: ClassVar[str] = "what its two scores are"

    first: str
    second: str
    first_package: str | None = None
    second_package: str | None = None
    sigma: Annotated[float, Field(gt=0, le=4096)] = 4.0

    @model_validator(mode="before")
    @classmethod
    def _state_packages(cls, parameters: Any) -> Any:
        """Write down the version of a score of another package: another version may compute something else."""
        if not isinstance(parameters, dict):
            return parameters
        packages = {}
        for field in ("first", "second"):
            # Names of scores of other packages are looked up with their versions, as they may compute something else
            # there.
            name = str(parameters.get(field, cls.model_fields[field].default))
            kind = catalog.member("scores", name)
            # Scores of scores would nest without end, and share no moments.
            if issubclass(kind, PairedScore):
                raise ValueError(f"expected two plain scores; {name} is made of two others itself")
            if catalog.places(kind) or "digest" in kind.model_fields:
                raise ValueError(f"expected two scores that follow from their names; {name} depends on a file")
            stated = parameters.get(f"{field}_package")
            score = catalog.load("scores", name, **({} if stated is None else {"package": stated}))
            packages[f"{field}_package"] = score.specification().get("package")
        return {**parameters, **packages}

    @property
    def minimum_draws(self) -> int:
        """As many as the more demanding of the two needs."""
        return max(part.minimum_draws for part in self.parts())

    @property
    def needs_input(self) -> bool:
        """Whether one of the two looks at what the vendor was sent."""
        return any(part.needs_input for part in self.parts())

    @property
    def needs_second(self) -> bool:
        """Whether one of the two compares with a second vendor's picture."""
        return any(part.needs_second for part in self.parts())

    def parts(self) -> tuple[Score, Score]:
        return self.windowed(self.first, self.sigma), self.windowed(self.second, self.sigma)

    def windowed(self, name: str, sigma: float) -> Score:
        """The score called `name`, with a Gaussian window where it has one."""
        # Some scores have no window; giving them one would be refused.
        has_window = "sigma" in catalog.member("scores", name).model_fields
        score: Score = catalog.load("scores", name, **({"kernel": "gaussian", "sigma": sigma} if has_window else {}))
        return score

    def start(self, shape: tuple[int, int]) -> Accumulator:
        """Both accumulators; one alone where both scores are made of the same moments."""
        first, second = self.parts()
        if isinstance(first, MomentsScore) and isinstance(second, MomentsScore):

            def finish_map(moments: Moments, context: Context) -> Map:
                # A copy under a second name, as either score empties its own.
                second_map = second.finished(copy(moments))
                return self.combine(first.finished(moments), second_map)

            return MomentsAccumulator(shape, finish_map)
        return PairedAccumulator(self, first.start(shape), second.start(shape))

    def combine(self, first: Map, second: Map) -> Map:
        """The score map from the two; both may be overwritten."""
        raise NotImplementedError(f"{type(self).__name__} must define combine(first, second)")


class PairedAccumulator:
    """Two accumulators that see the same draws."""

    def __init__(self, score: PairedScore, first: Accumulator, second: Accumulator) -> None:
        self.score = score
        self.first = first
        self.second = second

    def update(self, *draws: Image) -> None:
        """Take draws: each (H, W, 3) uint8."""
        self.first.update(*draws)
        self.second.update(*draws)

    def merge(self, other: Self) -> None:
        """Take over the draws of `other`."""
        self.first.merge(other.first)
        self.second.merge(other.second)

    def finish(self, context: Context) -> Map:
        """The score map, (H, W) float32, >= 0."""
        # The second is often a variance, whose sums are then gone before the first needs memory.
        second = self.second.finish(context)
        return self.score.combine(self.first.finish(context), second)
