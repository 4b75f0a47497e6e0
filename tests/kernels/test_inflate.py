"""Decompressed streams against zlib's and the recommendation's own steps: whole, in pieces, damaged and cut."""

import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive import inflate as naive

from blackbox_conformal.kernels.inflate import HISTORY, PADDING, SLACK, Inflater

GUARD = 64


def inflated(stream, limit):
    """The whole output, `limit` bytes at a time with no more history than must be kept; None for a damaged stream."""
    inflater = Inflater(np.frombuffer(stream + b"\xaa" * PADDING, np.uint8))
    out = np.empty(HISTORY + limit + SLACK + GUARD, np.uint8)
    parts = []
    end = 0
    while inflater.end is None:
        kept = min(end, HISTORY)
        out[:kept] = out[end - kept : end].copy()
        out[kept + limit + SLACK :] = 77
        end = inflater.into(out[: kept + limit + SLACK], kept, kept + limit)
        assert (out[kept + limit + SLACK :] == 77).all()
        if end < 0:
            return None
        assert end < kept + limit + SLACK
        parts.append(out[kept:end].tobytes())
    assert inflater.end <= len(stream)
    return b"".join(parts)


def of_zlib(stream):
    """What zlib makes of it; None where it refuses or wants more."""
    inflater = zlib.decompressobj(-15)
    try:
        found = inflater.decompress(stream)
    except zlib.error:
        return None
    return found if inflater.eof else None


def material(kind, size, seed):
    """Bytes of a kind: few or many values, repeated at short and long distances, or all alike."""
    rng = np.random.default_rng(seed)
    if kind == "few":
        return rng.geometric(0.4, size).astype(np.uint8).tobytes()
    if kind == "many":
        return rng.integers(0, 256, size, dtype=np.uint8).tobytes()
    if kind == "alike":
        return bytes([seed % 256]) * size
    found = rng.integers(0, 256, 40, dtype=np.uint8).tobytes()
    while len(found) < size:
        start = rng.integers(0, len(found))
        found += found[start : start + rng.integers(1, 300)] + rng.integers(0, 9, 3, dtype=np.uint8).tobytes()
    return found[:size]


def compressed(data, level, strategy):
    packer = zlib.compressobj(level, wbits=-15, memLevel=1 + level, strategy=strategy)
    return packer.compress(data) + packer.flush()


KINDS = st.sampled_from(["few", "many", "alike", "repeated"])
STRATEGIES = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED]
STREAMS = st.builds(
    lambda kind, size, seed, level, strategy: compressed(material(kind, size, seed), level, strategy),
    KINDS,
    st.integers(0, 3000),
    st.integers(0, 2**32),
    st.integers(0, 8),
    st.sampled_from(STRATEGIES),
)


@settings(deadline=None)
@given(STREAMS, st.sampled_from([1, 2, 7, 100, 5000]))
def test_output_is_zlibs_in_pieces_of_any_size(stream, limit):
    assert inflated(stream, limit) == of_zlib(stream)


@settings(deadline=None, max_examples=30)
@given(STREAMS)
def test_output_is_that_of_one_bit_at_a_time(stream):
    assert inflated(stream, 700) == naive.inflate(stream)


@pytest.mark.parametrize("kind", ["few", "repeated", "alike"])
def test_matches_reach_back_as_far_as_the_format_allows(kind):
    data = material(kind, 3 * HISTORY, 1)
    data += data[-HISTORY : 300 - HISTORY] + data[:99]
    assert inflated(compressed(data, 8, zlib.Z_DEFAULT_STRATEGY), 1 << 14) == data


@settings(deadline=None, max_examples=300)
@given(STREAMS, st.data())
def test_damaged_streams_are_refused_exactly_where_zlib_refuses_them(stream, data):
    changed = bytearray(stream)
    for _ in range(data.draw(st.integers(1, 3))):
        # Most of what can be wrong is at the beginning, in the description of the codes.
        place = data.draw(st.integers(0, min(len(changed) - 1, data.draw(st.sampled_from([8, 80, 10_000])))))
        changed[place] ^= data.draw(st.integers(1, 255))
    assert inflated(bytes(changed), 500) == of_zlib(bytes(changed))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7]))
# A code of lengths with one symbol; a literal code with its end alone; no distances; a length without any.
@example(bytes.fromhex("05c0810800000000209fda0f"), 5)
def test_any_bytes_are_taken_as_zlib_takes_them(content, head):
    stream = bytes([(content[0] & ~7) | head if content else head]) + content[1:]
    assert inflated(stream, 300) == of_zlib(stream)


@given(STREAMS, st.integers(0, 100))
@settings(deadline=None)
def test_cut_streams_are_refused(stream, share):
    assert inflated(stream[: len(stream) * share // 101], 500) is None
