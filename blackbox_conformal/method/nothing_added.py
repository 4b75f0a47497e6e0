"""Where a vendor added no detail, told from input and answer alone: there the picture is a plain enlargement."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.kernels.detail import LEAST_DETAIL, added
from blackbox_conformal.method.metrics._detail import enlarged, hides
from blackbox_conformal.method.risk.curve import DETAIL
from blackbox_conformal.support.catalog import member
from blackbox_conformal.support.types import Image, Mask

STRIPED = "darkened and striped: not trusted"
DOTTED = "dotted: trusted, and no detail was added"
CLEAR = "clear: detail was added and is trusted"
"""Three classes in words, as legends say them."""


def about_detail(guarantee: Mapping[str, Any], metric: Mapping[str, Any]) -> bool:
    """Whether a guarantee on a metric is about detail; each by its name and parameters."""
    # Not built: a guarantee with a bound of a picture's own is told in words there.
    innermost = guarantee
    while "of" in innermost:
        innermost = {**innermost.get("parameters", {}), "name": innermost["of"]}
    counts: bool = member("metrics", metric["name"]).counts_detail
    return counts or member("guarantees", innermost["name"]).curve_kind in DETAIL


def nothing_added(delivered: Image, low_resolution: Image, mixture: Mixture) -> Mask:
    """Where detail that was added is below 3 grey levels (root mean square in the window of `DetailMetric`).

    Parameters
    ----------
    delivered
        (H, W, 3) uint8.
    low_resolution
        Its input, (h, w, 3) uint8; at scale 1 it stands for its plain enlargement.
    mixture
        How inputs are made: where they lose their colours, colours count as detail. Where they have holes, whatever
        fills these is added, and nowhere is nothing added.

    Returns
    -------
    (H, W) bool.
    """
    if hides(mixture):
        return np.zeros(delivered.shape[:2], np.bool_)
    plain, sigma = enlarged(low_resolution, delivered.shape[0] // low_resolution.shape[0])
    return np.asarray(added(delivered, plain, sigma, high_pass=not mixture.loses_colours) < LEAST_DETAIL)
