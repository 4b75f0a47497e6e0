"""Bodies under a cap: what is announced, what arrives, what it unpacks to."""

import base64
import gzip
import zlib

import pytest

from blackbox_conformal.drawing.http.transport import read_body, read_data_link
from blackbox_conformal.errors import PayloadError


def test_plain_and_single_layers_are_read():
    data = bytes(range(256)) * 50
    assert read_body([data[:7], data[7:]], "", len(data), 10**6) == data
    packed = gzip.compress(data)
    assert read_body([packed[i : i + 9] for i in range(0, len(packed), 9)], "GZIP", len(packed), 10**6) == data
    assert read_body([zlib.compress(data)], "identity, deflate", None, 10**6) == data
    assert read_body([], "", 0, 10) == b""


@pytest.mark.parametrize(
    ("chunks", "encoding", "length", "reason"),
    [
        ([b"x" * 11], "", None, "more arrived"),
        ([b""], "", 11, "11 are announced"),
        ([b"x" * 5], "", 6, "5 arrived"),
        ([b"x"], "br", None, "not decoded"),
        ([b"x"], "gzip, gzip", None, "not decoded"),
        ([b"junk"], "gzip", None, "damaged"),
        ([gzip.compress(b"y" * 5)[:9]], "gzip", None, "before its end"),
    ],
)
def test_everything_else_is_refused(chunks, encoding, length, reason):
    with pytest.raises(PayloadError, match=reason):
        read_body(chunks, encoding, length, 10)


def test_a_bomb_is_stopped_at_the_cap_and_not_unpacked():
    bomb = gzip.compress(bytes(50_000_000), 9)
    with pytest.raises(PayloadError, match="unpacks to more"):
        read_body([bomb], "gzip", len(bomb), 2_000_000)


def test_data_links_are_read_here():
    link = "data:image/png;base64," + base64.b64encode(b"pixels").decode()
    assert read_data_link(link, 100) == ("image/png", b"pixels")
    assert read_data_link("data:,a%20b", 100) == ("text/plain", b"a b")


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("data:image/png;base64", "comma"),
        ("data:image/png;base64,@@@@", "base64"),
        ("data:image/png;base64," + "A" * 100, "at most 10"),
        ("data:," + "A" * 15, "at most 10"),
    ],
)
def test_broken_data_links_are_refused(link, reason):
    with pytest.raises(PayloadError, match=reason):
        read_data_link(link, 10)
