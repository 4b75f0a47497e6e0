"""The annotation tools' own code reads exports to the pixel, and what it writes is read; alpha is another library's."""

import json
import xml.etree.ElementTree as ElementTree

import krippendorff
import numpy as np
import pytest
from cvat_sdk.masks import decode_mask, encode_mask
from label_studio_sdk.converter import brush
from pycocotools.coco import COCO
from pycocotools.mask import decode, encode

from blackbox_conformal.annotations.combine import alpha_sums
from blackbox_conformal.annotations.convert import read_format
from blackbox_conformal.annotations.formats.format import Marked, label_of, level_named
from blackbox_conformal.support import catalog


def levels_of(seed):
    """Marks with holes, detached parts, single pixels and several grades; of all kinds or of one."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 60, 2)
    coarse = rng.choice([0, 0, 77, 255], (height // 7 + 1, width // 7 + 1)).astype(np.uint8)
    levels = np.repeat(np.repeat(coarse, 7, axis=0), 7, axis=1)[:height, :width].copy()
    noise = rng.random(levels.shape) < 0.05
    levels[noise] = rng.choice([0, 1, 128, 255], int(noise.sum()))
    return levels


SEEDS = range(40)


def exported(form, levels):
    [content] = catalog.load("annotations.formats", form).write([Marked("photo.png", levels)]).values()
    return content


@pytest.mark.parametrize("seed", SEEDS)
def test_pycocotools_reads_every_pixel(tmp_path, seed, capsys):
    levels = levels_of(seed)
    path = tmp_path / "coco.json"
    path.write_bytes(exported("coco", levels))
    dataset = COCO(str(path))
    found = np.zeros_like(levels)
    for annotation in dataset.anns.values():
        mask = dataset.annToMask(annotation) > 0
        assert annotation["area"] == mask.sum()
        assert not found[mask].any()
        found[mask] = level_named(dataset.cats[annotation["category_id"]]["name"])
    np.testing.assert_array_equal(found, levels)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_pycocotools_writes_is_read(tmp_path, seed):
    levels = levels_of(seed)
    annotations = []
    for level in set(np.unique(levels).tolist()) - {0}:
        runs = encode(np.asfortranarray(levels == level).astype(np.uint8))
        runs["counts"] = runs["counts"].decode()
        assert (decode(runs) > 0).sum() == (levels == level).sum()
        annotations.append({"id": level, "image_id": 1, "category_id": level, "segmentation": runs})
    categories = [{"id": one["category_id"], "name": label_of(one["category_id"])} for one in annotations]
    images = [{"id": 1, "file_name": "photo.png", "height": levels.shape[0], "width": levels.shape[1]}]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    np.testing.assert_array_equal(read_format("coco", path, frozenset({"photo"}), levels.shape), levels)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sdk_of_cvat_reads_every_pixel(seed):
    levels = levels_of(seed)
    height, width = levels.shape
    found = np.zeros_like(levels)
    for mask in ElementTree.fromstring(exported("cvat", levels)).iter("mask"):
        left, top, across, down = (int(mask.get(name)) for name in ("left", "top", "width", "height"))
        runs = [int(run) for run in mask.get("rle").split(",")]
        points = [*runs, left, top, left + across - 1, top + down - 1]
        marked = decode_mask(points, image_width=width, image_height=height)
        assert encode_mask(marked) == points, "the form that CVAT itself would write"
        found[marked] = level_named(mask.get("label"))
    np.testing.assert_array_equal(found, levels)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sdk_of_label_studio_reads_every_pixel(seed):
    levels = levels_of(seed)
    [task] = json.loads(exported("label-studio", levels))
    found = np.zeros_like(levels)
    for region in task["annotations"][0]["result"]:
        values = brush.decode_rle(region["value"]["rle"]).reshape(*levels.shape, 4)
        [label] = region["value"]["brushlabels"]
        found[values[:, :, 3] > 0] = level_named(label)
    np.testing.assert_array_equal(found, levels)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_sdk_of_label_studio_writes_is_read(tmp_path, seed):
    levels = levels_of(seed)
    sizes = {"original_height": levels.shape[0], "original_width": levels.shape[1], "image_rotation": 0}
    result = [
        {
            "type": "brushlabels",
            "value": {
                "format": "rle",
                "rle": list(map(int, brush.mask2rle(np.where(levels == level, 255, 0).astype(np.uint8)))),
                "brushlabels": [label_of(level)],
            },
            **sizes,
        }
        for level in set(np.unique(levels).tolist()) - {0}
    ]
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([{"data": {"image": "photo.png"}, "annotations": [{"result": result}]}]))
    np.testing.assert_array_equal(read_format("label-studio", path, frozenset({"photo"}), levels.shape), levels)


@pytest.mark.parametrize("seed", SEEDS)
def test_alpha_is_that_of_krippendorff(seed):
    rng = np.random.default_rng(seed)
    people = [rng.choice([0, 0, 51, 255], (6, 9)).astype(np.uint8) for _ in range(rng.integers(2, 5))]
    people[1] = np.where(rng.random((6, 9)) < 0.7, people[0], people[1])
    wanted = krippendorff.alpha(
        reliability_data=np.stack([one.reshape(-1) for one in people]).astype(float), level_of_measurement="interval"
    )
    assert alpha_sums(people).alpha == pytest.approx(wanted, abs=1e-12)
