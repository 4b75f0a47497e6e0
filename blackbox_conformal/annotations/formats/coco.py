"""Annotations in COCO's JSON, as CVAT and others export them: polygons, and runs down the columns of the picture.

Runs come as a list of lengths or as COCO's compressed text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.annotations.annotation_file import Levels
from blackbox_conformal.annotations.foreign_files import entries, fields, number, objects, read_json, whole
from blackbox_conformal.annotations.formats._shapes import DrawnLevels, box_of, run_lengths, runs
from blackbox_conformal.annotations.formats.format import Format, ImportRequest, Marked, level_named
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.support.text import printable


class Coco(Format):
    """COCO's JSON: polygons, and runs down the columns of the picture, as a list or compressed; else the box."""

    def read(self, request: ImportRequest) -> Levels:
        document = fields(read_json(request.file(".json")), "a COCO file")
        images = objects(document.get("images"), "images", "an image")
        image = request.choose((str(image.get("file_name", "")), image) for image in images)
        request.require_size(image.get("height"), image.get("width"))
        categories = objects(document.get("categories", []), "categories", "a category")
        labels = {str(category.get("id")): str(category.get("name")) for category in categories}
        listed = {str(listed_image.get("id")) for listed_image in images if listed_image.get("id") is not None}
        drawing = DrawnLevels(request.size)
        for annotation in objects(document.get("annotations"), "annotations", "an annotation"):
            # Some tools write numbers in the one place and text in the other.
            owner = str(annotation.get("image_id"))
            if owner not in listed:
                raise FileFormatError(
                    f"expected annotations of the file's images; got one of image {printable(owner, 40)}, which the "
                    "file does not list. Export it again"
                )
            if owner == str(image.get("id")):
                level = request.level(labels.get(str(annotation.get("category_id")), ""))
                _draw(drawing, annotation, level)
        return drawing.levels

    def write(self, pictures: Sequence[Marked]) -> Mapping[str, bytes]:
        """As `Format.write`: one file; each level of a picture is one crowd annotation of runs."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        categories: dict[int, str] = {}
        for picture in pictures:
            height, width = picture.levels.shape
            images.append({"id": len(images) + 1, "file_name": picture.name, "height": height, "width": width})
            for label, marked in picture.by_label():
                category = level_named(label) or 0
                categories[category] = label
                top, left, bottom, right = box_of(marked)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": len(images),
                        "category_id": category,
                        "iscrowd": 1,
                        "area": int(marked.sum()),
                        "bbox": [left, top, right - left, bottom - top],
                        "segmentation": {"size": [height, width], "counts": run_lengths(marked.T.reshape(-1))},
                    }
                )
        listed = [{"id": category, "name": label} for category, label in sorted(categories.items())]
        document = {"images": images, "categories": listed, "annotations": annotations}
        return {"coco.json": json.dumps(document).encode()}


def compressed_runs(text: str) -> list[int]:
    """Lengths of runs from COCO's compressed text.

    Each character, less 48, is six bits: five bits of a number, lowest first, and one that says whether more follow.
    The last five bits of a number carry its sign. From the fourth on, a number is the difference to the length two
    before.

    Raises
    ------
    FileFormatError
        It is no such text.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 35:
            raise FileFormatError("expected compressed runs of COCO; got other characters. Export it again")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise FileFormatError("expected whole compressed runs of COCO; the last is cut off. Export it again")
    return lengths


def _draw(drawing: DrawnLevels, annotation: dict[str, Any], level: int) -> None:
    outline = annotation.get("segmentation")
    # CVAT writes a turned box as the box before the turn, and the angle beside it.
    extra = annotation.get("attributes")
    turn = number(extra.get("rotation", 0), "rotation") if isinstance(extra, dict) else 0.0
    if outline and turn:
        raise FileFormatError(
            f"expected an outline as it lies in the picture; got one that is turned by {turn:g} degrees besides. "
            "Export it as polygons"
        )
    if isinstance(outline, dict):
        drawing.patch(_mask(outline, drawing.levels.shape), 0, 0, level)
    elif outline:
        for polygon in entries(outline, "polygons"):
            values = [number(value, "a coordinate") for value in entries(polygon, "coordinates")]
            if len(values) % 2:
                raise FileFormatError("expected x and y of every point of a polygon; got an odd number of coordinates")
            drawing.polygon(list(zip(values[::2], values[1::2], strict=True)), level)
    else:
        box = [number(value, "a side of a box") for value in entries(annotation.get("bbox"), "x, y, width, height")]
        if len(box) != 4:
            raise FileFormatError(f"expected an annotation with a segmentation or a box; got {len(box)} numbers")
        drawing.box(box[0], box[1], box[0] + box[2], box[1] + box[3], level, turn)


def _mask(outline: dict[str, Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = shape
    size = [whole(side, "a side of a mask") for side in entries(outline.get("size"), "height and width of a mask")]
    if size != [height, width]:
        raise FileFormatError(f"expected a mask of size [{height}, {width}] (height, width); got {size}")
    counts = outline.get("counts")
    if isinstance(counts, str):
        lengths = compressed_runs(counts)
    else:
        lengths = [whole(count, "a run") for count in entries(counts, "runs")]
    return np.ascontiguousarray(runs(lengths, height * width).reshape(width, height).T)


PLUGIN = Coco
