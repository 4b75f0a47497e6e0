"""Price: at which price a pixel is worth trusting, as a small network fitted on other vendors' pictures says.

A guarantee bounds the largest trusted error of a picture on average. The masks that trust most under such a bound
minimise the expected largest error less a price for each trusted pixel (its Lagrangian). They grow with the price, so
that one map of prices gives them all. The network was fitted to that trade directly.
"""

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.kernels.cells import MAX_SCALE
from blackbox_conformal.scores._one_draw import DeliveredAccumulator, input_of
from blackbox_conformal.scores._price_features import features
from blackbox_conformal.scores._price_network import Network, network_in, own_network
from blackbox_conformal.scores.score import Context, Score
from blackbox_conformal.types import Map

VARIABLE = "BLACKBOX_CONFORMAL_PRICE_WEIGHTS"
"""Environment variable with the file of weights, for a calibration that was made with others than this package's."""


class Price(Score):
    """The price at which a pixel joins the mask, > 0; all pixels of a cell, one pixel of the input, have one price.

    Attributes
    ----------
    weights
        A file of weights that `tune --learn` or `examples/train_price_score.py` wrote; this package's own unless
        given. Not part of the procedure, which names weights by their digest.
    digest
        ``sha256:`` and the digest of the file of weights; filled in, and checked where given.
    """

    at_scale_one: ClassVar[str] = "nothing: it is made for pictures larger than their inputs, and is refused"

    weights: Path | None = Field(default=None, exclude=True)
    digest: str = ""

    @model_validator(mode="before")
    @classmethod
    def _name_weights(cls, parameters: Any) -> Any:
        """Write down which weights they are: with others it is another score."""
        if not isinstance(parameters, dict):
            return parameters
        try:
            found = _network(parameters.get("weights"), stated := parameters.get("digest")).digest
        except BlackboxConformalError as error:
            raise ValueError(str(error)) from None
        if stated not in (None, "", found):
            raise ValueError(
                f"expected the weights {stated}, with which the calibration was made; got {found}. Set {VARIABLE} to "
                "the file of those weights, or calibrate again"
            )
        return {**parameters, "digest": found}

    @property
    def minimum_draws(self) -> int:
        """One: the vendor is not asked twice."""
        return 1

    def refused_at(self, scale: int) -> str | None:
        """Why it cannot be used at `scale`; None where it can."""
        if 2 <= scale <= MAX_SCALE:
            return None
        return (
            f"price needs a vendor that enlarges by 2 to {MAX_SCALE}, since it looks at the pixels made of each pixel"
        )

    def start(self, shape: tuple[int, int]) -> DeliveredAccumulator:
        """An accumulator that keeps nothing."""
        return DeliveredAccumulator(self._map)

    def _map(self, context: Context) -> Map:
        reason = self.refused_at(context.scale)
        if reason is not None:
            raise UsageError(f"{reason}; got scale {context.scale}. Give --score bicubic-gap:sigma=8")
        low = input_of(context, "price")
        prices = np.exp(_network(self.weights, self.digest).log_prices(features(context, low)))
        return np.ascontiguousarray(prices.repeat(context.scale, axis=0).repeat(context.scale, axis=1))


def _network(weights: Path | str | None, digest: str | None) -> Network:
    """The network of a file, of this package, or, where this package's is not asked for, of the environment's file."""
    if weights is not None:
        return network_in(Path(weights))
    own, named = own_network(), os.environ.get(VARIABLE)
    return own if digest in (None, "", own.digest) or not named else network_in(Path(named))


PLUGIN = Price
