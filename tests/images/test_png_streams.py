"""Compressed pixel data of every kind, whole, damaged and cut, against zlib."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blackbox_conformal.method.images import plain_png
from blackbox_conformal.method.images.headers import PNG_SIGNATURE, inspect
from blackbox_conformal.testing.pictures import chunk

HEIGHT, WIDTH = 23, 41
LINE = 1 + 3 * WIDTH
SIZE = HEIGHT * LINE


@pytest.fixture(autouse=True)
def small_pictures_too():
    """Hypothesis calls a test many times, which a fixture of one call cannot serve."""
    patch = pytest.MonkeyPatch()
    patch.setattr(plain_png, "WORTHWHILE", 0)
    patch.setattr(plain_png, "interpreted", lambda: False)
    yield
    patch.undo()


def material(kind, seed):
    """Rows of no filter with bytes of a kind: few or many values, repeated at short and long distances, or alike."""
    rng = np.random.default_rng(seed)
    if kind == "few":
        data = rng.geometric(0.4, SIZE).astype(np.uint8)
    elif kind == "many":
        data = rng.integers(0, 256, SIZE, dtype=np.uint8)
    elif kind == "alike":
        data = np.full(SIZE, seed % 256, np.uint8)
    else:
        found = rng.integers(0, 256, 40, dtype=np.uint8).tobytes()
        while len(found) < SIZE:
            start = rng.integers(0, len(found))
            found += found[start : start + rng.integers(1, 300)] + rng.integers(0, 9, 3, dtype=np.uint8).tobytes()
        data = np.frombuffer(found[:SIZE], np.uint8).copy()
    data.reshape(HEIGHT, LINE)[:, 0] = 0
    return data.tobytes()


def compressed(kind, seed, level, strategy):
    packer = zlib.compressobj(level, memLevel=1 + level, strategy=strategy)
    return packer.compress(material(kind, seed)) + packer.flush()


STREAMS = st.builds(
    compressed,
    st.sampled_from(["few", "many", "alike", "repeated"]),
    st.integers(0, 2**32),
    st.integers(0, 8),
    st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED]),
)


def decoded(stream, cut=1 << 30):
    """The filtered rows as the decoder read them, whose filter is none; None for a stream that it refuses."""
    header = chunk(b"IHDR", struct.pack(">II5B", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
    parts = b"".join(chunk(b"IDAT", stream[start : start + cut]) for start in range(0, len(stream), cut))
    container = inspect(PNG_SIGNATURE + header + parts + chunk(b"IEND", b""))
    pixels = plain_png.plain_pixels(container)
    if pixels is None:
        return None
    return np.insert(pixels.reshape(HEIGHT, -1), 0, 0, axis=1).tobytes()


def of_zlib(stream):
    """What zlib makes of it; None where it refuses or wants more."""
    decompressor = zlib.decompressobj()
    try:
        found = decompressor.decompress(stream)
    except zlib.error:
        return None
    return found if decompressor.eof else None


@settings(deadline=None)
@given(STREAMS, st.sampled_from([1, 2, 7, 100, 5000]), st.sampled_from([3, 64, 1 << 17]), st.sampled_from([LINE, 9999]))
def test_pixels_are_zlibs_in_pieces_of_any_size(stream, cut, taken, given_back):
    patch = pytest.MonkeyPatch()
    with patch.context() as sizes:
        sizes.setattr(plain_png, "_INPUT", taken)
        sizes.setattr(plain_png, "_OUTPUT", given_back)
        assert decoded(stream, cut) == of_zlib(stream)


@settings(deadline=None, max_examples=400)
@given(STREAMS, st.data())
def test_damaged_streams_give_no_pixels_that_their_checksum_does_not_vouch_for(stream, data):
    changed = bytearray(stream)
    for _ in range(data.draw(st.integers(1, 3))):
        # Most of what can be wrong is at the beginning, in the description of the codes.
        place = data.draw(st.integers(0, min(len(changed) - 1, data.draw(st.sampled_from([8, 80, 10_000])))))
        changed[place] ^= data.draw(st.integers(1, 255))
    found = decoded(bytes(changed))
    reference = of_zlib(bytes(changed))
    if found is not None and reference is None:
        # The decompressor takes some streams that zlib refuses: then the bytes must be those of the sum at the end.
        assert bytes(changed[-4:]) == zlib.adler32(found).to_bytes(4, "big")
    elif found is not None:
        assert found == reference


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7]))
# A code of lengths with one symbol; a literal code with its end alone; no distances; a length without any.
@example(bytes.fromhex("05c0810800000000209fda0f"), 5)
def test_any_bytes_end_without_pixels(content, head):
    assert decoded(b"\x78\x9c" + bytes([(content[0] & ~7) | head if content else head]) + content[1:]) is None


@settings(deadline=None)
@given(STREAMS, st.integers(0, 100))
def test_cut_streams_are_refused(stream, share):
    assert decoded(stream[: len(stream) * share // 101]) is None


@settings(deadline=None)
@given(STREAMS, st.integers(0, 31))
def test_a_wrong_checksum_is_refused(stream, bit):
    changed = bytearray(stream)
    changed[-1 - bit // 8] ^= 1 << bit % 8
    assert decoded(bytes(changed)) is None
