"""A user's own metric, from one function of the true and the delivered picture and a declared bound."""

from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels._checks import image_pair
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.exact import largest_loss
from blackbox_conformal.method.user_functions import UserFunctions
from blackbox_conformal.support.catalog import build
from blackbox_conformal.support.types import Image, Map

# From two (H, W, 3) uint8 pictures, truth first, to (H, W) values in [0, bound].
Function = Callable[[Image, Image], ArrayLike]
_bounds: dict[tuple[str, str], float] = {}  # What this program has declared, by name and version.
_functions = UserFunctions("metric", "blackbox_conformal.method.metrics.custom_metric.from_function")


class CustomMetric(Metric):
    """A metric that this program defined with `from_function`.

    A calibration stores its name, version and bound, which are part of the procedure; not its code. To audit such a
    calibration the program defines the function again under the same name and version. Raise the version whenever the
    function changes.

    `metric`: The user's name for it.
    `version`: The user's version of the function.
    `largest`: The declared bound.
    """

    space: ClassVar[str] = "the user's own"
    reads_pictures: ClassVar[bool] = False

    metric: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,31}$")]
    largest: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @property
    def is_installed(self) -> bool:
        return False

    @property
    def bound(self) -> float:
        # Another bound under the same name and version would change a stored guarantee without a word.
        declared = _bounds.get((self.metric, self.version), self.largest)
        if declared != self.largest:
            raise UsageError(
                f"expected the bound of metric {self.metric} version {self.version} that this program has declared, "
                f"{declared:g}; got {self.largest:g}. Raise the version whenever the function or its bound changes"
            )
        return self.largest

    @property
    def error_in_words(self) -> str:
        return f"{self.metric} error (a metric of the user's own)"

    def require(self) -> None:
        _functions.function((self.metric, self.version))

    def map(self, truth: Image, delivered: Image) -> Map:
        """Return the function's answer as (H, W) float32 in [0, bound]."""
        function = _functions.function((self.metric, self.version))
        truth, delivered = image_pair(truth, delivered)
        # Copies, since a user's function may write into what it is given.
        answer = function(truth.copy(), delivered.copy())
        values = _functions.checked(answer, truth.shape[:2], self.metric, self.largest)
        # The cast to float32 may round past the bound.
        capped: Map = np.minimum(values.astype(np.float32), largest_loss(self.largest))
        return capped


def from_function(
    name: str, function: Function, bound: float, version: str = "1", cap: float | None = None
) -> CustomMetric:
    """Return a metric from `function`, for this program and every calibration with the same name, version and bound.

    Parameters
    ----------
    name, version
        Letters, digits, ``. _ -``; both are part of the procedure.
    function
        From truth and delivered picture, both (H, W, 3) uint8, to (H, W) numbers in [0, bound]. The same pictures must
        give the same numbers.
    bound
        The largest value it can take: a value above it is an error, not clipped.
    cap
        Values above it count as the cap; None counts them as they are.

    Raises
    ------
    UsageError
        Another function is defined under that name and version, or name, version or bound cannot be used.
    """
    metric = build(CustomMetric, f"metric {name!r}", {"metric": name, "version": version, "largest": bound, "cap": cap})
    key = (metric.metric, metric.version)
    # Checked before the function is defined, so that a refused definition changes nothing.
    if _bounds.get(key, metric.largest) != metric.largest:
        raise UsageError(
            f"expected one bound of metric {name} version {version}; this program has declared {_bounds[key]:g} and "
            f"now {metric.largest:g}. Give another name or raise the version"
        )
    _functions.define(key, function)
    _bounds[key] = metric.largest
    return metric


PLUGIN = CustomMetric
