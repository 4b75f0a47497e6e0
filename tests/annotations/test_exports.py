"""What is exported is read back as it was, to the pixel, in every format."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from support.annotation_files import marked, pictures, png

from blackbox_conformal.annotations import export_annotations, import_annotations
from blackbox_conformal.annotations.annotation_file import Origin, read_annotation, write_annotation
from blackbox_conformal.annotations.convert import _level, read_format
from blackbox_conformal.annotations.formats.format import Marked, level_named
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support import catalog

FORMATS = ("coco", "png")
LEVELS = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=13),
    elements=st.sampled_from([0, 0, 1, 26, 128, 254, 255]),
)


def written(form, *named):
    files = catalog.load("annotations.formats", form).write([Marked(name, levels) for name, levels in named])
    return list(files.items())


@pytest.mark.parametrize("form", FORMATS)
@settings(deadline=None, max_examples=60)
@given(LEVELS)
def test_random_levels_come_back(tmp_path_factory, form, levels):
    if form == "png" and levels.max() == 1:
        return
    [(name, content)] = written(form, ("photo.png", levels))
    path = tmp_path_factory.mktemp("export") / name
    path.write_bytes(content)
    np.testing.assert_array_equal(read_format(form, path, frozenset({"photo"}), levels.shape), levels)


@pytest.mark.parametrize("form", FORMATS)
def test_holes_detached_parts_and_a_large_picture_come_back(tmp_path, form):
    y, x = np.mgrid[:700, :900]
    rings = np.hypot(x - 450, y - 350).astype(int)
    levels = np.where(rings % 80 < 40, 255, 0).astype(np.uint8)
    levels[:40, :40] = 128
    levels[699, 899] = 26
    levels[np.random.default_rng(0).random(levels.shape) < 0.01] = 77
    [(name, content)] = written(form, ("photo.png", levels))
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(read_format(form, tmp_path / name, frozenset({"photo"}), levels.shape), levels)


@pytest.mark.parametrize("form", FORMATS)
def test_several_pictures_and_nothing_marked(tmp_path, form):
    levels = [marked((1, 2, 3, 4)), marked(), marked((0, 0, 32, 24))]
    files = written(form, *((f"{name}.png", each) for name, each in zip("abc", levels, strict=True)))
    for name, content in files:
        (tmp_path / name).write_bytes(content)
    source = tmp_path if len(files) > 1 else tmp_path / files[0][0]
    for name, each in zip("abc", levels, strict=True):
        np.testing.assert_array_equal(read_format(form, source, frozenset(name), each.shape), each)


@pytest.mark.parametrize("form", FORMATS)
def test_from_the_folder_to_a_file_and_back(tmp_path, form):
    truth, delivered = pictures()
    (tmp_path / "truth.png").write_bytes(png(truth))
    (tmp_path / "photo.png").write_bytes(png(delivered))
    levels = marked((3, 5, 10, 12)) // 2
    write_annotation(tmp_path / "from", truth, delivered, levels, Origin("one", "2026-03-01", "test"))
    pair = (tmp_path / "truth.png", tmp_path / "photo.png")
    [file] = export_annotations([pair], form, tmp_path / "from", tmp_path / "out")
    import_annotations(file, form, *pair, tmp_path / "to")
    np.testing.assert_array_equal(read_annotation(tmp_path / "to", truth, delivered), levels)
    with pytest.raises(UsageError, match="expected names of pictures that are given as arrays"):
        export_annotations([(truth, delivered)], form, tmp_path / "from", tmp_path / "out")
    with pytest.raises(UsageError, match="expected a different name for each of 2"):
        export_annotations([pair, pair], form, tmp_path / "from", tmp_path / "out")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["n" * 200, 'a&b"<é>', "\udcff"])
def test_names_come_back_and_those_that_no_file_can_have_are_refused(tmp_path, form, name):
    truth, delivered = pictures()
    write_annotation(tmp_path / "from", truth, delivered, marked((3, 5, 10, 12)), Origin("one", "2026-03-01", "test"))
    export = partial(export_annotations, [(truth, delivered)], form, tmp_path / "from", tmp_path / "out")
    [file] = export(names=[f"{name}.png"])
    import_annotations(file, form, truth, delivered, tmp_path / "to", image=name)
    np.testing.assert_array_equal(read_annotation(tmp_path / "to", truth, delivered), marked((3, 5, 10, 12)))
    with pytest.raises(UsageError, match=r"expected names that files can have; got \\ud800.png"):
        export(names=["\ud800.png"])


def test_a_png_of_class_numbers_is_not_written():
    with pytest.raises(UsageError, match="expected a level above 1 somewhere"):
        written("png", ("photo.png", np.ones((2, 2), np.uint8)))


def test_labels_stand_for_levels_unless_grades_are_given():
    for label in ("level-0", "level-256", "level-", "level-1x", "level-١", "wrong", ""):
        assert level_named(label) is None
        assert _level(None, label) == 255
    assert (level_named("level-128"), _level({"level-128": 0.1}, "level-128")) == (128, 26)
    with pytest.raises(UsageError, match="expected a grade for every label"):
        partial(_level, {"wrong": 1.0})("level-128")
