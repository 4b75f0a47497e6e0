"""On average at least a share 1 - alpha of the invented detail of a square is hatched, whatever a picture's size."""

from typing import ClassVar

from blackbox_conformal.method.guarantees.marked import MarkedInvention
from blackbox_conformal.method.risk.curve import SQUARE, Kind
from blackbox_conformal.support.wording import complement, percent

_SQUARES = f"of a square of {SQUARE}×{SQUARE} pixels"


class MarkedInSquares(MarkedInvention):
    """As `marked`, in each square of a picture, averaged over its squares.

    ``L(t) = sum_k a_k L_k(t)``: the loss of `MarkedInvention` in each square k, a_k = its share of the picture.

    Such a mean never falls, is left-continuous and lies in [0, 1]. A square counts alike in small and large pictures,
    so a larger picture only has more squares.
    """

    curve_kind: ClassVar[Kind] = "marked-in-squares"
    holds_at_every_size: ClassVar[bool] = True

    def within(self, alpha: float, error: str = "error") -> str:
        hatched = (
            f"at least {percent(complement(alpha))} % of the detail that the vendor invented or removed is hatched"
        )
        return f"{hatched} in a square of {SQUARE}×{SQUARE} pixels, averaged over the squares of a picture"

    def briefly(self, alpha: float, error: str = "error") -> str:
        return f"{super().briefly(alpha, error)}, square by square"

    @property
    def left_open(self) -> str:
        return f"{super().left_open} Single squares may be far worse than their mean."

    @property
    def definitions(self) -> tuple[str, ...]:
        return (
            *super().definitions[:-1],
            "One grey level of detail at each pixel of a square is counted as invented and hatched.",
        )

    def loss_in_words(self, error: str = "error") -> str:
        return f"the share of invented detail {_SQUARES} that lies in its clear part, averaged over a picture's squares"


PLUGIN = MarkedInSquares
