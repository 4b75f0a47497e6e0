"""Previews as files: everything but bytes is JSON, and every number comes back to the last bit.

A map is kept as it is computed, so that a threshold that is chosen later is applied to the very scores.
"""

import base64
import binascii
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from blackbox_conformal.files import write_new
from blackbox_conformal.reports.blocks import SIDE
from blackbox_conformal.reports.error_pairs import Pair
from blackbox_conformal.reports.parts import content_of, parts_of
from blackbox_conformal.reports.preview import NEVER, Preview, Worst
from blackbox_conformal.reports.stored_audit import damaged, parse_json, read_material
from blackbox_conformal.types import Map

FORMAT = "blackbox-conformal preview 4"
ENDING = "preview"

EARLIER = ("blackbox-conformal preview 2", "blackbox-conformal preview 3")
"""JSON alone, with bytes in base64 and maps compressed; the first had neither errors nor pairs."""
EARLIER_ENDING = "json"

_PICTURES = ("delivered", "low", "truth")


def write_preview(preview: Preview, path: Path) -> Path:
    """Write a preview to `path`, which ends in `ENDING`; an earlier one is replaced."""
    write_new(path, parts_of(_content(preview)), force=True)
    path.with_suffix(f".{EARLIER_ENDING}").unlink(missing_ok=True)
    return path


def read_preview(path: Path) -> Preview:
    """Read a stored preview, of this version or of an earlier one.

    Raises
    ------
    FileFormatError
        It is damaged, foreign or too large.
    """
    data = read_material(path)
    try:
        if path.suffix == f".{EARLIER_ENDING}":
            return _preview(_of_earlier(parse_json(path, data)))
        content = content_of(data)
        if content["format"] != FORMAT:
            raise ValueError("another format")
        return _preview(content)
    except (
        KeyError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        RecursionError,
        isal_zlib.error,
        binascii.Error,
    ) as error:
        raise damaged(path, error) from None


def _content(preview: Preview) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": preview.kind,
        "name": preview.name,
        "identity": preview.identity,
        "size": list(preview.size),
        "block": preview.block,
        "ceiling": _map_bytes(preview.ceiling),
        "errors": None if preview.errors is None else _map_bytes(preview.errors),
        "thresholds": [value.hex() for value in preview.thresholds.tolist()],
        "shares": preview.shares.tolist(),
        "losses": [None if math.isnan(value) else value for value in preview.losses.tolist()],
        "delivered": preview.delivered,
        "low": preview.low,
        "truth": preview.truth,
        "worst": [asdict(worst) for worst in preview.worst],
        "pairs": [asdict(pair) for pair in preview.pairs],
        "notes": list(preview.notes),
        "no_guarantee": preview.no_guarantee,
        "source": preview.source,
    }


def _preview(content: dict[str, Any]) -> Preview:
    (height, width), block, (rows, columns) = _sizes(content)
    thresholds = np.array([float.fromhex(value) for value in content["thresholds"]], np.float64)
    shares, losses = (np.array(content[kind], np.float64) for kind in ("shares", "losses"))
    if not thresholds.shape == shares.shape == losses.shape or len(thresholds) > NEVER:
        raise ValueError("as many shares and losses as thresholds are expected")
    return Preview(
        kind=str(content["kind"]),
        name=str(content["name"]),
        identity=str(content["identity"]),
        size=(height, width),
        block=block,
        ceiling=_map(content["ceiling"], rows, columns),
        errors=None if content["errors"] is None else _map(content["errors"], rows, columns),
        thresholds=thresholds,
        shares=shares,
        losses=losses,
        delivered=_bytes(content["delivered"]),
        low=None if content["low"] is None else _bytes(content["low"]),
        truth=None if content["truth"] is None else _bytes(content["truth"]),
        worst=tuple(map(_worst, content["worst"])),
        pairs=tuple(map(_pair, content["pairs"])),
        notes=tuple(str(note) for note in content["notes"]),
        no_guarantee=str(content["no_guarantee"] if "no_guarantee" in content else _noted(content["notes"])),
        # Earlier versions did not keep it.
        source=str(content.get("source", "")),
    )


def _noted(notes: list[str]) -> str:
    """That there is no guarantee, which earlier versions kept in the first note alone."""
    return "".join("".join(notes[:1]).partition("No guarantee: ")[1:])


def _sizes(content: dict[str, Any]) -> tuple[tuple[int, int], int, tuple[int, int]]:
    """(H, W) of the picture, the block's side, and (h, w) of the maps."""
    height, width = (int(side) for side in content["size"])
    block = max(int(content["block"]), 1)
    rows, columns = -(-height // block), -(-width // block)
    if block != content["block"] or not (1 <= rows <= SIDE and 1 <= columns <= SIDE):
        raise ValueError("sizes out of range")
    return (height, width), block, (rows, columns)


def _worst(content: dict[str, Any]) -> Worst:
    return Worst(
        alpha=float(content["alpha"]),
        row=int(content["row"]),
        column=int(content["column"]),
        error=float(content["error"]),
        delivered=_bytes(content["delivered"]),
        truth=_bytes(content["truth"]),
        mask=_bytes(content["mask"]),
        at=(int(content["at"][0]), int(content["at"][1])),
    )


def _pair(content: dict[str, Any]) -> Pair:
    return Pair(
        near=float(content["near"]),
        row=int(content["row"]),
        column=int(content["column"]),
        error=float(content["error"]),
        delivered=_bytes(content["delivered"]),
        truth=_bytes(content["truth"]),
        at=(int(content["at"][0]), int(content["at"][1])),
    )


def _map_bytes(values: Map) -> memoryview:
    return np.ascontiguousarray(values, "<f4").data.cast("B")


def _map(data: Any, rows: int, columns: int) -> Map:
    return np.frombuffer(_bytes(data), "<f4").astype(np.float32).reshape(rows, columns)


def _bytes(part: Any) -> bytes:
    if not isinstance(part, bytes):
        raise TypeError("bytes are expected")
    return part


def _of_earlier(content: dict[str, Any]) -> dict[str, Any]:
    """The content of an earlier version's file, as this version writes it."""
    if content["format"] not in EARLIER:
        raise ValueError("another format")
    rows, columns = _sizes(content)[2]
    for entry in (content, *content.setdefault("pairs", []), *content["worst"]):
        for name in (*_PICTURES, "mask"):
            if entry.get(name) is not None:
                entry[name] = base64.b64decode(entry[name], validate=True)
    content.setdefault("errors", None)
    for name in ("ceiling", "errors"):
        if content[name] is not None:
            packed = base64.b64decode(content[name], validate=True)
            content[name] = isal_zlib.decompressobj().decompress(packed, 4 * rows * columns)
    return content
