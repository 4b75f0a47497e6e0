"""The checksum against zlib's and byte by byte, going on from any value, and where sums are largest."""

import zlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import adler as naive

from blackbox_conformal.kernels.adler import CHUNK, adler32


@given(st.binary(max_size=300), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_checksum_is_zlibs(data, times, before):
    before = (before >> 16) % 65521 << 16 | before % 65521
    data = data * times
    assert adler32(np.frombuffer(data, np.uint8), before) == zlib.adler32(data, before)
    assert adler32(np.frombuffer(data, np.uint8), before) == naive.adler32(data, before)


def test_checksum_of_the_largest_bytes_does_not_overflow():
    data = b"\xff" * (3 * CHUNK + 5)
    assert adler32(np.frombuffer(data, np.uint8), 65520 << 16 | 65520) == zlib.adler32(data, 65520 << 16 | 65520)
