"""JSON with bytes comes back the same; what is damaged, hostile or foreign is refused."""

import json

import numpy as np
import pytest

from blackbox_conformal.pages.report.preview import content_of, parts_of


def file_of(content):
    return b"".join(parts_of(content))


def test_bytes_come_back_at_any_place():
    content = {"a": [b"one", {"b": b"", "c": [1.5, None, "line\nline"]}], "d": b"\n{}\n", "e": {"bytes": 3}}
    assert content_of(file_of(content)) == content


def test_memory_is_not_copied():
    numbers = np.arange(6, dtype="<f4")
    view = memoryview(numbers).cast("B")
    assert parts_of([view])[2] is view
    assert content_of(file_of([view])) == [numbers.tobytes()]


def test_what_is_neither_json_nor_bytes_is_refused():
    with pytest.raises(TypeError, match="beside what JSON holds; got set"):
        parts_of({"a": {1}})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\n",
        b"no JSON\n",
        file_of({"a": b"123"})[:-1],
        file_of({"a": b"123"}) + b"4",
        file_of({"a": b"123"}).replace(b"123", b"124"),
        json.dumps({"bytes": -1, "crc32": 0}).encode() + b"\n",
        json.dumps({"bytes": True, "crc32": 0}).encode() + b"\n1",
        json.dumps({"bytes": "1", "crc32": 0}).encode() + b"\n1",
        json.dumps({"bytes": 10**30, "crc32": 0}).encode() + b"\n1",
    ],
)
def test_damaged_files_are_refused(data):
    with pytest.raises(ValueError):
        content_of(data)


def test_deep_json_is_refused():
    with pytest.raises(RecursionError):
        content_of(b"[" * 100_000 + b"\n")
