"""Annotations of labelme: one JSON file a picture, with polygons, rectangles, circles and masks.

A mask is a base64 PNG of its box, whose corner pixels are the two points.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from blackbox_conformal.annotations.annotation_file import Levels
from blackbox_conformal.annotations.foreign_files import entries, fields, number, objects, read_json
from blackbox_conformal.annotations.formats._shapes import DrawnLevels, box_of
from blackbox_conformal.annotations.formats.format import Format, ImportRequest, Marked, stem_of
from blackbox_conformal.errors import FileFormatError, ImageError, UsageError
from blackbox_conformal.method.images.encode import grey_png
from blackbox_conformal.method.images.read import ImageLimits, read_image
from blackbox_conformal.support.text import printable


class Labelme(Format):
    """labelme's JSON file of one picture, or a folder of them."""

    def read(self, request: ImportRequest) -> Levels:
        path = request.file(".json")
        document = fields(read_json(path), "a labelme file")
        name = document.get("imagePath")
        named = isinstance(name, str) and request.means(name)
        if request.names and not (named or path.stem in request.names):
            raise UsageError(
                f"expected annotations of {' or '.join(sorted(request.names))}; {printable(path)} is of "
                f"{printable(stem_of(str(name)), 60)}. Give image with that name if it is the right one"
            )
        request.require_size(document.get("imageHeight"), document.get("imageWidth"))
        drawing = DrawnLevels(request.size)
        for shape in objects(document.get("shapes"), "shapes", "a shape"):
            _draw(drawing, shape, request)
        return drawing.levels

    def write(self, pictures: Sequence[Marked]) -> Mapping[str, bytes]:
        """As `Format.write`: one file a picture, to lie beside it; each level is one mask of its box."""
        contents = {}
        for picture in pictures:
            height, width = picture.levels.shape
            shapes: list[dict[str, Any]] = []
            for label, marked in picture.by_label():
                top, left, bottom, right = box_of(marked)
                mask = grey_png(marked[top:bottom, left:right].astype(np.uint8) * np.uint8(255))
                shapes.append(
                    {
                        "label": label,
                        "points": [[left, top], [right - 1, bottom - 1]],
                        "group_id": None,
                        "description": "",
                        "shape_type": "mask",
                        "flags": {},
                        "mask": base64.b64encode(mask).decode(),
                    }
                )
            document: dict[str, Any] = {"version": "5.8.1", "flags": {}, "shapes": shapes, "imagePath": picture.name}
            document |= {"imageData": None, "imageHeight": height, "imageWidth": width}
            contents[f"{picture.stem}.json"] = json.dumps(document, indent=1).encode()
        return contents


def _draw(drawing: DrawnLevels, shape: dict[str, Any], request: ImportRequest) -> None:
    kind = shape.get("shape_type", "polygon")
    level = request.level(str(shape.get("label", "")))
    points = [_point(entry) for entry in entries(shape.get("points"), "points")]
    if kind == "polygon" or (kind == "rectangle" and len(points) == 4):
        drawing.polygon(points, level)
    elif kind in ("rectangle", "circle", "mask") and len(points) == 2:
        (x, y), (u, v) = points
        if kind == "rectangle":
            drawing.box(x, y, u, v, level)
        elif kind == "circle":
            radius = math.hypot(u - x, v - y)
            drawing.ellipse(x, y, radius, radius, level)
        else:
            left, top, right, bottom = (int(part) for part in (min(x, u), min(y, v), max(x, u), max(y, v)))
            _patch(drawing, shape.get("mask"), (left, top, right, bottom), level)
    else:
        raise FileFormatError(
            "expected shapes with an area (polygon, rectangle, circle, mask with their points); got "
            f"{printable(str(kind), 40)} with {len(points)} points. Redraw it as a polygon or delete it"
        )


def _point(entry: Any) -> tuple[float, float]:
    coordinates = entries(entry, "two coordinates")
    if len(coordinates) != 2:
        raise FileFormatError(f"expected points of two coordinates; got {len(coordinates)}. Export it again")
    return number(coordinates[0], "x of a point"), number(coordinates[1], "y of a point")


def _patch(drawing: DrawnLevels, text: Any, box: tuple[int, int, int, int], level: int) -> None:
    left, top, right, bottom = box
    height, width = drawing.levels.shape
    if not isinstance(text, str):
        raise FileFormatError(f"expected the mask of a shape as base64 text; got {type(text).__name__}")
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
        picture = read_image(content, limits=ImageLimits(max_pixels=height * width), name="the mask of a shape")
    except (binascii.Error, ValueError) as error:
        reason = str(error) if isinstance(error, ImageError) else "it is no base64"
        raise FileFormatError(f"expected the mask of a shape as a PNG in base64; {reason}") from None
    inclusive, exclusive = (bottom - top + 1, right - left + 1), (bottom - top, right - left)
    if picture.size not in (inclusive, exclusive):
        raise FileFormatError(
            f"expected a mask of the size of its box, {inclusive[1]}×{inclusive[0]}; got "
            f"{picture.size[1]}×{picture.size[0]}. Export it again"
        )
    drawing.patch(np.asarray(picture.pixels[:, :, 0] > 0), top, left, level)


PLUGIN = Labelme
