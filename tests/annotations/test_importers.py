"""Each tool's form: what is read."""

import numpy as np
import pytest
from support.annotation_files import HEIGHT, WIDTH, coco, marked, png
from support.annotation_forms import BOX, SAME, read_form, run_lengths

from blackbox_conformal.annotations.formats.coco import Coco, compressed_runs
from blackbox_conformal.annotations.formats.format import ImportRequest
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


@pytest.mark.parametrize(("importer", "content"), [(Coco(), coco()), (Png(), png(marked()))])
def test_nothing_marked_is_an_annotation_too(tmp_path, importer, content):
    assert not read_form(importer, tmp_path, content).any()


def test_runs_of_coco_go_down_the_columns(tmp_path):
    wanted = _stripes()
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


def test_one_of_many_pictures(tmp_path):
    images = [{"id": 7, "file_name": "photo.png", "height": HEIGHT, "width": WIDTH}, {"id": 8, "file_name": "z.png"}]
    box = {"bbox": [3, 5, 7, 7]}
    found = read_form(Coco(), tmp_path, coco(box, {"bbox": [0, 0, 9, 9], "image_id": 8}, images=images))
    np.testing.assert_array_equal(found, marked(BOX))
    with pytest.raises(UsageError, match=r"expected one picture at all .* found 2 among 2 \(photo.png, z.png"):
        read_form(Coco(), tmp_path, coco(box, images=images), names=())
    images[1]["file_name"] = "c/photo.jpg"
    with pytest.raises(UsageError, match="found 2 among 2"):
        read_form(Coco(), tmp_path, coco(box, images=images))


def test_folders_of_files(tmp_path):
    for name in ("photo", "other"):
        (tmp_path / f"{name}.json").write_text(coco({"bbox": [3, 5, 7, 7]}))
        (tmp_path / f"{name}.png").write_bytes(png(marked(BOX)))
    for importer in (Coco(), Png()):
        request = ImportRequest(tmp_path, frozenset({"photo", "elsewhere"}), (HEIGHT, WIDTH), lambda _: 255)
        np.testing.assert_array_equal(importer.read(request), marked(BOX))
        for names in ((), ("missing",), ("photo", "other")):
            with pytest.raises(UsageError, match="expected one file"):
                importer.read(ImportRequest(tmp_path, frozenset(names), (HEIGHT, WIDTH), lambda _: 255))
