"""Compute the risk curve of one picture as an exact staircase, in linear time, and staircases of shares of its pixels.

A staircase is a pair of arrays, scores and values, both strictly increasing; its value at threshold t belongs to the
last score < t, and is 0 without such a score. The loops over pixels are in `_buckets`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.kernels._buckets import (
    BITS,
    NO_KEY,
    NOT_FINITE,
    SIGN,
    count_and_pick,
    count_keys,
    first_bad,
    join_small_groups,
    keys_among,
    keys_in,
    sample,
    scan,
    sort_places,
)
from blackbox_conformal.method.kernels._checks import map_pair, pixel
from blackbox_conformal.support.rounding import all_up, float32_down
from blackbox_conformal.support.types import Map

Steps = tuple[NDArray[np.float32], NDArray[np.float32]]
Counts = tuple[NDArray[np.float32], NDArray[np.int64]]
Fill = Callable[[NDArray[np.int64], NDArray[np.uint32]], None]

AREA_STEPS = 256  # Least number of steps for the trusted share; the most is twice as many and two.


LEVELS = 4096  # Steps of the grid between 0 and the bound.


class Survey(NamedTuple):
    """Facts about two maps that one pass finds."""

    # Least and largest score as keys; NaNs aside.
    low: int
    high: int
    scored: int  # How many scores are not NaN.
    infinite: bool  # Whether one of them is infinite.
    largest_loss_bits: int  # The bits of the largest loss; at least `NOT_FINITE` when a loss is negative or not finite.

    @property
    def largest_loss(self) -> np.float32:
        """Return the largest loss, where all are finite and >= 0."""
        return np.uint32(self.largest_loss_bits).view(np.float32)

    @property
    def in_order(self) -> bool:
        """Tell whether no score is infinite and every loss finite and >= 0."""
        return not self.infinite and self.largest_loss_bits < int(NOT_FINITE)


def survey_maps(scores: Map, losses: Map) -> Survey:
    """Survey two maps in one pass; errors as in `staircase` for their shapes and dtypes only."""
    scores, losses = map_pair(scores, losses)
    low, high, scored, infinite, largest_loss_bits = scan(*_bits(scores, losses))
    return Survey(int(low), int(high), int(scored), bool(infinite), int(largest_loss_bits))


def require_in_order(scores: Map, losses: Map) -> Survey:
    """Return what `survey_maps` finds; errors as in `staircase`."""
    survey = survey_maps(scores, losses)
    if not survey.in_order:
        _refuse(scores, losses, int(first_bad(*_bits(scores, losses))))
    return survey


def pair_within(scores: Map, losses: Map, highest: np.float32, bound: float) -> tuple[Map, Map]:
    """Return both maps, checked as by `staircase`; refuse a loss above `highest`, the float32 bound rounded down."""
    scores, losses = map_pair(scores, losses)
    if (largest := require_in_order(scores, losses).largest_loss) > highest:
        raise MapError(f"expected losses of at most {bound!r}; got {largest!r}. State a larger bound")
    return scores, losses


def levels_up_to(highest: np.float32, levels: int) -> NDArray[np.float32]:
    """Return even steps from 0 to `highest`, rounded up; fewer where float32 cannot tell the steps apart."""
    return np.unique(np.minimum(all_up(np.linspace(0, float(highest), levels + 1)), highest))


def staircase(scores: Map, losses: Map) -> Steps:
    """Return the records of `L(t) = sup { loss : score < t }`: where the running maximum, in order of score, grows.

    `scores`: Score, (H, W) float32, finite or NaN, of either sign. A NaN is never trusted and takes no part.
    `losses`: Metric, (H, W) float32, finite and >= 0.
    Returns: `scores`, `losses`: float32, both strictly increasing, losses > 0: `L(t)` is the loss of the last record
      with score < t, 0 if none.

    Equal scores (-0 equals 0) make one record, with their largest loss: they are trusted together. See
    `staircase_and_area` for how it is found.
    """
    return staircase_and_area(scores, losses, 0)[0]


def staircase_and_area(
    scores: Map, losses: Map, steps: int = AREA_STEPS, survey: Survey | None = None
) -> tuple[Steps, Counts]:
    """Return the records of `staircase` and the numbers of trusted pixels, in two passes over the maps.

    `scores`, `losses`: As for `staircase`.
    `steps`: How fine the counts are: so many steps of about equal height, or a few more; never more than twice as many
      and two. None when it is 0.
    `survey`: The survey of the same two maps, where there is one already.
    Returns: records as of `staircase`; and scores and counts, float32 and int64, both strictly
      increasing: exactly `counts` pixels score no more than `scores`, so this staircase is never too high, and at most
      1 / `steps` of the pixels too low. The last count includes all pixels not scored NaN. The scores need not occur in
      the map.

    Linear time. The first pass finds the range of the scores, which is divided into buckets. A few sampled pixels tell
    which loss is reached below each bucket; the second pass counts the pixels of each bucket, and picks out all pixels
    that lose more: no other can be a record. Only these are sorted. Buckets that hold many pixels are divided again for
    the grid.
    """
    scores, losses = map_pair(scores, losses)
    survey = survey or survey_maps(scores, losses)
    bits, flat = _bits(scores, losses)
    if not survey.in_order:
        _refuse(scores, losses, int(first_bad(bits, flat)))
    nothing = np.empty(0, np.float32)
    if survey.scored == 0:
        return (nothing, nothing), (nothing, np.empty(0, np.int64))
    # Fewer buckets than pixels in a small picture: clearing and walking through them would take longer than the pixels.
    leading = min(BITS, scores.size.bit_length())
    # The highest bits in which scores of this picture differ choose the bucket.
    low, shift = np.uint32(survey.low), np.uint32(max(0, (survey.high - survey.low).bit_length() - leading))
    # One more bucket for the pixels without a score.
    below, counts = np.zeros((2, (1 << leading) + 1), np.uint32)
    sample(bits, flat, low, shift, below)
    # A key larger than any with a loss of 0: the first pixel picked in a bucket always replaces it.
    leaders = np.full(1 << leading, ~np.uint64(0) << np.uint64(32))
    records = _records(count_and_pick(bits, flat, low, shift, below, counts, leaders))
    if steps == 0:
        return records, (nothing, np.empty(0, np.int64))
    return records, _area(scores, survey, steps, counts, int(shift), partial(keys_in, bits, low, shift))


def _area(scores: Map, survey: Survey, steps: int, counts: NDArray[np.uint32], shift: int, fill: Fill) -> Counts:
    """Make the grid of scores with counts of pixels from the counts of buckets."""
    most = survey.scored // steps
    # Sorting a picture this small is quicker than grouping; adding 0 turns -0 into 0, which is the same score.
    if scores.size <= 1 << BITS:
        ends, sizes = np.unique(scores[~np.isnan(scores)] + np.float32(0), return_counts=True)
    else:
        last, sizes = _groups(counts[:-1], shift, most, fill)
        # The last group ends where its bucket does, which may be above the largest score.
        keys = np.minimum(survey.low + last, survey.high)
        # The end of a group may be the one number that is no key; the key before it is the same score.
        ends = scores_of(np.where(keys == NO_KEY, keys - 1, keys).astype(np.uint32))
    # As many as `join_small_groups` can keep: 2 `sum(sizes) / (most + 1)` + 2.
    kept = np.empty(2 * steps + 2, np.int64)
    kept = kept[: join_small_groups(sizes, most, kept)]
    return ends[kept], np.cumsum(sizes)[kept]


def _groups(
    counts: NDArray[np.uint32], shift: int, most: int, fill: Fill
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels in order of their keys in groups of at most `most`, unless more have the same key.

    `counts`: The number of pixels in each bucket of `1 << shift` keys.
    `fill`: Fills an array with the keys in some buckets, as `keys_in` does.
    Returns: `ends`, `sizes`: int64, the last key that would fall into each group, and the number of pixels in it. A
      bucket is a group; crowded ones are divided further.
    """
    # A bucket of a single key holds one score only, and pixels of one score stay together.
    crowded = counts > most if shift else np.zeros(counts.size, np.bool_)
    alone = np.flatnonzero((counts > 0) & ~crowded)
    # The last key of a bucket, not of its pixels: a threshold between them trusts the same pixels.
    ends, sizes = ((alone + 1) << shift) - 1, counts[alone].astype(np.int64)
    if not crowded.any():
        return ends, sizes
    divided = np.flatnonzero(crowded)
    places = np.full(counts.size + 1, -1)
    places[divided] = np.arange(divided.size)
    keys = np.empty(int(counts[divided].sum()), np.uint32)
    fill(places, keys)
    # At least one bit finer, so that there is an end.
    finer = min(shift - 1, max(0, (divided.size << shift).bit_length() - BITS))
    parts = np.zeros(divided.size << (shift - finer), np.uint32)
    count_keys(keys, np.uint32(finer), parts)
    finer_ends, finer_sizes = _groups(parts, finer, most, partial(keys_among, keys, np.uint32(finer)))
    # Place p among the divided buckets stands for bucket divided[p]; the bits below it stay as they are.
    finer_ends = (divided[finer_ends >> shift] << shift) + (finer_ends & ((1 << shift) - 1))
    ends, sizes = np.append(ends, finer_ends), np.append(sizes, finer_sizes)
    order = np.argsort(ends)
    return ends[order], sizes[order]


def share_staircase(scores: Map, losses: Map, tolerance: float, steps: int = 1024) -> Steps:
    """Return the share of all pixels that are trusted and wrong by more than `tolerance`, in bounded size.

    `scores`, `losses`: As for `staircase`.
    `tolerance`: Losses above it are wrong.
    `steps`: Most steps returned. Where there are more distinct scores, neighbours are joined and the share at the last
      of them is taken for all: rounded up, never down, by less than 1 / `steps` unless ties force more.
    Returns: `scores`, `shares`: float32, both strictly increasing, shares in (0, 1] of all pixels of the picture, those
      scored NaN included.
    """
    if not 0 <= tolerance < np.inf:
        raise UsageError(f"expected a finite tolerance >= 0; got {tolerance!r}. Choose a loss that is still right")
    if steps < 1:
        raise UsageError(f"expected at least one step; got {steps!r}. Ask for 1 or more")
    scores, losses = map_pair(scores, losses)
    require_in_order(scores, losses)
    # In float32: no loss lies between the tolerance and the largest float32 below it.
    wrong = np.sort(scores[losses > float32_down(tolerance)])
    # A wrong pixel without a score is never trusted; adding 0 turns -0 into 0, which is the same score.
    wrong = wrong[: _before_nan(wrong)] + np.float32(0)
    if wrong.size == 0:
        return wrong, np.empty(0, np.float32)
    # A step ends where the next score begins that has the step's share of the wrong pixels below or at it.
    # Steps of about equal numbers of wrong pixels, in whole numbers, so that the last quota is never exceeded.
    quotas = np.arange(1, steps, dtype=np.int64) * wrong.size // steps
    ends = np.unique(np.append(np.searchsorted(wrong, wrong[quotas]), wrong.size))
    # A score shared by many pixels may fill several quotas: their steps become one.
    ends = ends[ends > 0]
    # Each step begins at its first score with the share that it has at its end: rounded up for all thresholds between.
    return wrong[np.append(0, ends[:-1])], _share_up(ends, scores.size)


def _bits(scores: Map, losses: Map) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    return scores.reshape(-1).view(np.int32), losses.reshape(-1).view(np.uint32)


def _records(candidates: NDArray[np.uint64]) -> Steps:
    """Return the records among candidates, each a key and the bits of a loss in one number."""
    # By key and, among equal keys, by loss: the last of a score has its largest loss, and the running maximum is L.
    candidates.sort()
    order = (candidates >> np.uint64(32)).astype(np.uint32)
    running = np.maximum.accumulate(candidates.astype(np.uint32).view(np.float32))
    if order.size == 0:
        # Nothing was picked, so no pixel loses anything: the curve is 0 everywhere.
        return np.empty(0, np.float32), running
    last = np.append(order[1:] != order[:-1], True)
    order, running = order[last], running[last]
    grows = np.append(True, running[1:] > running[:-1])
    return scores_of(order[grows]), running[grows]


def _before_nan(ascending: NDArray[np.float32]) -> int:
    return int(np.searchsorted(ascending, np.float32(np.nan)))


def _share_up(counts: NDArray[np.int64], total: int) -> NDArray[np.float32]:
    shares = (counts / total).astype(np.float32)
    # A product of 24 and 29 bits is exact in float64, so this compares with the exact quotient.
    low = shares.astype(np.float64) * total < counts
    # The division may have rounded down; a share that is too small would void the guarantee.
    shares[low] = np.nextafter(shares[low], np.float32(2))
    return shares


def scores_of(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Return the scores with these order-preserving keys."""
    # Undoes `key_of`: keys of negative scores lack the highest bit and hold inverted bits.
    negative = keys < 0x80000000
    return np.where(negative, ~keys, keys ^ SIGN).astype(np.uint32).view(np.float32)


def _refuse(scores: Map, losses: Map, index: int) -> None:
    where = pixel(index, scores.shape[1])
    if np.isinf(scores.flat[index]):
        raise MapError(
            "expected finite scores (or NaN, never trusted) in the score map; got "
            f"{scores.flat[index]} at {where}. Give pixels that must not be trusted the score NaN"
        )
    raise MapError(
        f"expected finite losses >= 0 in the error map; got {losses.flat[index]} at {where}. "
        "Correct the metric: a loss that is not a number cannot be bounded"
    )


def warm_up() -> None:
    values = np.zeros((2, 1 << BITS), np.float32)
    values[0, 0] = 1
    staircase_and_area(values, values)
    share_staircase(values, values, 1.0)
    first_bad(*_bits(values, values))
    sort_places(np.zeros(2, np.uint32), *np.empty((2, 2), np.int64))
