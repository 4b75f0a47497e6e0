"""Pixels sorted into buckets of scores by the leading bits: counted, their largest losses kept, a few picked out.

What counts and losses mean is `staircase`'s business; so are checks and messages.

Scores and losses come as the bits of their floats. A key is an unsigned number in the order of the scores; the bits of
a loss >= 0 are in its order already.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels._jit import kernel

BITS = 16
"""Most buckets, as a power of two; one more takes the pixels without a score. Fewer would pick out more pixels."""

GRID, RECORD = np.uint8(1), np.uint8(2)
"""What a bucket is picked out for: a quantile of the scores falls into it, or the largest loss so far is exceeded."""

CHUNK = 1024
"""Pixels handled in one vectorised loop; what is kept of them stays in the first-level cache."""

INFINITY = np.int32(0x7F800000)
ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
NEGATIVE_ZERO = np.int32(-0x80000000)
NOT_FINITE = np.uint32(0x7F800000)
SIGN = np.uint32(0x80000000)


@kernel
def key_of(bits: np.int32) -> np.uint32:
    """Unsigned number in the order of the floats with these bits; -0 and 0 are one."""
    bits = np.int32(0) if bits == NEGATIVE_ZERO else bits
    return np.uint32(np.uint32(bits ^ ((bits >> np.int32(31)) & ALL_BUT_SIGN)) ^ SIGN)


@kernel
def loss_of(bits: np.uint32) -> np.uint32:
    """The bits of a loss, with -0 made 0; anything negative or not finite is larger than every finite loss."""
    return np.uint32(0) if bits == SIGN else bits


@kernel
def is_nan(bits: np.int32) -> bool:
    """Whether these are the bits of a NaN."""
    return bool((bits & ALL_BUT_SIGN) > INFINITY)


@kernel
def survey(bits: NDArray[np.int32], losses: NDArray[np.uint32]) -> tuple[np.uint32, np.uint32, int, bool, np.uint32]:
    """Least and largest key, number of pixels not NaN, whether a score is infinite, and the largest loss."""
    low, high, nans, infinite, worst = np.uint32(0xFFFFFFFF), np.uint32(0), 0, False, np.uint32(0)
    for start in range(0, bits.size, CHUNK):
        chunk, lost = bits[start : start + CHUNK], losses[start : start + CHUNK]
        odd = np.int32(0)
        lowest, highest, largest = np.uint32(0xFFFFFFFF), np.uint32(0), np.uint32(0)
        for i in range(chunk.size):
            odd |= np.int32((chunk[i] & ALL_BUT_SIGN) >= INFINITY)
            lowest, highest = min(lowest, key_of(chunk[i])), max(highest, key_of(chunk[i]))
            largest = max(largest, loss_of(lost[i]))
        worst = max(worst, largest)
        if not odd:
            low, high = min(low, lowest), max(high, highest)
            continue
        for i in range(chunk.size):
            if is_nan(chunk[i]):
                nans += 1
            else:
                infinite = infinite or (chunk[i] & ALL_BUT_SIGN) == INFINITY
                low, high = min(low, key_of(chunk[i])), max(high, key_of(chunk[i]))
    return low, high, bits.size - nans, infinite, worst


@kernel
def tally(
    bits: NDArray[np.int32], losses: NDArray[np.uint32], low: np.uint32, shift: np.uint32, table: NDArray[np.uint64]
) -> None:
    """Count each bucket's pixels in the upper, and keep their largest loss in the lower half of its entry."""
    buckets = np.empty(CHUNK, np.uint32)
    one, lower = np.uint64(1 << 32), np.uint64(0xFFFFFFFF)
    for start in range(0, bits.size, CHUNK):
        chunk, lost = bits[start : start + CHUNK], losses[start : start + CHUNK]
        _find_buckets(chunk, low, shift, table.size - 1, buckets)
        for i in range(chunk.size):
            entry = table[buckets[i]]
            largest = max(entry & lower, np.uint64(loss_of(lost[i])))
            table[buckets[i]] = ((entry & ~lower) + one) | largest


@kernel
def choose(
    table: NDArray[np.uint64],
    known: int,
    wanted: NDArray[np.uint8],
    below: NDArray[np.uint32],
    places: NDArray[np.int64],
    skipped: NDArray[np.int64],
) -> int:
    """Which buckets to pick out; from what `tally` left in `table`, which is then cleared for `collect`.

    Parameters
    ----------
    table
        Entries of `tally`; left with no champion in any bucket.
    known
        How many pixels have a score.
    wanted
        Zeros; becomes `GRID` and `RECORD` by bucket.
    below
        Becomes the largest loss in buckets below each.
    places, skipped
        For each quantile, in order: becomes its place among the sorted keys of all buckets wanted for the grid, and how
        many pixels below its bucket are not among them.

    Returns
    -------
    How many pixels the buckets wanted for the grid hold.
    """
    reached = np.uint32(0)
    before = members = step = 0
    for bucket in range(below.size):
        count = np.int64(table[bucket] >> np.uint64(32))
        largest = np.uint32(table[bucket] & np.uint64(0xFFFFFFFF))
        table[bucket] = np.uint64(0xFFFFFFFF00000000)
        below[bucket] = reached
        if largest > reached:
            wanted[bucket] = RECORD
            reached = largest
        first = step
        while step < places.size:
            # The last of the pixels, in order of score, that make up (step + 1) / places.size of them.
            last = ((step + 1) * known - 1) // places.size
            if last >= before + count:
                break
            places[step] = members + last - before
            skipped[step] = before - members
            step += 1
        if step > first:
            wanted[bucket] |= GRID
            members += int(count)
        before += int(count)
    return members


@kernel
def collect(
    bits: NDArray[np.int32],
    losses: NDArray[np.uint32],
    low: np.uint32,
    shift: np.uint32,
    wanted: NDArray[np.uint8],
    below: NDArray[np.uint32],
    champions: NDArray[np.uint64],
    keys: NDArray[np.uint32],
) -> NDArray[np.uint64]:
    """Fill `keys` with those of all pixels in buckets wanted for the grid; the possible records of the others.

    A possible record is a pixel in a bucket wanted for records that loses more than all in buckets `below`, as one
    number: key, then loss. Of those in a bucket, a pixel is dropped when one seen before, its champion, scores no more
    and loses no less, which thins out plateaus of equal scores.
    """
    buckets = np.empty(CHUNK, np.uint32)
    found = np.empty(4096, np.uint64)
    lower = np.uint64(0xFFFFFFFF)
    members = count = 0
    for start in range(0, bits.size, CHUNK):
        chunk, lost = bits[start : start + CHUNK], losses[start : start + CHUNK]
        _find_buckets(chunk, low, shift, below.size, buckets)
        for i in range(chunk.size):
            bucket = buckets[i]
            reasons = wanted[bucket]
            if reasons == 0:
                continue
            key, loss = key_of(chunk[i]), loss_of(lost[i])
            if reasons & GRID:
                keys[members] = key
                members += 1
            if reasons & RECORD and loss > below[bucket]:
                champion = champions[bucket]
                best = np.uint32(champion >> np.uint64(32))
                if key >= best and loss <= np.uint32(champion & lower):
                    continue
                one = (np.uint64(key) << np.uint64(32)) | np.uint64(loss)
                if key <= best:
                    champions[bucket] = one
                if count == found.size:
                    larger = np.empty(2 * count, np.uint64)
                    larger[:count] = found
                    found = larger
                found[count] = one
                count += 1
    return found[:count]


@kernel
def first_bad(bits: NDArray[np.int32], losses: NDArray[np.uint32]) -> int:
    """The first pixel whose score is infinite or whose loss is negative or not finite, or -1."""
    for i in range(bits.size):
        if (bits[i] & ALL_BUT_SIGN) == INFINITY or loss_of(losses[i]) >= NOT_FINITE:
            return i
    return -1


@kernel
def _find_buckets(
    chunk: NDArray[np.int32], low: np.uint32, shift: np.uint32, none: int, buckets: NDArray[np.uint32]
) -> None:
    """The bucket of each pixel; `none` for one without a score."""
    for i in range(chunk.size):
        bucket = np.uint32(np.uint32(key_of(chunk[i]) - low) >> shift)
        buckets[i] = np.uint32(none) if is_nan(chunk[i]) else bucket
