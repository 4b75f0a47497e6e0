"""New pictures of which a small share may be of any other kind than the calibration photographs."""

from fractions import Fraction
from typing import Any, Self

from pydantic import Field, model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.exact import as_typed, exact_bound


class WithOutsiders(Guarantee):
    """A guarantee that also holds when a share `outsiders` of new pictures is of any other kind.

    An outsider loses at most the bound B, whatever it is, and the others keep the level a that is calibrated, so the
    mean loss is at most ``(1 - outsiders) a + outsiders B`` (Huber's contamination, 1964). Calibrating at
    ``a = (alpha - outsiders B) / (1 - outsiders)`` makes that alpha.

    Attributes
    ----------
    outsiders
        The largest share of new pictures that are not like the calibration photographs, in [0, 1).
    """

    outsiders: float = Field(default=0.0, ge=0, lt=1, examples=[0.01])

    @model_validator(mode="after")
    def _enough_for_outsiders(self) -> Self:
        # Outsiders are allowed to miss always: once they use up the miss rate, no level is left for the others.
        if self.miss_rate is not None and self.outsiders and self.outsiders >= self.miss_rate:
            raise ValueError(
                f"expected outsiders below delta, since each of them may miss; got {self.outsiders:g} and delta "
                f"{self.miss_rate:g}. Lower outsiders, or raise delta"
            )
        return self

    def specification(self) -> dict[str, Any]:
        """As of every plugin; without outsiders there is no word of them."""
        content = super().specification()
        return {key: value for key, value in content.items() if key != "outsiders" or value}

    def check_level(self, alpha: float, bound: float | None = None) -> None:
        """As for every guarantee; the outsiders alone must not use the level up."""
        super().check_level(alpha, bound)
        if (
            bound is None
            or self.miss_rate is not None
            or not self.outsiders
            or self._inside(as_typed(alpha), bound) > 0
        ):
            return
        raise UsageError(
            f"expected alpha above {self.outsiders * bound:g}, which {100 * self.outsiders:g} % of outsiders with the "
            f"largest loss, {bound:g}, use up; got {alpha:g}. Lower outsiders, or give the metric a cap, such as "
            "--metric lab-l1:sigma=4,cap=0.5"
        )

    def _inside(self, level: Fraction, bound: float) -> Fraction:
        """The level that pictures like the calibration photographs must keep, so that all together keep `level`."""
        share = as_typed(self.outsiders)
        # As fractions of the decimals typed, so that a level that is exactly used up is seen as such.
        return (level - share * exact_bound(bound)) / (1 - share) if share else level

    def _overall(self, level: Fraction, bound: float) -> Fraction:
        """The level that all new pictures keep where those like the calibration photographs keep `level`."""
        share = as_typed(self.outsiders)
        return level * (1 - share) + share * exact_bound(bound)

    def _claimed(self, alpha: float, bound: float) -> float:
        """What photographs like the calibration's must keep, which is what an audit of such photographs can test."""
        return float(self._inside(as_typed(alpha), bound)) if self.outsiders else alpha

    @property
    def _outsiders_in_words(self) -> str:
        if not self.outsiders:
            return ""
        return f", also if {100 * self.outsiders:g} % of new pictures are of any other kind"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What must be true for it, one sentence each; of outsiders, too."""
        if not self.outsiders:
            return super().assumptions
        return (
            *super().assumptions,
            f"At most {100 * self.outsiders:g} % of new pictures are of another kind, and which these are does not "
            "depend on the others.",
        )
