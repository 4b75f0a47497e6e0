"""Marks that a tool writes in an unusual place: drawn where they belong or refused, never dropped."""

import numpy as np
import pytest
from PIL import Image
from support.annotation_files import HEIGHT, WIDTH, brush, coco, cvat, label_studio, marked, pictures, png, region
from support.annotation_forms import BOX, read_form

from blackbox_conformal.annotations.formats.coco import Coco
from blackbox_conformal.annotations.formats.cvat import Cvat
from blackbox_conformal.annotations.formats.label_studio import LabelStudio
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import FileFormatError


def turned(kind, importer, content, tmp_path):
    found = read_form(importer, tmp_path, content)
    assert found.any(), kind
    return found


@pytest.mark.parametrize("degrees", [0, 30, 90, 137.5])
def test_a_turned_box_of_coco_is_the_one_that_cvat_turns(tmp_path, degrees):
    box = {"segmentation": [], "bbox": [8, 9, 14, 6], "attributes": {"occluded": False, "rotation": degrees}}
    same = f'<box label="wrong" xtl="8" ytl="9" xbr="22" ybr="15" rotation="{degrees}"/>'
    found = turned("coco", Coco(), coco(box), tmp_path)
    np.testing.assert_array_equal(found, turned("cvat", Cvat(), cvat(same), tmp_path))
    plain = read_form(Coco(), tmp_path, coco({"segmentation": [], "bbox": [8, 9, 14, 6]}))
    assert (found == plain).all() == (degrees == 0)


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


def test_a_tag_of_cvat_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="got a tag"):
        read_form(Cvat(), tmp_path, cvat('<tag label="wrong" source="manual"></tag>'))


GEOMETRY = {
    "brush": {"format": "rle", "rle": brush(marked(BOX))},
    "polygon": {
        "points": [[x / 0.32, y / 0.24] for x, y in ((3.01, 5.01), (9.99, 5.01), (9.99, 11.99), (3.01, 11.99))]
    },
    "rectangle": {"x": 3.01 / 0.32, "y": 5.01 / 0.24, "width": 6.98 / 0.32, "height": 6.98 / 0.24, "rotation": 0},
    "ellipse": {"x": 20.0, "y": 35.0, "radiusX": 10.0, "radiusY": 12.0, "rotation": 0},
}


def bare(kind, value, **more):
    """A region as a separate control writes it: with the geometry, and only the labels that `value` has."""
    sizes = {"original_height": HEIGHT, "original_width": WIDTH, "image_rotation": 0}
    return {"id": "r1", "type": kind, "value": value, **sizes, **more}


@pytest.mark.parametrize("kind", GEOMETRY)
def test_labels_of_label_studio_beside_a_shape_or_alone_count_once(tmp_path, kind):
    geometry = GEOMETRY[kind]
    labels = bare("labels", {**geometry, "labels": ["wrong"]})
    whole = read_form(LabelStudio(), tmp_path, label_studio(region(kind, geometry)))
    for regions in ([labels], [bare(kind, geometry), labels], [labels, bare(kind, geometry)]):
        asked = []
        found = read_form(
            LabelStudio(), tmp_path, label_studio(*regions), level=lambda label, seen=asked: seen.append(label) or 255
        )
        np.testing.assert_array_equal(found, whole)
        assert set(asked) == {"wrong"}


def test_labels_of_label_studio_whose_place_is_not_known_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match="labels without a shape"):
        read_form(LabelStudio(), tmp_path, label_studio(bare("labels", {"labels": ["wrong"]})))


def test_a_shape_without_a_label_is_named_where_labels_are_graded(tmp_path, capsys):
    (tmp_path / "export.json").write_text(label_studio(bare("rectangle", GEOMETRY["rectangle"])))
    truth, delivered = pictures()
    (tmp_path / "photo.png").write_bytes(png(truth))
    (tmp_path / "answer.png").write_bytes(png(delivered))
    given = [str(tmp_path / "export.json"), "--format", "label-studio", "--folder", str(tmp_path / "annotations")]
    given += ["--truth", str(tmp_path / "photo.png"), "--delivered", str(tmp_path / "answer.png")]
    assert run(["annotate", "import", *given, "--grade", "wrong=0.5"]) == 2
    assert "one shape has none" in capsys.readouterr().err
    assert run(["annotate", "import", *given, "--grade", "wrong=0.5", "--grade", "=0.25"]) == 0
    stored = Image.open(next((tmp_path / "annotations").glob("*.png")))
    assert set(np.unique(stored)) == {0, 64}
