"""On average at most a share alpha of the detail added in the clear part is invented: a false discovery rate."""

from typing import ClassVar

from blackbox_conformal.method.guarantees.marked import OfDetail
from blackbox_conformal.method.risk.curve import LEAST_CLEAR, Kind
from blackbox_conformal.support.wording import percent


class ClearShare(OfDetail):
    """Of the detail that the vendor added in the clear part, at most a share alpha is invented, on average.

    ``L(t) = sup { R(s) : s <= t }``, R the energy invented over that added where score < s, or 5 % of all added.

    R itself may fall. Its running maximum never falls, is left-continuous like R, and lies in [0, 1], since nowhere is
    more invented than added; `E R(t) <= E L(t) <= alpha`.
    """

    curve_kind: ClassVar[Kind] = "clear-share"
    own_bound_refused: ClassVar[str] = "an error, and not which share of detail is invented"

    def within(self, alpha: float, error: str = "error") -> str:
        added = "the detail that the vendor added in the clear part of the picture"
        return f"at most {percent(alpha)} % of {added} is invented"

    def briefly(self, alpha: float, error: str = "error") -> str:
        return f"at most {percent(alpha)} % of detail added in clear parts is invented"

    @property
    def left_open(self) -> str:
        floor = f"{percent(LEAST_CLEAR)} %"
        return (
            "The clear part may lack detail that the input does not show. Where it holds less than "
            f"{floor} of all detail added to a picture, the share is counted against that {floor}."
        )

    def loss_in_words(self, error: str = "error") -> str:
        return (
            "the share of detail added in the clear part of the picture that is invented (the largest that any smaller "
            "threshold gives)"
        )


PLUGIN = ClearShare
