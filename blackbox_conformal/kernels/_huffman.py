"""The prefix codes of a block of deflate (RFC 1951, 3.2): read, and made tables of, up to three literals a look-up.

What is done with symbols is `inflate`'s business.

An entry of a table is a number of 32 bits: 5 for the length of the code, 3 for how many literals; then either these
literals, or 16 bits for the least length or distance (or the place of a further table), 5 for how many bits are added,
and 3 for what kind of entry it is.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels._jit import kernel

LITERAL_BITS, DISTANCE_BITS, LENGTH_BITS, LONGEST = 11, 8, 7, 15
"""Bits of a look-up, and of the longest code. More bits find more literals, and take longer to prepare."""

LITERAL_SIZE = (1 << LITERAL_BITS) + 288 * (1 << (LONGEST - LITERAL_BITS))
DISTANCE_SIZE = (1 << DISTANCE_BITS) + 32 * (1 << (LONGEST - DISTANCE_BITS))
"""Entries with a further table for every symbol, of which there cannot be more."""

WRONG, COPY, END, FURTHER = 0, 1, 2, 3
LITERALS = np.uint32(7 << 5)


def _copies(least: int, extras: list[int]) -> list[int]:
    """Entries for lengths or distances, each of which covers 2^extra of them."""
    entries = []
    for extra in extras:
        entries.append(least << 8 | extra << 24 | COPY << 29)
        least += 1 << extra
    return entries


_LITERALS = [value << 8 | 1 << 5 for value in range(256)]
_LENGTHS = [*_copies(3, [0] * 4 + [bits for bits in range(6) for _ in range(4)])[:28], 258 << 8 | COPY << 29]
LITERAL_ENTRIES = np.array([*_LITERALS, END << 29, *_LENGTHS, WRONG, WRONG], np.uint32)
DISTANCE_ENTRIES = np.array(
    [*_copies(1, [0, 0] + [bits for bits in range(14) for _ in range(2)]), WRONG, WRONG], np.uint32
)
LENGTH_ENTRIES = np.array([value << 8 for value in range(19)], np.uint32)
FIXED_LITERALS = np.repeat(np.array([8, 9, 7, 8], np.uint8), [144, 112, 24, 8])
FIXED_DISTANCES = np.full(32, 5, np.uint8)
ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])
"""In which order the lengths of the code for lengths come."""


@kernel
def refill(words: NDArray[np.uint64], place: int, held: np.uint64, count: int) -> tuple[int, np.uint64, int]:
    """At least 56 bits held, their number, and the place after them."""
    # Bits above `count` may be there already; they are those that are put there.
    return place + ((63 - count) >> 3), held | (words[place] << np.uint64(count)), count | 56


@kernel
def build(lengths: NDArray[np.uint8], entries: NDArray[np.uint32], bits: int, table: NDArray[np.uint32]) -> bool:
    """Fill `table` for the canonical code whose symbols have these lengths; False if zlib takes no such code.

    Codes longer than `bits` that begin alike share a further table, behind the first.
    """
    counts, codes = np.zeros(LONGEST + 1, np.int64), np.zeros(LONGEST + 1, np.int64)
    for symbol in range(lengths.size):
        counts[lengths[symbol]] += 1
    used = lengths.size - counts[0]
    counts[0] = 0
    left = 1
    for length in range(1, LONGEST + 1):
        left = 2 * left - counts[length]
        if left < 0:
            return False
        codes[length] = 2 * (codes[length - 1] + counts[length - 1])
    # A symbol may be alone, with a code of one bit, or there may be none at all, but not in the code for lengths.
    if left > 0 and (used > counts[1] or bits == LENGTH_BITS):
        return False
    more = LONGEST - bits
    following = 1 << bits
    table[:following] = WRONG
    for symbol in range(lengths.size):
        length = int(lengths[symbol])
        if length == 0:
            continue
        code, reverse = codes[length], 0
        codes[length] += 1
        # The first bit of a code comes lowest.
        for _ in range(length):
            reverse = (reverse << 1) | (code & 1)
            code >>= 1
        if length <= bits:
            for place in range(reverse, 1 << bits, 1 << length):
                table[place] = entries[symbol] | np.uint32(length)
            continue
        begin = reverse & ((1 << bits) - 1)
        if table[begin] == WRONG:
            table[begin] = (FURTHER << 29) | (following << 8)
            table[following : following + (1 << more)] = WRONG
            following += 1 << more
        first = int((table[begin] >> np.uint32(8)) & np.uint32(0xFFFF))
        for place in range(reverse >> bits, 1 << more, 1 << (length - bits)):
            table[first + place] = entries[symbol] | np.uint32(length - bits)
    return True


@kernel
def join_literals(table: NDArray[np.uint32]) -> None:
    """Make of entries for one literal entries for two or three, where a look-up shows that many whole codes."""
    # From the last to the first: those still to be looked at have one literal each.
    for place in range((1 << LITERAL_BITS) - 1, -1, -1):
        joined, number = np.uint32(0), 0
        length = 0
        while number < 3:
            entry = table[place >> length]
            added = int(entry & np.uint32(31))
            if entry & LITERALS == 0 or length + added > LITERAL_BITS:
                break
            joined |= ((entry >> np.uint32(8)) & np.uint32(0xFF)) << np.uint32(8 * number)
            length += added
            number += 1
        if number > 0:
            table[place] = (joined << np.uint32(8)) | np.uint32((number << 5) | length)


@kernel
def read_lengths(
    words: NDArray[np.uint64], place: int, held: np.uint64, count: int, last: int, lengths: NDArray[np.uint8]
) -> tuple[int, np.uint64, int, int]:
    """Fill `lengths` with those of a block's two codes: place, held bits and their number, how many are of the first.

    None of the first where they are damaged.
    """
    wrong = (place, held, count, 0)
    if place > last:
        return wrong
    place, held, count = refill(words, place, held, count)
    literals = int(held & np.uint64(31)) + 257
    total = literals + int((held >> np.uint64(5)) & np.uint64(31)) + 1
    given = int((held >> np.uint64(10)) & np.uint64(15)) + 4
    held >>= np.uint64(14)
    count -= 14
    if literals > 286 or total - literals > 30:
        return wrong
    of_lengths = np.zeros(19, np.uint8)
    for i in range(given):
        if place > last:
            return wrong
        place, held, count = refill(words, place, held, count)
        of_lengths[ORDER[i]] = np.uint8(held & np.uint64(7))
        held >>= np.uint64(3)
        count -= 3
    table = np.zeros(1 << LENGTH_BITS, np.uint32)
    if not build(of_lengths, LENGTH_ENTRIES, LENGTH_BITS, table):
        return wrong
    lengths[:] = 0
    done = 0
    while done < total:
        if place > last:
            return wrong
        place, held, count = refill(words, place, held, count)
        entry = table[held & np.uint64((1 << LENGTH_BITS) - 1)]
        taken, symbol = int(entry & np.uint32(31)), int(entry >> np.uint32(8))
        if taken == 0:
            return wrong
        held >>= np.uint64(taken)
        count -= taken
        if symbol < 16:
            times, length, more = 1, symbol, 0
        elif symbol == 16:
            # As the one before.
            times, length, more = 3, int(lengths[max(0, done - 1)]), 2
        else:
            times, length, more = (3, 0, 3) if symbol == 17 else (11, 0, 7)
        times += int(held & np.uint64((1 << more) - 1))
        held >>= np.uint64(more)
        count -= more
        if done + times > total or (symbol == 16 and done == 0):
            return wrong
        lengths[done : done + times] = length
        done += times
    # Without a code for its end there is no block.
    return (place, held, count, literals) if lengths[256] > 0 else wrong
