"""Sort pixels into buckets of scores by the leading bits, count each bucket, and pick a few pixels out.

Scores and losses come as the bits of their floats. A key is an unsigned number in the order of the scores: the bits of
a positive float with the highest bit set, or the inverted bits of a negative float. The bits of a loss >= 0 already
have the order of the losses. Bucket i holds the keys from ``low + (i << shift)`` on; one more bucket takes the pixels
without a score.

A record is a pixel that loses more than every pixel that scores no more. Two tests rule most pixels out before anything
is sorted: a few sampled pixels tell which loss is already reached in a lower bucket (`sample`), and within a bucket the
lowest-scoring record so far rules out every pixel that scores no less and loses no more (`_pick_records`).
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._jit import kernel

# The number of buckets, as a power of two, beside the bucket without a score. Fewer buckets would be more crowded.
BITS = 15
CHUNK = 1024  # Pixels handled in one vectorised loop: so few that their buckets stay in the first-level cache.
# Pixels sampled of each so many; a prime, so that the samples share columns at hardly any picture width.
SAMPLE, EVERY = 64, 2003

INFINITY = np.int32(0x7F800000)
ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
NEGATIVE_ZERO = np.int32(-0x80000000)
NOT_FINITE = np.uint32(0x7F800000)
SIGN = np.uint32(0x80000000)

NO_KEY = np.uint32(0x7FFFFFFF)  # The only number between two keys that is no key itself, as -0 and 0 share a key.


@kernel
def key_of(bits: np.int32) -> np.uint32:
    """Return the key of a score: an unsigned number in the order of the floats; -0 and 0 share one."""
    # Negative floats grow in size as their bits grow, so all bits but the sign are inverted for them.
    bits = np.int32(0) if bits == NEGATIVE_ZERO else bits
    return np.uint32(np.uint32(bits ^ ((bits >> np.int32(31)) & ALL_BUT_SIGN)) ^ SIGN)


@kernel
def loss_of(bits: np.uint32) -> np.uint32:
    """Return the bits of a loss, with -0 made 0; a negative or not finite loss is larger than every finite one."""
    return np.uint32(0) if bits == SIGN else bits


@kernel
def is_nan(bits: np.int32) -> bool:
    """Tell whether these are the bits of a NaN."""
    return bool((bits & ALL_BUT_SIGN) > INFINITY)


@kernel
def scan(bits: NDArray[np.int32], losses: NDArray[np.uint32]) -> tuple[np.uint32, np.uint32, int, bool, np.uint32]:
    """Return the least and largest key, how many pixels are not NaN, whether a score is infinite, the largest loss.

    Nearly every chunk holds finite scores only. A loop without branches, which vectorises, reads it; a second loop with
    branches reads only the chunks with a NaN or an infinity.
    """
    low, high, nans, infinite, worst = np.uint32(0xFFFFFFFF), np.uint32(0), 0, False, np.uint32(0)
    for start in range(0, bits.size, CHUNK):
        # The bits of an infinity are the largest that are no NaN's: one comparison finds both.
        chunk, chunk_losses = bits[start : start + CHUNK], losses[start : start + CHUNK]
        unusual = np.int32(0)
        lowest, highest, largest = np.uint32(0xFFFFFFFF), np.uint32(0), np.uint32(0)
        for i in range(chunk.size):
            unusual |= np.int32((chunk[i] & ALL_BUT_SIGN) >= INFINITY)
            lowest, highest = min(lowest, key_of(chunk[i])), max(highest, key_of(chunk[i]))
            largest = max(largest, loss_of(chunk_losses[i]))
        worst = max(worst, largest)
        if not unusual:
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
def sample(
    bits: NDArray[np.int32], losses: NDArray[np.uint32], low: np.uint32, shift: np.uint32, below: NDArray[np.uint32]
) -> None:
    """Fill `below`, given as zeros, with a loss for each bucket that some pixel in a lower bucket has.

    A few pixels are enough, and any will do, as a pixel that loses no more than one in a lower bucket is no record. The
    bucket of the pixels without a score gets more than any loss, so that none is picked there.
    """
    buckets = np.empty(CHUNK, np.uint32)
    none = below.size - 1
    for start in range(0, bits.size, EVERY):
        chunk, chunk_losses = bits[start : start + SAMPLE], losses[start : start + SAMPLE]
        _find_buckets(chunk, low, shift, none, buckets)
        for i in range(chunk.size):
            below[buckets[i]] = max(below[buckets[i]], loss_of(chunk_losses[i]))
    # The maximum over lower buckets only: a pixel may be a record although its own bucket holds a larger loss.
    reached = np.uint32(0)
    for bucket in range(none):
        largest = below[bucket]
        below[bucket] = reached
        reached = max(reached, largest)
    below[none] = np.uint32(0xFFFFFFFF)


@kernel
def count_and_pick(
    bits: NDArray[np.int32],
    losses: NDArray[np.uint32],
    low: np.uint32,
    shift: np.uint32,
    below: NDArray[np.uint32],
    counts: NDArray[np.uint32],
    leaders: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """Count the pixels of each bucket, and return the possible records among them.

    `below`: The losses that `sample` found.
    `counts`: Zeros; becomes the number of pixels in each bucket.
    `leaders`: Keys larger than any, with a loss of 0; becomes the lowest record picked in each bucket, see
      `_pick_records`.
    Returns: Each possible record as one number: key, then loss.
    """
    buckets = np.empty(CHUNK, np.uint32)
    # Grown by doubling, since how many records a picture has is not known before.
    picked = np.empty(4 * CHUNK, np.uint64)
    members = 0
    for start in range(0, bits.size, CHUNK):
        chunk, chunk_losses = bits[start : start + CHUNK], losses[start : start + CHUNK]
        _find_buckets(chunk, low, shift, counts.size - 1, buckets)
        # In a loop of its own, apart from the one that branches.
        for i in range(chunk.size):
            counts[buckets[i]] += np.uint32(1)
        # There is room for a whole chunk before it is looked at, so the loop over its pixels checks nothing.
        if picked.size < members + CHUNK:
            larger = np.empty(2 * picked.size, np.uint64)
            larger[:members] = picked[:members]
            picked = larger
        members = _pick_records(chunk, chunk_losses, buckets, below, leaders, picked, members)
    return picked[:members]


@kernel
def _pick_records(
    chunk: NDArray[np.int32],
    chunk_losses: NDArray[np.uint32],
    buckets: NDArray[np.uint32],
    below: NDArray[np.uint32],
    leaders: NDArray[np.uint64],
    picked: NDArray[np.uint64],
    members: int,
) -> int:
    """Append to `picked` the pixels that lose more than any known pixel of a lower bucket; return their number.

    A pixel is no record, and dropped, when the leader of its bucket (the lowest-scoring pixel picked so far) scores no
    more and loses no less. Few pixels of a plateau of equal scores are left.
    """
    for i in range(chunk.size):
        bucket, loss = buckets[i], loss_of(chunk_losses[i])
        if loss > below[bucket]:
            key, leader = key_of(chunk[i]), leaders[bucket]
            leading_key = np.uint32(leader >> np.uint64(32))
            if key >= leading_key and loss <= np.uint32(leader & np.uint64(0xFFFFFFFF)):
                continue
            # Score first, loss second: sorting these numbers sorts by score and, within one score, by loss.
            record = (np.uint64(key) << np.uint64(32)) | np.uint64(loss)
            if key <= leading_key:
                leaders[bucket] = record
            picked[members] = record
            members += 1
    return members


@kernel
def keys_in(
    bits: NDArray[np.int32], low: np.uint32, shift: np.uint32, places: NDArray[np.int64], keys: NDArray[np.uint32]
) -> None:
    """Fill `keys` with the `narrowed` keys of all pixels in the wanted buckets.

    `places` numbers the wanted buckets; -1 marks all others, and the pixels without a score.
    """
    buckets = np.empty(CHUNK, np.uint32)
    members = 0
    for start in range(0, bits.size, CHUNK):
        chunk = bits[start : start + CHUNK]
        _find_buckets(chunk, low, shift, places.size - 1, buckets)
        for i in range(chunk.size):
            place = places[buckets[i]]
            if place >= 0:
                keys[members] = narrowed(np.uint32(key_of(chunk[i]) - low), shift, place)
                members += 1


@kernel
def keys_among(
    narrowed_keys: NDArray[np.uint32], shift: np.uint32, places: NDArray[np.int64], keys: NDArray[np.uint32]
) -> None:
    """Fill `keys` as `keys_in` does, from keys that are narrowed already."""
    members = 0
    for i in range(narrowed_keys.size):
        place = places[narrowed_keys[i] >> shift]
        if place >= 0:
            keys[members] = narrowed(narrowed_keys[i], shift, place)
            members += 1


@kernel
def narrowed(key: np.uint32, shift: np.uint32, place: int) -> np.uint32:
    """Return the key after its bucket has become number `place`, so that left-out buckets leave no gaps."""
    # The offset of the key inside its bucket; a mask of 64 bits also serves the widest buckets.
    whole = np.uint64(key) & ((np.uint64(1) << np.uint64(shift)) - np.uint64(1))
    return np.uint32((np.uint64(place) << np.uint64(shift)) | whole)


@kernel
def count_keys(keys: NDArray[np.uint32], shift: np.uint32, counts: NDArray[np.uint32]) -> None:
    """Count the keys in each bucket; `counts` holds zeros."""
    for i in range(keys.size):
        counts[keys[i] >> shift] += np.uint32(1)


@kernel
def join_small_groups(sizes: NDArray[np.int64], most: int, kept: NDArray[np.int64]) -> int:
    """Keep so few of a row of groups that at most `most` pixels lie from one kept group to the next.

    One pass closes each run before it would hold more than `most` pixels. It keeps every larger group, the group before
    it, and the last. `kept` takes their indices: at most 2 `sum(sizes) / (most + 1)` + 2, since any two neighbours hold
    more than `most` pixels.

    Returns: The number of groups kept.
    """
    count = since = 0
    for group in range(sizes.size):
        size = int(sizes[group])
        # Closing one group earlier keeps the run within `most`; a larger group closes alone, as it cannot be divided.
        if since > 0 and since + size > most:
            kept[count] = group - 1
            count += 1
            since = 0
        since += size
    if since > 0:
        kept[count] = sizes.size - 1
        count += 1
    return count


@kernel
def first_bad(bits: NDArray[np.int32], losses: NDArray[np.uint32]) -> int:
    """Return the first pixel whose score is infinite or whose loss is negative or not finite, or -1."""
    for i in range(bits.size):
        if (bits[i] & ALL_BUT_SIGN) == INFINITY or loss_of(losses[i]) >= NOT_FINITE:
            return i
    return -1


@kernel
def _find_buckets(
    chunk: NDArray[np.int32], low: np.uint32, shift: np.uint32, none: int, buckets: NDArray[np.uint32]
) -> None:
    for i in range(chunk.size):
        # For a NaN this number means nothing: computing it anyway keeps the loop free of branches.
        bucket = np.uint32(np.uint32(key_of(chunk[i]) - low) >> shift)
        buckets[i] = np.uint32(none) if is_nan(chunk[i]) else bucket


@kernel
def sort_places(keys: NDArray[np.uint32], places: NDArray[np.int64], spare: NDArray[np.int64]) -> None:
    """Fill `places` with the permutation that sorts the keys; equal keys stay in their order.

    The keys are put into buckets of their last 11 bits, these into buckets of the next 11, and so on.
    """
    starts, low, high = np.zeros((3, 2048), np.int64), np.uint32(11), np.uint32(22)
    for i in range(keys.size):
        starts[0, keys[i] & np.uint32(2047)] += 1
        starts[1, (keys[i] >> low) & np.uint32(2047)] += 1
        starts[2, keys[i] >> high] += 1
    for digit in range(3):
        before = 0
        for bucket in range(2048):
            count = starts[digit, bucket]
            starts[digit, bucket] = before
            before += count
    for i in range(keys.size):
        bucket = keys[i] & np.uint32(2047)
        places[starts[0, bucket]] = i
        starts[0, bucket] += 1
    for i in range(keys.size):
        bucket = (keys[places[i]] >> low) & np.uint32(2047)
        spare[starts[1, bucket]] = places[i]
        starts[1, bucket] += 1
    for i in range(keys.size):
        bucket = keys[spare[i]] >> high
        places[starts[2, bucket]] = spare[i]
        starts[2, bucket] += 1
