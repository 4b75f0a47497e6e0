"""The expected share of the picture that is trusted and wrong by more than a tolerance is at most alpha.

The arithmetic is that of `expected`, with 1 as the bound; the tolerance is fixed when the curves are made.
"""

from typing import ClassVar

from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.risk.curve import Kind


class FalseTrust(Expected):
    """``E[ share of all pixels that are trusted and wrong ] <= alpha``; parameters as in `Expected`."""

    curve_kind: ClassVar[Kind] = "share"
    theorem: ClassVar[str] = "Angelopoulos, Bates, Fisch, Lei and Schuster (2024), Theorem 1, with B = 1"

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        """One sentence with the numbers."""
        return (
            f"On average over new photographs, the share of the picture that is trusted although its {error} exceeds "
            f"the tolerance is at most {alpha:g}{self._by(n)}."
        )


PLUGIN = FalseTrust
