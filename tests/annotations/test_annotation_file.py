"""Stored annotations that were moved, mixed up, edited or damaged are refused with the reason."""

import json

import pytest
from support.annotation_files import coco, pictures, png

from blackbox_conformal.annotations import import_annotations
from blackbox_conformal.annotations.annotation_file import read_annotation, read_sidecar
from blackbox_conformal.errors import CalibrationError, FileFormatError, UsageError
from blackbox_conformal.support.canonical import digest_bytes


@pytest.fixture
def stored(tmp_path):
    """The JSON file of an annotation."""
    source = tmp_path / "photo.json"
    source.write_text(coco({"bbox": [3, 5, 7, 7]}))
    return import_annotations(source, "coco", *pictures(), tmp_path / "annotations")


def _edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_another_output_is_not_annotated(stored):
    truth, _ = pictures()
    _, other = pictures(5)
    with pytest.raises(CalibrationError, match=r"annotated there for 1 other output\(s\) only"):
        read_annotation(stored.parent, truth, other)
    with pytest.raises(CalibrationError, match=r"expected an annotation of the photograph sha256:.*there is none"):
        read_annotation(stored.parent, other, truth)
    with pytest.raises(UsageError, match="expected a folder of annotations"):
        read_annotation(stored.parent / "missing", truth, other)


def test_an_annotation_under_another_ones_name_is_refused(stored):
    truth, _ = pictures()
    _, other = pictures(5)
    second = import_annotations(stored.parent.parent / "photo.json", "coco", truth, other, stored.parent)
    stored.write_bytes(second.read_bytes())
    with pytest.raises(FileFormatError, match=r"expected the annotation of output sha256.*belongs to another picture"):
        read_annotation(stored.parent, *pictures())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 25}, "expected an annotation of 32×24 pixels; got 32×25"),
        ({"version": 2}, "Upgrade blackbox-conformal"),
        ({"format": "something"}, "this is another file"),
        ({"grade": 3}, "annotation file: grade"),
        ({"reference": "sha256:abc"}, "annotation file: reference"),
        ({"height": "24"}, "annotation file: height"),
        ({"annotator": None}, "annotation file: annotator"),
        ({"date": "yesterday"}, "annotation file: date"),
        ({"mask": "sha256:" + "0" * 64}, "the PNG was changed"),
    ],
)
def test_edited_sidecars_are_refused(stored, changes, message):
    _edit(stored, **changes)
    with pytest.raises(FileFormatError, match=message):
        read_annotation(stored.parent, *pictures())


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 60_000, b'{"height": NaN}', b"\xff\xfe", b" " * 70_000])
def test_damaged_sidecars_are_refused(stored, content):
    stored.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"expected|is no number"):
        read_sidecar(stored)


def test_masks_that_do_not_fit_are_refused(stored):
    mask = stored.with_suffix(".png")
    for content, message in (
        (png(pictures()[0]), "coloured"),
        (png(pictures(height=48, width=64)[0][:, :, 0].copy()), "pixels"),
        (mask.read_bytes()[:-12], "truncated"),
        (b"GIF89a", "GIF"),
    ):
        mask.write_bytes(content)
        with pytest.raises(FileFormatError, match="the PNG was changed"):
            read_annotation(stored.parent, *pictures())
        _edit(stored, mask=digest_bytes(content))
        with pytest.raises(FileFormatError, match=message):
            read_annotation(stored.parent, *pictures())
    mask.unlink()
    with pytest.raises(FileFormatError, match="expected a file"):
        read_annotation(stored.parent, *pictures())
