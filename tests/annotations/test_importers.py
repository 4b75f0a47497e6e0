"""Each tool's form: what is read, what is refused, and that nothing is dropped."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.annotation_files import HEIGHT, WIDTH, coco, marked, pictures, png
from support.annotation_forms import BOX, SAME, read_form, run_lengths
from support.command_line import ended
from support.mutations import mutate, mutate_text

from blackbox_conformal.annotations import annotation_file
from blackbox_conformal.annotations.formats.coco import Coco, DrawnLevels, compressed_runs
from blackbox_conformal.annotations.formats.format import ImportRequest
from blackbox_conformal.annotations.formats.png import Png
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import BlackboxConformalError, FileFormatError, UsageError


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
    assert (asked, found.max()) == (["wrong"], 77)


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


def test_an_outline_of_coco_that_is_also_turned_is_refused(tmp_path):
    outline = {"segmentation": [[3, 5, 10, 5, 10, 12, 3, 12]], "attributes": {"rotation": 30}}
    with pytest.raises(FileFormatError, match="turned by 30"):
        read_form(Coco(), tmp_path, coco(outline))
    outline["attributes"]["rotation"] = 0
    np.testing.assert_array_equal(read_form(Coco(), tmp_path, coco(outline)), marked(BOX))


def test_an_image_id_of_coco_may_be_text_and_must_be_an_images(tmp_path):
    box = {"segmentation": [], "bbox": [3, 5, 7, 7]}
    found = read_form(Coco(), tmp_path, coco({**box, "image_id": "7"}))
    np.testing.assert_array_equal(found, marked(BOX))
    with pytest.raises(FileFormatError, match="image 8, which the file does not list"):
        read_form(Coco(), tmp_path, coco({**box, "image_id": 8}))
    with pytest.raises(FileFormatError, match="does not list"):
        read_form(Coco(), tmp_path, coco({**box, "image_id": None}))


@pytest.mark.parametrize("degrees", [0, 30, 90, 137.5])
def test_a_turned_box_is_drawn_as_it_was_turned(tmp_path, degrees):
    box = {"segmentation": [], "bbox": [8, 9, 14, 6]}
    found = read_form(Coco(), tmp_path, coco({**box, "attributes": {"occluded": False, "rotation": degrees}}))
    wanted = DrawnLevels((HEIGHT, WIDTH))
    wanted.box(8, 9, 22, 15, 255, degrees)
    np.testing.assert_array_equal(found, wanted.levels)
    assert (found == read_form(Coco(), tmp_path, coco(box))).all() == (degrees == 0)


def test_a_shape_without_a_label_is_named_where_labels_are_graded(tmp_path, capsys):
    (tmp_path / "export.json").write_text(coco({"bbox": [3, 5, 7, 7], "category_id": None}))
    truth, delivered = pictures()
    (tmp_path / "photo.png").write_bytes(png(truth))
    (tmp_path / "answer.png").write_bytes(png(delivered))
    given = [str(tmp_path / "export.json"), "--format", "coco", "--folder", str(tmp_path / "annotations")]
    given += ["--truth", str(tmp_path / "photo.png"), "--delivered", str(tmp_path / "answer.png")]
    assert "one shape has none" in ended(capsys, ["annotate", "import", *given, "--grade", "wrong=0.5"], 2).err
    assert run(["annotate", "import", *given, "--grade", "wrong=0.5", "--grade", "=0.25"]) == 0
    stored = Image.open(next((tmp_path / "annotations").glob("*.png")))
    assert set(np.unique(stored)) == {0, 64}


def _palette():
    out = io.BytesIO()
    Image.fromarray(marked(BOX)).convert("P").save(out, "PNG")
    return out.getvalue()


def of_runs(size, *counts):
    return coco({"segmentation": {"size": size, "counts": counts}})


REFUSED = {
    "json nested": (Coco(), "[" * 100_000, "nested too deeply"),
    "json list": (Coco(), "[]", "expected an object as a COCO file; got list"),
    "json broken": (Coco(), '{"images": [', "expected a JSON document"),
    "json not text": (Coco(), b"\xff\xfe\x00", "expected a JSON document"),
    "json long number": (Coco(), '{"images": ' + "9" * 5000 + "}", "expected a JSON document"),
    "coco other order": (Coco(), of_runs([WIDTH, HEIGHT], HEIGHT * WIDTH), r"expected a mask of size \[24, 32\]"),
    "coco runs": (Coco(), of_runs([HEIGHT, WIDTH], 1, 2), "add up to 768 pixels; got 3"),
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


leaves = st.none() | st.booleans() | st.integers(-3, 40) | st.floats(-3, 40)
json_values = st.recursive(
    leaves | st.sampled_from(["photo.png", "polygon", "w"]),
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


MARKS = [{"segmentation": [[1, 1, 9, 1, 5, 8]]}, {"segmentation": {"size": [24, 32], "counts": [700, 68]}}]
HONEST = {"coco": (Coco(), coco(*MARKS, {"bbox": [3, 5, 7, 7]})), "png": (Png(), png(marked(BOX)))}


def damaged(content: str | bytes, rng: random.Random) -> bytes:
    if isinstance(content, bytes):
        spot = rng.randrange(len(content))
        return content[:spot] + bytes([rng.randrange(256)]) + content[spot + rng.randrange(3) :]
    if content[0] in "[{" and rng.random() < 0.7:
        try:
            return json.dumps(mutate(json.loads(content), rng, rng.choice([1, 1, 2]))[0]).encode()
        except RecursionError:
            return b"[" * 3000 + b"]" * 3000
    return mutate_text(content, rng).encode("utf-8", "surrogatepass")


def try_damage(tool: str, count: int, seed: int, folder: Path) -> dict[str, int]:
    """How many damaged files were refused and read; fails on any exception that is not ours."""
    rng = random.Random(seed)
    importer, content = HONEST[tool]
    read_form(importer, folder, content)
    found = {"refused": 0, "read": 0}
    for number in range(count):
        data = damaged(content, rng)
        try:
            read_form(importer, folder, data)
        except BlackboxConformalError:
            found["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{tool} {number}: {error!r} of {data[:3000]!r}") from error
        else:
            found["read"] += 1
    return found


@pytest.mark.parametrize("tool", HONEST)
def test_no_damage_ends_in_a_bare_exception(tool, tmp_path):
    assert try_damage(tool, 150, 4, tmp_path)["refused"] > 0
