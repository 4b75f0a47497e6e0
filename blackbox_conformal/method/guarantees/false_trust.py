"""The expected share of the picture that is trusted and wrong by more than a tolerance is at most alpha.

Computed as in `expected`, with 1 as the bound; the tolerance is fixed when the curves are made.
"""

from typing import ClassVar

from pydantic import Field

from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.risk.curve import Kind
from blackbox_conformal.support.wording import exactly, percent


class FalseTrust(Expected):
    """At most a share alpha of a picture is trusted and wrong by more than a tolerance, on average.

    ``E[ share of all pixels that are trusted and wrong ] <= alpha``; parameters of `Expected` but bound_from.

    `tolerance`: The error above which a trusted pixel is wrong; must equal the curves' tolerance. None: the curves
      decide.
    """

    curve_kind: ClassVar[Kind] = "share"
    curve_parameter: ClassVar[str] = "tolerance"
    theorem: ClassVar[str] = "Angelopoulos, Bates, Fisch, Lei and Schuster (2024), Theorem 1, with B = 1"

    own_bound_refused: ClassVar[str] = "an error, and not the share of the picture that is wrong"

    tolerance: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    def within(self, alpha: float, error: str = "error") -> str:
        wrong = f"the share of the picture that is trusted although its {error} exceeds {self._tolerance_in_words}"
        return f"{wrong} is at most {exactly(alpha)}"

    def briefly(self, alpha: float, error: str = "error") -> str:
        return f"at most {percent(alpha)} % is clear although the {error} exceeds {self._tolerance_in_words}"

    def loss_in_words(self, error: str = "error") -> str:
        return f"the share of the picture that is trusted with a {error} above {self._tolerance_in_words}"

    @property
    def _tolerance_in_words(self) -> str:
        return "the tolerance" if self.tolerance is None else exactly(self.tolerance)


PLUGIN = FalseTrust
