"""Previews as files: a line of JSON, and behind it, as they are, the bytes that it names by number and checksum.

Every number comes back to the last bit. A map is kept as it is computed, so that a threshold that is chosen later is
applied to the very scores. In base64 a map of a megapixel would take a third more room, and thirty times as long.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from isal import isal_zlib

from blackbox_conformal.documents.stored import Stored
from blackbox_conformal.pages.report.pixel_blocks import SIDE
from blackbox_conformal.pages.report.preview import NEVER, Preview
from blackbox_conformal.support.files import Content
from blackbox_conformal.support.types import Map

ENDING = "preview"

EARLIER_ENDING = "json"
"""Files of earlier versions are refused, so that a report never leaves their pictures out in silence."""


class _StoredPreviews(Stored[Preview]):
    def _fields(self, document: Preview) -> dict[str, Any]:
        (fields,) = self._form.dump_python((document,))
        return cast(dict[str, Any], fields)

    def _encoded(self, content: dict[str, Any]) -> Content:
        return parts_of(content)

    def _decoded(self, data: bytes) -> Any:
        return content_of(data)


_PREVIEWS = _StoredPreviews(
    Preview,
    "preview",
    5,
    anew="Remove it and audit or mask again in the same run folder: the draws are stored, so no call is made",
)


def write_preview(preview: Preview, path: Path) -> Path:
    """Write a preview to `path`, which ends in `ENDING`; an earlier one is replaced."""
    _PREVIEWS.write(preview, path)
    path.with_suffix(f".{EARLIER_ENDING}").unlink(missing_ok=True)
    return path


def read_preview(path: Path) -> Preview:
    """Read a stored preview.

    Raises
    ------
    FileFormatError
        It is damaged, foreign, of an earlier version or too large.
    """
    preview = _PREVIEWS.read(path)
    with _PREVIEWS.refusing(str(path)):
        rows, columns = (-(-side // max(preview.block, 1)) for side in preview.size)
        if preview.block < 1 or not (1 <= rows <= SIDE and 1 <= columns <= SIDE):
            raise ValueError("sizes out of range")
        if not len(preview.thresholds) == len(preview.shares) == len(preview.losses) <= NEVER:
            raise ValueError("as many shares and losses as thresholds are expected")
        errors: Map | None = None if preview.errors is None else preview.errors.reshape(rows, columns)
        return replace(preview, ceiling=preview.ceiling.reshape(rows, columns), errors=errors)


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
