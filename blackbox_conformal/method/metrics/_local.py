"""Metrics that are not a norm of a colour difference: as they are, or averaged afterwards."""

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from blackbox_conformal.method.metrics._averaged import AveragedMetric


class LocalMetric(AveragedMetric):
    """A finished map, averaged over a window if one is given; a mean cannot exceed the bound.

    The difference of two averaged pictures means nothing here, so that order is not offered.

    Attributes
    ----------
    order
        `pointwise`: the map. `blur-of-difference`: the map averaged, `K * D`. Pointwise unless a window is given.
    compares
        What one value compares where that is more than a pixel; empty: pixels.
    """

    largest: ClassVar[float] = 1.0
    compares: ClassVar[str] = ""

    order: Literal["pointwise", "blur-of-difference"] = "pointwise"

    @model_validator(mode="before")
    @classmethod
    def _offered(cls, parameters: Any) -> Any:
        if isinstance(parameters, dict) and parameters.get("order") == "difference-of-blurs":
            raise ValueError("expected order pointwise or blur-of-difference; this metric has no difference of blurs")
        return parameters

    @property
    def error_in_words(self) -> str:
        """As of every average, with what is compared."""
        return super().error_in_words + (f", which compares {self.compares}," if self.compares else "")

    @property
    def pointwise_root_mean_square(self) -> bool:  # type: ignore[override]
        """False: none of these maps bounds a root mean square error."""
        return False
