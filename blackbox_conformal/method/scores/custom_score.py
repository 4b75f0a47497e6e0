"""A user's own score, from one function of the delivered picture or of the moments of the draws."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from blackbox_conformal.method.scores._bases import DeliveredAccumulator, MomentsAccumulator
from blackbox_conformal.method.scores.score import Accumulator, Context, Score
from blackbox_conformal.method.user_functions import Function, UserFunctions
from blackbox_conformal.support.catalog import build
from blackbox_conformal.support.types import Map

Kind = Literal["delivered", "moments"]

_functions = UserFunctions("score", "blackbox_conformal.method.scores.custom_score.from_function")


class CustomScore(Score):
    """A score that this program defined with `from_function`.

    A calibration stores its name, version and kind, which are part of the procedure; not its code. To use such a
    calibration the program defines the function again under the same name and version. Raise the version whenever the
    function changes.

    `score`: The user's name for it.
    `version`: The user's version of the function.
    `kind`: What the function is given: see `from_function`.
    """

    candidates: ClassVar[tuple[str, ...]] = ()

    score: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,31}$")]
    kind: Kind

    @property
    def is_installed(self) -> bool:
        """False: this program defined the function."""
        return False

    @property
    def minimum_draws(self) -> int:
        """1 for a function of the delivered picture, 2 for one of moments."""
        return 1 if self.kind == "delivered" else 2

    @property
    def needs_input(self) -> bool:
        """What a function of the delivered picture is given as well."""
        return self.kind == "delivered"

    def start(self, shape: tuple[int, int]) -> Accumulator:
        """An empty accumulator for draws of `shape` = (H, W)."""
        function = _functions.function((self.score, self.version, self.kind))
        if self.kind == "moments":
            return MomentsAccumulator(
                shape, lambda moments, context: self._checked(function(moments.mean(), moments.variance()), context)
            )
        # Copies, since a user's function may write into what it is given.
        return DeliveredAccumulator(
            lambda context: self._checked(
                function(context.delivered.copy(), context.low_resolution, context.scale), context
            )
        )

    def _checked(self, answer: ArrayLike, context: Context) -> Map:
        """`answer` as (H, W) float32; MapError names the first pixel that is not finite or below 0."""
        largest = float(np.finfo(np.float32).max)
        values = _functions.checked(answer, context.delivered.shape[:2], self.score, largest)
        return np.ascontiguousarray(values, np.float32)


def from_function(name: str, function: Function, kind: Kind = "delivered", version: str = "1") -> CustomScore:
    """A score from `function`, for this program and every calibration with the same name, version and kind.

    Parameters
    ----------
    name, version
        Letters, digits, ``. _ -``; both are part of the procedure.
    function
        To (H, W) finite numbers >= 0, larger = less sure; the same arguments must give the same numbers. With kind
        ``delivered``: from the delivered picture, (H, W, 3) uint8, the low-resolution picture, (H / scale, W / scale,
        3) uint8 or None, and the scale. With kind ``moments``: from the mean of the draws, (H, W, 3) float32 in grey
        levels, and their variance summed over channels, (H, W) float32, white = 1.
    kind
        ``delivered``: one draw is enough. ``moments``: needs two.

    Raises
    ------
    UsageError
        Another function is defined under that name and version, or name, version or kind cannot be used.
    """
    score = build(CustomScore, f"score {name!r}", {"score": name, "version": version, "kind": kind})
    _functions.define((score.score, score.version, score.kind), function)
    return score


PLUGIN = CustomScore
