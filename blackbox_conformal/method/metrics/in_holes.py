"""Another metric inside the holes of the input alone: for inpainting, where the rest of the picture was sent."""

from typing import Any, ClassVar

import numpy as np
from pydantic import model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.support import catalog
from blackbox_conformal.support.catalog import handed_on
from blackbox_conformal.support.types import Image, Map


class InHoles(Metric):
    """The map of the metric `of` inside the holes that the degradation `holes` painted, and 0 elsewhere.

    Nothing is said of the picture outside its holes, which the input shows; a vendor may change it there unnoticed.

    `of`: The metric, one of this package.
    `order`, `kernel`, `sigma`, `size`, `cap`: Its parameters, where it takes them. A window reaches over the edge of a
      hole.
    """

    of: str = "lab-l1"
    order: str | None = None
    kernel: str | None = None
    sigma: float | None = None
    size: int | None = None

    bound: ClassVar[Any] = handed_on("inner.bound")
    space: ClassVar[Any] = handed_on("inner.space")
    averaging: ClassVar[Any] = handed_on("inner.averaging")
    grey_scale: ClassVar[Any] = handed_on("inner.grey_scale")
    opposites: ClassVar[Any] = handed_on("inner.opposites")

    @model_validator(mode="after")
    def _build(self) -> "InHoles":
        if self.of == "in-holes" or not catalog.is_own(catalog.member("metrics", self.of)):
            raise ValueError(f"expected a metric of this package inside holes, such as of=lab-l1; got of={self.of}")
        self.inner  # noqa: B018  refuses parameters that do not fit
        return self

    @property
    def inner(self) -> Metric:
        given: dict[str, Any] = self.model_dump(exclude={"of"}, exclude_none=True)
        inner: Metric = catalog.load("metrics", self.of, **given)
        return inner

    @property
    def error_in_words(self) -> str:
        return f"{self.inner.error_in_words} inside the holes of the input"

    @property
    def error_in_short(self) -> str:
        return f"{self.inner.error_in_short} in holes"

    def block_error(self, side: int) -> float | None:
        return self.inner.block_error(side)

    def require(self) -> None:
        self.inner.require()

    def require_degradation(self, degradation: Mixture) -> None:
        # The smallest picture will do: only whether the degradation shows holes is asked.
        if degradation.hidden(np.zeros((1, 1, 3), np.uint8)) is None:
            raise UsageError(
                "expected a degradation that ends with holes for the metric in-holes, such as --degradation holes:0.1; "
                f"got {degradation.text}. Give that, or --metric {self.of}"
            )

    def map(self, truth: Image, delivered: Image) -> Map:
        raise UsageError(
            f"in-holes needs the input, which shows where the holes are; got truth and delivered picture alone. Give "
            f"--metric {self.of} for the whole picture"
        )

    def errors(self, truth: Image, delivered: Image, low_resolution: Image, degradation: Mixture) -> Map:
        self.require_degradation(degradation)
        hidden, scale = degradation.hidden(low_resolution), truth.shape[0] // low_resolution.shape[0]
        assert hidden is not None
        # The map is the inner metric's own new array, so that it may be written into.
        errors: Map = self.inner.map(truth, delivered)
        errors[~hidden.repeat(scale, axis=0).repeat(scale, axis=1)] = 0
        return errors

    def bound_from_delivered(self, delivered: Image) -> Map:
        return self.inner.bound_from_delivered(delivered)


PLUGIN = InHoles
