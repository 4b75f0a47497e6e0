"""JSON with bytes in it: a line of JSON, and behind it, as they are, the bytes that it names by number and checksum.

In base64 a map of a megapixel would take a third more room, and thirty times as long.
"""

import json
from typing import Any

from isal import isal_zlib


def parts_of(content: Any) -> list[bytes | memoryview]:
    """The pieces of a file that holds `content`: what JSON can hold, with bytes and contiguous memory at any place."""
    parts: list[bytes | memoryview] = []

    def named(part: Any) -> dict[str, int]:
        if not isinstance(part, (bytes, memoryview)):
            raise TypeError(f"expected bytes beside what JSON holds; got {type(part).__name__}")
        parts.append(part)
        return {"bytes": memoryview(part).nbytes, "crc32": isal_zlib.crc32(part)}

    head = json.dumps(content, default=named).encode()
    return [head, b"\n", *parts]


def content_of(data: bytes) -> Any:
    """The content of a file whose pieces `parts_of` made.

    Raises
    ------
    ValueError, RecursionError
        It is damaged or foreign.
    """
    end = data.find(b"\n")
    if end < 0:
        raise ValueError("no line of JSON")
    place = end + 1

    def taken(value: dict[str, Any]) -> Any:
        nonlocal place
        if value.keys() != {"bytes", "crc32"}:
            return value
        length = value["bytes"]
        if type(length) is not int or not 0 <= length <= len(data) - place:
            raise ValueError("fewer bytes than the JSON names")
        part = data[place : place + length]
        if isal_zlib.crc32(part) != value["crc32"]:
            raise ValueError("a wrong checksum")
        place += length
        return part

    content = json.loads(data[:end], object_hook=taken)
    if place != len(data):
        raise ValueError("more bytes than the JSON names")
    return content
