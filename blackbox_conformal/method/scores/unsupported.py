"""Which share of the detail that the vendor added a free reconstruction of the input does not show either.

It is the metric `invention` with the free reference in the place of the truth, so it takes neither truth nor a call.
"""

from typing import ClassVar, Self

from pydantic import model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference, reference_digest
from blackbox_conformal.method.kernels.detail import unexplained
from blackbox_conformal.method.scores._one_draw import OneDrawScore, input_of
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Map


class Unsupported(OneDrawScore):
    """`K * (I / (A + c^2))` of delivered picture and free reference, as in `invention`: in [0, 1).

    The window K smooths the shares, so that no single cell is hatched or clear among others.

    Attributes
    ----------
    degraded
        Whether inputs are noisy, sharpened or compressed: the free reference then has the weights that do not take that
        for detail.
    digest
        ``sha256:`` and the digest of the reference's weights, with others of which it is another score; filled in, and
        checked where given.
    """

    is_share: ClassVar[bool] = True
    at_scale_one: ClassVar[str] = "nothing: there is no free enlargement to compare with, and it is refused"

    degraded: bool = False
    digest: str = ""

    @model_validator(mode="after")
    def _name_weights(self) -> Self:
        own = reference_digest(degraded=self.degraded)
        if self.digest not in ("", own):
            raise ValueError(
                f"expected the free reference {own}, which this version has; got {self.digest}. Calibrate again with "
                "--score unsupported: draws are stored, so that no call is made again"
            )
        object.__setattr__(self, "digest", own)
        return self

    def refused_at(self, scale: int) -> str | None:
        """Why it cannot be used at `scale`; None where it can."""
        return None if scale > 1 else "unsupported needs a vendor that enlarges, since it compares with an enlargement"

    def raw(self, context: Context) -> Map:
        """The share at each pixel."""
        low = input_of(context, "unsupported")
        if (reason := self.refused_at(context.scale)) is not None:
            raise UsageError(f"{reason}; got scale {context.scale}. Give --score bicubic-gap:sigma=8")
        free, plain = reference(low, context.scale, degraded=self.degraded), bicubic_up(low, context.scale)
        return unexplained(context.delivered, free, plain, float(context.scale)).share


PLUGIN = Unsupported
