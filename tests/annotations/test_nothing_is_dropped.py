"""Marks that a tool writes in an unusual place: drawn where they belong or refused, never dropped."""

import numpy as np
import pytest
from PIL import Image
from support.annotation_files import HEIGHT, WIDTH, coco, marked, pictures, png
from support.annotation_forms import BOX, read_form
from support.command_line import ended

from blackbox_conformal.annotations.formats.coco import Coco, DrawnLevels
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import FileFormatError


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
