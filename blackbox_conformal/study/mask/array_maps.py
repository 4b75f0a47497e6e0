"""Score maps, error maps and metric bounds by name, for people who have arrays: nothing of a study is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.scores.score import Context, Score, accumulated_map
from blackbox_conformal.study.stages.settings import member
from blackbox_conformal.support.types import Image, Map


def score_map(
    samples: Iterable[Image], score: str | Score, *, low_resolution: Image | None = None, **parameters: Any
) -> Map:
    """The score map of draws.

    Parameters
    ----------
    samples
        (H, W, 3) uint8 pictures, consumed once; the first is the delivered picture.
    score
        A score's name, with its parameters as keywords or as ``name:key=value``.
    low_resolution
        What the vendor was sent, (h, w, 3) uint8; only the one-draw scores need it.

    Returns
    -------
    (H, W) float32, >= 0; larger = less sure.
    """
    plugin = member("scores", score, **parameters)
    draws = iter(samples)
    first = next(draws, None)
    if first is None:
        raise UsageError("expected at least one sample; got none")
    scale = 1 if low_resolution is None else first.shape[0] // low_resolution.shape[0]
    every = samples if isinstance(samples, Sequence) else chain([first], draws)
    return accumulated_map(plugin, every, Context(first, low_resolution, scale))


def error_map(truth: Image, delivered: Image, metric: str | Metric, **parameters: Any) -> Map:
    """The error map, (H, W) float32 in [0, bound], of two (H, W, 3) uint8 pictures."""
    plugin = member("metrics", metric, **parameters)
    errors: Map = plugin.capped_map(truth, delivered)
    return errors


def metric_bound(metric: str | Metric, **parameters: Any) -> float:
    """The largest value that the metric can take."""
    plugin = member("metrics", metric, **parameters)
    return float(plugin.capped_bound)
