"""The largest trusted error, but for a share of the picture with the worst pixels, is expected to be at most alpha.

Computed as in `expected`; the share is fixed when the curves are made.
"""

from typing import ClassVar

from pydantic import Field

from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.risk.curve import Kind
from blackbox_conformal.support.wording import exactly, percent


class AllBut(Expected):
    """The largest trusted error, the worst pixels of each picture left out, is at most alpha on average.

    ``E[ (k + 1)-th largest trusted error ] <= alpha``, k = floor(share * pixels of the picture); else as `Expected`.

    `share`: The share of the picture, trusted or not, that the worst trusted pixels may make up; must be the curves'
      share.
    """

    curve_kind: ClassVar[Kind] = "all-but"
    curve_parameter: ClassVar[str] = "share"

    share: float = Field(default=0.01, gt=0, lt=1, allow_inf_nan=False)

    def within(self, alpha: float, error: str = "error") -> str:
        left_out = f"when the worst of them, {percent(self.share)} % of the whole picture, are left out"
        return f"{super().within(alpha, error)} {left_out}"

    def briefly(self, alpha: float, error: str = "error") -> str:
        return f"the largest clear {error} (worst {percent(self.share)} % aside) is at most {exactly(alpha)}"

    @property
    def left_open(self) -> str:
        return "Nothing is said of the pixels left out: where little is trusted they can be much of it."

    def loss_in_words(self, error: str = "error") -> str:
        left_out = f"when the worst of them, {percent(self.share)} % of the picture, are left out"
        return f"{super().loss_in_words(error)} {left_out}"


PLUGIN = AllBut
