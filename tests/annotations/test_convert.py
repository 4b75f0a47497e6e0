"""From an export to the stored annotation and back from the store: what is written, what is refused."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.annotation_files import coco, marked, pictures, png
from support.command_line import ended
from support.other_package import install

from blackbox_conformal.annotations import import_annotations
from blackbox_conformal.annotations.annotation_file import read_annotation, read_sidecar
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import CalibrationError, FileFormatError, ImageError, UsageError
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.support.canonical import digest_bytes

BOX = (3, 5, 10, 12)


@pytest.fixture
def work(tmp_path):
    truth, delivered = pictures()
    (tmp_path / "photo.png").write_bytes(png(truth))
    (tmp_path / "answer.png").write_bytes(png(delivered))
    (tmp_path / "photo.json").write_text(coco({"bbox": [3, 5, 7, 7]}))
    return tmp_path


def _import(work, **changes):
    given = {"truth": work / "photo.png", "delivered": work / "answer.png", "folder": work / "annotations", **changes}
    return import_annotations(**{"source": work / "photo.json", "format": "coco", **given})


def test_what_is_stored(work):
    path = _import(work, annotator="R. Nakamura", date="2026-03-01")
    truth, delivered = pictures()
    sidecar = read_sidecar(path)
    assert sidecar.picture is None
    wanted = {"format": "blackbox-conformal annotation", "version": 1, "height": 24, "width": 32, "source": "coco"}
    wanted |= {"reference": pixels_digest(truth), "output": pixels_digest(delivered), "date": "2026-03-01"}
    wanted |= {"mask": digest_bytes(path.with_suffix(".png").read_bytes()), "annotator": "R. Nakamura"}
    assert json.loads(path.read_text()) == wanted
    np.testing.assert_array_equal(read_annotation(work / "annotations", truth, delivered), marked(BOX))
    assert {file.name for file in path.parent.iterdir()} == {path.name, path.with_suffix(".png").name}


def test_arrays_do_and_today_is_the_date(work):
    truth, delivered = pictures()
    path = _import(work, truth=truth, delivered=delivered)
    assert path == _import(work)
    sidecar = read_sidecar(path)
    assert abs(datetime.date.fromisoformat(sidecar.date) - datetime.datetime.now(datetime.UTC).date()).days <= 1
    assert sidecar.annotator == "not stated"


def test_a_truth_that_calibration_would_cut_is_cut(work):
    truth, delivered = pictures()
    larger = np.pad(truth, ((0, 3), (0, 2), (0, 0)))
    _import(work, truth=larger, image="photo")
    np.testing.assert_array_equal(read_annotation(work / "annotations", truth, delivered), marked(BOX))
    for other in (np.pad(truth, ((0, 16), (0, 0), (0, 0))), truth[:-1]):
        with pytest.raises(ImageError, match="expected a true picture of the delivered picture's size, 32×24"):
            _import(work, truth=other)


@pytest.mark.parametrize(("grade", "level"), [(0, 0), (0.5, 128), (1, 255), (1 / 255, 1), (0.2, 51), (0.001, 1)])
def test_grades_never_shrink(work, grade, level):
    _import(work, grades={"wrong": grade, "unused": 1})
    found = read_annotation(work / "annotations", *pictures())
    assert found.max() == level
    assert level / 255 >= grade - 1e-12


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"format": "voc"}, UsageError, "expected the name of a format; got 'voc'; there are: coco, "),
        ({"grades": {"other": 1}}, UsageError, "expected a grade for every label; got none for 'wrong'"),
        ({"grades": {"wrong": 1.1}}, UsageError, r"expected grades in \[0, 1\]; got 1.1 for 'wrong'"),
        ({"grades": {"wrong": float("nan")}}, UsageError, "expected grades in"),
        ({"grades": {"wrong": 1}, "format": "png"}, UsageError, "levels are the grades"),
        ({"date": "01.03.2026"}, UsageError, "expected a date as YYYY-MM-DD"),
        ({"annotator": ""}, UsageError, "1 to 200 printable characters"),
        ({"annotator": "\ud800"}, UsageError, "1 to 200 printable characters"),
        ({"image": "elsewhere"}, UsageError, "expected one picture elsewhere"),
        ({"format": "png"}, FileFormatError, "expected a PNG"),
        ({"delivered": pictures(height=25)[0], "truth": pictures(height=25)[1]}, FileFormatError, "32×25"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(work, changes, error, message):
    with pytest.raises(error, match=message):
        _import(work, **changes)
    assert not (work / "annotations").exists()


def test_another_annotation_of_the_same_pair_needs_force(work):
    path = _import(work, date="2026-03-01")
    assert _import(work, date="2026-03-01") == path
    before = path.with_suffix(".png").read_bytes()
    (work / "photo.json").write_text(coco())
    with pytest.raises(UsageError, match="exists with other content"):
        _import(work, date="2026-03-01")
    assert path.with_suffix(".png").read_bytes() == before
    _import(work, date="2026-03-02", force=True)
    assert not read_annotation(work / "annotations", *pictures()).any()


def test_one_of_many_pictures_by_its_name(work):
    images = [{"id": k, "file_name": f"{name}.png", "height": 24, "width": 32} for k, name in ((7, "photo"), (8, "b"))]
    source = work / "many.json"
    source.write_text(coco({"bbox": [3, 5, 7, 7]}, {"bbox": [0, 0, 2, 2], "image_id": 8}, images=images))
    _import(work, source=source, format="coco")
    np.testing.assert_array_equal(read_annotation(work / "annotations", *pictures()), marked(BOX))
    _import(work, source=source, format="coco", image="b.png", force=True)
    np.testing.assert_array_equal(read_annotation(work / "annotations", *pictures()), marked((0, 0, 2, 2)))


def test_command(work, capsys):
    arguments = [str(work / "photo.json"), "--format", "coco", "--truth", str(work / "photo.png")]
    arguments += ["--delivered", str(work / "answer.png"), "--folder", str(work / "annotations")]
    who = ["--annotator", "A", "--date", "2026-03-01"]
    printed = ended(capsys, ["annotate", "import", *arguments, "--grade", "wrong=0.5", *who]).out.strip()
    assert json.loads(Path(printed).read_text())["annotator"] == "A"
    assert read_annotation(work / "annotations", *pictures()).max() == 128
    assert run(["annotate", "import", *arguments, "--grade", "wrong"]) == 2
    assert "expected --grade LABEL=GRADE; got 'wrong'" in capsys.readouterr().err
    assert run(["annotate", "import", *arguments, "--force"]) == 0
    assert run(["annotate", "import", *arguments, "--image", "other"]) == 2
    assert capsys.readouterr().err.startswith("error: expected one picture other")


def test_another_package_brings_a_format(work, tmp_path):
    site = install(tmp_path / "site")
    words = [sys.executable, "-m", "blackbox_conformal", "annotate", "import", str(work / "photo.json")]
    words += ["--truth", str(work / "photo.png"), "--delivered", str(work / "answer.png"), "--folder", str(work / "a")]
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    given = {"capture_output": True, "text": True, "env": {**os.environ, "PYTHONPATH": path}, "check": False}
    ran = subprocess.run([*words, "--format", "everything"], **given)
    assert (ran.returncode, ran.stderr, read_sidecar(Path(ran.stdout.strip())).source) == (0, "", "everything")
    assert (read_annotation(work / "a", *pictures()) == 255).all()
    (work / "a").rename(work / "first")
    ours = subprocess.run([*words, "--format", "png"], **given)
    assert ours.returncode == 2, "a name of this package cannot be taken over"
    assert "expected a PNG" in ours.stderr


@pytest.fixture
def stored(tmp_path):
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
