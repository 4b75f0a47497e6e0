"""Second opinion: how far the delivered picture is from what another, cheaper black box makes of the same input.

Two vendors that invent independently seldom invent the same; one draw of each is enough.
"""

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels.distance import rgb_l1
from blackbox_conformal.method.scores._bases import OneDrawScore
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Map


class SecondOpinion(OneDrawScore):
    """`K * |Ŷ_A - Ŷ_B|`, summed over channels, white = 1: in [0, 3]."""

    @property
    def needs_input(self) -> bool:
        """No: the two pictures are enough."""
        return False

    @property
    def needs_second(self) -> bool:
        return True

    def raw(self, context: Context) -> Map:
        if context.second is None:
            raise UsageError("second-opinion compares with another vendor's picture; give a second vendor")
        return rgb_l1(context.delivered, context.second)


PLUGIN = SecondOpinion
