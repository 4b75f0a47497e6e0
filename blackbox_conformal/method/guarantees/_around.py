"""A guarantee made around another one, to which it hands on needs, claim and level."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_serializer

from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee, Needs
from blackbox_conformal.support import catalog


class Around(Guarantee):
    """A guarantee that makes another one hold for other units.

    Attributes
    ----------
    of, parameters
        Name and parameters of the guarantee within.
    """

    of: str = "expected"
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_serializer("parameters")
    def _parameters_in_words(self, parameters: dict[str, Any]) -> dict[str, Any]:
        inner = self.inner.specification()
        # The package of a guarantee of another package is stated whether or not it was given.
        return {name: inner[name] for name in inner if name in parameters or name == "package"}

    @property
    def inner(self) -> Guarantee:
        """The guarantee within, for all photographs."""
        inner: Guarantee = catalog.load("guarantees", self.of, **self.parameters)
        return inner

    @property
    def innermost(self) -> Guarantee:
        return self.inner.innermost

    @property
    def needs(self) -> Needs:
        """Those of the guarantee within."""
        return self.inner.needs

    @property
    def left_open(self) -> str:
        return self.inner.left_open

    @property
    def definitions(self) -> tuple[str, ...]:
        return self.inner.definitions

    @property
    def miss_rate(self) -> float | None:
        return self.inner.miss_rate

    @property
    def beside(self) -> tuple[Guarantee, float] | None:
        """That of the guarantee within, for the same units."""
        if (found := self.inner.beside) is None:
            return None
        rule, level = found
        parameters = rule.model_dump(exclude_unset=True)
        return self.model_copy(update={"of": rule.plugin_name(), "parameters": parameters}), level

    @property
    def holds_on_average(self) -> bool:
        return self.inner.holds_on_average

    @property
    def treats_photographs_alike(self) -> bool:
        """False: groups and tiles decide which photographs count, and how."""
        return False

    def claim(self, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
        return self.inner.claim(losses, alpha, bound)

    def minimum_images(self, alpha: float, bound: float) -> int:
        """As the guarantee within, counted in its photographs."""
        return self.inner.minimum_images(alpha, bound)

    def reachable_alpha(self, n: int, bound: float) -> float:
        """As the guarantee within, for n of its photographs."""
        return self.inner.reachable_alpha(n, bound)
