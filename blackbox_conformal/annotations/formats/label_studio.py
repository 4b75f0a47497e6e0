"""Annotations of Label Studio: its JSON export, with brush strokes, polygons, rectangles and ellipses.

A brush region is a bit stream of RGBA values in runs (`brush_values`), not COCO's; other shapes are in per cent.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.annotations.annotation_file import Levels
from blackbox_conformal.annotations.foreign_files import entries, fields, number, objects, read_json, whole
from blackbox_conformal.annotations.formats._shapes import DrawnLevels, run_lengths
from blackbox_conformal.annotations.formats.format import Format, ImportRequest, Marked
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.support.text import printable

_WITHOUT_AREA = frozenset({"choices", "textarea", "rating", "number", "taxonomy", "datetime"})
_GEOMETRY = {"rle": "brush", "points": "polygon", "radiusX": "ellipse", "width": "rectangle"}
"""What a region holds only if it is of that shape."""


class LabelStudio(Format):
    """Label Studio's JSON export, with one finished annotation of the picture."""

    def read(self, request: ImportRequest) -> Levels:
        document = read_json(request.file(".json"))
        tasks = objects(document if isinstance(document, list) else [document], "tasks", "a task")
        task = request.choose((_name(task, request), task) for task in tasks)
        annotations = objects(task.get("annotations"), "annotations", "an annotation")
        finished = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
        if len(finished) != 1:
            raise FileFormatError(
                f"expected one finished annotation of the picture; got {len(finished)}. Export the one that counts"
            )
        drawing = DrawnLevels(request.size)
        regions = objects(finished[0].get("result"), "regions", "a region")
        for region, labels in _labelled([region for region in regions if str(region.get("type")) not in _WITHOUT_AREA]):
            _draw(drawing, region, labels, request)
        return drawing.levels

    def write(self, pictures: Sequence[Marked]) -> Mapping[str, bytes]:
        """As `Format.write`: one file; a picture has one annotation, in which each level is one brush region.

        What belongs together but does not touch stays one region, which is no second annotation.
        """
        tasks = []
        for number_of_task, picture in enumerate(pictures, 1):
            height, width = picture.levels.shape
            result = [
                {
                    "id": label,
                    "type": "brushlabels",
                    "from_name": "difference",
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {"format": "rle", "rle": list(brush_bytes(marked)), "brushlabels": [label]},
                }
                for label, marked in picture.by_label()
            ]
            tasks.append({"id": number_of_task, "data": {"image": picture.name}, "annotations": [{"result": result}]})
        return {"label-studio.json": json.dumps(tasks).encode()}


def _labelled(regions: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each shape once, with its labels.

    Where shape and label are controls of their own, a region is written twice under one id: as the shape, and as
    ``labels`` with the same geometry. Either may be missing.
    """
    shapes = [region for region in regions if region.get("type") != "labels"]
    drawn = {str(shape["id"]) for shape in shapes if "id" in shape}
    labels_by_id: dict[str, list[str]] = {}
    for region in regions:
        if region.get("type") != "labels":
            continue
        value = fields(region.get("value"), "the value of a region")
        labels = [str(label) for label in entries(value.get("labels"), "labels")]
        if str(region.get("id")) in drawn:
            labels_by_id.setdefault(str(region.get("id")), []).extend(labels)
            continue
        kind = next((kind for name, kind in _GEOMETRY.items() if name in value), None)
        if kind is None:
            raise FileFormatError("expected labels of a shape; got labels without a shape. Draw one, or delete them")
        yield {**region, "type": kind}, labels
    for shape in shapes:
        kind = str(shape.get("type")).removesuffix("labels")
        value = fields(shape.get("value"), "the value of a region")
        labels = [str(label) for label in entries(value.get(f"{kind}labels") or [], "labels")]
        yield shape, labels + labels_by_id.get(str(shape.get("id")), [])


def brush_values(data: bytes, count: int) -> NDArray[np.uint8]:
    """The values of a brush region: (count,) uint8.

    The stream, highest bit first: 32 bits number of values; 5 bits word size less 1; four times 4 bits size of a
    length less 1. Then blocks: 1 bit whether one value is repeated; 2 bits which of the four sizes; the length less 1
    in that many bits; the one value, or all of them.

    Raises
    ------
    FileFormatError
        It is no such stream, or of another number of values; told before anything is allocated.
    """
    stream = _Bits(data)
    total, word = stream.take(32), stream.take(5) + 1
    if total != count or word != 8:
        raise FileFormatError(
            f"expected a brush region of {count} values of 8 bits (RGBA of every pixel); got {total} of {word} bits"
        )
    sizes = [stream.take(4) + 1 for _ in range(4)]
    out = np.empty(count, np.uint8)
    filled = 0
    while filled < count:
        repeated = stream.take(1)
        length = stream.take(sizes[stream.take(2)]) + 1
        if filled + length > count:
            raise FileFormatError("expected a brush region of its stated size; its runs are longer. Export it again")
        if repeated:
            out[filled : filled + length] = stream.take(8)
        else:
            out[filled : filled + length] = np.frombuffer(stream.take(8 * length).to_bytes(length), np.uint8)
        filled += length
    return out


_SIZES = (4, 8, 12, 16)
"""Bits in which lengths of runs are written; the longest run is 65,536 values."""


def brush_bytes(marked: NDArray[np.bool_]) -> bytes:
    """A brush region with 255 in all four values of the marked pixels, as the stream that `brush_values` reads."""
    bits = [f"{4 * marked.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for index, pixels in enumerate(run_lengths(marked.reshape(-1))):
        value, left = "1" * 8 if index % 2 else "0" * 8, 4 * pixels
        while left:
            length = min(left, 1 << _SIZES[-1])
            which = next(k for k, size in enumerate(_SIZES) if length <= 1 << size)
            bits.append(f"1{which:02b}{length - 1:0{_SIZES[which]}b}{value}")
            left -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)


class _Bits:
    """Bits of bytes, highest first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        """The next `count` bits as a number."""
        end = self._at + count
        last = (end + 7) // 8
        if last > len(self._data):
            raise FileFormatError("expected a whole brush region; it is cut off. Export it again")
        number = int.from_bytes(self._data[self._at // 8 : last]) >> (8 * last - end)
        self._at = end
        return number & ((1 << count) - 1)


def _name(task: dict[str, Any], request: ImportRequest) -> str:
    """What the task calls its picture; of several texts the one that is asked for."""
    data = task.get("data")
    texts = [text for text in (data.values() if isinstance(data, dict) else ()) if isinstance(text, str)]
    texts += [text for text in [task.get("file_upload")] if isinstance(text, str)]
    meant = [text for text in texts if request.means(text)]
    return (meant or texts or [""])[0]


def _draw(drawing: DrawnLevels, region: dict[str, Any], labels: list[str], request: ImportRequest) -> None:
    kind = str(region.get("type")).removesuffix("labels")
    value = fields(region.get("value"), "the value of a region")
    if number(region.get("image_rotation", 0), "image_rotation") != 0:
        raise FileFormatError("expected an annotation of the picture as it is; it was turned while annotating")
    request.require_size(region.get("original_height"), region.get("original_width"))
    level = max(request.level(label) for label in labels or [""])
    height, width = request.size

    def per_cent(name: str, of: int) -> float:
        return number(value.get(name), name) / 100 * of

    turn = number(value.get("rotation", 0), "rotation")
    if kind == "brush":
        drawing.patch(_brush(value, request.size), 0, 0, level)
    elif kind == "polygon":
        points = [entries(point, "two coordinates") for point in entries(value.get("points"), "points")]
        if any(len(point) != 2 for point in points):
            raise FileFormatError("expected points of two coordinates; got others. Export it again")
        drawing.polygon([(number(x, "x") / 100 * width, number(y, "y") / 100 * height) for x, y in points], level)
    elif kind == "rectangle":
        left, top = per_cent("x", width), per_cent("y", height)
        across, down = per_cent("width", width), per_cent("height", height)
        # Label Studio turns a rectangle about its top left corner.
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        corners = [(0.0, 0.0), (across, 0.0), (across, down), (0.0, down)]
        drawing.polygon([(left + c * x - s * y, top + s * x + c * y) for x, y in corners], level)
    elif kind == "ellipse":
        centre = per_cent("x", width), per_cent("y", height)
        drawing.ellipse(*centre, per_cent("radiusX", width), per_cent("radiusY", height), level, turn)
    else:
        raise FileFormatError(
            f"expected brush, polygon, rectangle or ellipse regions; got {printable(str(region.get('type')), 40)}. "
            "Redraw it with a brush or delete it"
        )


def _brush(value: dict[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a brush region is not fully transparent: (H, W) bool."""
    if value.get("format", "rle") != "rle":
        raise FileFormatError(f"expected brush regions as rle; got {printable(str(value.get('format')), 40)}")
    values = [whole(byte, "a byte of a brush region") for byte in entries(value.get("rle"), "bytes")]
    if max(values, default=0) > 255:
        raise FileFormatError("expected bytes of 0 to 255 in a brush region; got larger ones. Export it again")
    height, width = size
    channels = brush_values(bytes(values), 4 * height * width).reshape(height, width, 4)
    return channels[:, :, 3] > 0


PLUGIN = LabelStudio
