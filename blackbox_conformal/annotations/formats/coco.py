"""Annotations in COCO's JSON, as CVAT and others export them: polygons, and runs down the columns of the picture.

Runs come as a list of lengths or as COCO's compressed text. Pixel (row, column) is the square from (column, row) to
(column + 1, row + 1).
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.annotations.annotation_file import Levels, entries, fields, number, objects, read_json, whole
from blackbox_conformal.annotations.formats.format import Format, ImportRequest, Marked, level_named
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.support.text import printable

Points = Sequence[tuple[float, float]]
# Pixels that may be touched in all, so that a small file cannot keep the machine busy for minutes.
LARGEST_WORK = 2 * 10**10
CORNER_WORK = 100_000  # What one corner takes, in pixels touched.


class DrawnLevels:
    """Levels of a picture's pixels, of `size` (height, width); where shapes overlap, the largest counts.

    A pixel is marked if its centre lies inside a shape (even-odd rule) or the outline passes through it, so that thin,
    tiny and degenerate shapes are never lost.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.levels: NDArray[np.uint8] = np.zeros(size, np.uint8)
        self._work = 0

    def polygon(self, points: Points, level: int) -> None:
        """Mark a polygon with corners (x, y); with fewer than three corners, its outline."""
        corners = self._checked(points)
        low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
        high = np.minimum(np.floor(corners.max(axis=0)).astype(int) + 1, self.levels.shape[::-1])
        width, height = (int(side) for side in high - low)
        self._spend(max(width, 0) * max(height, 0) + CORNER_WORK * len(corners))
        inside = np.zeros((max(height, 0), max(width, 0) + 1), np.bool_)
        if inside.size and width > 0:
            moved = corners - low
            ends = np.roll(moved, -1, axis=0)
            # Each edge toggles one pixel of each row that it crosses. From left to right, a pixel is then inside where
            # the number of toggles so far is odd; the extra column takes those right of the box.
            for (x, y), (u, v) in zip(moved.tolist(), ends.tolist(), strict=True):
                first, last = math.ceil(min(y, v) - 0.5), math.ceil(max(y, v) - 0.5)
                rows = np.arange(max(first, 0), min(last, height))
                if rows.size:
                    columns = np.ceil(x + (rows + 0.5 - y) * ((u - x) / (v - y)) - 0.5)
                    inside[rows, np.clip(columns, 0, width).astype(int)] ^= True
            inside = np.bitwise_xor.accumulate(inside, axis=1)[:, :-1]
            self._spend(20 * int(np.abs(ends - moved).sum()))
            for (x, y), (u, v) in zip(moved.tolist(), ends.tolist(), strict=True):
                # The pixels that the edge enters; an edge between two pixels enters neither.
                steps = np.linspace(0.0, 1.0, int(4 * max(abs(u - x), abs(v - y))) + 2)
                across, along = x + (u - x) * steps, y + (v - y) * steps
                place, line = np.floor(across), np.floor(along)
                kept = (place != across) & (line != along)
                kept &= (line >= 0) & (line < height) & (place >= 0) & (place < width)
                inside[line[kept].astype(int), place[kept].astype(int)] = True
            if not inside.any():
                # All corners on the lines between pixels: the pixels right and below them.
                rows, columns = np.floor(moved[:, 1]).astype(int), np.floor(moved[:, 0]).astype(int)
                kept = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
                inside[rows[kept], columns[kept]] = True
        if not inside.any():
            raise FileFormatError("expected shapes in the picture; one marks no pixel of it. Correct or delete it")
        self.patch(inside, int(low[1]), int(low[0]), level)

    def box(self, left: float, top: float, right: float, bottom: float, level: int, degrees: float = 0.0) -> None:
        """Mark a rectangle, turned clockwise about its centre."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.polygon(_turned(corners, ((left + right) / 2, (top + bottom) / 2), degrees), level)

    def patch(self, marked: NDArray[np.bool_], top: int, left: int, level: int) -> None:
        """Mark the True pixels of an (h, w) array whose first pixel is at (top, left)."""
        bottom, right = top + marked.shape[0], left + marked.shape[1]
        height, width = self.levels.shape
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise FileFormatError(
                f"expected a mask within {width}×{height} pixels; got one from ({left}, {top}) to ({right}, {bottom})"
            )
        self._spend(marked.size)
        part = self.levels[top:bottom, left:right]
        np.maximum(part, marked * np.uint8(level), out=part)

    def _checked(self, points: Points) -> NDArray[np.float64]:
        corners = np.array(points, np.float64).reshape(-1, 2)
        height, width = self.levels.shape
        if len(corners) == 0:
            raise FileFormatError("expected at least one point of a shape; got none. Correct or delete it")
        reach = np.array([width, height], np.float64)
        if not ((corners >= -reach) & (corners <= 2 * reach)).all():
            raise FileFormatError(
                f"expected finite points not further outside than the picture of {width}×{height} pixels is large; got "
                "others. Correct or delete the shape"
            )
        return corners

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > LARGEST_WORK:
            raise FileFormatError(
                "expected fewer shapes or fewer corners; drawing these would take too long. Merge or delete some"
            )


def runs(counts: Sequence[int], size: int) -> NDArray[np.bool_]:
    """Decode lengths of runs (not marked, marked, not marked, …) to (size,) bool."""
    if min(counts, default=0) < 0 or sum(counts) != size:
        raise FileFormatError(f"expected runs that add up to {size} pixels; got {sum(counts)}. Export it again")
    marked = np.arange(len(counts)) % 2 == 1
    return np.repeat(marked, np.array(counts, np.int64))


def run_lengths(marked: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of the runs of (size,) bool, the first of them not marked; what `runs` takes."""
    changes = np.flatnonzero(np.diff(marked)) + 1
    edges = np.concatenate(([0], changes, [marked.size]))
    lengths: list[int] = np.diff(edges).tolist()
    return [0, *lengths] if marked.size and marked[0] else lengths


def _turned(points: Points, centre: tuple[float, float], degrees: float) -> Points:
    if degrees == 0:
        return points
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = centre
    return [(x + c * (px - x) - s * (py - y), y + s * (px - x) + c * (py - y)) for px, py in points]


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
                rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
                top, left = int(rows[0]), int(columns[0])
                bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
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
    """Decode lengths of runs from COCO's compressed text.

    Each character, less 48, is six bits: five of a number, lowest first, and one that says whether more follow. The
    last five bits carry the sign. From the fourth on, a number is the difference to the length two before.
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
