"""Any other guarantee within groups that were fixed beforehand, such as scene classes (Mondrian)."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_serializer, model_validator

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.guarantee import Choice, Claim, Guarantee, Units, require_length
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support import catalog
from blackbox_conformal.support.catalog import handed_on


class Around(Guarantee):
    """A guarantee that makes another one hold for other units.

    `of`, `parameters`: Name and parameters of the guarantee within.
    """

    of: str = "expected"
    parameters: dict[str, Any] = Field(default_factory=dict)

    innermost: ClassVar[Any] = handed_on("inner.innermost")
    needs: ClassVar[Any] = handed_on("inner.needs")
    left_open: ClassVar[Any] = handed_on("inner.left_open")
    definitions: ClassVar[Any] = handed_on("inner.definitions")
    miss_rate: ClassVar[Any] = handed_on("inner.miss_rate")
    holds_on_average: ClassVar[Any] = handed_on("inner.holds_on_average")

    @field_serializer("parameters")
    def _parameters_in_words(self, parameters: dict[str, Any]) -> dict[str, Any]:
        inner = self.inner.specification()
        # A guarantee from another package always states that package.
        return {name: inner[name] for name in inner if name in parameters or name == "package"}

    @property
    def inner(self) -> Guarantee:
        """Return the guarantee within, for all photographs."""
        inner: Guarantee = catalog.load("guarantees", self.of, **self.parameters)
        return inner

    @property
    def beside(self) -> tuple[Guarantee, float] | None:
        if (found := self.inner.beside) is None:
            return None
        rule, level = found
        parameters = rule.model_dump(exclude_unset=True)
        return self.model_copy(update={"of": rule.plugin_name(), "parameters": parameters}), level

    @property
    def treats_photographs_alike(self) -> bool:
        """Return False: groups and tiles decide which photographs count, and how."""
        return False

    def claim(self, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
        return self.inner.claim(losses, alpha, bound)

    def minimum_images(self, alpha: float, bound: float) -> int:
        return self.inner.minimum_images(alpha, bound)

    def reachable_alpha(self, n: int, bound: float) -> float:
        return self.inner.reachable_alpha(n, bound)


class ByGroup(Around):
    """Another guarantee, `of`, computed from the photographs of the new photograph's group alone.

    `of`, `parameters`: Name and parameters of the guarantee; parameters given a photograph are for all photographs.
    `groups`: The group of each calibration photograph.
    `group_new`: The group of the new photograph.
    """

    theorem: ClassVar[str] = "Vovk, Gammerman and Shafer (2005), Section 4.5, with the theorem of the guarantee within"

    groups: tuple[str, ...]
    group_new: str

    kind: ClassVar[str] = "photographs of group"
    fixed: ClassVar[str] = "Groups were fixed before any result was seen and depend on the input alone."

    bound_source: ClassVar[Any] = handed_on("inner.bound_source")
    own_bound: ClassVar[Any] = handed_on("inner.own_bound")
    tiles: ClassVar[Any] = handed_on("inner.tiles")

    @model_validator(mode="after")
    def _build(self) -> Self:
        if self.of in ("by-group", "by-vendor"):
            raise ValueError("groups within groups: name the finest groups instead")
        self.inner  # noqa: B018  refuses parameters that do not fit
        return self

    @property
    def own_group(self) -> str | None:
        return self.group_new

    @property
    def pictures(self) -> str:
        """Name the pictures of its group."""
        return f"{self.kind} {self.group_new!r}"

    def with_bound(self, bound: RiskCurve) -> Self:
        inner = self.inner.with_bound(bound)
        return self.model_copy(update={"parameters": {**self.parameters, "bound_new": inner.own_bound}})

    @property
    def _indices(self) -> NDArray[np.int64]:
        # As objects, since numpy would otherwise pad or cut names to one length.
        return np.flatnonzero(np.array(self.groups, dtype=object) == self.group_new)

    def _of_group(self, curves: CurveSet) -> tuple[Guarantee, CurveSet | None]:
        require_length("groups", self.groups, curves)
        indices = self._indices
        # Within its group a new photograph is exchangeable with the photographs of the group, and only with these.
        return self.inner.restrict(indices), curves.subset(indices) if indices.size else None

    def check_level(self, alpha: float, bound: float | None = None) -> None:
        self.inner.check_level(alpha, bound)

    def counted(self, curves: int) -> int:
        indices = self._indices
        return self.inner.restrict(indices).counted(indices.size)

    def choose(self, curves: CurveSet, alpha: float) -> Choice:
        inner, group_curves = self._of_group(curves)
        # Checked before the group is looked at, so that a wrong level is refused in an empty group too.
        inner.check(curves, alpha)
        if group_curves is None:
            missing = inner.minimum_images(alpha, curves.bound)
            others = ", ".join(sorted(set(self.groups)))
            nothing = (
                f"nothing can be trusted: no calibration photograph is of group {self.group_new!r}; there are {others}"
            )
            return Choice(-np.inf, max(missing, 1), nothing)
        choice = inner.choose(group_curves, alpha)
        named = self.kind.removeprefix("photographs of ")
        reason = choice.reason and f"{named} {self.group_new!r}: {choice.reason}"
        return Choice(choice.threshold, choice.missing_images, reason)

    def risk(self, curves: CurveSet, threshold: float) -> float:
        inner, group_curves = self._of_group(curves)
        if group_curves is None:
            # Without a photograph, only the metric's bound stands behind a threshold above -inf.
            return 0.0 if threshold == -np.inf else curves.bound
        return inner.risk(group_curves, threshold)

    def levels(self, curves: CurveSet) -> NDArray[np.float64]:
        inner, group_curves = self._of_group(curves)
        return np.array([curves.bound]) if group_curves is None else inner.levels(group_curves)

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        statement = self.inner.restrict(self._indices).statement(alpha, self._indices.size, error)
        return f"Among {self.pictures}: {statement}"

    def in_short(self, alpha: float, like: str, error: str = "error") -> str:
        return self.inner.in_short(alpha, self.pictures, error)

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (*self.inner.assumptions, self.fixed)

    def restrict(self, indices: NDArray[np.int64]) -> Self:
        raise UsageError("expected by-group as the outermost guarantee; put by-cluster inside it")

    @property
    def by_photograph(self) -> dict[str, tuple[Any, ...]]:
        return {**self.inner.by_photograph, "groups": self.groups}

    def quantity(self, unit: str, error: str = "error") -> str:
        return f"within group {self.group_new!r}, {self.inner.quantity(unit, error)}"

    def refuse_unclaimed(self, in_tiles: bool) -> None:
        self.inner.refuse_unclaimed(in_tiles)

    def unit_curves(self, curves: CurveSet) -> Units:
        inner, group_curves = self._of_group(curves)
        if group_curves is None:
            others = ", ".join(sorted(set(self.groups)))
            raise CalibrationError(
                f"expected calibration photographs of group {self.group_new!r}; there are none, only {others}. "
                "Nothing is trusted in that group, so there is nothing to audit"
            )
        return inner.unit_curves(group_curves)

    def extended(self, tiles: Sequence[str] | None, new: int) -> tuple[Guarantee, int | None]:
        if self.tiles is not None:
            raise UsageError(
                "expected groups or tiles, not both, to split a pool with audit photographs; got both. Leave the audit "
                "photographs out: calibrate on the whole pool and split that"
            )
        groups = (*self.groups, *(self.group_new,) * new)
        return self.model_copy(update={"groups": groups}), self.groups.count(self.group_new)


PLUGIN = ByGroup
