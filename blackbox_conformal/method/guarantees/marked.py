"""On average at least a share 1 - alpha of the invented detail is hatched: a bound on the false negative rate."""

from typing import ClassVar

from blackbox_conformal.method.guarantees._of_detail import OfDetail
from blackbox_conformal.method.risk.curve import MOST_PIXELS, Kind
from blackbox_conformal.support.wording import complement, percent

COUNTED = (
    f"One grey level of detail at each pixel, of a larger picture at {MOST_PIXELS} of its pixels, is counted as "
    "invented and hatched."
)
COUNTED_BEFORE = "One grey level of detail at each pixel is counted as invented and hatched."
"""What certificates of earlier versions say."""


class MarkedInvention(OfDetail):
    """``L(t)``: energy invented where score < t, over all that was invented plus a square grey level at each pixel, but
    at `MOST_PIXELS` at most.

    A sum of energies >= 0 over a set of pixels that only grows with t, so L never falls, is left-continuous and lies in
    [0, 1].
    """

    curve_kind: ClassVar[Kind] = "marked"
    own_bound_refused: ClassVar[str] = "an error, and not how much of the invented detail is trusted"

    def within(self, alpha: float, error: str = "error") -> str:
        """That at most a share `alpha` is clear, as the rest that is hatched."""
        return f"at least {percent(complement(alpha))} % of the detail that the vendor invented or removed is hatched"

    @property
    def left_open(self) -> str:
        """Erased detail, and pictures that hardly have any invention."""
        return (
            "The clear part may lack detail that the input does not show, and a picture with hardly any invention "
            "counts as hatched enough."
        )

    @property
    def definitions(self) -> tuple[str, ...]:
        """As for every share of detail, and what takes pictures out that hardly have any invention."""
        return (*super().definitions, COUNTED)

    def share_in_words(self, alpha: float) -> str:
        """That of invented detail which is hatched."""
        return f"at least {percent(complement(alpha))} % of the invented detail hatched"

    def loss_in_words(self, error: str = "error") -> str:
        """The share that is clear."""
        return "the share of invented detail that lies in the clear part of the picture"


PLUGIN = MarkedInvention
