"""A learned score: how dear it is to trust each pixel, as a small network fitted on other vendors' pictures says.

A guarantee bounds the largest trusted error of a picture on average. The masks that trust most under such a bound
minimise the expected largest error less a Lagrange multiplier times the trusted share. They grow with the multiplier,
so that one map, of the multiplier at which each pixel joins, gives them all. The network was fitted to that trade.
"""

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.kernels.cells import MAX_SCALE
from blackbox_conformal.method.kernels.elementary import exponential
from blackbox_conformal.method.scores._bases import DeliveredAccumulator, input_of
from blackbox_conformal.method.scores._learned_network import features, log_multipliers, own_network, shapes
from blackbox_conformal.method.scores._weights_file import WeightsFile, weights_file
from blackbox_conformal.method.scores.score import Context, Score
from blackbox_conformal.support.types import Map


class LearnedScore(Score):
    """The Lagrange multiplier at which a pixel joins the mask, > 0.

    All pixels of a cell, the block made of one pixel of the input, have one value.

    `weights`: A file of weights that `tune --learn` or `examples/train_learned_score.py` wrote, or its content; this
      package's own unless given. Not part of the procedure, which names weights by their digest.
    `digest`: ``sha256:`` and the digest of the file of weights; filled in, and checked where given.
    """

    at_scale_one: ClassVar[str] = "nothing: it is made for pictures larger than their inputs, and is refused"

    weights: Path | bytes | None = Field(default=None, exclude=True, repr=False)
    digest: str = ""

    _network: WeightsFile = PrivateAttr()

    @model_validator(mode="after")
    def _name_weights(self) -> Self:
        """Write down which weights they are: with others it is another score."""
        try:
            self._network = own_network() if self.weights is None else weights_file(self.weights, shapes)
        except BlackboxConformalError as error:
            raise ValueError(str(error)) from None
        if self.digest not in ("", self._network.digest):
            raise ValueError(
                f"expected the weights {self.digest}; got {self._network.digest}. Name the file of those weights with "
                "--score learned:weights=FILE and calibrate with it: draws are stored, so that no call is made again"
            )
        # The model is frozen, and the digest follows from the weights alone.
        object.__setattr__(self, "digest", self._network.digest)
        return self

    @property
    def fitted_weights(self) -> bytes | None:
        """The content of the file of weights; None for this package's own."""
        return None if self.digest == own_network().digest else self._network.content

    @property
    def taught_by(self) -> tuple[KnownPhotograph, ...]:
        """The photographs that the weights were learned from; of this package's own none is anybody's."""
        return self._network.taught_by

    @property
    def minimum_draws(self) -> int:
        """One: the vendor is not asked twice."""
        return 1

    def refused_at(self, scale: int) -> str | None:
        """Why it cannot be used at `scale`; None where it can."""
        if 2 <= scale <= MAX_SCALE:
            return None
        return (
            f"learned needs a vendor that enlarges by 2 to {MAX_SCALE}, since it looks at the pixels made of each pixel"
        )

    def start(self, shape: tuple[int, int]) -> DeliveredAccumulator:
        return DeliveredAccumulator(self._map)

    def _map(self, context: Context) -> Map:
        reason = self.refused_at(context.scale)
        if reason is not None:
            # Refused when the vendor's scale is first known, before its map is made.
            raise UsageError(f"{reason}; got scale {context.scale}. Give --score bicubic-gap:sigma=8")
        low = input_of(context, "learned")
        # The network speaks in logarithms; scores are above 0 and keep the order.
        multipliers = exponential(log_multipliers(self._network.arrays, features(context, low))).astype(np.float32)
        return np.ascontiguousarray(multipliers.repeat(context.scale, axis=0).repeat(context.scale, axis=1))


PLUGIN = LearnedScore
