"""One unseen photograph as one contestant delivered it, for those who show it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from blackbox_conformal.support.types import Image, Map


@dataclass(frozen=True, slots=True)
class ComparedPicture:
    """A delivered picture with its truth and score.

    Attributes
    ----------
    identity
        The digest of the photograph's pixels: the same for all contestants.
    truth, delivered
        (H, W, 3) uint8.
    low
        What the vendor was sent, (h, w, 3) uint8.
    score_map
        (H, W) float32.
    thresholds, shares, losses
        By level: the trust mask's threshold, how much it trusts, and the largest error among its pixels.
    """

    contestant: str
    name: str
    identity: str
    truth: Image
    delivered: Image
    low: Image
    score_map: Map
    thresholds: Mapping[float, float]
    shares: Mapping[float, float]
    losses: Mapping[float, float]


OnCompared = Callable[[ComparedPicture], None]
"""Called from several threads, one picture at a time of each."""
