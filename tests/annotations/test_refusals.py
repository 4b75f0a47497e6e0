"""Each tool's form: what is refused, hostile or only unusable."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.annotation_files import (
    HEIGHT,
    WIDTH,
    brush,
    coco,
    cvat,
    label_studio,
    labelme,
    labelme_mask,
    marked,
    png,
    region,
    shape,
)
from support.annotation_forms import BLOCK, BOX, SAME, read_form

from blackbox_conformal.annotations import foreign_files
from blackbox_conformal.annotations.formats.coco import Coco
from blackbox_conformal.annotations.formats.cvat import Cvat
from blackbox_conformal.annotations.formats.format import ImportRequest
from blackbox_conformal.annotations.formats.label_studio import LabelStudio
from blackbox_conformal.annotations.formats.labelme import Labelme
from blackbox_conformal.annotations.formats.png import Png
from blackbox_conformal.errors import FileFormatError, UsageError


def _palette():
    out = io.BytesIO()
    Image.fromarray(marked(BOX)).convert("P").save(out, "PNG")
    return out.getvalue()


REFUSED = {
    "labelme line": (Labelme(), labelme(shape("line", [[1, 1], [5, 5]])), "line with 2 points"),
    "labelme point": (Labelme(), labelme(shape("point", [[1, 1]])), "shapes with an area"),
    "labelme circle of three": (Labelme(), labelme(shape("circle", [[1, 1]] * 3)), "circle with 3 points"),
    "labelme no size": (Labelme(), labelme(imageHeight=None), "finite number as height"),
    "labelme no shapes": (Labelme(), labelme(shapes={}), "expected a list of shapes; got dict"),
    "labelme NaN": (Labelme(), labelme(shape("polygon", [[float("nan"), 1]])), "NaN is no number"),
    "labelme huge": (Labelme(), labelme(shape("polygon", [[1e308, 1], [2, 2]])), "finite points"),
    "labelme huge circle": (Labelme(), labelme(shape("circle", [[1e308, 1], [-1e308, 2]])), "finite points"),
    "cvat unknown encoding": (Cvat(), b'<?xml version="1.0" encoding="nonsense"?><annotations/>', "CVAT's XML"),
    "labelme infinite": (
        Labelme(),
        labelme(shape("polygon", [["#", 1], [2, 2]])).replace('"#"', "1e999"),
        "finite number as x",
    ),
    "labelme three coordinates": (Labelme(), labelme(shape("polygon", [[1, 1, 1]])), "two coordinates; got 3"),
    "labelme mask of another size": (
        Labelme(),
        labelme(shape("mask", [[3, 5], [9, 12]], mask=labelme_mask(BLOCK[:5]))),
        "expected a mask of the size of its box, 7×8; got 7×5",
    ),
    "labelme mask outside": (
        Labelme(),
        labelme(shape("mask", [[30, 5], [36, 11]], mask=labelme_mask(BLOCK))),
        "expected a mask within 32×24",
    ),
    "labelme mask too large": (
        Labelme(),
        labelme(shape("mask", [[0, 0], [3999, 3999]], mask=labelme_mask(np.zeros((4000, 4000), bool)))),
        "PNG in base64; .*pixels",
    ),
    "labelme mask no text": (Labelme(), labelme(shape("mask", [[3, 5], [9, 11]])), "base64 text; got NoneType"),
    "labelme mask no base64": (
        Labelme(),
        labelme(shape("mask", [[3, 5], [9, 11]], mask="%%%")),
        "it is no base64",
    ),
    "labelme mask no picture": (
        Labelme(),
        labelme(shape("mask", [[3, 5], [9, 11]], mask="AAAA")),
        "expected a PNG, JPEG",
    ),
    "json nested": (Labelme(), "[" * 100_000, "nested too deeply"),
    "json list": (Labelme(), "[]", "expected an object as a labelme file; got list"),
    "json broken": (Coco(), '{"images": [', "expected a JSON document"),
    "json not text": (Coco(), b"\xff\xfe\x00", "expected a JSON document"),
    "json long number": (Coco(), '{"images": ' + "9" * 5000 + "}", "expected a JSON document"),
    "cvat bomb": (
        Cvat(),
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbb">]><annotations>&b;</annotations>',
        "without a document type",
    ),
    "cvat deep": (Cvat(), "<annotations>" + "<a>" * 1000, "nested deeper"),
    "cvat broken": (Cvat(), "<annotations><image", "expected CVAT's XML"),
    "cvat other": (Cvat(), "<kml></kml>", r"expected CVAT's XML \(annotations\); got kml"),
    "cvat video": (Cvat(), "<annotations><track/></annotations>", "got a video with tracks"),
    "cvat polyline": (Cvat(), cvat('<polyline label="w" points="1,1;2,2"/>'), "got a polyline"),
    "cvat points": (Cvat(), cvat('<polygon label="w" points="1,1;2"/>'), "x,y;x,y"),
    "cvat no points": (Cvat(), cvat('<polygon label="w"/>'), "x,y;x,y"),
    "cvat NaN": (Cvat(), cvat('<box label="w" xtl="nan" ytl="1" xbr="3" ybr="3"/>'), "finite number as xtl of a box"),
    "cvat missing": (Cvat(), cvat('<box label="w" ytl="1" xbr="3" ybr="3"/>'), "finite number as xtl of a box"),
    "cvat short runs": (
        Cvat(),
        cvat('<mask label="w" rle="1,2" left="0" top="0" width="3" height="3"/>'),
        "add up to 9 pixels; got 3",
    ),
    "cvat long runs": (
        Cvat(),
        cvat('<mask label="w" rle="1,2000000000" left="0" top="0" width="3" height="3"/>'),
        "add up to 9 pixels",
    ),
    "cvat huge mask": (
        Cvat(),
        cvat('<mask label="w" rle="0" left="0" top="0" width="99999" height="99999"/>'),
        "expected a mask within the picture",
    ),
    "cvat negative": (
        Cvat(),
        cvat('<mask label="w" rle="9" left="-1" top="0" width="3" height="3"/>'),
        "whole number >= 0 as left",
    ),
    "coco other order": (
        Coco(),
        coco({"segmentation": {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}}),
        r"expected a mask of size \[24, 32\]",
    ),
    "coco runs": (
        Coco(),
        coco({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [1, 2]}}),
        "add up to 768 pixels; got 3",
    ),
    "coco odd": (Coco(), coco({"segmentation": [[1, 2, 3]]}), "odd number of coordinates"),
    "coco nothing": (Coco(), coco({"segmentation": []}), "expected a list of x, y, width, height"),
    "coco text": (Coco(), coco({"segmentation": "cat"}), "expected a list of polygons; got str"),
    "label studio keypoint": (LabelStudio(), label_studio(region("keypoint", {"x": 1, "y": 1})), "keypointlabels"),
    "label studio turned": (
        LabelStudio(),
        label_studio(region("brush", {"rle": []}, image_rotation=90)),
        "turned while annotating",
    ),
    "label studio bytes": (LabelStudio(), label_studio(region("brush", {"rle": [256]})), "bytes of 0 to 255"),
    "label studio cut": (LabelStudio(), label_studio(region("brush", {"rle": brush(marked(BOX))[:9]})), "cut off"),
    "label studio huge": (
        LabelStudio(),
        label_studio(region("brush", {"rle": [255] * 20})),
        "expected a brush region of 3072 values",
    ),
    "label studio long run": (
        LabelStudio(),
        label_studio(region("brush", {"rle": [0, 0, 12, 0, 57, 27, 255, 255, 255, 255, 255, 255, 0]})),
        "runs are longer",
    ),
    "label studio other format": (
        LabelStudio(),
        label_studio(region("brush", {"format": "mask", "rle": []})),
        "as rle",
    ),
    "label studio not annotated": (LabelStudio(), label_studio(annotations=None), "expected a list of annotations"),
    "png of classes": (Png(), png((marked(BOX) > 0).astype(np.uint8)), "class numbers"),
    "png in colour": (Png(), png(np.dstack([marked(BOX), marked(), marked()])), "coloured"),
    "png with palette": (Png(), _palette(), "palette"),
    "png of 16 bits": (Png(), png(marked(BOX).astype(np.uint16)), "8 bits"),
    "png too large": (Png(), png(np.zeros((5000, 5000), np.uint8)), "pixels"),
    "png cut": (Png(), png(marked(BOX))[:-20], "truncated or damaged"),
    "png empty": (Png(), b"", "the file is empty"),
    "png as text": (Png(), "hello", "expected a PNG"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_hostile_and_unusable_files_are_refused(tmp_path, form):
    importer, content, message = REFUSED[form]
    with pytest.raises(FileFormatError, match=message):
        read_form(importer, tmp_path, content)


def test_large_files_are_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign_files.read_bytes, "__defaults__", (100,))
    with pytest.raises(FileFormatError, match="expected at most 100 bytes"):
        read_form(Png(), tmp_path, png(marked(BOX)) + b"x" * 100)
    with pytest.raises(FileFormatError, match="expected a file"):
        foreign_files.read_bytes(tmp_path / "missing")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.sampled_from([Labelme(), Cvat(), Coco(), LabelStudio(), Png()]))
def test_noise_is_refused(tmp_path_factory, data, importer):
    path = tmp_path_factory.mktemp("noise") / "x"
    path.write_bytes(data)
    with pytest.raises((FileFormatError, UsageError)):
        importer.read(ImportRequest(path, frozenset({"photo"}), (HEIGHT, WIDTH), lambda _: 255))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.floats(-3, 40)
    | st.sampled_from(["photo.png", "polygon", "w"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(json_values, st.data())
@pytest.mark.parametrize("form", [form for form in SAME if not form.startswith(("png", "cvat"))])
def test_documents_with_one_odd_value_are_read_or_refused(tmp_path_factory, form, odd, data):
    importer, content = SAME[form]
    document = json.loads(content)
    place, key = {"": document}, ""
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.integers(0, 5)):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = odd
    path = tmp_path_factory.mktemp("odd") / "x"
    path.write_text(json.dumps(document if key != "" else odd))
    try:
        found = importer.read(ImportRequest(path, frozenset({"photo"}), (HEIGHT, WIDTH), lambda _: 255))
    except (FileFormatError, UsageError):
        return
    assert found.shape == (HEIGHT, WIDTH)
