"""Scores and metrics by name, for people who have arrays.

The maps themselves live in `indecision` and `fidelity`.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from blackbox_conformal.errors import UsageError
from blackbox_conformal.fidelity.base import Fidelity
from blackbox_conformal.indecision.base import Context, Indecision, score
from blackbox_conformal.pipeline.stages.settings import member
from blackbox_conformal.types import Image, Map


def indecision_map(
    samples: Iterable[Image],
    indecision: str | Indecision,
    *,
    low_resolution: Image | None = None,
    **parameters: Any,
) -> Map:
    """The score map of draws.

    Parameters
    ----------
    samples
        (H, W, 3) uint8 pictures, consumed once; the first is the delivered picture.
    indecision
        A score's name, with its parameters as keywords or as ``name:key=value``.
    low_resolution
        What the vendor was sent, (h, w, 3) uint8; only the one-draw scores need it.

    Returns
    -------
    (H, W) float32, >= 0; larger = less sure.
    """
    plugin = member("indecision", indecision, **parameters)
    draws = iter(samples)
    first = next(draws, None)
    if first is None:
        raise UsageError("expected at least one sample; got none")
    scale = 1 if low_resolution is None else first.shape[0] // low_resolution.shape[0]
    every = samples if isinstance(samples, Sequence) else chain([first], draws)
    return score(plugin, every, Context(first, low_resolution, scale))


def fidelity_map(truth: Image, delivered: Image, fidelity: str | Fidelity, **parameters: Any) -> Map:
    """The metric map, (H, W) float32 in [0, bound], of two (H, W, 3) uint8 pictures."""
    plugin = member("fidelity", fidelity, **parameters)
    found: Map = plugin.map(truth, delivered)
    return found


def fidelity_bound(fidelity: str | Fidelity, **parameters: Any) -> float:
    """The largest value that the metric can take."""
    plugin = member("fidelity", fidelity, **parameters)
    return float(plugin.bound)
