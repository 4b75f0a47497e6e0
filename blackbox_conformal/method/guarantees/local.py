"""The largest trusted error of each square, averaged over squares, is expected to be at most alpha.

Computed as in `expected`; the side of the squares is fixed when the curves are made.
"""

from typing import ClassVar

from pydantic import Field

from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.risk.curve import Kind
from blackbox_conformal.support.wording import exactly


class Local(Expected):
    """The largest trusted error in a square of a picture is at most alpha, averaged over squares and pictures.

    ``E[ sum_k a_k max { D_p : p in square k, score_p < t } ] <= alpha``, a_k = its share of the picture.

    Else as `Expected`. Each maximum never falls as t grows, is left-continuous and at most B, and so is their mean. A
    larger picture has more squares, so its loss need not grow with its size, unlike the largest error of all.

    `side`: Of the squares, in pixels of the delivered picture, from its upper left corner on; must equal the curves'
      side.
    """

    curve_kind: ClassVar[Kind] = "local"
    curve_parameter: ClassVar[str] = "side"
    holds_at_every_size: ClassVar[bool] = True

    side: int = Field(default=64, ge=1, le=2**16)

    def within(self, alpha: float, error: str = "error") -> str:
        return f"{self.loss_in_words(error)}, is at most {exactly(alpha)}"

    def briefly(self, alpha: float, error: str = "error") -> str:
        return f"the largest clear {error} in a {self.side}x{self.side} square is at most {exactly(alpha)}"

    @property
    def left_open(self) -> str:
        return (
            "A square without a trusted pixel counts as 0, and one that the border cuts by its area. Single squares "
            "may be far worse than their mean."
        )

    def loss_in_words(self, error: str = "error") -> str:
        squares = f"a square of {self.side}×{self.side} pixels"
        return f"the largest {error} among the trusted pixels of {squares}, averaged over the squares of a picture"


PLUGIN = Local
