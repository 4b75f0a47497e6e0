"""Each tool's form: what is refused, hostile or only unusable."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.annotation_files import HEIGHT, WIDTH, coco, marked, png
from support.annotation_forms import BOX, SAME, read_form

from blackbox_conformal.annotations import annotation_file
from blackbox_conformal.annotations.formats.coco import Coco
from blackbox_conformal.annotations.formats.format import ImportRequest
from blackbox_conformal.annotations.formats.png import Png
from blackbox_conformal.errors import FileFormatError, UsageError


def _palette():
    out = io.BytesIO()
    Image.fromarray(marked(BOX)).convert("P").save(out, "PNG")
    return out.getvalue()


REFUSED = {
    "json nested": (Coco(), "[" * 100_000, "nested too deeply"),
    "json list": (Coco(), "[]", "expected an object as a COCO file; got list"),
    "json broken": (Coco(), '{"images": [', "expected a JSON document"),
    "json not text": (Coco(), b"\xff\xfe\x00", "expected a JSON document"),
    "json long number": (Coco(), '{"images": ' + "9" * 5000 + "}", "expected a JSON document"),
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
    monkeypatch.setattr(annotation_file.read_bytes, "__defaults__", (100,))
    with pytest.raises(FileFormatError, match="expected at most 100 bytes"):
        read_form(Png(), tmp_path, png(marked(BOX)) + b"x" * 100)
    with pytest.raises(FileFormatError, match="expected a file"):
        annotation_file.read_bytes(tmp_path / "missing")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.sampled_from([Coco(), Png()]))
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
@pytest.mark.parametrize("form", [form for form in SAME if not form.startswith("png")])
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
