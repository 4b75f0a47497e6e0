"""The expected largest trusted error but for the worst trusted pixels, a share of the picture, is at most alpha.

The arithmetic is that of `expected`; the share is fixed when the curves are made.
"""

from typing import ClassVar

from pydantic import Field

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.risk.curve import Kind
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support.wording import exactly, percent


class AllBut(Expected):
    """``E[ (k + 1)-th largest trusted error ] <= alpha``, k = floor(share * pixels of the picture); else as `Expected`.

    Attributes
    ----------
    share
        The share of the picture, trusted or not, that the worst trusted pixels may make up; must be that of the curves.
    """

    curve_kind: ClassVar[Kind] = "all-but"

    share: float = Field(default=0.01, gt=0, lt=1, allow_inf_nan=False)

    def check(self, curves: CurveSet, alpha: float | None = None) -> None:
        """As for every guarantee, and the share left out must be that of the curves."""
        super().check(curves, alpha)
        # The share fixes how many pixels are left out when a curve is made; another share would need other curves.
        if curves.left_out != self.share:
            raise CalibrationError(
                f"expected curves that leave out a share of {self.share:g}; these leave out {curves.left_out}. "
                "Calibrate with --guarantee all-but:share=…, which takes no further call"
            )

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        """One sentence with the numbers, and one of what it leaves open."""
        return (
            f"On average over new photographs, the largest {error} among trusted pixels is at most {exactly(alpha)} "
            f"when the worst of them, {percent(self.share)} % of the whole picture, are left out{self._by(n)}. "
            "Nothing is said of those left out: where little is trusted they can be much of it."
        )

    def quantity(self, unit: str, error: str = "error") -> str:
        """The mean loss, in words."""
        return (
            f"the mean over {unit} of the largest {error} of a trusted pixel when the worst of them, "
            f"{percent(self.share)} % of the picture, are left out"
        )

    @property
    def left_out(self) -> float | None:
        """As `share` says."""
        return self.share


PLUGIN = AllBut
