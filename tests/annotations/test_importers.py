"""Each tool's form: what is read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.annotation_files import HEIGHT, WIDTH, brush, coco, cvat, label_studio, labelme, marked, png, region, shape
from support.annotation_forms import BOX, SAME, read_form, run_lengths

from blackbox_conformal.annotations.formats.coco import Coco, compressed_runs
from blackbox_conformal.annotations.formats.cvat import Cvat
from blackbox_conformal.annotations.formats.format import ImportRequest
from blackbox_conformal.annotations.formats.label_studio import LabelStudio, brush_values
from blackbox_conformal.annotations.formats.labelme import Labelme
from blackbox_conformal.annotations.formats.png import Png
from blackbox_conformal.errors import FileFormatError, UsageError


def _stripes():
    levels = marked(BOX, (20, 0, 22, 24), (31, 23, 32, 24))
    return levels > 0


@pytest.mark.parametrize("form", SAME)
def test_every_form_says_the_same(tmp_path, form):
    importer, content = SAME[form]
    found = read_form(importer, tmp_path, content)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, marked(BOX))


@pytest.mark.parametrize("form", [form for form in SAME if not form.startswith("png")])
def test_labels_have_grades(tmp_path, form):
    importer, content = SAME[form]
    asked = []
    found = read_form(importer, tmp_path, content, level=lambda label: asked.append(label) or 77)
    assert asked == ["wrong"]
    assert found.max() == 77


@pytest.mark.parametrize("form", SAME)
def test_another_size_is_refused(tmp_path, form):
    importer, content = SAME[form]
    for size in ((HEIGHT, WIDTH + 1), (WIDTH, HEIGHT), (HEIGHT * 2, WIDTH * 2)):
        with pytest.raises(FileFormatError, match=r"32×24|more than|too large|pixels"):
            read_form(importer, tmp_path, content, size=size)


@pytest.mark.parametrize("form", [form for form in SAME if not form.startswith("png")])
def test_a_picture_of_another_name_is_refused(tmp_path, form):
    importer, content = SAME[form]
    with pytest.raises(UsageError, match=r"expected (one picture|annotations of) .*other.*photo.*Give image"):
        read_form(importer, tmp_path, content, names=("other",))
    assert read_form(importer, tmp_path, content, names=()).any()


@pytest.mark.parametrize(
    ("importer", "content"),
    [
        (Labelme(), labelme()),
        (Cvat(), cvat()),
        (Coco(), coco()),
        (LabelStudio(), label_studio()),
        (Png(), png(marked())),
    ],
)
def test_nothing_marked_is_an_annotation_too(tmp_path, importer, content):
    assert not read_form(importer, tmp_path, content).any()


def test_run_order_rows_in_a_box_for_cvat_and_columns_for_coco(tmp_path):
    wanted = _stripes()
    by_row = run_lengths(wanted[0:24, 3:32].reshape(-1))
    text = f'<mask label="w" rle="{", ".join(map(str, by_row))}" left="3" top="0" width="29" height="24"/>'
    np.testing.assert_array_equal(read_form(Cvat(), tmp_path, cvat(text)) > 0, wanted)
    by_column = {"size": [HEIGHT, WIDTH], "counts": run_lengths(wanted.T.reshape(-1))}
    np.testing.assert_array_equal(read_form(Coco(), tmp_path, coco({"segmentation": by_column})) > 0, wanted)


def test_compressed_runs_as_written_by_the_coco_library():
    text = "W3>60000000000000b4EiK00000000000000000G"
    levels = np.zeros((20, 30), bool)
    levels[3:17, 5:13] = levels[9:12, 20:] = True
    assert compressed_runs(text) == run_lengths(levels.T.reshape(-1))
    for broken in ("m", "m7U", "é", "\x01", "oooooooooooo"):
        with pytest.raises(FileFormatError, match="compressed runs"):
            compressed_runs(broken)


@settings(deadline=None, max_examples=40)
@given(arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 2, 128, 255])))
def test_brush_values_come_back(alpha):
    found = brush_values(bytes(brush(alpha)), 4 * 35)
    np.testing.assert_array_equal(found, np.repeat(alpha.reshape(-1), 4))


def test_a_brush_region_as_written_by_label_studio():
    data = bytes([0, 0, 0, 24, 57, 27, 252, 96, 19, 255, 206, 1, 28, 0])
    found = brush_values(data, 24).reshape(2, 3, 4)
    assert found[:, :, 3].tolist() == [[0, 255, 255], [0, 0, 128]]
    assert (found == found[:, :, :1]).all()
    for cut in range(len(data) - 1):
        with pytest.raises(FileFormatError, match=r"cut off|values of 8 bits"):
            brush_values(data[:cut], 24)
    for count in (23, 25, 4 * 10**9):
        with pytest.raises(FileFormatError, match="got 24 of 8 bits"):
            brush_values(data, count)


def test_faint_brush_strokes_count(tmp_path):
    levels = marked()
    levels[4, 6] = 3
    found = read_form(LabelStudio(), tmp_path, label_studio(region("brush", {"rle": brush(levels)})))
    assert found[4, 6] == 255
    assert found.sum() == 255


def test_label_studio_turns_rectangles_about_their_corner_and_ellipses_about_their_centre(tmp_path):
    corner = {"x": 50, "y": 25, "width": 25, "height": 25, "rotation": 90}
    found = read_form(LabelStudio(), tmp_path, label_studio(region("rectangle", corner)))
    np.testing.assert_array_equal(np.argwhere(found > 0).min(axis=0) // 2, [3, 5])
    assert found[8, 13] == 255
    assert not found[:, 17:].any()
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 30, "rotation": 0}
    found = read_form(LabelStudio(), tmp_path, label_studio(region("ellipse", ellipse)))
    assert found[12, 16] == found[6, 16] == found[17, 16] == 255
    assert not found[12, :12].any()


def test_label_studio_counts_one_finished_annotation(tmp_path):
    regions = [region("brush", {"rle": brush(marked(BOX))})]
    other = {"type": "choices", "value": {"choices": ["bad"]}}
    once = {"result": [*regions, other]}
    cancelled = {"result": [], "was_cancelled": True}
    found = read_form(LabelStudio(), tmp_path, label_studio(annotations=[cancelled, once]))
    np.testing.assert_array_equal(found, marked(BOX))
    for annotations in ([], [cancelled], [once, once]):
        with pytest.raises(FileFormatError, match="expected one finished annotation"):
            read_form(LabelStudio(), tmp_path, label_studio(annotations=annotations))


def test_labelme_circles(tmp_path):
    found = read_form(Labelme(), tmp_path, labelme(shape("circle", [[16, 12], [16, 6]])))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    radius = np.hypot(x - 16, y - 12)
    assert (found[radius < 5.9] == 255).all()
    assert (found[radius > 7] == 0).all()


def test_one_of_many_pictures(tmp_path):
    other = '<image id="1" name="b/other.jpg" width="9" height="9"><points label="w" points="1,1"/></image>'
    text = cvat('<box label="w" xtl="3" ytl="5" xbr="10" ybr="12"/>', rest=other)
    np.testing.assert_array_equal(read_form(Cvat(), tmp_path, text), marked(BOX))
    with pytest.raises(UsageError, match=r"expected one picture at all .* found 2 among 2 \(shots/photo.png, b/other"):
        read_form(Cvat(), tmp_path, cvat(rest=other.replace("points", "box")), names=())
    images = [{"id": 7, "file_name": "photo.png", "height": HEIGHT, "width": WIDTH}, {"id": 8, "file_name": "z.png"}]
    box = {"bbox": [3, 5, 7, 7]}
    found = read_form(Coco(), tmp_path, coco(box, {"bbox": [0, 0, 9, 9], "image_id": 8}, images=images))
    np.testing.assert_array_equal(found, marked(BOX))
    with pytest.raises(UsageError, match="found 2 among 2"):
        read_form(Cvat(), tmp_path, cvat(rest='<image name="c/photo.jpg" width="1" height="1"/>'))


def test_folders_of_files(tmp_path):
    for name in ("photo", "other"):
        (tmp_path / f"{name}.json").write_text(labelme(shape("rectangle", [[3, 5], [10, 12]])))
        (tmp_path / f"{name}.png").write_bytes(png(marked(BOX)))
    for importer in (Labelme(), Png()):
        request = ImportRequest(tmp_path, frozenset({"photo", "elsewhere"}), (HEIGHT, WIDTH), lambda _: 255)
        np.testing.assert_array_equal(importer.read(request), marked(BOX))
        for names in ((), ("missing",), ("photo", "other")):
            with pytest.raises(UsageError, match="expected one file"):
                importer.read(ImportRequest(tmp_path, frozenset(names), (HEIGHT, WIDTH), lambda _: 255))
