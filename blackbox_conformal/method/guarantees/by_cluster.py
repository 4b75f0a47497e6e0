"""Any expected-loss guarantee when one photograph gives several curves: the mean of its tiles counts once."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.by_group import Around
from blackbox_conformal.method.guarantees.guarantee import Choice, Guarantee, Units, require_length
from blackbox_conformal.method.risk.curve_set import CurveSet, pool
from blackbox_conformal.support import catalog

_ONE_TILE = "a bound of one tile does not bound the mean over its photograph's tiles"
_WEIGHTS = "weights belong to photographs, of which there are fewer than curves"


class ByCluster(Around):
    """Another guarantee, `of`, for a random tile of a new photograph; n counts photographs, not tiles.

    `of`, `parameters`: Name and parameters of the guarantee, which must bound a mean, such as ``expected``.
    `clusters`: The photograph that each curve was made from.
    """

    theorem: ClassVar[str] = "Dunn, Wasserman and Ramdas (2023), Section 3, with the theorem of the guarantee within"

    clusters: tuple[str, ...]

    @model_validator(mode="after")
    def _build(self) -> Self:
        if not catalog.member("guarantees", self.of).bounds_tile_means:
            raise ValueError(
                f"expected a guarantee that bounds a mean; got {self.of!r}, but the mean over a photograph's tiles "
                "says nothing of its worst tile. Use expected, all-but, false-trust or high-probability"
            )
        inner = self.inner
        for name, is_set, reason in (
            ("bound_new", inner.own_bound is not None, _ONE_TILE),
            ("bound_from", inner.bound_source != "metric", _ONE_TILE),
            ("weights", "weights" in inner.by_photograph, _WEIGHTS),
        ):
            if is_set:
                raise ValueError(f"{name} cannot be combined with photographs in tiles: {reason}")
        return self

    def _pooled(self, curves: CurveSet) -> CurveSet:
        require_length("clusters", self.clusters, curves)
        # Photographs are exchangeable; tiles depend on each other, so their mean counts once.
        return pool(curves, self.clusters)

    def choose(self, curves: CurveSet, alpha: float) -> Choice:
        return self.inner.choose(self._pooled(curves), alpha)

    def risk(self, curves: CurveSet, threshold: float) -> float:
        return self.inner.risk(self._pooled(curves), threshold)

    def levels(self, curves: CurveSet) -> NDArray[np.float64]:
        return self.inner.levels(self._pooled(curves))

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        statement = self.inner.statement(alpha, len(set(self.clusters)), error)
        return f"For a tile drawn at random from a new photograph: {statement}"

    def in_short(self, alpha: float, like: str, error: str = "error") -> str:
        return self.inner.in_short(alpha, f"tiles of {like}", error)

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            *self.inner.assumptions,
            "Tiles of one photograph are named as such; nothing is assumed of how they depend.",
        )

    def counted(self, curves: int) -> int:
        return len(set(self.clusters))

    def restrict(self, indices: NDArray[np.int64]) -> Self:
        return self.model_copy(update={"clusters": tuple(self.clusters[index] for index in indices)})

    @property
    def by_photograph(self) -> dict[str, tuple[Any, ...]]:
        return {**self.inner.by_photograph, "clusters": self.clusters}

    @property
    def tiles(self) -> tuple[str, ...] | None:
        return self.clusters

    def quantity(self, unit: str, error: str = "error") -> str:
        return self.inner.quantity(unit, error)

    def refuse_unclaimed(self, in_tiles: bool) -> None:
        if not in_tiles:
            raise UsageError(
                "expected the photograph that each audited tile belongs to, since by-cluster speaks of photographs; "
                "got none. Give --tiles FILE with one tile,photograph line each"
            )
        self.inner.refuse_unclaimed(in_tiles)

    def unit_curves(self, curves: CurveSet) -> Units:
        return Units(self.inner, self._pooled(curves), curves, self.clusters)

    def extended(self, tiles: Sequence[str] | None, new: int) -> tuple[Guarantee, int | None]:
        """Return the guarantee with the audit pictures' photographs added."""
        self.refuse_unclaimed(tiles is not None)
        clusters = (*self.clusters, *(tiles or ()))
        return self.model_copy(update={"clusters": clusters}), len(set(self.clusters))


def in_tiles(rule: Guarantee, clusters: Sequence[str]) -> Guarantee:
    """Return `rule` for curves of tiles; `clusters` names the photograph of each curve."""
    inner = {key: value for key, value in rule.specification().items() if value is not None}
    tiled: Guarantee = catalog.load(
        "guarantees", "by-cluster", of=inner.pop("name"), parameters=inner, clusters=tuple(clusters)
    )
    return tiled


PLUGIN = ByCluster
