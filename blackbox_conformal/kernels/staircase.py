"""The risk curve of one picture as an exact staircase, found in linear time, and its bounded-size relatives.

A staircase is a pair of arrays, scores and values, both strictly increasing; its value at threshold t belongs to
the last score < t, and is 0 when there is none. Bounds, guarantees and the sum of many curves are not here.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.kernels._checks import float_map, map_pair, pixel
from blackbox_conformal.kernels._jit import kernel
from blackbox_conformal.types import Map

Steps = tuple[NDArray[np.float32], NDArray[np.float32]]

BUCKETS = 8192
"""Buckets of scores; their table stays in the first-level cache."""

CHUNK = 256
"""Pixels tested in one vectorised loop."""

SAMPLE_RUN, SAMPLE_STRIDE = 16, 512
"""The first pass looks at a run of pixels in every stride."""

AREA_BITS = 16
"""Buckets of scores, as a power of two, among which pixels are counted for quantiles."""

INFINITY = np.int32(0x7F800000)
ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
NEGATIVE_ZERO = np.int32(-0x80000000)
NOT_FINITE = np.uint32(0x7F800000)
SIGN = np.uint32(0x80000000)


def staircase(scores: Map, losses: Map) -> Steps:
    """The records of `L(t) = sup { loss : score < t }`: where the running maximum, in order of score, grows.

    Parameters
    ----------
    scores
        Indecision, (H, W) float32, finite or NaN, of either sign. A NaN is never trusted and takes no part.
    losses
        Fidelity, (H, W) float32, finite and >= 0.

    Returns
    -------
    scores, losses
        float32, both strictly increasing, losses > 0: `L(t)` is the loss of the last record with score < t, 0 if none.

    Raises
    ------
    MapError
        Shapes or dtypes are wrong, a score is infinite, or a loss is NaN, infinite or negative; names the pixel.

    Notes
    -----
    Equal scores (-0 equals 0) make one record, with their largest loss: they are trusted together. Two passes in
    linear time: a sample of the pixels tells, for each bucket of scores, a loss that is reached at lower scores; a
    pixel that does not exceed it cannot be a record. The few that do are sorted, 64 bits each.
    """
    scores, losses = map_pair(scores, losses)
    bits, flat = scores.reshape(-1).view(np.int32), losses.reshape(-1).view(np.uint32)
    below, first, shift = _sampled_maxima(bits, flat)
    candidates, in_order = _candidates(bits, flat, below, first, shift)
    if not in_order:
        _refuse(scores, losses, _first_bad(bits, flat))
    candidates.sort()
    order = (candidates >> np.uint64(32)).astype(np.uint32)
    running = np.maximum.accumulate((candidates & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32))
    if order.size == 0:
        return np.empty(0, np.float32), running
    last = np.append(order[1:] != order[:-1], True)
    order, running = order[last], running[last]
    grows = np.append(True, running[1:] > running[:-1])
    return _scores_of(order[grows]), running[grows]


def share_staircase(scores: Map, losses: Map, tolerance: float, steps: int = 1024) -> Steps:
    """The share of all pixels that are trusted and wrong by more than `tolerance`, as a staircase of bounded size.

    Parameters
    ----------
    scores, losses
        As for `staircase`.
    tolerance
        Losses above it are wrong.
    steps
        Most steps returned. Where there are more distinct scores, neighbours are joined and the share at the last
        of them is taken for all: rounded up, never down, by less than 1 / `steps` unless ties force more.

    Returns
    -------
    scores, shares
        float32, both strictly increasing, shares in (0, 1] of all pixels of the picture, those scored NaN included.

    Raises
    ------
    MapError
        As for `staircase`.
    UsageError
        `tolerance` is not a finite number >= 0, or `steps` < 1.
    """
    if not 0 <= tolerance < np.inf:
        raise UsageError(f"expected a finite tolerance >= 0; got {tolerance!r}. Choose a loss that is still right")
    _require_steps(steps)
    scores, losses = map_pair(scores, losses)
    bad = _first_bad(scores.reshape(-1).view(np.int32), losses.reshape(-1).view(np.uint32))
    if bad >= 0:
        _refuse(scores, losses, bad)
    wrong = np.sort(scores[losses > np.float64(tolerance)])
    wrong = wrong[: _before_nan(wrong)] + np.float32(0)
    if wrong.size == 0:
        return wrong, np.empty(0, np.float32)
    # A step ends where the next score begins that has the step's share of the wrong pixels below or at it.
    quotas = np.arange(1, steps, dtype=np.int64) * wrong.size // steps
    ends = np.unique(np.append(np.searchsorted(wrong, wrong[quotas]), wrong.size))
    ends = ends[ends > 0]
    return wrong[np.append(0, ends[:-1])], _share_up(ends, scores.size)


def area_grid(scores: Map, steps: int = 256) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """How many pixels are trusted, as a staircase on a grid of quantiles of the scores.

    Parameters
    ----------
    scores
        As for `staircase`.
    steps
        Most steps returned.

    Returns
    -------
    scores, counts
        float32 and int64, both strictly increasing: exactly `counts` pixels score no more than `scores`, so the
        staircase is never too high and, unless ties force more, at most 1 / `steps` of the pixels too low. The last
        count is that of all pixels not scored NaN.

    Raises
    ------
    MapError
        `scores` is not an (H, W) float32 map, or holds an infinity; names the pixel.
    UsageError
        `steps` < 1.
    """
    _require_steps(steps)
    scores = float_map(scores, "the indecision map")
    bits = scores.reshape(-1).view(np.int32)
    low, high, known, infinite = _key_range(bits)
    if infinite:
        _refuse(scores, np.zeros_like(scores), int(np.argmax(np.isinf(scores))))
    if known == 0:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    # Pixels are counted by bucket; only buckets that a quantile falls into are sorted.
    shift = max(0, (int(high) - int(low)).bit_length() - AREA_BITS)
    counts = np.zeros(1 << AREA_BITS, np.int64)
    _histogram(bits, np.uint32(low), np.uint32(shift), counts)
    through = np.cumsum(counts)
    ranks = -(-np.arange(1, steps + 1, dtype=np.int64) * known // steps)
    bucket = np.searchsorted(through, ranks)
    wanted = np.unique(bucket)
    keys = np.empty(int(counts[wanted].sum()), np.uint32)
    chosen = np.zeros(counts.size, np.uint8)
    chosen[wanted] = 1
    _members(bits, np.uint32(low), np.uint32(shift), chosen, keys)
    keys.sort()
    # How many pixels that are not among the keys come before each wanted bucket.
    skipped = (through - counts)[wanted] - (np.cumsum(counts[wanted]) - counts[wanted])
    grid = np.unique(keys[ranks - 1 - skipped[np.searchsorted(wanted, bucket)]])
    own = np.searchsorted(wanted, (grid - np.uint32(low)) >> np.uint32(shift))
    return _scores_of(grid), np.searchsorted(keys, grid, side="right") + skipped[own]


def _before_nan(ascending: NDArray[np.float32]) -> int:
    """How many values come before the NaNs, which sorting puts last."""
    return int(np.searchsorted(ascending, np.float32(np.nan)))


def _share_up(counts: NDArray[np.int64], total: int) -> NDArray[np.float32]:
    """`counts / total` as float32, never below the exact quotient."""
    shares = (counts / total).astype(np.float32)
    # A product of 24 and 29 bits is exact in float64, so this compares with the exact quotient.
    low = shares.astype(np.float64) * total < counts
    shares[low] = np.nextafter(shares[low], np.float32(2))
    return shares


def _scores_of(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The scores whose order-preserving keys these are."""
    negative = keys < 0x80000000
    return np.where(negative, ~keys, keys ^ SIGN).astype(np.uint32).view(np.float32)


def _require_steps(steps: int) -> None:
    if steps < 1:
        raise UsageError(f"expected at least one step; got {steps!r}. Ask for 1 or more")


def _refuse(scores: Map, losses: Map, index: int) -> None:
    where = pixel(index, scores.shape[1])
    if np.isinf(scores.flat[index]):
        raise MapError(
            "expected finite scores (or NaN, never trusted) in the indecision map; got "
            f"{scores.flat[index]} at {where}. Give pixels that must not be trusted the score NaN"
        )
    raise MapError(
        f"expected finite losses >= 0 in the fidelity map; got {losses.flat[index]} at {where}. "
        "Correct the metric: a loss that is not a number cannot be bounded"
    )


@kernel
def _key(bits: np.int32) -> np.uint32:
    """Unsigned number in the order of the floats with these bits; -0 and 0 are one."""
    bits = np.int32(0) if bits == NEGATIVE_ZERO else bits
    return np.uint32(np.uint32(bits ^ ((bits >> np.int32(31)) & ALL_BUT_SIGN)) ^ SIGN)


@kernel
def _bucket(key: np.uint32, first: np.uint32, shift: np.uint32) -> np.int32:
    """Bucket of a score; scores that the sample did not reach go to the first or last one."""
    return np.int32(min(np.uint32(np.uint32(max(key, first) - first) >> shift), np.uint32(BUCKETS - 1)))


@kernel
def _loss(bits: np.uint32) -> np.uint32:
    """The bits of a loss >= 0, which are in its order, with -0 made 0; anything not finite or negative is larger."""
    return np.uint32(0) if bits == SIGN else bits


@kernel
def _is_nan(bits: np.int32) -> bool:
    return bool((bits & ALL_BUT_SIGN) > INFINITY)


@kernel
def _first_bad(bits: NDArray[np.int32], losses: NDArray[np.uint32]) -> int:
    """The first pixel whose score is infinite or whose loss is negative or not finite, or -1."""
    for start in range(0, bits.size, CHUNK):
        chunk, lost = bits[start : start + CHUNK], losses[start : start + CHUNK]
        infinite, largest = np.int32(0), np.uint32(0)
        for i in range(chunk.size):
            infinite |= np.int32((chunk[i] & ALL_BUT_SIGN) == INFINITY)
            largest = max(largest, _loss(lost[i]))
        if infinite or largest >= NOT_FINITE:
            for i in range(chunk.size):
                if (chunk[i] & ALL_BUT_SIGN) == INFINITY or _loss(lost[i]) >= NOT_FINITE:
                    return start + i
    return -1


@kernel
def _key_range(bits: NDArray[np.int32]) -> tuple[np.uint32, np.uint32, int, bool]:
    """Least and largest key, number of pixels not NaN, whether one is infinite."""
    low, high, nans, infinite = np.uint32(0xFFFFFFFF), np.uint32(0), 0, False
    for start in range(0, bits.size, CHUNK):
        chunk = bits[start : start + CHUNK]
        odd = np.int32(0)
        lowest, highest = np.uint32(0xFFFFFFFF), np.uint32(0)
        for i in range(chunk.size):
            odd |= np.int32((chunk[i] & ALL_BUT_SIGN) >= INFINITY)
            lowest, highest = min(lowest, _key(chunk[i])), max(highest, _key(chunk[i]))
        if not odd:
            low, high = min(low, lowest), max(high, highest)
            continue
        for i in range(chunk.size):
            if _is_nan(chunk[i]):
                nans += 1
            else:
                infinite = infinite or (chunk[i] & ALL_BUT_SIGN) == INFINITY
                low, high = min(low, _key(chunk[i])), max(high, _key(chunk[i]))
    return low, high, bits.size - nans, infinite


@kernel
def _histogram(bits: NDArray[np.int32], low: np.uint32, shift: np.uint32, counts: NDArray[np.int64]) -> None:
    for i in range(bits.size):
        if not _is_nan(bits[i]):
            counts[np.uint32(_key(bits[i]) - low) >> shift] += 1


@kernel
def _members(
    bits: NDArray[np.int32], low: np.uint32, shift: np.uint32, chosen: NDArray[np.uint8], keys: NDArray[np.uint32]
) -> None:
    """Fill `keys` with those of all pixels in chosen buckets."""
    count = 0
    for i in range(bits.size):
        if not _is_nan(bits[i]) and chosen[np.uint32(_key(bits[i]) - low) >> shift]:
            keys[count] = _key(bits[i])
            count += 1


@kernel
def _sampled_maxima(
    bits: NDArray[np.int32], losses: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], np.uint32, np.uint32]:
    """For each bucket a loss that some pixel in a lower bucket reaches; the first bucket's key; the bits per bucket."""
    low, high = np.uint32(0xFFFFFFFF), np.uint32(0)
    for start in range(0, bits.size, SAMPLE_STRIDE):
        for i in range(start, min(start + SAMPLE_RUN, bits.size)):
            if not _is_nan(bits[i]):
                low, high = min(low, _key(bits[i])), max(high, _key(bits[i]))
    shift = np.uint32(0)
    while high > low and np.uint32(np.uint32(high - low) >> shift) >= np.uint32(BUCKETS):
        shift = np.uint32(shift + np.uint32(1))
    below = np.zeros(BUCKETS + 1, np.uint32)
    for start in range(0, bits.size, SAMPLE_STRIDE):
        for i in range(start, min(start + SAMPLE_RUN, bits.size)):
            if not _is_nan(bits[i]) and _loss(losses[i]) < NOT_FINITE:
                bucket = _bucket(_key(bits[i]), low, shift)
                below[bucket + 1] = max(below[bucket + 1], _loss(losses[i]))
    for i in range(1, BUCKETS + 1):
        below[i] = max(below[i], below[i - 1])
    return below, low, shift


@kernel
def _candidates(
    bits: NDArray[np.int32], losses: NDArray[np.uint32], below: NDArray[np.uint32], first: np.uint32, shift: np.uint32
) -> tuple[NDArray[np.uint64], bool]:
    """Pixels that may be records, key and loss packed into one number in their order; and whether all are in order.

    Three tests of growing cost, each vectorised over a chunk: the largest loss against the lowest score, then each
    pixel against its bucket, then against its bucket's champion. The champion is a pixel seen in the bucket; one that
    scores no less and loses no more is dropped, which thins out plateaus of equal scores.
    """
    champion_key = np.full(BUCKETS, 0xFFFFFFFF, np.uint32)
    champion_loss = np.zeros(BUCKETS, np.uint32)
    keys = np.empty(CHUNK, np.uint32)
    buckets = np.empty(CHUNK, np.int32)
    found = np.empty(4096, np.uint64)
    count = 0
    for start in range(0, bits.size, CHUNK):
        chunk, lost = bits[start : start + CHUNK], losses[start : start + CHUNK]
        infinite, lowest, largest = np.int32(0), np.uint32(0xFFFFFFFF), np.uint32(0)
        for i in range(chunk.size):
            infinite |= np.int32((chunk[i] & ALL_BUT_SIGN) == INFINITY)
            lowest = min(lowest, _key(chunk[i]))
            largest = max(largest, _loss(lost[i]))
        if infinite or largest >= NOT_FINITE:
            return found[:0], False
        if largest <= below[_bucket(lowest, first, shift)]:
            continue
        for i in range(chunk.size):
            keys[i] = _key(chunk[i])
            buckets[i] = _bucket(keys[i], first, shift)
        hit = np.int32(0)
        for i in range(chunk.size):
            hit |= np.int32(_loss(lost[i]) > below[buckets[i]])
        if not hit:
            continue
        hit = np.int32(0)
        for i in range(chunk.size):
            beaten = (keys[i] >= champion_key[buckets[i]]) & (_loss(lost[i]) <= champion_loss[buckets[i]])
            hit |= np.int32((_loss(lost[i]) > below[buckets[i]]) & (not beaten))
        if not hit:
            continue
        for i in range(chunk.size):
            key, loss, bucket = keys[i], _loss(lost[i]), buckets[i]
            beaten = key >= champion_key[bucket] and loss <= champion_loss[bucket]
            if beaten or loss <= below[bucket] or _is_nan(chunk[i]):
                continue
            if key <= champion_key[bucket]:
                champion_key[bucket], champion_loss[bucket] = key, loss
            if count == found.size:
                larger = np.empty(2 * count, np.uint64)
                larger[:count] = found
                found = larger
            found[count] = (np.uint64(key) << np.uint64(32)) | np.uint64(loss)
            count += 1
    return found[:count], True


def warm_up() -> None:
    """Run every kernel of this module once."""
    values = np.arange(4, dtype=np.float32).reshape(2, 2)
    staircase(values, values)
    share_staircase(values, values, 1.0)
    area_grid(values)
