"""Rules about the losses of single pictures or of one calibration, for a loss that another guarantee averages.

Their proofs only need a loss that never falls as the threshold grows, is left-continuous and lies in [0, B]; `Expected`
and the guarantees derived from it prove this.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from blackbox_conformal.method.guarantees.expected import Expected, WithOutsiders
from blackbox_conformal.method.guarantees.guarantee import Guarantee, Needs
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support import catalog
from blackbox_conformal.support.catalog import handed_on

OWNERS = {
    "tolerance": "false-trust",
    "share": "all-but",
    "side": "local",
    "ceiling": "marked",
    "largest_error": "marked",
}
"""Parameters of losses, each with a guarantee that has it."""


class OfLoss(WithOutsiders):
    """A rule for the loss of the guarantee `of`.

    `of`: The guarantee that bounds the mean of this loss: ``expected`` (the largest trusted error), ``false-trust``,
      ``all-but``, ``local``, ``marked``, ``clear-share``.
    `tolerance`, `share`, `side`, `ceiling`, `largest_error`: As in the guarantee `of`; None: its default. With
      `largest_error` the same mask also keeps this rule for the largest error at that level; each of the two holds by
      itself.
    """

    of: str = Field(default="expected", examples=["false-trust", "all-but", "local", "marked", "clear-share"])
    tolerance: float | None = None
    share: float | None = None
    side: int | None = None
    ceiling: float | None = None
    largest_error: float | None = None

    left_open: ClassVar[Any] = handed_on("loss.left_open")
    definitions: ClassVar[Any] = handed_on("loss.definitions")

    @model_validator(mode="after")
    def _has_such_a_loss(self) -> Self:
        kind = catalog.member("guarantees", self.of)
        if not issubclass(kind, Expected):
            raise ValueError(
                f"expected of to name a guarantee of a mean loss, such as of=marked; got {self.of!r}, which has no "
                "loss of its own"
            )
        for name, _ in self._given:
            if name not in kind.model_fields:
                raise ValueError(f"{name} is no parameter of {self.of}. Leave it out, or say of={OWNERS[name]}")
        self.loss  # noqa: B018  computing it refuses impossible values
        return self

    @property
    def _given(self) -> tuple[tuple[str, float], ...]:
        return tuple((name, value) for name in OWNERS if (value := getattr(self, name)) is not None)

    @property
    def loss(self) -> Expected:
        """Return the guarantee that bounds the mean of this loss."""
        return _loss(self.of, self._given)

    def specification(self) -> dict[str, Any]:
        content = {name: value for name, value in super().specification().items() if name not in ("of", *OWNERS)}
        if self.of == "expected":
            return content
        own = self.loss.specification()
        return {**content, "of": self.of, **{name: own[name] for name in OWNERS if own.get(name) is not None}}

    def check(self, curves: CurveSet, alpha: float | None = None) -> None:
        super().check(curves, alpha)
        self.loss.check(curves)

    @property
    def needs(self) -> Needs:
        return replace(self.loss.needs, sampling=self.sampling)

    @property
    def beside(self) -> tuple[Guarantee, float] | None:
        """Return this rule for the largest error, at `largest_error`."""
        if self.largest_error is None:
            return None
        # Levels that hold together belong to the loss; here there is one.
        same = {name: getattr(self, name) for name in self.model_fields_set - {"of", "together", *OWNERS}}
        return type(self)(**same), self.largest_error

    def briefly(self, alpha: float, error: str = "error") -> str:
        return self.loss.briefly(alpha, error)

    def _also(self, n: int, error: str) -> str:
        return "" if self.beside is None else f" Also: {self.beside[0].statement(self.beside[1], n, error)}"

    @classmethod
    def of_the_loss_of(cls, rule: Guarantee) -> Self:
        """Return this rule with its defaults, for the loss of `rule`."""
        inner = rule.innermost
        if isinstance(inner, OfLoss):
            return cls(of=inner.of, **dict(inner._given))
        if not isinstance(inner, Expected):
            return cls()
        fields = type(inner).model_fields
        given = {name: getattr(inner, name) for name in OWNERS if name in fields}
        return cls(of=inner.plugin_name(), **{name: v for name, v in given.items() if v != fields[name].default})


@lru_cache(maxsize=64)
def _loss(name: str, parameters: tuple[tuple[str, float], ...]) -> Expected:
    loss: Expected = catalog.load("guarantees", name, **dict(parameters))
    return loss
