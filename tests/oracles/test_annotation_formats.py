"""The annotation tools' own code reads exports to the pixel, and what it writes is read; alpha is another library's."""

import json

import krippendorff
import numpy as np
import pytest
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
def test_alpha_is_that_of_krippendorff(seed):
    rng = np.random.default_rng(seed)
    people = [rng.choice([0, 0, 51, 255], (6, 9)).astype(np.uint8) for _ in range(rng.integers(2, 5))]
    people[1] = np.where(rng.random((6, 9)) < 0.7, people[0], people[1])
    wanted = krippendorff.alpha(
        reliability_data=np.stack([one.reshape(-1) for one in people]).astype(float), level_of_measurement="interval"
    )
    assert alpha_sums(people).alpha == pytest.approx(wanted, abs=1e-12)
