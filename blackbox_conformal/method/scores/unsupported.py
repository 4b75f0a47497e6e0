"""Which share of the detail that the vendor added a free reconstruction of the input does not show either.

It is the metric `invention` with the free reference in the place of the truth, so it takes neither truth nor a call.
"""

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference_digest
from blackbox_conformal.method.kernels.detail import unexplained
from blackbox_conformal.method.kernels.regions import CELL, in_regions
from blackbox_conformal.method.scores._bases import OneDrawScore, input_of
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Image, Map


class Unsupported(OneDrawScore):
    """`K * (I / (A + c^2))` of delivered picture and free reference, as in `invention`: in [0, 1).

    The window K smooths the shares, so that no single cell is hatched or clear among others.

    `degraded`: Whether inputs are noisy, sharpened or compressed: the free reference then has the weights that do not
      take that for detail. A calibration fills it in from how its inputs are made; elsewhere None is False.
    `region`: A multiple of 4. At any threshold no hatched patch, and no clear one, has fewer pixels than a square of
      so many a side, so that no part of a letter or a face stands out as a speck. 0: patches of any size.
    `digest`: ``sha256:`` and the digest of the weights, with others of which it is another score; filled in, and
      checked where given.
    """

    is_share: ClassVar[bool] = True
    at_scale_one: ClassVar[str] = "nothing: there is no free enlargement to compare with, and it is refused"

    degraded: bool | None = None
    region: Annotated[int, Field(ge=0, le=256, multiple_of=CELL, examples=[0])] = 16
    digest: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read_before_regions(cls, parameters: Any) -> Any:
        """A specification always has a digest; one without a region is of a score without regions."""
        if isinstance(parameters, dict) and parameters.get("digest"):
            return {"region": 0, **parameters}
        return parameters

    @model_validator(mode="after")
    def _name_weights(self) -> Self:
        own = self.own_digest()
        if self.digest not in ("", own):
            raise ValueError(
                f"expected the weights {own}, which this version or the file of weights has; got {self.digest}. "
                f"Calibrate again with --score {self.plugin_name()}: draws are stored, so that no call is made again"
            )
        object.__setattr__(self, "digest", own)
        return self

    def specification(self) -> dict[str, Any]:
        """Without a region of 0, as calibrations were written before there were regions."""
        return {key: value for key, value in super().specification().items() if key != "region" or value}

    def own_digest(self) -> str:
        return reference_digest(degraded=bool(self.degraded))

    def suited(self, degradation: Mixture) -> Self:
        """With the weights for inputs made in this way; those for clean inputs are refused for others."""
        if self.degraded is None:
            suited = self.model_copy(update={"degraded": not degradation.adds_nothing})
            return suited.model_copy(update={"digest": suited.own_digest()})
        if not (self.degraded or degradation.adds_nothing):
            raise UsageError(
                f"expected inputs that are only made smaller or softer for {self.plugin_name()}:degraded=false; "
                f"{degradation.text} adds what it would take for detail. Give --score {self.plugin_name()}"
            )
        return self

    @property
    def reference_degraded(self) -> bool:
        return bool(self.degraded)

    def refused_at(self, scale: int) -> str | None:
        """Why it cannot be used at `scale`; None where it can."""
        if scale > 1:
            return None
        return f"{self.plugin_name()} needs a vendor that enlarges, since it compares with an enlargement"

    def _averaged(self, context: Context) -> Map:
        values = super()._averaged(context)
        return in_regions(values, self.region) if self.region else values

    def raw(self, context: Context) -> Map:
        low = input_of(context, self.plugin_name())
        if (reason := self.refused_at(context.scale)) is not None:
            raise UsageError(f"{reason}; got scale {context.scale}. Give --score bicubic-gap:sigma=8")
        return self.share(context, low)

    def share(self, context: Context, low: Image) -> Map:
        """Of what the vendor adds to plain enlargement, the part that the reference leaves: (H, W) float32."""
        free, scale = context.reference(degraded=bool(self.degraded)), context.scale
        return unexplained(context.delivered, free, bicubic_up(low, scale), float(scale)).share


PLUGIN = Unsupported
