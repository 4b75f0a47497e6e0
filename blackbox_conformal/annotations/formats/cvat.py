"""Annotations of CVAT: "CVAT for images 1.1", one XML file with many pictures.

Polygons, boxes, ellipses, and masks whose runs go along the rows of their box. Video tracks are refused.
"""

import xml.parsers.expat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from blackbox_conformal.annotations.annotation_file import Levels
from blackbox_conformal.annotations.foreign_files import number, read_bytes, whole
from blackbox_conformal.annotations.formats._shapes import DrawnLevels, box_of, run_lengths, runs
from blackbox_conformal.annotations.formats.format import Format, ImportRequest, Marked
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.support.text import printable, visible

DEEPEST = 32
_SHAPES = frozenset({"polygon", "box", "ellipse", "mask"})
_WITHOUT_AREA = frozenset({"polyline", "points", "cuboid", "skeleton", "tag"})

Element = tuple[str, dict[str, str]]


class Cvat(Format):
    """ "CVAT for images 1.1": one XML file with many pictures."""

    def read(self, request: ImportRequest) -> Levels:
        path = request.file(".xml")
        pictures = _Reader(path, request).pictures
        attributes, shapes = request.choose(pictures)
        request.require_size(attributes.get("height"), attributes.get("width"))
        drawing = DrawnLevels(request.size)
        for kind, shape in shapes:
            _draw(drawing, kind, shape, request.level(shape.get("label", "")))
        return drawing.levels

    def write(self, pictures: Sequence[Marked]) -> Mapping[str, bytes]:
        """As `Format.write`: one file; each level of a picture is one mask, whose runs fill its box exactly."""
        lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>"]
        for index, picture in enumerate(pictures):
            height, width = picture.levels.shape
            name = quoteattr(visible(picture.name))
            lines.append(f'<image id="{index}" name={name} width="{width}" height="{height}">')
            for label, marked in picture.by_label():
                top, left, bottom, right = box_of(marked)
                counts = ", ".join(map(str, run_lengths(marked[top:bottom, left:right].reshape(-1))))
                lines.append(
                    f'<mask label="{label}" source="manual" occluded="0" rle="{counts}" left="{left}" top="{top}" '
                    f'width="{right - left}" height="{bottom - top}" z_order="0"></mask>'
                )
            lines.append("</image>")
        return {"annotations.xml": "\n".join([*lines, "</annotations>", ""]).encode()}


class _Reader:
    """Reads the file once: keeps the shapes of pictures that may be meant, and of others the names alone."""

    def __init__(self, path: Path, request: ImportRequest) -> None:
        self.pictures: list[tuple[str, tuple[dict[str, str], list[Element]]]] = []
        self._request = request
        self._shapes: list[Element] | None = None
        self._depth = 0
        parser = xml.parsers.expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(read_bytes(path), True)
        except (xml.parsers.expat.ExpatError, LookupError) as error:
            raise FileFormatError(f"{printable(path)}: expected CVAT's XML; {error}. Export it again") from None

    def _doctype(self, *_: Any) -> None:
        raise FileFormatError("expected CVAT's XML without a document type or entities; it has some")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise FileFormatError(f"expected CVAT's XML; elements are nested deeper than {DEEPEST}")
        if self._depth == 1 and name != "annotations":
            raise FileFormatError(f"expected CVAT's XML (annotations); got {printable(name, 40)}")
        if name == "track":
            raise FileFormatError("expected CVAT for images; got a video with tracks. Export it as CVAT for images 1.1")
        if name == "image":
            picture = attributes.get("name", "")
            self._shapes = []
            self.pictures.append((picture, (attributes, self._shapes)))
            if not self._request.means(picture):
                self._shapes = None
        elif self._shapes is not None and name in _WITHOUT_AREA:
            raise FileFormatError(f"expected shapes with an area; got a {name}. Redraw it as a polygon or delete it")
        elif self._shapes is not None and name in _SHAPES:
            self._shapes.append((name, attributes))

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name == "image":
            self._shapes = None


def _draw(drawing: DrawnLevels, kind: str, shape: dict[str, str], level: int) -> None:
    def at(name: str) -> float:
        return number(shape.get(name), f"{name} of a {kind}")

    turn = number(shape.get("rotation", 0), "rotation")
    if kind == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
        if any(len(pair) != 2 for pair in pairs):
            raise FileFormatError("expected the points of a polygon as x,y;x,y;…; got something else")
        drawing.polygon([(number(x, "x of a point"), number(y, "y of a point")) for x, y in pairs], level)
    elif kind == "box":
        drawing.box(at("xtl"), at("ytl"), at("xbr"), at("ybr"), level, turn)
    elif kind == "ellipse":
        drawing.ellipse(at("cx"), at("cy"), at("rx"), at("ry"), level, turn)
    else:
        left, top, width, height = (whole(shape.get(name), name) for name in ("left", "top", "width", "height"))
        if width * height > drawing.levels.size:
            raise FileFormatError(f"expected a mask within the picture; got one of {width}×{height} pixels")
        counts = [whole(count, "a run") for count in shape.get("rle", "").split(",")]
        drawing.patch(runs(counts, width * height).reshape(height, width), top, left, level)


PLUGIN = Cvat
