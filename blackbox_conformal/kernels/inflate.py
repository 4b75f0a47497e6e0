"""Deflate streams decompressed (RFC 1951): the slower half of decoding a PNG.

zlib's header and checksum, and what the bytes mean, are not here; they are `images.plain_png`'s. Tables of codes are in
`_huffman`.

Pixels of photographs compress to literals of a few bits each, and a decoder that takes one at a time spends its time
waiting for the next. Here a look-up takes up to three, whose bytes are written at once.

Input comes from strangers: nothing is read beyond `PADDING` after its end or written beyond `SLACK` after the limit,
and what zlib refuses is refused.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels._huffman import (
    COPY,
    DISTANCE_BITS,
    DISTANCE_ENTRIES,
    DISTANCE_SIZE,
    END,
    FIXED_DISTANCES,
    FIXED_LITERALS,
    FURTHER,
    LITERAL_BITS,
    LITERAL_ENTRIES,
    LITERAL_SIZE,
    LITERALS,
    LONGEST,
    build,
    join_literals,
    read_lengths,
    refill,
)
from blackbox_conformal.kernels._jit import kernel

PADDING = 32
"""Bytes wanted after the input, of any value: eight are read at a time, by the last symbol twice."""

SLACK = 320
"""Bytes that may be written beyond the limit: the longest match, literals before it, eight bytes at a time."""

HISTORY = 1 << 15
"""How far back a match reaches, in bytes."""

LOOKS = 4
"""Look-ups of literals before more bits are needed."""

# What is kept between calls, by place in an array; and the kinds of blocks one can be inside of.
PLACE, HELD, HELD_BITS, BLOCK, LAST, STORED = range(6)
BEFORE, CODED, STORING, DONE = range(4)


class Inflater:
    """One deflate stream, decompressed piece by piece.

    Parameters
    ----------
    source
        uint8, contiguous: the stream, then `PADDING` bytes of any value.
    """

    def __init__(self, source: NDArray[np.uint8]) -> None:
        self._source = source
        self._words = _words(source, np.uint64)
        self._state = np.zeros(6, np.int64)
        self._literals = np.zeros(LITERAL_SIZE, np.uint32)
        self._distances = np.zeros(DISTANCE_SIZE, np.uint32)

    def into(self, out: NDArray[np.uint8], start: int, limit: int) -> int:
        """Write what comes next to `out[start:]`, until `limit` is reached or the stream ends.

        Parameters
        ----------
        out
            uint8, contiguous, `SLACK` bytes longer than `limit`; before `start` there are the last bytes written, all
            or at least `HISTORY` of them.

        Returns
        -------
        Where writing ended, less than `SLACK` beyond `limit`; -1 for a stream that is damaged or cut.
        """
        assert start <= limit <= out.size - SLACK
        return int(
            _inflate(
                self._source,
                self._words,
                self._state,
                self._literals,
                self._distances,
                out,
                _words(out, np.uint32),
                _words(out, np.uint64),
                start,
                limit,
            )
        )

    @property
    def end(self) -> int | None:
        """Where the stream ends in `source`; None before that."""
        return int(self._state[PLACE]) if self._state[BLOCK] == DONE else None


def _words(data: NDArray[np.uint8], dtype: Any) -> NDArray[Any]:
    """Four or eight bytes as one little-endian number from every byte on: a view whose elements overlap."""
    kind = np.dtype(dtype)
    return np.ndarray((max(0, data.size - kind.itemsize + 1),), kind, data, strides=(1,))


@kernel
def _copy(out: NDArray[np.uint8], eights: NDArray[np.uint64], at: int, distance: int, length: int) -> None:
    """Repeat `length` bytes from `distance` before `at`; up to seven more are written."""
    done = 0
    if distance < 8:
        # What has a short period has every multiple of it; eight bytes can be moved once that is eight or more.
        period = distance
        while distance < 8:
            distance += period
        while done < distance - period:
            out[at + done] = out[at + done - period]
            done += 1
    while done < length:
        eights[np.uint64(at + done)] = eights[np.uint64(at + done - distance)]
        done += 8


@kernel
def _symbols(
    words: NDArray[np.uint64],
    place: int,
    held: np.uint64,
    count: int,
    last: int,
    literals: NDArray[np.uint32],
    distances: NDArray[np.uint32],
    out: NDArray[np.uint8],
    fours: NDArray[np.uint32],
    eights: NDArray[np.uint64],
    at: int,
    limit: int,
) -> tuple[int, np.uint64, int, int, int]:
    """Symbols up to the limit or the block's end: place, held bits, their number, place in `out`; how it ended.

    It ends with 1 at the block's end, 0 at the limit, -1 where something is wrong. Three look-ups of literals take 33
    bits of the 56 at hand; a length with its distance takes 48.
    """
    literal_mask, literal_rest = np.uint64((1 << LITERAL_BITS) - 1), np.uint64((1 << (LONGEST - LITERAL_BITS)) - 1)
    distance_mask, distance_rest = np.uint64((1 << DISTANCE_BITS) - 1), np.uint64((1 << (LONGEST - DISTANCE_BITS)) - 1)
    while at < limit:
        if place > last:
            return place, held, count, at, -1
        place, held, count = refill(words, place, held, count)
        entry = literals[held & literal_mask]
        if entry & LITERALS:
            looks = 1
            while True:
                fours[at] = entry >> np.uint32(8)
                at += int((entry >> np.uint32(5)) & np.uint32(7))
                held >>= np.uint64(entry & np.uint32(31))
                count -= int(entry & np.uint32(31))
                if looks == LOOKS:
                    break
                entry = literals[held & literal_mask]
                if entry & LITERALS == 0:
                    break
                looks += 1
            if looks == LOOKS:
                continue
            place, held, count = refill(words, place, held, count)
        if entry >> np.uint32(29) == FURTHER:
            held >>= np.uint64(LITERAL_BITS)
            count -= LITERAL_BITS
            entry = literals[np.uint64((entry >> np.uint32(8)) & np.uint32(0xFFFF)) + (held & literal_rest)]
        held >>= np.uint64(entry & np.uint32(31))
        count -= int(entry & np.uint32(31))
        if entry & LITERALS:
            out[at] = np.uint8((entry >> np.uint32(8)) & np.uint32(0xFF))
            at += 1
            continue
        if entry >> np.uint32(29) != COPY:
            return place, held, count, at, 1 if entry >> np.uint32(29) == END else -1
        extra = (entry >> np.uint32(24)) & np.uint32(31)
        length = int((entry >> np.uint32(8)) & np.uint32(0xFFFF)) + int(
            held & ((np.uint64(1) << np.uint64(extra)) - np.uint64(1))
        )
        held >>= np.uint64(extra)
        count -= int(extra)
        entry = distances[held & distance_mask]
        if entry >> np.uint32(29) == FURTHER:
            held >>= np.uint64(DISTANCE_BITS)
            count -= DISTANCE_BITS
            entry = distances[np.uint64((entry >> np.uint32(8)) & np.uint32(0xFFFF)) + (held & distance_rest)]
        held >>= np.uint64(entry & np.uint32(31))
        count -= int(entry & np.uint32(31))
        extra = (entry >> np.uint32(24)) & np.uint32(31)
        distance = int((entry >> np.uint32(8)) & np.uint32(0xFFFF)) + int(
            held & ((np.uint64(1) << np.uint64(extra)) - np.uint64(1))
        )
        held >>= np.uint64(extra)
        count -= int(extra)
        if entry >> np.uint32(29) != COPY or distance > at:
            return place, held, count, at, -1
        _copy(out, eights, at, distance, length)
        at += length
    return place, held, count, at, 0


@kernel
def _inflate(
    source: NDArray[np.uint8],
    words: NDArray[np.uint64],
    state: NDArray[np.int64],
    literals: NDArray[np.uint32],
    distances: NDArray[np.uint32],
    out: NDArray[np.uint8],
    fours: NDArray[np.uint32],
    eights: NDArray[np.uint64],
    at: int,
    limit: int,
) -> int:
    """As `Inflater.into`: blocks one after another."""
    size = source.size - PADDING
    # Of the eight bytes held at most all lie beyond the input where nothing is missing.
    last = size + 8
    place, held, count = int(state[PLACE]), np.uint64(state[HELD]), int(state[HELD_BITS])
    lengths = np.zeros(286 + 30, np.uint8)
    while at < limit and state[BLOCK] != DONE:
        ended = 0
        if state[BLOCK] == STORING:
            taken = min(int(state[STORED]), limit - at)
            out[at : at + taken] = source[place : place + taken]
            at += taken
            place += taken
            state[STORED] -= taken
            ended = int(state[STORED] == 0)
        elif state[BLOCK] == CODED:
            place, held, count, at, ended = _symbols(
                words, place, held, count, last, literals, distances, out, fours, eights, at, limit
            )
        elif place > last:
            ended = -1
        else:
            place, held, count = refill(words, place, held, count)
            state[LAST], kind = int(held & np.uint64(1)), int((held >> np.uint64(1)) & np.uint64(3))
            held >>= np.uint64(3)
            count -= 3
            state[BLOCK] = CODED
            if kind == 0:
                # It begins with the next whole byte: its length, and the same with every bit turned.
                place -= count >> 3
                held, count = np.uint64(0), 0
                if place + 4 > size:
                    return -1
                length = int(source[place]) | (int(source[place + 1]) << 8)
                turned = int(source[place + 2]) | (int(source[place + 3]) << 8)
                place += 4
                if length ^ turned != 0xFFFF or place + length > size:
                    return -1
                state[STORED], state[BLOCK] = length, STORING
            elif kind == 1:
                build(FIXED_LITERALS, LITERAL_ENTRIES, LITERAL_BITS, literals)
                build(FIXED_DISTANCES, DISTANCE_ENTRIES, DISTANCE_BITS, distances)
                join_literals(literals)
            elif kind == 2:
                place, held, count, first = read_lengths(words, place, held, count, last, lengths)
                if (
                    first == 0
                    or not build(lengths[:first], LITERAL_ENTRIES, LITERAL_BITS, literals)
                    or not build(lengths[first:], DISTANCE_ENTRIES, DISTANCE_BITS, distances)
                ):
                    return -1
                join_literals(literals)
            else:
                return -1
        if ended < 0:
            return -1
        if ended > 0:
            state[BLOCK] = DONE if state[LAST] else BEFORE
    # Whole bytes go back, so that what is held fits a signed number and `place` tells where the stream goes on.
    place -= count >> 3
    count &= 7
    state[PLACE], state[HELD], state[HELD_BITS] = place, int(held & np.uint64((1 << count) - 1)), count
    return at if place <= size else -1


def warm_up() -> None:
    """Run every kernel of this module once: one block with no code but that of its end."""
    stream = np.array([3, 0] + [0] * PADDING, np.uint8)
    Inflater(stream).into(np.empty(8 + SLACK, np.uint8), 0, 8)
