"""What is exported is read back as it was, to the pixel, and shapes become exact pixels."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from support.annotation_files import marked, pictures, png

from blackbox_conformal.annotations import export_annotations, import_annotations
from blackbox_conformal.annotations.annotation_file import Origin, read_annotation, write_annotation
from blackbox_conformal.annotations.convert import _level, read_format
from blackbox_conformal.annotations.formats import coco as shapes
from blackbox_conformal.annotations.formats.coco import DrawnLevels, runs
from blackbox_conformal.annotations.formats.format import Marked, level_named
from blackbox_conformal.errors import FileFormatError, UsageError
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


places = st.tuples(st.floats(-10, 42), st.floats(-10, 34))


def _drawn(points, size=(24, 32)):
    found = DrawnLevels(size)
    found.polygon(points, 255)
    return found.levels > 0


def _inside(points, x, y):
    """Even-odd rule, one ray to the right."""
    odd = False
    for (a, b), (c, d) in zip(points, points[1:] + points[:1], strict=True):
        if (b > y) != (d > y) and x < a + (y - b) * (c - a) / (d - b):
            odd = not odd
    return odd


def _distance(points, x, y):
    """From a point to the outline."""
    found = math.inf
    for (a, b), (c, d) in zip(points, points[1:] + points[:1], strict=True):
        length = (c - a) ** 2 + (d - b) ** 2
        t = 0.0 if length == 0 else min(max(((x - a) * (c - a) + (y - b) * (d - b)) / length, 0), 1)
        found = min(found, math.hypot(x - a - t * (c - a), y - b - t * (d - b)))
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(places, min_size=1, max_size=6))
@example([(0.0, 2.0), (-0.5, 0.0)])
def test_centres_inside_are_marked_and_nothing_beyond_the_outline(points):
    try:
        found = _drawn(points)
    except FileFormatError:
        found = np.zeros((24, 32), bool)
    for y, x in np.ndindex(24, 32):
        if _distance(points, x + 0.5, y + 0.5) > 1e-9 and _inside(points, x + 0.5, y + 0.5):
            assert found[y, x]
        if found[y, x]:
            assert _inside(points, x + 0.5, y + 0.5) or _distance(points, x + 0.5, y + 0.5) <= math.sqrt(0.5) + 1e-6


@pytest.mark.parametrize("box", [(3, 5, 10, 12), (0, 0, 32, 24), (31, 23, 32, 24), (7, 7, 8, 20)])
def test_a_box_on_the_lines_between_pixels_is_exact(box):
    found = DrawnLevels((24, 32))
    found.box(*box, 255)
    np.testing.assert_array_equal(found.levels, marked(box))


def test_a_box_within_pixels_marks_all_it_touches():
    found = DrawnLevels((24, 32))
    found.box(3.2, 5.7, 9.1, 11.5, 255)
    np.testing.assert_array_equal(found.levels, marked((3, 5, 10, 12)))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(4.3, 5.2)], [(5, 4)]),
        ([(4, 5)], [(5, 4)]),
        ([(4.1, 5.5), (6.9, 5.5)], [(5, 4), (5, 5), (5, 6)]),
        ([(4.4, 5.4), (4.6, 5.4), (4.5, 5.45)], [(5, 4)]),
        ([(4.5, 5.5)] * 5, [(5, 4)]),
    ],
)
def test_degenerate_shapes_are_not_lost(points, expected):
    assert list(zip(*(found.tolist() for found in np.nonzero(_drawn(points))), strict=True)) == expected


def test_holes_by_the_even_odd_rule():
    ring = [(2, 2), (20, 2), (20, 20), (2, 20), (2, 2), (8, 8), (8, 14), (14, 14), (14, 8), (8, 8)]
    found = _drawn(ring)
    assert found[4, 4]
    assert not found[11, 12]


def test_turned_boxes():
    upright, lying = DrawnLevels((60, 60)), DrawnLevels((60, 60))
    upright.box(25, 10, 35, 50, 255)
    lying.box(10, 25, 50, 35, 255, degrees=90)
    assert (upright.levels != lying.levels).sum() <= 100
    clockwise = DrawnLevels((60, 60))
    clockwise.box(30, 28, 58, 32, 255, degrees=45)
    assert (clockwise.levels[38, 52], clockwise.levels[22, 52]) == (255, 0)


def test_the_largest_level_counts_where_shapes_overlap():
    found = DrawnLevels((24, 32))
    found.box(0, 0, 10, 10, 200)
    found.box(5, 5, 15, 15, 100)
    assert (found.levels[7, 7], found.levels[12, 12]) == (200, 100)


SENSELESS = [[], [(math.nan, 3)], [(3, math.inf)], [(1e9, 3), (3, 3)], [(-5, -5), (-3, -5), (-3, -3)]]


@pytest.mark.parametrize("points", [*SENSELESS, [(40, 3), (50, 9), (44, 9)]])
def test_shapes_that_cannot_be_meant_are_refused(points):
    with pytest.raises(FileFormatError, match="expected"):
        _drawn(points)


def test_patches_stay_within_the_picture():
    found = DrawnLevels((24, 32))
    found.patch(np.ones((24, 32), bool), 0, 0, 9)
    assert (found.levels == 9).all()
    for top, left in ((-1, 0), (0, 1), (23, 0)):
        with pytest.raises(FileFormatError, match="expected a mask within 32×24 pixels"):
            found.patch(np.ones((24, 32), bool), top, left, 9)


def test_endless_work_is_refused(monkeypatch):
    monkeypatch.setattr(shapes, "LARGEST_WORK", 6_000_000)
    found = DrawnLevels((24, 32))
    for _ in range(10):
        found.box(0, 0, 32, 24, 255)
    with pytest.raises(FileFormatError, match="would take too long"):
        [found.box(0, 0, 32, 24, 255) for _ in range(20)]


def test_runs():
    assert runs([2, 1, 0, 3], 6).tolist() == [False, False, True, True, True, True]
    for counts in ([2, 1], [7], [-1, 7], [3, -1, 4], [2**62, 6]):
        with pytest.raises(FileFormatError, match="add up to 6"):
            runs(counts, 6)
